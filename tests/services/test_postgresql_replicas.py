"""Several replicas on one PostgreSQL: wrong clocks, lost connections, a server that goes away, deadlocks, kills."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import attrs
import pytest
from sqlalchemy import text

from dcp_core.errors import OperationInProgressError, TransientError
from dcp_core.records import OperationStatus
from dcp_core.sections import StoreSettings
from dcp_core.store import StepStatus
from dcp_graph_runner import current_holder
from dcp_graph_runner.clean_up import CleanUp
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import ensure_current
from dcp_graph_runner.sql_store import SqlStore
from tests.dcp_graph_runner import chains, processes
from tests.dcp_graph_runner.store_contract import ALICE, FIRST, SECOND, START, entry, operation, put, record
from tests.services import replicas
from tests.services.cutting_proxy import CuttingProxy

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")
PATIENT = StoreSettings(pool_size=2, patience_s=10, connect_timeout_s=2)
MESSAGES_AT_MOST = 200

OpenStore = Callable[..., SqlStore]


@pytest.fixture
def opened() -> Iterator[OpenStore]:
    """Opens stores, and closes them in the end."""
    stores = []

    def open_it(url: str, clock: Callable[[], datetime] = processes.now, settings: StoreSettings = PATIENT) -> SqlStore:
        database = Database(url, settings)
        ensure_current(database)
        stores.append(SqlStore(database, clock))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


@pytest.fixture
def proxy(postgresql: str) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(int(postgresql.rpartition(":")[2]))
    yield proxy
    proxy.close()


def through(proxy: CuttingProxy, url: str) -> str:
    server, _, name = url.rpartition("/")
    return f"{server.rpartition(':')[0]}:{proxy.port}/{name}"


# Clocks


@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
def test_a_replica_whose_clock_is_wrong_neither_steals_nor_loses_a_lease(
    url: str, opened: OpenStore, off: timedelta
) -> None:
    right, wrong = opened(url), opened(url, lambda: processes.now() + off)
    right.begin(operation("op_1"), FIRST)
    theirs = wrong.begin(operation("op_2", "derived_dataset/other"), SECOND)
    ahead = record(operation("op_3"), OperationStatus.FAILED)
    right.announce_audit(ahead, FIRST)
    wrong.announce_audit(attrs.evolve(ahead, operation_id="op_4"), SECOND)
    for store in (right, wrong):
        assert store.interrupted(None) == ()
        assert store.settle_audit() == ()
        for id in ("op_1", "op_2"):
            with pytest.raises(OperationInProgressError):
                store.take_over(id, SECOND)
    wrong.start_step(theirs, "a")
    with right.database.reading() as connection:
        left = "SELECT lease_expires_at - clock_timestamp() FROM dcp_operations"
        assert all(timedelta(seconds=20) < row[0] < timedelta(seconds=31) for row in connection.execute(text(left)))


def test_a_lease_that_runs_out_by_the_databases_clock_is_seen_by_a_replica_far_behind(
    url: str, opened: OpenStore
) -> None:
    right, behind = opened(url), opened(url, lambda: START - timedelta(days=365))
    former = right.begin(operation(), FIRST)
    with right.database.writing() as connection:
        connection.execute(text("UPDATE dcp_operations SET lease_expires_at = clock_timestamp() - interval '1 second'"))
    assert [one.id for one in behind.interrupted(None)] == ["op_1"]
    assert behind.take_over("op_1", SECOND).fence > former.fence
    assert right.interrupted(None) == ()


# Lost connections


def a_whole_operation(store: SqlStore) -> None:
    holder = current_holder("alice")
    lease = store.begin(operation(), holder)
    store.renew(lease)
    store.save_logical_plan(lease.operation.plan.logical_plan, lease.operation.id, "alice", START)
    for name in ("t1", "t2"):
        assert store.start_step(lease, f"action:iceberg_table:{name}").status is StepStatus.STARTED
        store.finish_step(lease, f"action:iceberg_table:{name}", StepStatus.DONE, name, (put(entry(name)),))
    assert store.finish(lease, OperationStatus.SUCCEEDED, (), None, record(lease.operation)).status == "SUCCEEDED"
    store.append_audit(record(operation("op_refused"), OperationStatus.REFUSED))


def a_take_over(store: SqlStore) -> None:
    store.begin(operation(), attrs.evolve(current_holder("alice"), started="another start"))
    lease = store.take_over("op_1", current_holder("alice"))
    assert lease.fence == 2
    store.finish(lease, OperationStatus.SUCCEEDED, (), None, record(lease.operation))


@pytest.mark.parametrize("loses_answer", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("deeds", [a_whole_operation, a_take_over], ids=["operation", "take-over"])
def test_a_connection_lost_at_any_message_loses_nothing_and_does_nothing_twice(
    url: str, proxy: CuttingProxy, opened: OpenStore, deeds: Callable[[SqlStore], None], loses_answer: bool
) -> None:
    direct, store = opened(url), opened(through(proxy, url))
    for message in range(1, MESSAGES_AT_MOST):
        proxy.cut_at(message, loses_answer=loses_answer)
        deeds(store)
        if proxy.messages < message:
            break
        (ended,) = [one for one in direct.operations() if one.id == "op_1"]
        assert ended.status is OperationStatus.SUCCEEDED
        assert chains.verified(direct) == len(direct.audit_records()) <= 2
        if deeds is a_whole_operation:
            assert [one.resource.name for one in direct.inventory(ALICE)] == ["t1", "t2"]
            assert len(direct.history(ALICE, ended.manifest_id)) == 1
        start_anew(direct)
    # Fewer would mean that the proxy counts nothing.
    assert 15 < message < MESSAGES_AT_MOST - 1
    assert proxy.cuts == message - 1


def start_anew(store: SqlStore) -> None:
    with store.database.writing() as connection:
        for table in ("operations", "inventory", "logical_plans", "audit"):
            connection.execute(text(f"DELETE FROM dcp_{table}"))
        connection.execute(text("UPDATE dcp_audit_head SET sequence = 0, hash = ''"))


def test_giving_up_is_said_once_however_its_answer_is_lost(url: str, proxy: CuttingProxy, opened: OpenStore) -> None:
    direct, store = opened(url), opened(through(proxy, url), settings=attrs.evolve(PATIENT, take_overs=0))
    for message in range(1, 30):
        store.begin(operation(), attrs.evolve(current_holder("alice"), started="another start"))
        proxy.cut_at(message, loses_answer=True)
        with pytest.raises(Exception, match="given up") as given_up:
            store.take_over("op_1", current_holder("alice"))
        assert given_up.value.code == "operation.given_up"  # type: ignore[attr-defined]
        assert [one.outcome for one in direct.audit_records()] == [OperationStatus.FAILED]
        cut = proxy.messages >= message
        start_anew(direct)
        if not cut:
            break
    assert message > 5


def test_a_server_that_is_away_for_a_while_is_waited_for(url: str, proxy: CuttingProxy, opened: OpenStore) -> None:
    store = opened(through(proxy, url))
    lease = store.begin(operation(), FIRST)
    store.start_step(lease, "a")
    with proxy.away():
        began = time.monotonic()
        threading.Timer(1.0, proxy.back).start()
        store.finish_step(lease, "a", StepStatus.DONE, None, (put(entry("a")),))
    assert time.monotonic() - began > 0.9
    assert store.inventory(ALICE) == (entry("a"),)


def test_patience_ends_with_an_error_that_may_be_retried(url: str, proxy: CuttingProxy, opened: OpenStore) -> None:
    store = opened(through(proxy, url), settings=attrs.evolve(PATIENT, patience_s=0.3))
    lease = store.begin(operation(), FIRST)
    with proxy.away(), pytest.raises(TransientError, match="does not answer"):
        store.renew(lease)
    store.renew(lease)


def test_a_primary_that_has_become_a_standby_is_left_for_the_new_one(
    postgresql: str, url: str, opened: OpenStore
) -> None:
    store, name = opened(url), url.rpartition("/")[2]
    store.append_audit(record(operation("op_1")))
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        store.database.engine.dispose()  # what comes now, comes to the standby, and stays there

        def fail_over() -> None:
            admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")

        threading.Timer(0.5, fail_over).start()
        store.append_audit(record(operation("op_2")))
    assert chains.verified(store) == 2


# In each other's way


def test_of_two_that_wait_for_each_other_both_are_done(url: str, opened: OpenStore) -> None:
    store = opened(url)
    for id in ("op_1", "op_2"):
        store.begin(operation(id, f"derived_dataset/{id}"), FIRST)
    together = threading.Barrier(2)
    tries: Counter[str] = Counter()

    def lock_both(first: str, second: str) -> None:
        def work(connection: object) -> None:
            tries[first] += 1
            lock = text("UPDATE dcp_operations SET error = coalesce(error, '') || :name WHERE id = :id")
            connection.execute(lock, {"id": first, "name": first})  # type: ignore[attr-defined]
            if tries.total() <= 2:
                together.wait(10)
            connection.execute(lock, {"id": second, "name": first})  # type: ignore[attr-defined]

        store.database.settle(work)

    crowd = [threading.Thread(target=lock_both, args=pair) for pair in (("op_1", "op_2"), ("op_2", "op_1"))]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join(30)
    assert tries.total() == 3
    assert all(sorted([one.error[:4], one.error[4:]]) == ["op_1", "op_2"] for one in store.operations() if one.error)


def test_a_replica_that_stands_still_in_the_middle_does_not_hold_the_others_up(url: str, opened: OpenStore) -> None:
    quick = attrs.evolve(PATIENT, lock_timeout_s=1.0)
    still, store = opened(url, settings=quick), opened(url, settings=quick)

    def stand_still() -> None:
        with still.database.writing() as connection:
            connection.execute(text("UPDATE dcp_audit_head SET hash = 'mine'"))
            store.append_audit(record(operation()))
            connection.execute(text("UPDATE dcp_audit_head SET hash = 'mine still'"))

    with pytest.raises(TransientError):
        stand_still()
    assert chains.verified(store) == 1


def test_a_pool_that_is_too_small_says_so(url: str, opened: OpenStore) -> None:
    store = opened(url, settings=StoreSettings(pool_size=1, connect_timeout_s=0.2, patience_s=0))
    with store.database.reading(), store.database.reading(), pytest.raises(TransientError) as refused:
        store.operations()
    assert "pool_size" in str(refused.value.hint)
    assert store.operations() == ()


def test_who_renews_in_the_last_moment_keeps_the_lease(url: str, opened: OpenStore) -> None:
    """The one who takes over has looked already; the row is locked until the renewal is through."""
    store, other = opened(url), opened(url)
    lease = store.begin(operation(), FIRST)
    with store.database.writing() as connection:
        connection.execute(text("UPDATE dcp_operations SET lease_expires_at = clock_timestamp() - interval '1 second'"))
    refused: list[OperationInProgressError] = []

    def take() -> None:
        try:
            other.take_over("op_1", SECOND)
        except OperationInProgressError as error:
            refused.append(error)

    with store.database.writing() as connection:
        store._hold(connection, lease)
        taker = threading.Thread(target=take)
        taker.start()
        time.sleep(0.5)
        assert taker.is_alive()
    taker.join(10)
    assert len(refused) == 1
    store.renew(lease)


def test_replicas_that_clean_up_at_once_remove_each_row_once_and_the_newest_stays(url: str, opened: OpenStore) -> None:
    stores, count = [opened(url) for _ in range(3)], 450
    for number in range(2):
        lease = stores[0].begin(attrs.evolve(operation(f"op_{number}")), FIRST)
        stores[0].start_step(lease, "a")
        stores[0].finish(lease, OperationStatus.SUCCEEDED, (), None, record(lease.operation))
    with stores[0].database.writing() as connection:
        columns = 'kind, environment, manifest_id, "user", status, plan, results, fence, lease_expires_at, '
        columns += "holder_host, holder_pid, holder_started, holder_user"
        connection.execute(
            text(
                f"INSERT INTO dcp_operations (id, created_at, finished_at, {columns}) SELECT 'op_old_' || number, "
                f"clock_timestamp() - interval '92 days', clock_timestamp() - interval '91 days', {columns} "
                f"FROM dcp_operations, generate_series(1, {count}) AS number WHERE id = 'op_0'"
            )
        )
        connection.execute(text("UPDATE dcp_operations SET created_at = clock_timestamp() WHERE id = 'op_1'"))
    removed: list[int] = []

    def sweep(store: SqlStore) -> None:
        removed.append(CleanUp(store.database, lambda: START, StoreSettings()).run().operations)

    crowd = [threading.Thread(target=sweep, args=(store,)) for store in stores]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join(60)
    assert sum(removed) == count
    assert {one.id for one in stores[0].operations()} == {"op_0", "op_1"}


# Kills


def _ended(store: SqlStore) -> list[str]:
    return [one.id for one in store.operations(limit=100_000) if one.status is not OperationStatus.RUNNING]


def test_replicas_killed_and_cut_off_at_random_leave_no_anomaly(
    tmp_path: Path, url: str, proxy: CuttingProxy, opened: OpenStore
) -> None:
    store, dice = opened(url), random.Random(7)
    proxy.cut_at_random(0.01, 7)

    def replica() -> ForkServerProcess:
        seed = dice.randrange(10**9)
        return processes.start(replicas.work_until_stopped, through(proxy, url), str(tmp_path), seed)

    crowd, kills, began = [replica() for _ in range(3)], 0, time.monotonic()
    # On a machine that is busy with other things it takes longer until something has been shown.
    while time.monotonic() < began + 12 or (
        time.monotonic() < began + 240 and (len(_ended(store)) <= 30 or kills <= 10 or proxy.cuts <= 10)
    ):
        time.sleep(dice.uniform(0.1, 0.6))
        place = dice.randrange(3)
        assert crowd[place].pid is not None
        if crowd[place].exitcode is None:
            os.kill(crowd[place].pid or 0, signal.SIGKILL)
            crowd[place].join()
            kills += 1
            crowd[place] = replica()
    (tmp_path / "stop").touch()
    assert [processes.ended(one) for one in crowd] == [0, 0, 0]

    assert not (tmp_path / "anomaly").exists(), (tmp_path / "anomaly").read_text()
    ended = _ended(store)
    assert len(ended) > 30
    assert kills > 10
    assert proxy.cuts > 10
    assert sorted(one.operation_id for one in store.audit_records(limit=100_000)) == sorted(ended)
    assert chains.verified(store) == len(ended)
    fences: dict[str, list[int]] = {}
    for line in (tmp_path / "fences").read_text().splitlines():
        fences.setdefault(line.split()[0], []).append(int(line.split()[1]))
    assert any(len(each) > 1 for each in fences.values())
    assert all(each == sorted(set(each)) for each in fences.values())
    names = [one.resource.name for one in store.inventory(ALICE)]
    assert len(names) == len(set(names)) <= len(replicas.STEPS) * replicas.MANIFESTS
    assert all(len(store.history(ALICE, manifest_id)) == 1 for manifest_id in store.logical_plans(ALICE))
