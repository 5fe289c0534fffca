"""Replicas share the work: everything is looked after, by one at a time, whoever comes, goes and dies."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcp_core.errors import LeaseLostError
from dcp_core.store import Holder
from dcp_graph_runner.controller.leasing import HOUSEKEEPING, Leases, Unit, shard_of, units_of
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import ensure_current

LEASE = timedelta(seconds=30)
UNITS = units_of(["production", "playground_a", "playground_b"], lambda name: 4 if name == "production" else 1)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Site:
    """Replicas on one database, elsewhere from each other: only time tells that one is dead."""

    def __init__(self, folder: str) -> None:
        self.clock = Clock()
        self.database = Database(f"sqlite:///{folder}/state.db")
        ensure_current(self.database)
        self.dead: set[str] = set()

    def replica(self, name: str) -> Leases:
        holder = Holder(name, 1, "then", "controller")
        return Leases(self.database, name, holder, LEASE, self.clock, lambda each: each.host in self.dead)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(str(tmp_path))
    yield made
    made.database.close()


def may_write(leases: Leases, unit: Unit) -> bool:
    try:
        with leases.database.writing() as connection:
            leases.confirm(connection, unit)
    except LeaseLostError:
        return False
    return True


def test_one_alone_looks_after_everything_the_housekeeping_too(site: Site) -> None:
    assert set(site.replica("a").tend(UNITS)) == set(UNITS)
    assert Unit(HOUSEKEEPING) in UNITS


def test_a_newcomer_gets_its_share(site: Site) -> None:
    a, b = site.replica("a"), site.replica("b")
    a.tend(UNITS)
    assert not b.tend(UNITS)
    a.tend(UNITS)
    b.tend(UNITS)
    assert {*a.held} | {*b.held} == set(UNITS)
    assert not {*a.held} & {*b.held}
    assert max(len(a.held), len(b.held)) == 4


def test_what_is_busy_is_not_given_back(site: Site) -> None:
    a, b = site.replica("a"), site.replica("b")
    a.tend(UNITS)
    b.tend(UNITS)
    assert set(a.tend(UNITS, busy=UNITS)) == set(UNITS)


def test_the_work_of_a_dead_replica_is_taken_over_when_its_lease_ends(site: Site) -> None:
    a, b = site.replica("a"), site.replica("b")
    a.tend(UNITS)
    site.clock.now += LEASE / 2
    assert not b.tend(UNITS)
    site.clock.now += LEASE / 2
    assert set(b.tend(UNITS)) == set(UNITS)
    assert not any(may_write(a, unit) for unit in UNITS)
    assert all(may_write(b, unit) for unit in UNITS)


def test_the_work_of_one_that_died_on_this_machine_is_taken_over_at_once(site: Site) -> None:
    a, b = site.replica("a"), site.replica("b")
    a.tend(UNITS)
    site.dead.add("a")
    assert set(b.tend(UNITS)) == set(UNITS)


def test_one_that_ends_well_leaves_everything_at_once(site: Site) -> None:
    a, b = site.replica("a"), site.replica("b")
    a.tend(UNITS)
    a.release()
    assert set(b.tend(UNITS)) == set(UNITS)
    assert b.others() == {}


def test_what_is_gone_is_looked_after_no_more(site: Site) -> None:
    a = site.replica("a")
    a.tend(UNITS)
    assert set(a.tend(UNITS[:2])) == set(UNITS[:2])


def test_a_guest_takes_what_is_free_and_leaves_the_shares_as_they_are(site: Site) -> None:
    guest = attrs.evolve(site.replica("guest"), is_guest=True)
    assert set(guest.tend(UNITS[:2])) == set(UNITS[:2])
    a = site.replica("a")
    assert set(a.tend(UNITS)) == set(UNITS[2:])
    guest.tend(UNITS[:2])
    site.clock.now += LEASE
    assert set(a.tend(UNITS)) == set(UNITS), "of a guest that is gone, too"


steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["tend", "release", "sleep", "long sleep"])), max_size=30
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_nobody_ever_writes_where_somebody_else_may(steps: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder)
        replicas = {name: site.replica(name) for name in "abc"}
        for name, step in steps:
            if step == "tend":
                replicas[name].tend(UNITS)
            elif step == "release":
                replicas[name].release()
            else:
                site.clock.now += LEASE / 4 if step == "sleep" else LEASE * 2
            for unit in UNITS:
                assert sum(may_write(each, unit) for each in replicas.values()) <= 1
        # Whatever has happened: after a while of peace all is looked after, evenly.
        for _ in range(3):
            for each in replicas.values():
                each.tend(UNITS)
        held = Counter(unit for each in replicas.values() for unit in each.held)
        assert held == dict.fromkeys(UNITS, 1)
        assert max(len(each.held) for each in replicas.values()) <= 3
        site.database.close()


@given(st.text(), st.integers(1, 256))
def test_a_manifest_is_in_one_part(manifest_id: str, shards: int) -> None:
    assert shard_of(manifest_id, shards) in range(shards)
    assert shard_of("derived_dataset/daily_orders", 8) == 6
