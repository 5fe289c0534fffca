"""Services that are down, slow, or choke on one resource; manifests that cannot be healed, or not even read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core.context import Context
from dcp_core.control_plane import ControlPlane
from dcp_core.drift import DriftMode, DriftPolicy
from dcp_core.errors import InvalidSpecError, PermanentError, TransientError
from dcp_core.interfaces import Plugin, Primitive
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Metadata, Resource, ResourceKey, Source, State
from dcp_core.registry import PLUGINS, PRIMITIVES, STORES, Registry
from dcp_core.settings import Settings
from dcp_graph_runner.controller.conditions import Condition, Conditions
from dcp_graph_runner.controller.controller import Controller
from dcp_graph_runner.controller.settings import ControllerSettings
from dcp_graph_runner.sql_store import open_store
from tests.dcp_core.world import Clock

WHERE = Environment.named("production")
LIGHT, HEAVY = "light_thing", "heavy_thing"


class Thing(Primitive):
    """A dictionary of states, and what goes wrong with it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.tells_revisions = False
        self.states: dict[str, State] = {}
        self.asked: list[int] = []
        self.poison: dict[str, Exception] = {}
        self.down: Exception | None = None
        self.hangs = threading.Event()
        self.hangs.set()
        self.refuses: set[str] = set()
        self.unfit: set[str] = set()

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        if resource.name in self.unfit:
            raise InvalidSpecError(f"{resource.name} does not fit")
        return super().get_desired_state(resource, ctx)

    def get_revisions(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, str] | None:
        return {each.key: "stands still" for each in resources} if self.unfit or self.tells_revisions else None

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        return self.get_actual_states([resource], ctx)[resource.key]

    def get_actual_states(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, State | None]:
        self.asked.append(len(resources))
        self.hangs.wait(30)
        if self.down is not None:
            raise self.down
        for each in resources:
            if each.name in self.poison:
                raise self.poison[each.name]
        return {each.key: self.states.get(each.name) for each in resources}

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        self.update(resource, desired, desired, ctx)

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        if resource.name in self.refuses:
            raise PermanentError(f"{resource.name} cannot be changed")
        self.states[resource.name] = desired


class Things(Plugin):
    manifest_type = "things"

    def __init__(self) -> None:
        self.cannot: set[str] = set()

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        return plan(manifest.data["name"])

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        name = str(logical_plan.plugin_spec["name"])
        if name in self.cannot:
            raise InvalidSpecError(f"{name} cannot be understood any more")
        light = Resource(LIGHT, name, logical_plan.id, WHERE.name, {"size": 1})
        return (light, Resource(HEAVY, name, logical_plan.id, WHERE.name, {"size": 2}, (light.key,)))


def plan(name: str, mode: DriftMode = DriftMode.HEAL) -> LogicalPlan:
    metadata = Metadata("acme", drift=DriftPolicy(mode))
    return LogicalPlan("things", f"things/{name}", WHERE.name, {"name": name}, metadata, Source(name, ""))


class Site:
    """Some manifests applied, and a controller that looks when told to, on a clock that moves when told to."""

    def __init__(self, root: Path, patience_s: float) -> None:
        self.clock, self.plugin = Clock(), Things()
        self.light, self.heavy = Thing(LIGHT), Thing(HEAVY)
        registry = Registry()
        registry.register(PLUGINS, "things", self.plugin)
        registry.register(PRIMITIVES, LIGHT, self.light)
        registry.register(PRIMITIVES, HEAVY, self.heavy)
        registry.register(STORES, "sqlite", open_store)
        self.dcp = ControlPlane(Settings(root, {}, {}), registry, "alice", clock=self.clock, sleep=lambda _: None)
        self.settings = ControllerSettings(
            interval_s=60, jitter=0, backoff_s=100, backoff_at_most_s=400, read_timeout_s=patience_s, lease_s=10**6
        )
        self.resident = Controller(self.dcp, self.settings)

    def apply(self, *names: str) -> None:
        done = self.dcp.apply(self.dcp.plan([plan(name) for name in names]))
        assert {each.status for each in done} == {"SUCCEEDED"}, done

    def drift(self, name: str) -> None:
        self.light.states[name] = attrs.evolve(self.light.states[name], values={"size": 99})

    def look(self, **later: float) -> None:
        """As the loop does: everything is looked at once, and what may be healed is healed."""
        self.clock.advance(**later)
        self.resident._tend()
        units = [unit for unit in self.resident.leases.held if unit.environment == WHERE.name]
        self.resident._look_at(units)
        self.resident._heal_all()

    def condition(self, name: str, kind: str = LIGHT) -> Condition:
        (found,) = [
            each for each in Conditions.of(self.dcp.store).all(WHERE.name)[f"things/{name}"] if each.key.kind == kind
        ]
        return found

    def told(self, name: str, kind: str = LIGHT) -> tuple[str, str]:
        found = self.condition(name, kind)
        return (found.status.value, found.reason)


