"""How many manifests a second the controller reconciles, and with how many calls to each service.

The services are dictionaries in this process that count who asks them, so that what is measured is the controller's
own work: its SQL, its judgement, its bookkeeping. The floor is the bare bulk read of the same states, a call a kind.
Two of the three kinds tell revisions, as tables and DAG files do; the third, as jobs, is read whole each time.

The last figure is of the real parts: derived datasets in an embedded catalog, a driver and a folder of DAG files.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from benchmarks.measuring import Measured, machine, ratio, timed
from dcp_core.context import Context
from dcp_core.control_plane import ControlPlane
from dcp_core.drift import DriftMode, DriftPolicy
from dcp_core.interfaces import Plugin, Primitive
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Metadata, Owner, Resource, ResourceKey, Source, State
from dcp_core.records import InventoryEntry
from dcp_core.registry import PLUGINS, PRIMITIVES, Registry
from dcp_core.settings import Settings
from dcp_graph_runner.controller.controller import Controller, Once
from dcp_graph_runner.controller.settings import ControllerSettings
from dcp_graph_runner.journal_rows import dump
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import inventory, logical_plans

SIZES = (1_000, 10_000)
REAL = 1_000
ROUNDS = 5
WHERE = Environment.named("production")
TABLE, JOB, DAG = "bench_table", "bench_job", "bench_dag"
SETTINGS = ControllerSettings(max_parallel=2, max_heals=2, resync_s=1e9)


class Service:
    """What is there of one kind, and how often it was asked."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.revisions: dict[str, int] = {}
        self.calls: Counter[str] = Counter()

    def put(self, name: str, state: State) -> None:
        self.states[name] = state
        self.revisions[name] = self.revisions.get(name, 0) + 1


class Kind(Primitive):
    """One kind of resource in a dictionary."""

    def __init__(self, kind: str, service: Service, tells_revisions: bool) -> None:
        self.kind = kind
        self._service = service
        self._tells_revisions = tells_revisions

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        self._service.calls["get_actual_state"] += 1
        return self._service.states.get(resource.name)

    def get_actual_states(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, State | None]:
        self._service.calls["get_actual_states"] += 1
        found = self._service.states
        # A service's answer is another object each time.
        return {each.key: attrs.evolve(found[each.name]) if each.name in found else None for each in resources}

    def get_revisions(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, str] | None:
        if not self._tells_revisions:
            return None
        self._service.calls["get_revisions"] += 1
        return {each.key: str(self._service.revisions[each.name]) for each in resources}

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        self._service.calls["create"] += 1
        self._service.put(resource.name, desired)

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        self._service.calls["update"] += 1
        self._service.put(resource.name, desired)


class Bench(Plugin):
    """A table, a job and a DAG of each manifest, with specs as large as those of derived datasets."""

    manifest_type = "bench"

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        return plan_of(manifest.data["name"])

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        name = str(logical_plan.plugin_spec["name"])
        columns = [{"name": f"column_{number}", "type": "string"} for number in range(20)]
        table = Resource(TABLE, name, logical_plan.id, WHERE.name, {"columns": columns}, provides=(name,))
        job = Resource(JOB, name, logical_plan.id, WHERE.name, {"sql": "SELECT 1 " * 40}, (table.key,), runnable=True)
        dag = Resource(DAG, name, logical_plan.id, WHERE.name, {"schedule": "0 * * * *", "tags": ["a"]}, (job.key,))
        return (table, job, dag)


def plan_of(name: str) -> LogicalPlan:
    """Manifest number so and so, as applied."""
    metadata = Metadata("bench", drift=DriftPolicy(DriftMode.HEAL))
    return LogicalPlan("bench", f"bench/{name}", WHERE.name, {"name": name}, metadata, Source(f"{name}.yaml", ""))


