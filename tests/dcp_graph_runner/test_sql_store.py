"""The SQL store: the contract of every store, and what only a database can do."""

from __future__ import annotations

import os
import random
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from sqlalchemy import Table, insert, select

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import ConflictError, LeaseLostError, PermanentError, SettingsError, TransientError
from dcp_core.model import Action, ActionKind
from dcp_core.records import Operation, ResultStatus, Sandbox
from dcp_core.sections import StoreSettings
from dcp_core.store import Holder, StateStore, StepStatus
from dcp_graph_runner import current_holder
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import ensure_current
from dcp_graph_runner.sql_store import SqlStore, open_store
from dcp_graph_runner.tables import conditions, heal_attempts, observations, pauses
from tests.dcp_graph_runner.chains import verified
from tests.dcp_graph_runner.store_contract import (
    ALICE,
    FIRST,
    LONGER_THAN_A_LEASE,
    SECOND,
    START,
    Clock,
    StoreContract,
    apply,
    entry,
    finish,
    logical_plan,
    operation,
    record,
    resource,
)

NOISE = random.Random(1).randbytes(8192)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/state.db"


class TestSqlStore(StoreContract):
    @pytest.fixture
    def store(self, clock: Clock, url: str) -> Iterator[StateStore]:
        store = open_store(url, clock)
        yield store
        store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[SqlStore]:
    database = Database(url)
    ensure_current(database)
    store = SqlStore(database, clock)
    yield store
    store.close()


def test_what_was_written_is_there_after_closing_and_opening(url: str, clock: Clock) -> None:
    first = open_store(url, clock)
    apply(first, operation(), entry("a"))
    first.put_sandbox(Sandbox(ALICE, "alice", "alice", START, START))
    before = (first.operations(), first.inventory(ALICE), first.audit_records(), first.sandboxes())
    first.close()
    second = open_store(url, clock)
    assert (second.operations(), second.inventory(ALICE), second.audit_records(), second.sandboxes()) == before
    second.close()


def test_times_of_other_zones_come_back_in_utc(store: SqlStore) -> None:
    elsewhere = datetime.fromisoformat("2026-11-23T14:00:00+02:00")
    store.put_sandbox(Sandbox(ALICE, "alice", "alice", elsewhere, elsewhere))
    (sandbox,) = store.sandboxes()
    assert sandbox.created_at == START
    assert sandbox.created_at.tzinfo is UTC


def test_an_operation_of_a_dead_process_here_is_interrupted_at_once(store: SqlStore) -> None:
    me = current_holder("alice")
    store.begin(operation("op_1"), Holder(me.host, me.pid, "another start", "alice"))
    store.begin(operation("op_2", "derived_dataset/other"), me)
    assert [one.id for one in store.interrupted(ALICE)] == ["op_1"]


def test_an_operation_without_a_time_gets_the_clocks(store: SqlStore, clock: Clock) -> None:
    clock.advance(LONGER_THAN_A_LEASE)
    assert store.begin(attrs.evolve(operation(), created_at=None), FIRST).operation.created_at == clock.now


def test_a_holder_that_does_not_say_when_it_started_is_identified(store: SqlStore) -> None:
    unnamed = Holder(socket.gethostname(), os.getpid(), "", "alice")
    assert store.begin(operation(), unnamed).holder == current_holder("alice")


def test_an_operation_id_is_used_once(store: SqlStore) -> None:
    finish(store, store.begin(operation("op_1"), FIRST))
    with pytest.raises(ConflictError, match="op_1"):
        store.begin(operation("op_1"), FIRST)


def test_ending_a_step_that_was_never_started_is_an_error_and_changes_nothing(store: SqlStore) -> None:
    lease = store.begin(operation(), FIRST)
    with pytest.raises(ConflictError, match="never started"):
        store.finish_step(lease, "a", StepStatus.DONE, None)
    assert dict(store.steps(lease)) == {}


def test_an_operation_given_up_lists_every_action(store: SqlStore, clock: Clock) -> None:
    begun = operation(names=("t1", "t2", "t3", "t4"))
    noop = Action(ActionKind.NOOP, resource("t5"), "unchanged")
    blocked = Action(ActionKind.BLOCKED, resource("t6"), "not_owned", "somebody else's")
    plan = type(begun.plan)(begun.plan.logical_plan, (*begun.plan.actions, noop, blocked))
    lease = store.begin(Operation(begun.id, begun.kind, plan, begun.user), FIRST)
    for name, status in (("t1", StepStatus.DONE), ("t2", StepStatus.FAILED), ("t3", None)):
        store.start_step(lease, f"action:iceberg_table:{name}")
        if status:
            store.finish_step(lease, f"action:iceberg_table:{name}", status, None)
    for _ in range(5):
        clock.advance(LONGER_THAN_A_LEASE)
        store.take_over("op_1", SECOND)
    clock.advance(LONGER_THAN_A_LEASE)
    with pytest.raises(PermanentError):
        store.take_over("op_1", SECOND)
    (ended,) = store.operations()
    statuses = "SUCCEEDED FAILED FAILED SKIPPED NOOP BLOCKED"
    assert [one.status for one in ended.results] == [ResultStatus(word) for word in statuses.split()]
    (written,) = store.audit_records()
    assert written.actions[0] == "CREATE_TABLE iceberg_table:t1 SUCCEEDED"
    assert len(written.actions) == 6