@pytest.fixture
def patience_s() -> float:
    """How long a service may take to answer; far longer than any does that does not hang."""
    return 60.0


@pytest.fixture
def site(tmp_path: Path, patience_s: float) -> Iterator[Site]:
    made = Site(tmp_path, patience_s)
    yield made
    made.light.hangs.set()
    made.heavy.hangs.set()
    made.dcp.close()


def test_a_service_that_is_down_is_asked_less_and_less_and_the_others_go_on(site: Site) -> None:
    site.apply("a", "b")
    site.heavy.down = TransientError("no route")
    site.heavy.asked.clear()
    site.look()
    assert site.told("a", HEAVY) == ("Unknown", "service_down")
    assert "no route" in site.condition("a", HEAVY).message
    since = site.condition("a", HEAVY).since
    assert site.told("a") == ("InSync", "unchanged")
    for _ in range(15):
        site.look(seconds=60)
    # After 100, 300 and 700 seconds and not each minute.
    assert len(site.heavy.asked) == 4
    assert site.condition("a", HEAVY).since == since
    site.heavy.down = None
    site.look(seconds=400)
    assert site.told("a", HEAVY) == ("InSync", "unchanged")


def test_a_service_that_says_when_is_not_asked_before(site: Site) -> None:
    site.apply("a")
    site.heavy.down = TransientError("too many requests", retry_after_s=5000)
    site.look()
    site.heavy.asked.clear()
    site.look(seconds=4900)
    assert site.heavy.asked == []
    site.look(seconds=200)
    assert site.heavy.asked == [1]


@pytest.mark.parametrize("patience_s", [2.0])
def test_a_service_that_hangs_costs_one_timeout_and_one_thread(site: Site) -> None:
    site.apply("a")
    site.heavy.asked.clear()
    site.heavy.hangs.clear()
    site.look()
    assert site.told("a", HEAVY) == ("Unknown", "service_down")
    assert "did not answer within 2 s" in site.condition("a", HEAVY).message
    assert site.told("a") == ("InSync", "unchanged")
    for _ in range(10):
        site.look(seconds=400)
    assert len(site.heavy.asked) == 1
    site.heavy.hangs.set()
    for _ in range(50):
        site.look(seconds=400)
        if site.told("a", HEAVY) == ("InSync", "unchanged"):
            return
    raise AssertionError("it answers again, and nobody sees it")


def test_a_resource_that_makes_the_whole_call_fail_is_set_apart(site: Site) -> None:
    names = [f"m{number}" for number in range(20)]
    site.apply(*names)
    site.look()
    site.light.poison["m7"] = PermanentError("m7 is no text")
    site.light.asked.clear()
    site.look(seconds=60)
    assert site.told("m7")[0] == "Failed"
    assert "m7 is no text" in site.condition("m7").message
    assert {site.told(name) for name in names if name != "m7"} == {("InSync", "unchanged")}
    assert len(site.light.asked) < 15
    site.light.asked.clear()
    site.look(seconds=60)
    assert site.light.asked == [19], "the rest is read at once, without it"
    site.light.poison.clear()
    site.look(seconds=400)
    assert site.told("m7") == ("InSync", "unchanged")


def test_a_specification_that_does_not_fit_any_more_is_tried_again_less_and_less(site: Site) -> None:
    site.apply("good", "bad")
    site.light.unfit.add("bad")
    site.light.tells_revisions = True
    site.look()
    assert site.told("good") == ("InSync", "unchanged")
    assert site.told("bad") == ("Failed", "spec.invalid")
    site.light.asked.clear()
    for _ in range(10):
        site.look(seconds=60)
    assert site.light.asked == [1, 1], "after 100 and 300 s; what stands still is not read"
    site.light.unfit.clear()
    site.look(seconds=400)
    assert site.told("bad") == ("InSync", "unchanged")


def test_what_fails_for_all_fails_as_a_whole_with_a_handful_of_calls(site: Site) -> None:
    site.apply(*[f"m{number}" for number in range(64)])
    site.light.down = PermanentError("the credentials are wrong")
    site.light.asked.clear()
    site.look()
    assert site.told("m1") == ("Unknown", "dcp.permanent")
    assert len(site.light.asked) < 100
    site.light.asked.clear()
    site.look(seconds=60)
    assert site.light.asked == []


