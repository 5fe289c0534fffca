"""What is old goes, and nothing else; on SQLite. Several replicas at once: ``tests/services``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import attrs
import pytest
from sqlalchemy import Table, func, insert, select

from dcp_core.sections import StoreSettings
from dcp_graph_runner import clean_up
from dcp_graph_runner.clean_up import CleanUp, Swept
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import ensure_current
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import request_events, requests, steps
from tests.dcp_graph_runner.chains import verified
from tests.dcp_graph_runner.store_contract import ALICE, FIRST, START, Clock, apply, entry, finish, operation

OTHER = "derived_dataset/other"
LONG = timedelta(days=91)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SqlStore]:
    database = Database(f"sqlite:///{tmp_path}/state.db")
    ensure_current(database)
    store = SqlStore(database, clock)
    yield store
    store.close()


@pytest.fixture
def sweeping(store: SqlStore, clock: Clock) -> CleanUp:
    return CleanUp(store.database, clock, StoreSettings())


def put_request(store: SqlStore, id: str, clock: Clock, *, has_ended: bool) -> None:
    row = {
        "id": id, "method": "Operations.Apply", "identity": "alice", "groups": "[]", "environment": ALICE,
        "digest": "", "document": "{}", "needs": "[]", "status": "RUNNING", "is_cancelled": False,
        "created_at": clock.now, "finished_at": clock.now if has_ended else None, "fence": 1, "interruptions": 0,
        "lease_expires_at": clock.now, "holder_host": "", "holder_pid": 1, "holder_started": "", "holder_user": "",
    }  # fmt: skip
    event = {"request_id": id, "sequence": 1, "type": "x", "document": "{}", "at": clock.now}
    with store.database.writing() as connection:
        connection.execute(insert(requests).values(row))
        connection.execute(insert(request_events).values(event))


def count(store: SqlStore, table: Table) -> int:
    (row,) = store.database.rows(select(func.count()).select_from(table))
    return int(row[0])


def test_old_operations_go_with_their_steps_but_for_the_newest_of_each_manifest(
    store: SqlStore, clock: Clock, sweeping: CleanUp
) -> None:
    for number in range(3):
        apply(store, attrs.evolve(operation(f"op_{number}"), created_at=clock.now), entry(f"t{number}"))
        clock.advance(timedelta(minutes=1))
    apply(store, attrs.evolve(operation("op_other", OTHER), created_at=clock.now), entry("o", manifest_id=OTHER))
    assert sweeping.run() == Swept(0, 0)
    clock.advance(LONG)
    assert sweeping.run() == Swept(2, 0)
    assert {one.id for one in store.operations()} == {"op_2", "op_other"}
    assert count(store, steps) == 2
    assert len(store.inventory(ALICE)) == 4
    assert verified(store) == 4
    assert sweeping.run() == Swept(0, 0)


def test_what_has_not_ended_stays_however_old(store: SqlStore, clock: Clock, sweeping: CleanUp) -> None:
    store.begin(operation("op_old"), FIRST)
    put_request(store, "req_old", clock, has_ended=False)
    clock.advance(LONG)
    apply(store, attrs.evolve(operation("op_new", OTHER), created_at=clock.now))
    assert sweeping.run() == Swept(0, 0)
    assert {one.id for one in store.operations()} == {"op_old", "op_new"}
    assert count(store, requests) == 1


def test_an_operation_that_took_long_is_as_old_as_its_end(store: SqlStore, clock: Clock, sweeping: CleanUp) -> None:
    lease = store.begin(operation("op_long"), FIRST)
    clock.advance(LONG)
    finish(store, lease)
    apply(store, attrs.evolve(operation("op_new"), created_at=clock.now))
    assert sweeping.run() == Swept(0, 0)
    clock.advance(LONG)
    assert sweeping.run() == Swept(1, 0)


def test_ended_requests_go_with_their_events_after_a_week(store: SqlStore, clock: Clock, sweeping: CleanUp) -> None:
    put_request(store, "req_1", clock, has_ended=True)
    clock.advance(timedelta(days=6))
    put_request(store, "req_2", clock, has_ended=True)
    assert sweeping.run() == Swept(0, 0)
    clock.advance(timedelta(days=2))
    assert sweeping.run() == Swept(0, 1)
    assert (count(store, requests), count(store, request_events)) == (1, 1)


def test_how_long_is_a_setting(store: SqlStore, clock: Clock) -> None:
    for number in range(2):
        apply(store, attrs.evolve(operation(f"op_{number}"), created_at=clock.now + timedelta(seconds=number)))
    put_request(store, "req_1", clock, has_ended=True)
    clock.advance(timedelta(hours=2))
    settings = StoreSettings(keep_days=1 / 24, keep_requests_days=1 / 24)
    assert CleanUp(store.database, clock, settings).run() == Swept(1, 1)


def test_more_than_one_transaction_takes_goes_in_many(
    store: SqlStore, clock: Clock, sweeping: CleanUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_up, "ROWS_AT_A_TIME", 3)
    monkeypatch.setattr(clean_up, "_LOOKED_UP_AT_A_TIME", 5)
    for number in range(13):
        apply(store, attrs.evolve(operation(f"op_{number:02}"), created_at=START + timedelta(seconds=number)))
    clock.advance(LONG)
    assert sweeping.run() == Swept(12, 0)
    assert [one.id for one in store.operations()] == ["op_12"]