@attrs.frozen
class World:
    """Many manifests, applied."""

    dcp: ControlPlane
    services: Mapping[str, Service]
    resources: tuple[Resource, ...]

    def calls(self) -> str:
        """Since the last time."""
        told = []
        for kind, service in self.services.items():
            told += [f"{kind}.{hook} {count}" for hook, count in sorted(service.calls.items())]
            service.calls.clear()
        return ", ".join(told)

    def drift(self, share: float) -> int:
        """Somebody else changes the DAGs of so many manifests."""
        dags = [each.name for each in self.resources if each.kind == DAG]
        chosen = dags[: int(len(dags) * share)]
        for name in chosen:
            state = self.services[DAG].states[name]
            self.services[DAG].put(name, attrs.evolve(state, values={**state.values, "schedule": "5 * * * *"}))
        return len(chosen)


@contextlib.contextmanager
def applied(count: int) -> Iterator[World]:
    """A world of so many manifests; their rows are written as their applies would have."""
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry()
        services = {kind: Service() for kind in (TABLE, JOB, DAG)}
        registry.register(PLUGINS, "bench", Bench)
        for kind, service in services.items():
            registry.register(PRIMITIVES, kind, Kind(kind, service, kind != JOB))
        from dcp_core.registry import STORES
        from dcp_graph_runner.sql_store import open_store

        registry.register(STORES, "sqlite", open_store)
        with ControlPlane(Settings(Path(folder), {}, {}), registry, "bench") as dcp:
            plans = [plan_of(f"dataset_{number:05}") for number in range(count)]
            resources = tuple(each for plan in plans for each in Bench().decompose(plan))
            for each in resources:
                services[each.kind].put(each.name, State(each.spec, Owner(each.manifest_id, WHERE.name)))
            _write(dcp, plans, resources)
            yield World(dcp, services, resources)


def _write(dcp: ControlPlane, plans: Sequence[LogicalPlan], resources: Sequence[Resource]) -> None:
    assert isinstance(dcp.store, SqlStore)
    versions = [
        {"environment": WHERE.name, "manifest_id": each.id, "version": 1, "document": dump(each), "operation_id": "",
         "user": "bench", "at": datetime.now(UTC)}
        for each in plans
    ]  # fmt: skip
    entries = [
        InventoryEntry(each, False, State(each.spec, Owner(each.manifest_id, WHERE.name)).digest) for each in resources
    ]
    rows = [
        {"environment": WHERE.name, "kind": each.resource.kind, "name": each.resource.name,
         "manifest_id": each.resource.manifest_id, "protected": False, "resource": dump(each.resource),
         "applied_digest": each.applied_digest, "logical_plan_digest": ""}
        for each in entries
    ]  # fmt: skip
    with dcp.store.database.writing() as connection:
        connection.execute(logical_plans.insert(), versions)
        connection.execute(inventory.insert(), rows)


def main() -> None:
    """Print the figures and the ratios."""
    print(f"Reconciling ({machine('SQLAlchemy')}; three resources a manifest)")
    for count in SIZES:
        with applied(count) as world:
            _measure(world, count)
    _measure_real(REAL)


def _measure(world: World, count: int) -> None:
    controller = Resident(world.dcp)
    first_s = timed(controller.look)
    print(f"  {count} manifests: the first look, which decodes and writes everything: {first_s:.2f} s")
    print(f"    calls: {world.calls()}")
    floor = Measured(f"bulk read of {count}", tuple(_rounds(lambda: _bare(world))))
    world.calls()
    writes = world.dcp.store.database.engine  # type: ignore[attr-defined]
    counter = Statements(writes)
    synced = Measured(f"reconcile {count}, in sync", tuple(_rounds(lambda: controller.look())))
    statements = counter.stop()
    _tell(synced, floor, count)
    rounds = ROUNDS + 1
    print(f"    calls in {rounds} looks: {world.calls()}; {statements / rounds:.0f} SQL statements a look")
    drifted = world.drift(0.01)
    looked: list[int] = []
    seen_s = timed(lambda: looked.append(controller.look()))
    print(
        f"  reconcile {count}, {drifted} drifted: seen in {seen_s:.3f} s; {looked[0]} to heal; calls: {world.calls()}"
    )
    counter = Statements(writes)
    done: list[Once] = []
    controller.close()
    healed_s = timed(lambda: done.append(Controller(world.dcp, SETTINGS).once()))
    healed = sum(each.operation is not None for each in done[0].healed)
    print(
        f"    a fresh controller sees and heals {healed}: {healed_s:.2f} s, {counter.stop()} SQL statements; "
        f"calls: {world.calls()}"
    )


