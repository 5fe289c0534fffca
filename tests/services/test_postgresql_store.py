"""The state in a real PostgreSQL: the contract of every store, several processes, and the command line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dcp_core.errors import SettingsError, TransientError
from dcp_core.records import OperationStatus
from dcp_core.store import StateStore
from dcp_graph_runner.audit_chain import Damage
from dcp_graph_runner.audit_outbox import Outbox
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import ensure_current
from dcp_graph_runner.sql_store import SqlStore, open_store
from tests.dcp_graph_runner import chains, processes
from tests.dcp_graph_runner.audit_projects import Site
from tests.dcp_graph_runner.store_contract import ALICE, START, Clock, StoreContract, apply, entry, operation, record
from tests.end_to_end.projects import PLAYGROUND, Project, order, orders_schema
from tests.services import servers
from tests.warm import warm_process

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")
NEVER = 1_000_000


class DatabaseClock(Clock):
    """PostgreSQL's own clock, made to stand still and to move when told to."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        name = url.rpartition("/")[2]
        for statement in (
            "CREATE TABLE moved (at timestamptz)",
            f"INSERT INTO moved VALUES ('{self.now.isoformat()}')",
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql"
            " AS 'SELECT at FROM public.moved'",
            f"ALTER DATABASE {name} SET search_path = public, pg_catalog",
        ):
            self._connection.execute(statement)

    def advance(self, by: timedelta) -> None:
        super().advance(by)
        self._connection.execute("UPDATE moved SET at = %s", (self.now,))

    def close(self) -> None:
        self._connection.close()


class TestOnPostgresql(StoreContract):
    """Leases and announcements count by the database's clock: the store's own is an hour off and never moves."""

    @pytest.fixture
    def clock(self, url: str) -> Iterator[Clock]:
        clock = DatabaseClock(url)
        yield clock
        clock.close()

    @pytest.fixture
    def store(self, clock: Clock, url: str) -> Iterator[StateStore]:
        store = open_store(url, lambda: START + timedelta(hours=1))
        yield store
        store.close()


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """With the wall clock: what other processes share."""
    database = Database(url)
    ensure_current(database)
    store = SqlStore(database, processes.now)
    yield store
    store.close()


def test_processes_that_open_an_empty_database_at_once_all_find_it_made(url: str) -> None:
    barrier = processes.context().Barrier(4)
    together = [processes.start(processes.open_together, url, barrier) for _ in range(4)]
    assert [processes.ended(one) for one in together] == [0] * 4
    store = open_store(url, processes.now)
    assert store.operations() == ()
    store.close()


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
    count = 20
    crowd = [processes.start(processes.storm, url, str(tmp_path), seed, count) for seed in range(3)]
    assert [processes.ended(one) for one in crowd] == [0, 0, 0]
    assert not (tmp_path / "anomaly").exists()
    done = store.operations(limit=1000)
    assert len(done) == 3 * count
    assert {one.status for one in done} == {OperationStatus.SUCCEEDED}
    assert chains.verified(store) == 3 * count
    assert len(store.inventory(ALICE)) == 3 * count


@pytest.mark.parametrize("kill_at", [3, 8, 14, 20])
def test_killed_in_the_middle_the_next_process_finishes_the_operation(
    tmp_path: Path, url: str, store: SqlStore, kill_at: int
) -> None:
    log = tmp_path / "log"
    assert processes.run(processes.work, url, str(log), kill_at) == -9
    assert processes.run(processes.work, url, str(log), NEVER) == 0
    (ended,) = store.operations()
    assert ended.status is OperationStatus.SUCCEEDED
    assert chains.verified(store) == 1
    assert [one.resource.name for one in store.inventory(ALICE)] == list(processes.STEPS)


def test_what_was_written_is_there_for_another_connection(url: str) -> None:
    first, second = open_store(url, lambda: START), open_store(url, lambda: START)
    apply(first, operation(), entry("a"))
    assert second.inventory(ALICE) == (entry("a"),)
    assert [one.id for one in second.operations()] == ["op_1"]
    first.close()
    second.close()


def test_a_server_that_ends_a_connection_is_found_again(postgresql: str, url: str, store: SqlStore) -> None:
    apply(store, operation(), entry("a"))
    name = url.rpartition("/")[2]
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        ).fetchall()
    assert ended
    assert store.inventory(ALICE) == (entry("a"),)


def test_a_server_that_is_away_may_be_tried_again_and_the_password_does_not_show() -> None:
    (port,) = servers.free_ports(1)
    with pytest.raises(TransientError) as failed:
        open_store(f"postgresql+psycopg://dcp:hunter2@127.0.0.1:{port}/dcp", processes.now)
    assert "hunter2" not in repr(vars(failed.value)) + str(failed.value)


def test_a_database_that_does_not_exist_is_named(postgresql: str) -> None:
    with pytest.raises((TransientError, SettingsError), match="nowhere"):
        open_store(f"{postgresql}/nowhere", processes.now)


