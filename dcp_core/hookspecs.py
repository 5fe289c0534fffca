"""Every hook of DCP, in lifecycle order, with its contract.

Three groups share one namespace: ``PluginSpec`` is routed by manifest type, ``PrimitiveSpec`` by kind, and
``EventSpec`` goes to everybody. A routed call reaches its one owner and all extensions, so an extension can
wrap any step of any plugin with ``@hookimpl(wrapper=True)``. On a ``firstresult`` hook an extension may only
wrap; on ``lint`` it may also add findings of its own.

Plugins and primitives need no decorator: they subclass ``dcp_core.interfaces`` and override typed methods.

Source: design.md section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from datetime import datetime

    from dcp_core.context import Context
    from dcp_core.diagnostics import Diagnostic
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
    from dcp_core.records import (
        ActionResult,
        AuditRecord,
        AuthorizationRequest,
        Command,
        Decision,
        Execution,
        Operation,
        Preview,
        TestReport,
    )

PROJECT = "dcp"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class PluginSpec:
    """One manifest type, from text to platform. Only ``parse_manifest`` and ``decompose`` have no default."""

    @hookspec(firstresult=True)
    def get_manifest_type(self) -> str:
        """The manifest type; equals the name of the entry point."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_manifest_schema(self) -> Mapping[str, Any]:
        """The JSON Schema (draft 2020-12) that the core checks before ``parse_manifest``; pure and constant."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_commands(self) -> tuple[Command, ...]:
        """More commands for this type's group in the CLI, beside lint, test, plan, apply, run and destroy."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        """Compile a manifest that satisfies the schema. Pure: reads only through ``manifest.read``.

        Raises:
            InvalidManifestError: With every error that the schema cannot express, by field path.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        """The resources wanted, each after those it depends on. Pure and deterministic."""
        raise NotImplementedError

    @hookspec
    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        """Findings without any engine; milliseconds. The results of plugin and extensions are joined."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def test(self, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
        """Check against an engine and the manifest's own test cases. Never submits a job, changes nothing."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def plan(self, logical_plan: LogicalPlan, states: tuple[ResourceStates, ...], ctx: Context) -> tuple[Action, ...]:
        """An action for each of the states, which the core has read in bulk. Pure.

        A plan that passes over what the inventory has is refused when it is applied."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_lineage(
        self, logical_plan: LogicalPlan, schemas: Mapping[str, Mapping[str, str]], ctx: Context
    ) -> tuple[ColumnLineage, ...]:
        """Every column that this manifest writes and what it is made from; () when the plugin cannot tell. Pure.

        ``schemas`` holds, by name of data that it reads, the types by column, of as much as is known."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def create_sandbox(self, user: str, ctx: Context) -> None:
        """Prepare what this type needs in a new playground; repeated after a crash, so idempotent."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def destroy_sandbox(self, sandbox_id: str, ctx: Context) -> None:
        """Undo ``create_sandbox``, after the playground's resources are deleted; idempotent."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def pre_apply(self, logical_plan: LogicalPlan, actions: tuple[Action, ...], ctx: Context) -> None:
        """Before the first action. Changes only through ``ctx.stop``. An error here ends the operation."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def apply(self, logical_plan: LogicalPlan, actions: tuple[Action, ...], ctx: Context) -> tuple[ActionResult, ...]:
        """Do the actions, through ``ctx.execute`` only; may order or group them. A result for every action."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def post_apply(self, logical_plan: LogicalPlan, results: tuple[ActionResult, ...], ctx: Context) -> None:
        """After the last action, also when one failed. Changes only through ``ctx.start``."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def run(self, logical_plan: LogicalPlan, params: Mapping[str, str], ctx: Context) -> tuple[Execution, ...]:
        """Run the manifest's runnable resources through ``ctx.start`` and ``ctx.wait``; final executions."""
        raise NotImplementedError