def test_how_often_an_operation_may_be_continued_is_a_setting(url: str, clock: Clock) -> None:
    store = open_store(url, clock, StoreSettings(take_overs=1))
    store.begin(operation(), FIRST)
    clock.advance(LONGER_THAN_A_LEASE)
    store.take_over("op_1", SECOND)
    clock.advance(LONGER_THAN_A_LEASE)
    with pytest.raises(PermanentError, match="interrupted 2 times") as given_up:
        store.take_over("op_1", SECOND)
    assert given_up.value.code == "operation.given_up"
    assert store.begin(operation("op_2"), FIRST).fence == 1
    store.close()


def test_the_verdict_names_the_step_it_ended_at_and_what_stands_still(store: SqlStore, clock: Clock) -> None:
    lease = store.begin(operation(), FIRST)
    done = {"stop:coreetl_job:a": [1], "stop:coreetl_job:b": [1], "stop:coreetl_job:c": [], "start:coreetl_job:a:1": {}}
    for key, result in done.items():
        store.start_step(lease, key)
        store.finish_step(lease, key, StepStatus.DONE, result)
    store.start_step(lease, "action:iceberg_table:t1")
    for _ in range(5):
        clock.advance(LONGER_THAN_A_LEASE)
        store.take_over("op_1", SECOND)
    clock.advance(LONGER_THAN_A_LEASE)
    with pytest.raises(PermanentError):
        store.take_over("op_1", SECOND)
    (ended,) = store.operations()
    assert ended.error == (
        "given up: interrupted 6 times; last at action:iceberg_table:t1; stopped and not started again: coreetl_job:b"
    )
    (written,) = store.audit_records()
    assert written.message == ended.error


def test_what_is_interrupted_anywhere_comes_in_one_answer(store: SqlStore, clock: Clock) -> None:
    store.begin(operation("op_1"), FIRST)
    store.begin(operation("op_2", environment="production"), FIRST)
    finish(store, store.begin(operation("op_3", "derived_dataset/other"), FIRST))
    assert store.interrupted(None) == ()
    clock.advance(LONGER_THAN_A_LEASE)
    assert [one.id for one in store.interrupted(None)] == ["op_1", "op_2"]
    assert [one.id for one in store.interrupted(None, ["derived_dataset/other"])] == []


def test_the_operations_of_a_request_come_oldest_first(store: SqlStore) -> None:
    for number, request_id in enumerate(("req_1", "req_2", "req_1")):
        made = operation(f"op_{number}", f"derived_dataset/m{number}")
        at = START - timedelta(minutes=number)
        finish(store, store.begin(attrs.evolve(made, request_id=request_id, created_at=at), FIRST))
    assert [one.id for one in store.operations_of("req_1")] == ["op_2", "op_0"]
    assert store.operations_of("req_3") == ()


def test_a_process_that_stood_still_puts_no_old_version_behind_newer_ones(store: SqlStore) -> None:
    finish(store, store.begin(operation("op_1"), FIRST))
    assert store.save_logical_plan(logical_plan(size=2), "op_later", "bob", START) == 1
    with pytest.raises(LeaseLostError):
        store.save_logical_plan(logical_plan(size=1), "op_1", "alice", START)
    assert [line[0] for line in store.history(ALICE, operation().manifest_id)] == [1]


def test_a_playground_where_something_runs_cannot_be_forgotten(store: SqlStore) -> None:
    store.put_sandbox(Sandbox(ALICE, "alice", "alice", START, START))
    lease = store.begin(operation(), FIRST)
    with pytest.raises(ConflictError, match="op_1"):
        store.delete_sandbox(ALICE)
    finish(store, lease)
    store.delete_sandbox(ALICE)
    assert store.sandboxes() == ()


def test_a_playground_is_forgotten_with_all_that_was_said_of_it_and_of_no_other(store: SqlStore) -> None:
    store.put_sandbox(Sandbox(ALICE, "alice", "alice", START, START))
    said: dict[Table, dict[str, object]] = {
        pauses: {"manifest_id": "m", "user": "u", "reason": "", "at": START},
        heal_attempts: {"manifest_id": "m", "attempts": 1, "next_at": START, "error": ""},
        observations: {"shard": 0, "kind": "k", "observed_at": START},
        conditions: {
            "kind": "k", "name": "n", "manifest_id": "m", "shard": 0, "status": "s", "reason": "", "message": "",
            "changes": "[]", "since": START,
        },
    }  # fmt: skip
    with store.database.writing() as connection:
        for table, row in said.items():
            connection.execute(insert(table), [{"environment": where, **row} for where in (ALICE, "production")])
    store.delete_sandbox(ALICE)
    left = {row.environment for table in said for row in store.database.rows(select(table))}
    assert left == {"production"}