def test_the_command_line_keeps_its_state_there(tmp_path: Path, url: str) -> None:
    project = Project(tmp_path, {"STORE_URL": url})
    project.write("dcp.toml", '[store]\nurl = "${STORE_URL}"\n')
    project.source("raw.orders", [order("a", 1), order("b", 2)], orders_schema())
    manifest = str(project.dataset("daily_orders"))

    applied = project.pretzel("apply", manifest, "-o", "json")
    assert applied.document["status"] == "SUCCEEDED", applied.err
    assert project.pretzel("plan", manifest, "--detailed-exitcode").status == 0
    again = project.pretzel("apply", manifest, "-o", "json").document
    assert {result["status"] for result in again["results"]} == {"NOOP"}

    store = open_store(url, processes.now)
    assert [one.resource.kind for one in store.inventory(PLAYGROUND)] == ["iceberg_table", "coreetl_job", "airflow_dag"]
    assert [sandbox.id for sandbox in store.sandboxes()] == [PLAYGROUND]
    store.close()
    assert not (tmp_path / ".dcp" / "state.db").exists()

    destroyed = project.pretzel("destroy", manifest, "--yes", "-o", "json").document
    assert destroyed["status"] == "SUCCEEDED"
    audit = project.pretzel("audit", "list", "-o", "json").document
    assert [line["kind"] for line in audit["records"]][:1] == ["destroy"]


# Audit


def test_processes_that_record_at_once_make_one_chain_without_a_fork_or_a_gap(url: str, store: SqlStore) -> None:
    crowd = [processes.start(chains.append_many, url, name, 40) for name in "abcd"]
    assert [processes.ended(one) for one in crowd] == [0] * 4
    assert chains.verified(store) == 160
    links = store.audit_log.links(0, 1000)
    assert [link.sequence for link in links] == list(range(1, 161))
    assert len({link.operation_id for link in links}) == 160


def test_verifying_while_others_append_finds_nothing_wrong(store: SqlStore) -> None:
    ended = threading.Event()

    def write() -> None:
        for number in range(80):
            store.append_audit(record(operation(f"op_{number}")))
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not ended.is_set():
        verdict = store.audit_log.verify()
        assert verdict.broken is None
        seen.add(verdict.records)
    writer.join()
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("tampering", "damage", "sequence"),
    [
        ("UPDATE dcp_audit SET document = replace(document, 'alice@', 'mallory@') WHERE sequence = 2", "altered", 2),
        ("DELETE FROM dcp_audit WHERE sequence = 2", "removed", 2),
        ("DELETE FROM dcp_audit WHERE sequence = 4", "truncated", 4),
    ],
)
def test_a_row_altered_by_hand_is_found(store: SqlStore, tampering: str, damage: str, sequence: int) -> None:
    for number in range(4):
        store.append_audit(record(operation(f"op_{number}")))
    with store._database.writing() as connection:
        connection.exec_driver_sql(tampering)
    broken = store.audit_log.verify().broken
    assert broken is not None
    assert (broken.damage, broken.sequence) == (Damage(damage), sequence)


def test_a_killed_process_s_announcement_is_settled_once_by_those_who_come_together(url: str, store: SqlStore) -> None:
    for number in range(3):
        assert processes.run(chains.announce_and_die, url, f"op_{number}") == -9
        barrier = processes.context().Barrier(4)
        crowd = [processes.start(chains.settle_together, url, barrier) for _ in range(4)]
        assert [processes.ended(one) for one in crowd] == [0] * 4
    assert chains.verified(store) == 3
    assert store.audit_log.announced() == 0


def test_settling_and_ending_at_once_leave_one_record_and_no_deadlock(url: str, store: SqlStore) -> None:
    crowd = [processes.start(chains.announce_end_and_settle, url, name, 25) for name in "abc"]
    assert [processes.ended(one) for one in crowd] == [0] * 3
    assert chains.verified(store) == 75
    assert store.audit_log.announced() == 0


def test_replicas_that_record_and_deliver_at_once_bring_each_record_once(tmp_path: Path, url: str) -> None:
    on_server = {"type": "sql", "uri": url, "warehouse": f"file://{tmp_path}/warehouse"}
    site, count = Site(url, on_server), 8
    site.append("op_first")
    crowd = [
        warm_process().start(
            "tests.dcp_graph_runner.audit_projects:keep_delivering", url, on_server, name, count,
            cwd=tmp_path, environ={},
        )
        for name in "abc"
    ]  # fmt: skip
    assert [each.wait().status for each in crowd] == [0, 0, 0]
    site.deliver()
    rows = site.rows()
    assert [row["sequence"] for row in rows] == list(range(1, 3 * count + 2))
    store = site.store()
    assert Outbox(store.audit_log, site.table()).compare(store.audit_log.verify()).broken is None
    store.close()


@pytest.mark.parametrize("kill_at", [6, 12, 18, 24])
def test_a_replica_killed_while_it_delivers_loses_nothing_and_brings_nothing_twice(
    tmp_path: Path, url: str, kill_at: int
) -> None:
    on_server = {"type": "sql", "uri": url, "warehouse": f"file://{tmp_path}/warehouse"}
    site = Site(url, on_server)
    site.append("op_1", "op_2")
    killed = warm_process().start(
        "tests.dcp_graph_runner.audit_projects:deliver_and_die", url, on_server, kill_at, cwd=tmp_path, environ={}
    )
    assert killed.wait().status == -9
    site.append("op_3")
    site.deliver()
    assert site.delivered() == ["op_1", "op_2", "op_3"]