def test_a_manifest_that_cannot_be_healed_backs_off_alone(site: Site) -> None:
    site.apply("good", "bad")
    site.look()
    site.light.refuses.add("bad")
    for _ in range(10):
        site.drift("good")
        site.drift("bad")
        site.look(seconds=60)
        site.look()
        assert site.told("good") == ("InSync", "unchanged")
        assert site.told("bad") == ("Failed", "heal_failed")
    tries = [each for each in site.dcp.store.operations(WHERE.name, 100) if each.status == "FAILED"]
    assert [each.manifest_id for each in tries] == ["things/bad"] * 3  # at once, and after 100 and 300 s
    assert "bad cannot be changed" in site.condition("bad").message
    site.light.refuses.clear()
    site.look(seconds=400)
    site.look()
    assert site.told("bad") == ("InSync", "unchanged")


def test_what_somebody_mended_is_forgotten_as_a_failure(site: Site) -> None:
    site.apply("bad")
    site.light.refuses.add("bad")
    site.drift("bad")
    site.look()
    site.look()
    assert site.told("bad") == ("Failed", "heal_failed")
    site.light.refuses.clear()
    site.apply("bad")
    site.look()
    assert site.told("bad") == ("InSync", "unchanged")
    site.drift("bad")
    site.look()
    site.look()
    assert site.told("bad") == ("InSync", "unchanged"), "it is healed at once, the old failure does not count"


def test_a_manifest_that_its_plugin_does_not_understand_any_more_stops_no_other(site: Site) -> None:
    site.apply("good", "bad")
    site.plugin.cannot.add("bad")
    site.drift("good")
    site.look()
    site.look()
    assert site.told("good") == ("InSync", "unchanged")
    assert site.told("bad")[0] == site.told("bad", HEAVY)[0] == "Failed"
    assert "cannot be understood" in site.condition("bad").message
    site.plugin.cannot.clear()
    site.look(seconds=60)
    assert site.told("bad") == ("InSync", "unchanged")


def test_a_version_that_cannot_be_read_stops_no_other(site: Site) -> None:
    from sqlalchemy import text

    site.apply("good", "bad")
    with site.dcp.store.database.writing() as connection:  # type: ignore[attr-defined]
        newer = (
            "UPDATE dcp_logical_plans SET document = '{\"of\": \"another release\"}' WHERE manifest_id = 'things/bad'"
        )
        assert connection.execute(text(newer)).rowcount == 1
    site.drift("good")
    site.look()
    site.look()
    assert site.told("good") == ("InSync", "unchanged")
    assert site.told("bad") == site.told("bad", HEAVY) == ("Failed", "document.shape")
    site.look(seconds=60)
    assert site.told("bad") == ("Failed", "document.shape")


def test_a_plugin_or_primitive_that_is_not_installed_is_told(site: Site) -> None:
    site.apply("a")
    site.dcp.registry.unregister(PRIMITIVES, HEAVY)
    site.look()
    assert site.told("a", HEAVY) == ("Failed", "primitive_not_installed")
    assert site.told("a") == ("InSync", "unchanged")
    site.dcp.registry.unregister(PLUGINS, "things")
    other = Controller(site.dcp, site.settings)
    site.resident.leases.release()
    other.once()
    assert site.told("a") == site.told("a", HEAVY) == ("Failed", "plugin_not_installed")


def test_a_world_that_stands_still_writes_one_row_a_kind_and_asks_once_a_kind(site: Site) -> None:
    from sqlalchemy import event

    site.apply(*[f"m{number}" for number in range(50)])
    site.look()
    written: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            written.extend([statement.split()[1]] * (len(parameters) if many else 1))

    engine = site.dcp.store.database.engine  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", listen)
    site.light.asked.clear()
    site.look(seconds=60)
    event.remove(engine, "before_cursor_execute", listen)
    assert site.light.asked == [50]
    assert "dcp_conditions" not in written
    assert written.count("dcp_observations") == 1
    assert len(written) <= 5, written


def test_a_manifest_that_is_destroyed_is_forgotten(site: Site) -> None:
    site.apply("a", "b")
    site.look()
    del site.light.states["a"], site.heavy.states["a"]
    done = site.dcp.apply(site.dcp.plan_destruction(WHERE, ["things/a"]), kind="destroy")
    assert {each.status for each in done} == {"SUCCEEDED"}
    site.look(seconds=60)
    assert set(Conditions.of(site.dcp.store).all(WHERE.name)) == {"things/b"}
    assert Conditions.of(site.dcp.store).counts(WHERE.name)[WHERE.name].keys() == {"InSync"}