def test_many_threads_share_one_store(store: SqlStore) -> None:
    def work(number: int) -> None:
        manifest_id = f"derived_dataset/m{number}"
        apply(store, operation(f"op_{number}", manifest_id), entry(f"t{number}", manifest_id=manifest_id))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert len(store.inventory(ALICE)) == 40
    assert verified(store) == 40


def test_reading_goes_on_while_another_process_writes(store: SqlStore, url: str) -> None:
    apply(store, operation(), entry("a"))
    writer = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        assert len(store.inventory(ALICE)) == 1
    finally:
        writer.execute("ROLLBACK")
        writer.close()


def test_a_database_that_stays_locked_is_an_error_that_may_be_retried(url: str, clock: Clock) -> None:
    database = Database(url, StoreSettings(lock_timeout_s=0.1))
    ensure_current(database)
    store = SqlStore(database, clock)
    writer = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="locked"):
        store.append_audit(record(operation()))
    writer.execute("ROLLBACK")
    writer.close()
    store.append_audit(record(operation()))
    assert len(store.audit_records()) == 1
    store.close()


# Opening


def test_the_settings_of_a_project_reach_its_store(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("[store]\ntake_overs = 1\nkeep_days = 30\n")
    with ControlPlane.from_config(tmp_path / "dcp.toml", identity="alice") as dcp:
        assert isinstance(dcp.store, SqlStore)
        settings = dcp.store.database.settings
        assert (settings.take_overs, settings.keep_days, settings.patience_s) == (1, 30, 20)


@pytest.mark.parametrize("wrong", ["pool_size = 0", "lock_timeout_s = 31", "keep_days = 0", "patience_s = -1", "x = 1"])
def test_settings_that_cannot_be_are_refused(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "dcp.toml").write_text(f"[store]\n{wrong}\n")
    with (
        ControlPlane.from_config(tmp_path / "dcp.toml", identity="alice") as dcp,
        pytest.raises(SettingsError, match=wrong.split()[0]),
    ):
        _ = dcp.store


@pytest.mark.parametrize("content", [b"no database, only text\n" * 100, NOISE], ids=["text", "noise"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, clock: Clock, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    with pytest.raises(PermanentError) as refused:
        open_store(f"sqlite:///{path}", clock)
    assert refused.value.code == "store.corrupt"
    assert str(path) in str(refused.value)
    assert path.read_bytes() == content


def test_a_damaged_database_is_refused(tmp_path: Path, clock: Clock, url: str) -> None:
    store = open_store(url, clock)
    for number in range(50):
        apply(store, operation(f"op_{number}"), entry(f"t{number}"))
    store.close()
    path = Path(url.removeprefix("sqlite:///"))
    content = bytearray(path.read_bytes())
    content[100:] = random.Random(2).randbytes(len(content) - 100)
    path.write_bytes(content)
    with pytest.raises(PermanentError) as refused:
        open_store(url, clock).operations()
    assert refused.value.code == "store.corrupt"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PermanentError, match="folder") as refused:
        open_store(f"sqlite:///{tmp_path}/file/state.db", clock)
    assert refused.value.code == "store.unavailable"


def test_a_database_in_the_place_of_a_folder_is_a_clear_error(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(PermanentError) as refused:
        open_store(f"sqlite:///{tmp_path}", clock)
    assert refused.value.code == "store.unavailable"


@pytest.mark.parametrize(
    "bad", ["sqlite://", "sqlite:///:memory:", "sqlite:///state.db", "mysql://x/y", "nonsense://x", "no url at all"]
)
def test_a_url_that_cannot_be_used_is_refused(bad: str, clock: Clock) -> None:
    with pytest.raises(SettingsError):
        open_store(bad, clock)


def test_a_driver_that_is_not_installed_is_named_with_the_way_to_get_it(clock: Clock) -> None:
    with pytest.raises(SettingsError, match="pg8000") as refused:
        open_store("postgresql+pg8000://alice:hunter2@127.0.0.1/x", clock)
    assert "dcp-graph-runner[postgresql]" in str(refused.value.hint)
    assert "hunter2" not in repr(vars(refused.value)) + str(refused.value)


def test_a_password_in_a_url_never_shows(clock: Clock) -> None:
    for bad in ("mysql://alice:hunter2@host/x", "alice:hunter2@host no url"):
        with pytest.raises(SettingsError) as refused:
            open_store(bad, clock)
        assert "hunter2" not in repr(vars(refused.value)) + str(refused.value)


def test_the_database_is_in_wal_mode_and_durable(store: SqlStore) -> None:
    with store._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
