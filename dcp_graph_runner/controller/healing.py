"""Mends what has drifted, one manifest at a time: plan and apply through the control plane, like anybody else.

The key says only which manifest; everything else is looked at anew, for between a pass and its healing somebody may
have mended, changed, applied, paused or destroyed it.

Source: design.md sections 7 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs
from sqlalchemy import select

from dcp_core.control_plane import ControlPlane
from dcp_core.drift import DEFAULT, DriftMode
from dcp_core.errors import DcpError, LeaseLostError, OperationInProgressError, StalePlanError
from dcp_core.model import Action, ActionKind, Environment, ManifestPlan, ResourceKey
from dcp_core.records import Operation, OperationStatus, ResultStatus
from dcp_graph_runner.controller.judging import Verdict, judge
from dcp_graph_runner.controller.losing import held_data
from dcp_graph_runner.controller.pacing import Pace, Trouble
from dcp_graph_runner.controller.queueing import Key
from dcp_graph_runner.controller.recording import Attempts
from dcp_graph_runner.controller.wanted import in_force
from dcp_graph_runner.database import Database
from dcp_graph_runner.pauses import Pauses
from dcp_graph_runner.tables import operations


@attrs.frozen
class Healed:
    """How one healing ended.

    Args:
        key: Environment and manifest id.
        operation: What was done; None when nothing was to be done, or nothing could be begun.
        error: Why it failed; "" when it did not.
        later: Why it was left alone for now; "" when it was not.
    """

    key: Key
    operation: Operation | None = None
    error: str = ""
    later: str = ""


@attrs.frozen
class Healer:
    """Heals. Thread-safe; each call has a control plane of its own.

    Args:
        database: The state database.
        pace: Of the next try after a failure.
    """

    database: Database
    pace: Pace

    def heal(self, key: Key, dcp: ControlPlane) -> Healed:
        """One manifest; what fails is noted, to be tried again after a wait. Raises nothing that DCP raises.

        Args:
            key: Environment and manifest id.
            dcp: Works for the controller; nobody else uses it meanwhile.
        """
        try:
            healed = self._heal(key, dcp)
        except (StalePlanError, OperationInProgressError, LeaseLostError) as error:
            return Healed(key, later=str(error))  # the next pass sees what became of it
        except DcpError as error:
            healed = Healed(key, error=str(error))
        if healed.error:
            self._note(key, healed.error, dcp.context(Environment.named(key[0])).clock())
        elif not healed.later:
            Attempts(self.database).forget(key[0], [key[1]])
        return healed

    def _heal(self, key: Key, dcp: ControlPlane) -> Healed:
        name, id = key
        found = in_force(self.database, name, [id]).get(id)
        if found is None:
            return Healed(key)
        logical_plan = found[1]
        if isinstance(logical_plan, DcpError):
            raise logical_plan
        policy = logical_plan.metadata.drift or DEFAULT
        if policy.mode is not DriftMode.HEAL or (name, id) in Pauses(self.database).all(name):
            return Healed(key)
        busy = self._operation_under_way(key)
        if busy:
            return Healed(key, later=f"operation {busy} is under way")
        environment = Environment.named(name)
        entries = {each.resource.key: each for each in dcp.store.inventory(name, [id])}
        if not entries:
            return Healed(key)  # destroyed meanwhile
        plan = dcp.plan([logical_plan], environment=environment)
        (manifest,) = plan.manifests
        gone = held_data(manifest.actions, dcp.registry)
        verdicts = judge(manifest.actions, entries, policy, dcp.context(environment).clock(), gone)
        narrowed = only_what_heals(manifest, verdicts)
        if not narrowed.has_changes:
            return Healed(key)
        operation = dcp.apply(attrs.evolve(plan, manifests=(narrowed,)))[-1]
        busy = self._operation_under_way(key)
        if operation.status is OperationStatus.REFUSED and busy:
            return Healed(key, later=f"operation {busy} is under way")
        return _outcome(key, operation)

    def _operation_under_way(self, key: Key) -> str | None:
        query = select(operations.c.id).where(
            operations.c.environment == key[0],
            operations.c.manifest_id == key[1],
            operations.c.status == OperationStatus.RUNNING.value,
        )
        with self.database.reading() as connection:
            return connection.execute(query).scalar()

    def _note(self, key: Key, error: str, now: datetime) -> None:
        attempts = Attempts(self.database)
        known = attempts.all(key[0]).get(key[1])
        failures = 1 if known is None else known.failures + 1
        attempts.put(*key, Trouble(failures, self.pace.next_try(now, failures), "heal_failed", error))


def only_what_heals(manifest: ManifestPlan, verdicts: Mapping[ResourceKey, Verdict]) -> ManifestPlan:
    """The plan with every change that does not heal BLOCKED, so that it is shown, and what depends on it waits."""
    return attrs.evolve(manifest, actions=tuple(_narrowed(each, verdicts) for each in manifest.actions))


def _narrowed(action: Action, verdicts: Mapping[ResourceKey, Verdict]) -> Action:
    verdict = verdicts[action.resource.key]
    if not action.is_change or verdict.can_heal:
        return action
    words = f"the controller leaves it: {verdict.message}"
    return attrs.evolve(action, kind=ActionKind.BLOCKED, wants=action.kind, reason="not_healed", message=words)


def _outcome(key: Key, operation: Operation) -> Healed:
    failed = [each for each in operation.results if each.status is ResultStatus.FAILED]
    if failed:
        return Healed(key, operation, "; ".join(f"{each.label} {each.key.name}: {each.error}" for each in failed))
    done = any(each.status is ResultStatus.SUCCEEDED for each in operation.results)
    if done:
        return Healed(key, operation)  # BLOCKED ones are not what it was to do
    return Healed(key, operation, operation.error or f"it ended {operation.status} and nothing was done")
