"""The audit log in a database: whole when nobody touched it, broken by any touch, and nothing of it forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from dcp_core.errors import ConflictError, NotSupportedError
from dcp_core.memory_store import MemoryStore
from dcp_core.records import OperationStatus
from dcp_core.store import Holder
from dcp_graph_runner import current_holder
from dcp_graph_runner.audit import Unreadable, listed, log_of
from dcp_graph_runner.audit_chain import Damage, chain_hash
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import ensure_current
from dcp_graph_runner.sql_store import SqlStore
from tests.dcp_graph_runner import chains, processes
from tests.dcp_graph_runner.store_contract import ALICE, FIRST, START, Clock, apply, operation, record

COUNT = 5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    database = Database(f"sqlite:///{tmp_path}/state.db")
    ensure_current(database)
    store = SqlStore(database, Clock())
    for number in range(COUNT):
        store.append_audit(record(operation(f"op_{number}")))
    yield store
    store.close()


def test_an_untouched_log_holds_together(store: SqlStore) -> None:
    assert chains.verified(store) == COUNT


def test_an_empty_log_holds_together(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    ensure_current(database)
    assert chains.verified(SqlStore(database, lambda: START)) == 0
    database.close()


@pytest.mark.parametrize(
    ("tampering", "named"),
    [
        ("UPDATE dcp_audit SET document = replace(document, 'alice@', 'mallory@') WHERE sequence = 3", "record 3"),
        ("UPDATE dcp_audit SET environment = 'production' WHERE sequence = 2", "record 2"),
        ("UPDATE dcp_audit SET operation_id = 'op_x' WHERE sequence = 2", "record 2"),
        ("UPDATE dcp_audit SET hash = 'sha256:0' WHERE sequence = 4", "record 4"),
        ("DELETE FROM dcp_audit WHERE sequence = 1", "record 1 is missing"),
        ("DELETE FROM dcp_audit WHERE sequence = 3", "record 3 is missing"),
        ("DELETE FROM dcp_audit WHERE sequence = 5", "records after 4"),
        ("DELETE FROM dcp_audit", "records after 0"),
        ("DELETE FROM dcp_audit_head", "records after 5"),
        ("UPDATE dcp_audit_head SET sequence = 9", "records after 5"),
    ],
)
def test_any_touch_breaks_the_chain_and_is_named(store: SqlStore, tampering: str, named: str) -> None:
    with store._database.writing() as connection:
        connection.exec_driver_sql(tampering)
    with pytest.raises(ConflictError, match=named) as broken:
        chains.verified(store)
    assert broken.value.code == "audit.broken"


def test_a_record_rewritten_with_a_fitting_hash_breaks_the_next_link(store: SqlStore) -> None:
    with store._database.writing() as connection:
        row = connection.exec_driver_sql("SELECT prev_hash, document FROM dcp_audit WHERE sequence = 2").one()
        forged = row.document.replace("alice@", "mallory@")
        connection.exec_driver_sql(
            "UPDATE dcp_audit SET document = ?, hash = ? WHERE sequence = 2",
            (forged, chain_hash(2, row.prev_hash, forged)),
        )
    with pytest.raises(ConflictError, match="record 3"):
        chains.verified(store)


def test_a_log_without_its_head_takes_no_more_records(store: SqlStore) -> None:
    with store._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM dcp_audit_head")
    with pytest.raises(ConflictError, match="head is missing"):
        store.append_audit(record(operation("op_new")))
    assert len(store.audit_records()) == COUNT


# What the chain alone cannot show


def test_a_log_cut_off_together_with_its_head_is_found_by_the_operations_that_it_lacks(store: SqlStore) -> None:
    apply(store, operation("op_last"))
    assert chains.verified(store) == COUNT + 1
    chains.cut_off(store, COUNT)
    broken = store.audit_log.verify().broken
    assert broken is not None
    assert (broken.damage, broken.operation_id) == (Damage.UNRECORDED, "op_last")


def test_a_log_cut_off_or_written_anew_no_longer_has_the_head_that_was_noted(store: SqlStore) -> None:
    noted = store.audit_log.verify().head.hash
    store.append_audit(record(operation("op_more")))
    later = store.audit_log.verify(noted)
    assert (later.broken, later.noted_at, later.records) == (None, COUNT, COUNT + 1)
    for tamper in (lambda: chains.rewrite(store, 2, "alice@", "mallory@"), lambda: chains.cut_off(store, COUNT - 1)):
        tamper()
        assert store.audit_log.verify().broken is None, "the chain by itself cannot know"
        broken = store.audit_log.verify(noted).broken
        assert broken is not None
        assert broken.damage is Damage.NOTED_HEAD
        assert noted in broken.message


def test_the_head_is_the_newest_record_and_an_empty_log_has_none(tmp_path: Path, store: SqlStore) -> None:
    with store._database.reading() as connection:
        newest = connection.exec_driver_sql("SELECT max(sequence), hash FROM dcp_audit").one()
    head = store.audit_log.verify().head
    assert (head.sequence, head.hash) == tuple(newest)
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    ensure_current(database)
    assert SqlStore(database, lambda: START).audit_log.verify().head.hash == ""
    database.close()


def test_verifying_while_others_append_finds_nothing_wrong(store: SqlStore) -> None:
    ended = threading.Event()
    appended: list[str] = []

    def write() -> None:
        while not ended.is_set():
            appended.append(f"op_w{len(appended)}")
            store.append_audit(record(operation(appended[-1])))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen: set[int] = set()
        while len(seen) < 5:
            verdict = store.audit_log.verify()
            assert verdict.broken is None
            seen.add(verdict.records)
    finally:
        ended.set()
        writer.join()
    assert chains.verified(store) == COUNT + len(appended)


def test_processes_that_append_at_once_make_one_chain(tmp_path: Path, store: SqlStore) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    crowd = [processes.start(chains.append_many, url, name, 25) for name in "abc"]
    assert [processes.ended(one) for one in crowd] == [0, 0, 0]
    assert chains.verified(store) == COUNT + 75


def test_a_store_without_a_chain_says_so() -> None:
    with pytest.raises(NotSupportedError, match="MemoryStore"):
        log_of(MemoryStore())


# Announced records


def test_of_this_machine_s_processes_only_one_that_is_gone_is_settled(store: SqlStore) -> None:
    clock = store._clock
    assert isinstance(clock, Clock)
    alive = current_holder("alice")
    store.announce_audit(record(operation("op_alive"), OperationStatus.FAILED), alive)
    gone = attrs.evolve(alive, started="1")
    store.announce_audit(record(operation("op_gone"), OperationStatus.FAILED), gone)
    assert [each.operation_id for each in store.settle_audit()] == ["op_gone"]
    clock.advance(timedelta(days=1))  # the machine slept: its processes go on
    assert store.settle_audit() == ()
    assert store.audit_log.announced() == 1
    assert chains.verified(store) == COUNT + 1


def test_a_process_killed_after_its_announcement_is_recorded_once_by_those_who_come(
    tmp_path: Path, store: SqlStore
) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    assert processes.run(chains.announce_and_die, url) == -9
    assert store.audit_log.announced() == 1
    barrier = processes.context().Barrier(3)
    crowd = [processes.start(chains.settle_together, url, barrier) for _ in range(3)]
    assert [processes.ended(one) for one in crowd] == [0, 0, 0]
    assert [each.operation_id for each in store.audit_records(limit=1)] == ["op_killed"]
    assert chains.verified(store) == COUNT + 1
    assert store.audit_log.announced() == 0


def test_killed_at_any_statement_of_a_run_s_record_nothing_is_lost_and_nothing_twice(tmp_path: Path) -> None:
    killed = 0
    for kill_at in range(1, 60):
        url = f"sqlite:///{tmp_path}/{kill_at}.db"
        chains.opened(url).close()
        code = processes.run(chains.announce_and_append, url, kill_at)
        store = chains.opened(url)
        settled = store.settle_audit()
        outcomes = [each.outcome for each in store.audit_records()]
        assert chains.verified(store) == len(outcomes) <= 1
        if settled:
            assert outcomes == [OperationStatus.FAILED]
        store.close()
        if code == 0:
            assert outcomes == [OperationStatus.SUCCEEDED]
            break
        killed += 1
    assert 8 < killed < 59


@pytest.mark.parametrize("document", ['{"of": "a newer version"}', "{", "[" * 100_000])
def test_an_announcement_that_cannot_be_read_is_left_alone_and_keeps_no_other_from_being_settled(
    store: SqlStore, document: str, caplog: pytest.LogCaptureFixture
) -> None:
    gone = attrs.evolve(current_holder("alice"), started="1")
    for name in ("op_newer", "op_ours"):
        store.announce_audit(record(operation(name), OperationStatus.FAILED), gone)
    with store._database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE dcp_audit_announced SET document = ? WHERE operation_id = 'op_newer'", (document,)
        )
    assert [each.operation_id for each in store.settle_audit()] == ["op_ours"]
    assert "the end of op_newer is not recorded yet: the document is not a" in caplog.text
    assert store.audit_log.announced() == 1
    store.append_audit(record(operation("op_newer")))  # whoever announced it lives after all
    assert store.audit_log.announced() == 0


def test_a_record_that_was_changed_is_listed_as_such_among_the_others(store: SqlStore) -> None:
    with store._database.writing() as connection:
        connection.exec_driver_sql("UPDATE dcp_audit SET document = '{}' WHERE sequence = 4")
    with pytest.raises(ConflictError, match="not a AuditRecord"):
        store.audit_records()
    newest, unreadable, *_ = found = listed(store)
    assert (len(found), newest) == (COUNT, record(operation("op_4")))
    assert isinstance(unreadable, Unreadable)
    assert (unreadable.sequence, unreadable.operation_id, unreadable.environment) == (4, "op_3", ALICE)
    assert listed(store, "production") == ()
    assert listed(store, limit=1) == (newest,)


def test_a_store_without_a_chain_is_listed_too() -> None:
    plain = MemoryStore()
    plain.append_audit(record(operation("op_1")))
    assert listed(plain, ALICE) == (record(operation("op_1")),)


def test_a_holder_elsewhere_is_settled_by_its_silence_alone(store: SqlStore) -> None:
    clock = store._clock
    assert isinstance(clock, Clock)
    store.announce_audit(record(operation("op_far"), OperationStatus.FAILED), Holder("far", 1, "1", "bob"))
    assert store.settle_audit() == ()
    store.announce_audit(record(operation("op_farther"), OperationStatus.FAILED), FIRST)
    clock.advance(timedelta(minutes=6))
    assert [each.operation_id for each in store.settle_audit()] == ["op_far", "op_farther"]
