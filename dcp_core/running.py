"""Runs the jobs of many manifests: who is read before who reads.

Source: design.md sections 10 and 13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from dcp_core import operating
from dcp_core.errors import ConflictError, DcpError
from dcp_core.loading import reading_order
from dcp_core.memory_store import MemoryStore
from dcp_core.model import Environment, LogicalPlan, ManifestPlan, Resource
from dcp_core.planner import decompose, one_environment
from dcp_core.records import Execution, InventoryEntry, Operation

NOT_APPLIED = "it was never applied here; `pretzel apply` makes its job"
NOT_MADE = "was not made when it was applied; `pretzel plan` says what it waits for"
CHANGED = "the manifest has changed since it was applied; this ran the version applied"


@attrs.frozen
class RunResult:
    """How running one manifest ended.

    Args:
        manifest_id: Which one.
        executions: Final ones, one for each runnable resource.
        error: Why nothing ran, or what went wrong around it.
        skipped: Whether it was not tried because a manifest it reads failed.
        note: What the user should know all the same.
    """

    manifest_id: str
    executions: tuple[Execution, ...] = ()
    error: str | None = None
    skipped: bool = False
    note: str | None = None

    @property
    def ok(self) -> bool:
        """Whether everything that runs succeeded."""
        return self.error is None and all(each.status == "SUCCEEDED" for each in self.executions)


@attrs.frozen
class Runner:
    """Runs manifests one after the other.

    Args:
        operator: Runs one of them.
    """

    operator: operating.Operator

    def has_applied(self, plans: Sequence[LogicalPlan]) -> bool:
        """Whether any of them was applied in its environment."""
        ids = [each.id for each in plans]
        return bool(self.operator.store.logical_plans(one_environment(plans).name, ids))

    def run(self, plans: Sequence[LogicalPlan], params: Mapping[str, str]) -> tuple[RunResult, ...]:
        """See ``ControlPlane.run``."""
        environment = one_environment(plans)
        inventory = self.operator.store.inventory(environment.name, [each.id for each in plans])
        entries = {(entry.resource.manifest_id, entry.resource.key): entry for entry in inventory}
        wanted = {each.id: (each, decompose(each, self.operator.registry)) for each in plans}
        applied = {
            id: (each, decompose(each, self.operator.registry))
            for id, each in self.operator.store.logical_plans(environment.name, list(wanted)).items()
        }
        failed: set[str] = set()
        results = []
        for id in reading_order([(id, (applied.get(id) or each)[1]) for id, each in wanted.items()]):
            asked, named = wanted[id]
            # Never what the caller's plan says: anybody can have written it, and rules know what is in force.
            in_force, resources = applied.get(id, (asked, named))
            reads = {name for each in resources for name in each.reads}
            provides = {name for each in resources for name in each.provides}
            runnable = {each.key: each for each in (*resources, *named) if each.runnable}
            if reads & failed:
                words = f"{sorted(reads & failed)[0]} was not refreshed"
                result = attrs.evolve(self._refused(asked, words), skipped=True)
            elif id not in applied:
                result = self._refused(asked, NOT_APPLIED)
            elif missing := [each.name for key, each in runnable.items() if (id, key) not in entries]:
                result = self._refused(asked, f"{missing[0]} {NOT_MADE}")
            else:
                result = self._run_one(in_force, params)
                is_as_applied = all(self._is_as_applied(each, entries[id, each.key]) for each in named if each.runnable)
                result = attrs.evolve(result, note=None if is_as_applied else CHANGED)
            if not result.ok:
                failed |= provides
            results.append(result)
        return tuple(results)

    def _is_as_applied(self, resource: Resource, entry: InventoryEntry) -> bool:
        """Whether what runs is what the manifest says: an apply may have been blocked, or not made yet."""
        ctx = self.operator.make_context(Environment.named(resource.environment))
        desired = self.operator.registry.primitive(resource.kind, "get_desired_state", resource=resource, ctx=ctx)
        return bool(desired.digest == entry.applied_digest)

    def _refused(self, logical_plan: LogicalPlan, words: str) -> RunResult:
        """What was asked for and not tried is in the audit log too."""
        self.operator.refuse(self._operation(logical_plan), ConflictError(words))
        return RunResult(logical_plan.id, error=words)

    def _operation(self, logical_plan: LogicalPlan) -> Operation:
        return self.operator.new(operating.RUN, ManifestPlan(logical_plan, ()))

    def _run_one(self, logical_plan: LogicalPlan, params: Mapping[str, str]) -> RunResult:
        operator = self.operator
        operation = self._operation(logical_plan)
        try:
            executions = operator.run(operation, params, MemoryStore(operator.clock))
        except DcpError as error:
            words = f"{error}; {error.hint}" if error.hint else str(error)
            return RunResult(logical_plan.id, error=words)
        return RunResult(logical_plan.id, executions)