class Resident:
    """A controller that has been running for a while: looks on demand, heals nothing."""

    def __init__(self, dcp: ControlPlane) -> None:
        from datetime import timedelta

        from dcp_graph_runner.controller.leasing import Leases, Unit
        from dcp_graph_runner.controller.pacing import Pace
        from dcp_graph_runner.controller.reconciling import Reconciler
        from dcp_graph_runner.holder import current_holder

        assert isinstance(dcp.store, SqlStore)
        self._dcp = dcp
        unit = Unit(WHERE.name)
        clock = dcp.context(WHERE).clock
        leases = Leases(dcp.store.database, "bench", current_holder("bench"), timedelta(hours=1), clock)
        leases.tend([unit])
        self._leases = leases
        self._reconciler = Reconciler(unit, dcp.store.database, leases, SETTINGS, Pace(60, 0.1, 15, 900))

    def look(self) -> int:
        """One pass; gives how many manifests are to be healed."""
        return len(self._reconciler.reconcile(self._dcp).to_heal)

    def close(self) -> None:
        """Let others have it."""
        self._leases.release()


class Statements:
    """Counts the statements of a database."""

    def __init__(self, engine: object) -> None:
        from sqlalchemy import event

        self._engine, self._count = engine, 0
        event.listen(engine, "before_cursor_execute", self._tick)

    def _tick(self, *_: object) -> None:
        self._count += 1

    def stop(self) -> int:
        from sqlalchemy import event

        event.remove(self._engine, "before_cursor_execute", self._tick)
        return self._count


def _rounds(call: Callable[[], object]) -> Iterator[float]:
    call()
    for _ in range(ROUNDS):
        yield timed(call)


def _bare(world: World) -> None:
    ctx = world.dcp.context(WHERE)
    for kind in world.services:
        some = tuple(each for each in world.resources if each.kind == kind)
        world.dcp.registry.primitive(kind, "get_actual_states", resources=some, ctx=ctx)


def _tell(measured: Measured, floor: Measured, count: int) -> None:
    print(f"  {floor}")
    print(f"  {measured}  {count / measured.median_s:,.0f} manifests a second")
    print(f"  {ratio(measured, floor)}")


def _measure_real(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "dcp.toml").touch()
        manifests = root / "derived_dataset"
        manifests.mkdir()
        for number in range(count):
            name = f"dataset_{number:05}"
            (manifests / f"{name}.sql").write_text("SELECT order_id FROM raw.orders")
            (manifests / f"{name}.yaml").write_text(
                f"metadata: {{technical_owner: bench}}\ndataset:\n  name: {name}\n"
                "  fields:\n    - {name: order_id, type: string}\n"
                f'workflow: {{schedule: "0 * * * *", sql: {name}.sql}}\n'
            )
        with ControlPlane.from_config(root / "dcp.toml", identity="bench") as dcp:
            started = time.perf_counter()
            loaded = dcp.load([manifests], WHERE)
            with contextlib.redirect_stderr(io.StringIO()):
                dcp.apply(dcp.plan([each.logical_plan for each in loaded.loaded]))
            print(f"  {count} derived datasets applied in {time.perf_counter() - started:.0f} s")
            controller = Resident(dcp)
            print(f"  the first look at them: {timed(controller.look):.2f} s")
            ctx = dcp.context(WHERE)
            kinds: dict[str, list[Resource]] = {}
            for each in loaded.loaded:
                for resource in each.resources:
                    kinds.setdefault(resource.kind, []).append(resource)

            def bare() -> None:
                for kind, some in kinds.items():
                    dcp.registry.primitive(kind, "get_actual_states", resources=tuple(some), ctx=ctx)

            floor = Measured(f"bulk read of {count}, real parts", tuple(_rounds(bare)))
            synced = Measured(f"reconcile {count}, real parts, in sync", tuple(_rounds(controller.look)))
            _tell(synced, floor, count)
            controller.close()
