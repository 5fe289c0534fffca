"""The journal with real processes: several at once, and killed with SIGKILL wherever it hurts."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcp_core.errors import LeaseLostError
from dcp_core.records import OperationStatus
from dcp_core.store import StepStatus
from dcp_graph_runner import current_holder, is_gone
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import ensure_current
from dcp_graph_runner.sql_store import SqlStore
from tests.dcp_graph_runner import processes
from tests.dcp_graph_runner.chains import verified
from tests.dcp_graph_runner.store_contract import ALICE, entry, finish, operation, put

NEVER = 10**9
STATEMENTS_AT_MOST = 200


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    database = Database(url)
    ensure_current(database)
    store = SqlStore(database, processes.now)
    yield store
    store.close()


def test_killed_at_any_statement_the_next_process_finishes_the_operation(tmp_path: Path) -> None:
    killed = 0
    for kill_at in range(1, STATEMENTS_AT_MOST):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        url, log = f"sqlite:///{folder}/state.db", folder / "log"
        database = Database(url)
        ensure_current(database)
        code = processes.run(processes.work, url, str(log), kill_at)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        assert processes.run(processes.work, url, str(log), NEVER) == 0
        assert_finished_once(SqlStore(database, processes.now), log.read_text().splitlines())
        database.close()
    # Eight writes of several statements each: fewer kills would mean that the hook counts nothing.
    assert 30 < killed < STATEMENTS_AT_MOST - 1


def assert_finished_once(store: SqlStore, lines: list[str]) -> None:
    (ended,) = store.operations()
    assert ended.status is OperationStatus.SUCCEEDED
    assert len(store.audit_records()) == 1
    assert verified(store) == 1
    assert [one.resource.name for one in store.inventory(ALICE)] == list(processes.STEPS)
    for name in processes.STEPS:
        # The effect of a step may repeat when its end was not written; never once it was.
        assert 1 <= lines.count(f"do {name}") <= 2
        if f"done {name}" in lines:
            assert f"do {name}" not in lines[lines.index(f"done {name}") :]


def test_killed_again_and_again_an_operation_still_ends(tmp_path: Path, url: str, store: SqlStore) -> None:
    log = tmp_path / "log"
    for _ in range(5):
        processes.run(processes.work, url, str(log), 18)
    assert processes.run(processes.work, url, str(log), NEVER) == 0
    (ended,) = store.operations()
    assert ended.status is OperationStatus.SUCCEEDED
    assert ended.recovered
    assert verified(store) == 1


def test_of_two_processes_that_begin_at_once_exactly_one_wins(url: str, store: SqlStore) -> None:
    rounds = 15
    made = processes.context()
    barrier, wins = made.Barrier(2), made.SimpleQueue()
    racers = [processes.start(processes.begin_together, url, barrier, wins, rounds) for _ in range(2)]
    assert [processes.ended(racer) for racer in racers] == [0, 0]
    won = []
    while not wins.empty():
        won.append(wins.get())
    assert sorted(won) == list(range(rounds))
    assert len(store.operations()) == rounds


def test_three_processes_and_many_operations_leave_no_anomaly(tmp_path: Path, url: str, store: SqlStore) -> None:
    count = 50
    crowd = [processes.start(processes.storm, url, str(tmp_path), seed, count) for seed in range(3)]
    assert [processes.ended(one) for one in crowd] == [0, 0, 0]
    assert not (tmp_path / "anomaly").exists()
    done = store.operations(limit=1000)
    assert len(done) == 3 * count
    assert {one.status for one in done} == {OperationStatus.SUCCEEDED}
    assert verified(store) == 3 * count
    assert len(store.inventory(ALICE)) == 3 * count
    assert set(store.logical_plans(ALICE)) == {one.manifest_id for one in done}
    assert all(len(store.history(ALICE, manifest_id)) == 1 for manifest_id in store.logical_plans(ALICE))


def test_a_stalled_process_that_comes_back_writes_nothing(url: str, store: SqlStore) -> None:
    me = current_holder("alice")
    stalled = store.begin(operation(), me)
    store.start_step(stalled, "a")
    with store._database.writing() as connection:
        connection.exec_driver_sql("UPDATE dcp_operations SET lease_expires_at = '2000-01-01 00:00:00.000000'")
    assert not is_gone(me)
    lease = store.take_over("op_1", me)
    with pytest.raises(LeaseLostError):
        store.finish_step(stalled, "a", StepStatus.DONE, None, (put(entry("a")),))
    assert store.inventory(ALICE) == ()
    assert finish(store, lease).status is OperationStatus.SUCCEEDED