class PrimitiveSpec:
    """One kind of platform resource. States in bulk, changes one at a time, each change safe to repeat.

    ``create``, ``update`` and ``delete`` may be called again after a crash with the actual state of then.
    They raise ``TransientError`` for what may succeed later (retried with backoff), ``PermanentError`` for
    what will not, and leave the resource as it was or as desired, never between.
    """

    @hookspec(firstresult=True)
    def get_kind(self) -> str:
        """The kind; equals the name of the entry point. Its last word is the noun of labels: CREATE_TABLE."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        """What the resource should be, normalised so that it equals ``get_actual_state`` once applied. Pure.

        Raises:
            InvalidSpecError: The spec contradicts itself.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        """What is there, None when nothing is. Reads only."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_actual_states(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, State | None]:
        """The same for many at once, in as few calls as the platform allows; a row for each of them."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_revisions(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, str] | None:
        """Tokens that move whenever the state does, in bulk and cheaply; None where the platform has none."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        """The differences, each with its effect; () when equal. Pure. ``actual`` None asks what a new
        one will have; ``desired`` None asks about deletion: a DESTRUCTIVE change says that deleting loses data."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        """Create it with the mark of its owner. Called only when it is absent."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        """Make ``actual`` into ``desired`` in one step, marks included; refuses when it is not as ``actual``
        says any more. Also adopts: ``actual`` then has no mark."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def delete(self, resource: Resource, ctx: Context) -> None:
        """Delete it. Absent already is fine; a resource with somebody else's mark is refused."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def start(self, resource: Resource, params: Mapping[str, str], idempotency_key: str, ctx: Context) -> Execution:
        """Start it; the same key again gives the same execution."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def stop(self, resource: Resource, ctx: Context) -> tuple[Execution, ...]:
        """Stop everything of it that runs, and wait until it has stopped; gives what was stopped."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_status(self, resource: Resource, execution_id: str | None, ctx: Context) -> Execution | None:
        """How one execution stands; for None the one that runs now, or None when nothing runs."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_executions(self, resource: Resource, limit: int, before: str | None, ctx: Context) -> tuple[Execution, ...]:
        """At most ``limit`` of its executions, the newest first, whoever started them; () when the platform keeps
        none. ``before`` is the id of one: only those that come after it in that order."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_logs(self, resource: Resource, execution_id: str, ctx: Context) -> str | None:
        """What one of its executions has logged so far, without secrets; None when the platform keeps no logs.

        Raises:
            NotFoundError: It has no such execution.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def pause(self, resource: Resource, ctx: Context) -> bool:
        """Let its own schedule stand still until ``resume``, over every ``update`` and ``create`` in between; what
        runs goes on. No part of the state: a plan shows no change. Repeatable. False when it has no schedule."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def resume(self, resource: Resource, ctx: Context) -> bool:
        """Undo ``pause``; one that is not paused is fine. False when it has no schedule."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def get_intervals(self, resource: Resource, start: datetime, end: datetime, ctx: Context) -> tuple[Interval, ...]:
        """What it has to run for between two moments (UTC): the intervals of its schedule that lie wholly within,
        the earliest first; () when a run of it is for no interval. Pure, of the resource as it was last applied.

        Raises:
            InvalidSpecError: The schedule never fires, or there are more than anybody means.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def preview(self, resource: Resource, limit: int, ctx: Context) -> Preview | None:
        """At most ``limit`` rows of its data and how to query it elsewhere; None when it holds no rows."""
        raise NotImplementedError


class EventSpec:
    """Broadcast to every loaded plugin and extension. A listener that raises is reported and stops nothing,
    except in ``authorize``, where an error denies."""

    @hookspec
    def operation_started(self, operation: Operation) -> None:
        """After the lease is taken, before anything changes; again when another process takes it over."""

    @hookspec
    def action_started(self, operation: Operation, action: Action) -> None:
        """Before the action, after its step is in the journal."""

    @hookspec
    def action_finished(self, operation: Operation, action: Action, result: ActionResult) -> None:
        """After the action's end is in the journal."""

    @hookspec
    def execution_changed(self, operation: Operation, execution: Execution) -> None:
        """When the status of an execution that somebody waits for is read."""

    @hookspec
    def operation_finished(self, operation: Operation) -> None:
        """With status and results."""

    @hookspec
    def audit(self, record: AuditRecord) -> None:
        """After the record is in the store."""

    @hookspec
    def authorize(self, request: AuthorizationRequest) -> Decision | None:
        """Whether an operation may go on; None for no opinion. Everybody is asked, one denial denies."""


GROUPS: Mapping[str, type] = {"plugins": PluginSpec, "primitives": PrimitiveSpec, "events": EventSpec}
