"""What plugin and primitive authors subclass: the hooks as methods, with the framework's defaults.

Override what you need; no decorators. A public method that is not a hook is refused at load, so that a
misspelled one cannot pass: name your own methods with a leading underscore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dcp_core import planning
from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic
from dcp_core.errors import NotSupportedError
from dcp_core.intervals import Interval
from dcp_core.lineage import ColumnLineage
from dcp_core.manifest import Manifest
from dcp_core.model import (
    Action,
    Environment,
    FieldChange,
    LogicalPlan,
    Resource,
    ResourceKey,
    State,
)
from dcp_core.planning import ResourceStates
from dcp_core.records import ActionResult, Command, Execution, Preview, TestReport


class Plugin:
    """Handles one manifest type. Needs ``parse_manifest`` and ``decompose``; see ``hookspecs.PluginSpec``.

    Set ``manifest_type``; it must equal the name of the entry point in group ``dcp.plugins``.
    """

    manifest_type: str

    def get_manifest_type(self) -> str:
        return self.manifest_type

    def get_manifest_schema(self) -> Mapping[str, Any]:
        """By default any mapping is a manifest."""
        return {"type": "object"}

    def get_commands(self) -> tuple[Command, ...]:
        return ()

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        raise NotSupportedError(f"{type(self).__name__} does not implement parse_manifest")

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        raise NotSupportedError(f"{type(self).__name__} does not implement decompose")

    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        return ()

    def test(self, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
        return TestReport()

    def plan(self, logical_plan: LogicalPlan, states: tuple[ResourceStates, ...], ctx: Context) -> tuple[Action, ...]:
        """The diff of every resource (``planning.plan_resources``)."""
        return planning.plan_resources(logical_plan, states, ctx.options)

    def get_lineage(
        self, logical_plan: LogicalPlan, schemas: Mapping[str, Mapping[str, str]], ctx: Context
    ) -> tuple[ColumnLineage, ...]:
        return ()

    def create_sandbox(self, user: str, ctx: Context) -> None:
        """A playground needs nothing by default."""

    def destroy_sandbox(self, sandbox_id: str, ctx: Context) -> None:
        """A playground needs nothing by default."""

    def pre_apply(self, logical_plan: LogicalPlan, actions: tuple[Action, ...], ctx: Context) -> None:
        """Stop what runs and is about to change, or reads or writes what is."""
        for resource in planning.affected_runnables(actions):
            ctx.stop(resource)

    def apply(self, logical_plan: LogicalPlan, actions: tuple[Action, ...], ctx: Context) -> tuple[ActionResult, ...]:
        return ctx.execute(actions)

    def post_apply(self, logical_plan: LogicalPlan, results: tuple[ActionResult, ...], ctx: Context) -> None:
        """Start again what ``pre_apply`` stopped, with the same parameters, unless it is gone."""
        gone = {each.key for each in results if each.status == "SUCCEEDED" and each.label.startswith("DELETE_")}
        for resource, execution in ctx.stopped():
            if resource.key not in gone:
                ctx.start(resource, execution.params)

    def run(self, logical_plan: LogicalPlan, params: Mapping[str, str], ctx: Context) -> tuple[Execution, ...]:
        """Start every runnable resource, one after the other, and wait for it."""
        executions = []
        for resource in self.decompose(logical_plan):
            if resource.runnable:
                executions.append(ctx.wait(resource, ctx.start(resource, params)))
        return tuple(executions)


class Primitive:
    """Manages one kind of platform resource; see ``hookspecs.PrimitiveSpec`` for each method's contract.

    Set ``kind``; it must equal the name of the entry point in group ``dcp.primitives``.
    """

    kind: str

    def get_kind(self) -> str:
        return self.kind

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        """By default the spec itself, marked."""
        return State(resource.spec, owner=planning.owner_of(resource))

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        raise NotSupportedError(f"{type(self).__name__} does not implement get_actual_state")

    def get_actual_states(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, State | None]:
        """By default one call each."""
        return {resource.key: self.get_actual_state(resource, ctx) for resource in resources}

    def get_revisions(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, str] | None:
        return None

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        """Value by value, all of them harmless."""
        return planning.compare_values(desired.values if desired else {}, actual.values if actual else {})

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        raise NotSupportedError(f"{type(self).__name__} does not implement create")

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        raise NotSupportedError(f"{type(self).__name__} does not implement update")

    def delete(self, resource: Resource, ctx: Context) -> None:
        raise NotSupportedError(f"{type(self).__name__} does not implement delete")

    def start(self, resource: Resource, params: Mapping[str, str], idempotency_key: str, ctx: Context) -> Execution:
        raise NotSupportedError(f"a {resource.noun.lower()} cannot be started")

    def stop(self, resource: Resource, ctx: Context) -> tuple[Execution, ...]:
        return ()

    def get_status(self, resource: Resource, execution_id: str | None, ctx: Context) -> Execution | None:
        return None

    def get_executions(self, resource: Resource, limit: int, before: str | None, ctx: Context) -> tuple[Execution, ...]:
        return ()

    def get_logs(self, resource: Resource, execution_id: str, ctx: Context) -> str | None:
        return None

    def pause(self, resource: Resource, ctx: Context) -> bool:
        """It has no schedule of its own."""
        return False

    def resume(self, resource: Resource, ctx: Context) -> bool:
        """It has no schedule of its own."""
        return False

    def get_intervals(self, resource: Resource, start: datetime, end: datetime, ctx: Context) -> tuple[Interval, ...]:
        """By default its runs are for no interval."""
        return ()

    def preview(self, resource: Resource, limit: int, ctx: Context) -> Preview | None:
        return None
