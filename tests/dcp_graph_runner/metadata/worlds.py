"""A control plane with a manifest type and a kind of resource of its own, on a real store.

The manifest type says which columns it writes and what from; the resources are kept in memory, and so is what they run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dcp_core import (
    ColumnLineage,
    ColumnSource,
    Context,
    ControlPlane,
    Decision,
    Environment,
    Execution,
    ExecutionStatus,
    LogicalPlan,
    Metadata,
    Plugin,
    Primitive,
    Resource,
    Source,
    State,
    Transformation,
    hookimpl,
)
from dcp_core.errors import NotFoundError
from dcp_core.records import AuthorizationRequest
from dcp_core.registry import EXTENSIONS, PLUGINS, PRIMITIVES, Registry
from dcp_core.settings import Settings
from dcp_graph_runner.sql_store import open_store

PRODUCTION, ALICE = "production", "playground_alice"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Sheet(Plugin):
    """Manifests whose spec says it all; counts how often it is asked for lineage."""

    manifest_type = "sheet"
    asked = 0

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        spec = logical_plan.plugin_spec
        name = logical_plan.id.partition("/")[2]
        return (
            Resource(
                "paper", name, logical_plan.id, logical_plan.environment, {"rows": spec.get("rows", 1)},
                provides=tuple(spec.get("provides", (f"sheets.{name}",))), reads=tuple(spec.get("reads", ())),
                runnable=True,
            ),
        )  # fmt: skip

    def get_lineage(
        self, logical_plan: LogicalPlan, schemas: Mapping[str, Mapping[str, str]], ctx: Context
    ) -> tuple[ColumnLineage, ...]:
        type(self).asked += 1
        columns: Mapping[str, Sequence[str]] = logical_plan.plugin_spec.get("columns", {})
        (data,) = logical_plan.plugin_spec.get("provides", (f"sheets.{logical_plan.id.partition('/')[2]}",))[:1]
        return tuple(
            ColumnLineage(data, column, "string", tuple(_source(each) for each in sources))
            for column, sources in columns.items()
        )


class Mute(Plugin):
    """Tells nothing of columns."""

    manifest_type = "mute"

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        return Sheet().decompose(logical_plan)


def _source(text: str) -> ColumnSource:
    """``data.name/column``, with ``+`` behind it where it is computed."""
    data, _, column = text.rstrip("+").rpartition("/")
    return ColumnSource(data, column, Transformation.TRANSFORMATION if text.endswith("+") else Transformation.IDENTITY)


class Paper(Primitive):
    """Keeps states and executions in memory."""

    kind = "paper"

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], State] = {}
        self._ran: dict[tuple[str, str], list[Execution]] = {}

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        return self._states.get((resource.environment, resource.name))

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        self._states[resource.environment, resource.name] = desired

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        self._states[resource.environment, resource.name] = desired

    def delete(self, resource: Resource, ctx: Context) -> None:
        self._states.pop((resource.environment, resource.name), None)

    def start(self, resource: Resource, params: Mapping[str, str], idempotency_key: str, ctx: Context) -> Execution:
        ran = self._ran.setdefault((resource.environment, resource.name), [])
        at = BEGIN + timedelta(minutes=sum(map(len, self._ran.values())))
        fails = params.get("fails") == "yes"
        status = ExecutionStatus.FAILED if fails else ExecutionStatus.SUCCEEDED
        error = "nobody can read this" if fails else None
        id = f"{resource.name}-{len(ran) + 1}"
        rows = None if fails else 7
        execution = Execution(
            id, resource.key, resource.environment, status, "pen", rows, error, dict(params), idempotency_key,
            at, at, at + timedelta(seconds=2),
        )  # fmt: skip
        ran.append(execution)
        return execution

    def get_status(self, resource: Resource, execution_id: str | None, ctx: Context) -> Execution | None:
        ran = self._ran.get((resource.environment, resource.name), ())
        return next((each for each in ran if each.id == execution_id), None)

    def get_executions(self, resource: Resource, limit: int, before: str | None, ctx: Context) -> tuple[Execution, ...]:
        ran = self._ran.get((resource.environment, resource.name), [])[::-1]
        ids = [each.id for each in ran]
        return tuple(ran[0 if before is None else ids.index(before) + 1 :][:limit])

    def get_logs(self, resource: Resource, execution_id: str, ctx: Context) -> str | None:
        if self.get_status(resource, execution_id, ctx) is None:
            raise NotFoundError(f"{resource.name} has no {execution_id}")
        return f"wrote {execution_id}\n"


class NoProduction:
    """Denies looking at production."""

    @hookimpl
    def authorize(self, request: AuthorizationRequest) -> Decision | None:
        if request.operation == "read" and request.environment.is_production:
            return Decision(False, "not yours", "test.no_production")
        return None


class World:
    """One control plane, and short ways to fill it."""

    def __init__(
        self, root: Path, values: Mapping[str, Any] | None = None, *extensions: object, url: str | None = None
    ) -> None:
        self.registry = Registry()
        self.registry.register(PLUGINS, "sheet", Sheet, "tests==1")
        self.registry.register(PLUGINS, "mute", Mute, "tests==1")
        self.registry.register(PRIMITIVES, "paper", Paper, "tests==1")
        for number, extension in enumerate(extensions):
            self.registry.register(EXTENSIONS, f"extension{number}", extension, "tests==1")
        self.store = open_store(url or f"sqlite:///{root}/state.db", lambda: datetime.now(UTC))
        settings = Settings(root, dict(values or {}), {})
        self.dcp = ControlPlane(settings, self.registry, "alice", store=self.store)

    def plan(
        self, id: str, environment: str = PRODUCTION, *, owner: str = "stationery", tier: int | None = None,
        labels: Mapping[str, str] | None = None, description: str | None = None, **spec: Any,
    ) -> LogicalPlan:  # fmt: skip
        metadata = Metadata(owner, tier, dict(labels or {}), description)
        source = Source(f"manifests/{id}.yaml", "sha256:0")
        return LogicalPlan(id.partition("/")[0], id, environment, spec, metadata, source, "tests==1")

    def apply(self, id: str, environment: str = PRODUCTION, **fields: Any) -> None:
        """Apply a manifest for real: through plan, journal and audit."""
        (operation,) = self.dcp.apply(self.dcp.plan(self.plan(id, environment, **fields)))
        assert operation.status == "SUCCEEDED", operation.error

    def run(self, id: str, environment: str = PRODUCTION, params: Mapping[str, str] | None = None) -> Any:
        plan = self.store.logical_plans(environment)[id]
        return self.dcp.run(plan, params or {})[0]

    def destroy(self, id: str, environment: str = PRODUCTION) -> None:
        self.dcp.apply(self.dcp.plan_destruction(Environment.named(environment), [id]), kind="destroy")
