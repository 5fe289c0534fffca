"""Workers and drivers that die in the middle of an extraction: at the end the table is the source, row for row."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from coreetl_driver import ExecutionStatus
from coreetl_driver.api import SinkMode
from coreetl_driver.catalog_endpoint import CatalogEndpoint
from coreetl_driver.owners import Owner
from tests.coreetl_driver.conftest import ENVIRONMENT, PLAYGROUND, Project, open_project
from tests.coreetl_driver.dying_workers import (
    IN_THE_ENDPOINT,
    IN_THE_WORKER,
    POINTS,
    WRITTEN,
    Nursery,
    dying_at_the_commit,
)
from tests.coreetl_driver.extracting import JOB, Order, Shop, open_shop, orders
from tests.coreetl_driver.test_recovery import worker_of

SUCCEEDED, FAILED = ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED
RUN_AND_HANG = """
import json, sys, time
from pathlib import Path
from coreetl_driver.driver import Driver
from dcp_core.settings import Settings
driver = Driver(Settings(Path(sys.argv[1]), {"connections": {"shop": json.loads(sys.argv[2])}}, {}))
print(driver.run_job(sys.argv[3], sys.argv[4]).execution_id, flush=True)
time.sleep(600)
"""


@pytest.fixture
def shop(project: Project) -> Iterator[Shop]:
    opened = open_shop(project, driver="tests.coreetl_driver.killing_driver")
    yield opened
    opened.driver.close()


def accident(shop: Shop, what: str) -> None:
    Path(f"{shop.file}.accident").write_text(what)


def until_connected(shop: Shop, execution_id: str) -> None:
    """Until the worker has the source open, which is after it has read what accident it has."""
    deadline = time.monotonic() + 120
    while not has_open(shop, execution_id):
        assert time.monotonic() < deadline, shop.driver.get_logs(execution_id)
        time.sleep(0.02)


def has_open(shop: Shop, execution_id: str) -> bool:
    if "reading table orders" not in shop.driver.get_logs(execution_id):
        return False
    for each in Path(f"/proc/{worker_of(shop.project, execution_id).pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if each.readlink() == shop.file:
                return True
    return False


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    opened = Nursery()
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=["append", "merge", "overwrite"])
def growing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, nursery: Nursery
) -> Iterator[Shop]:
    """A shop whose table has its first orders already; each test sells more."""
    project = open_project(tmp_path_factory.mktemp(request.param))
    project.playground.create_namespace("dd")
    opened = open_shop(project)
    opened.sell(*orders(range(5), "00:00"))
    cursor = None if request.param == "overwrite" else "at"
    with nursery.used():
        first = opened.run(opened.spec(request.param, cursor, chunk_rows=2))
    assert (first.status, first.error, first.rows_written) == (SUCCEEDED, None, 5)
    yield opened
    opened.driver.close()


def changes(shop: Shop, number: int, now: str) -> list[Order]:
    """An order that changes, where the job's mode can tell."""
    (job,) = shop.driver.list_jobs(ENVIRONMENT, [JOB])
    return [] if job.spec.sink.mode is SinkMode.APPEND else [(0, f"{number}.50", now)]


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_at_any_point_has_written_all_or_nothing_and_the_next_run_does_it_all(
    growing: Shop, nursery: Nursery, point: str
) -> None:
    shop, before = growing, growing.rows()
    number = len(shop.source_rows())
    now = f"{number // 60:02}:{number % 60:02}"
    shop.sell(*orders(range(number, number + 5), now), *changes(shop, number, now))
    nursery.point = point if point in IN_THE_WORKER else ""
    with ExitStack() as stack:
        stack.enter_context(nursery.used())
        if point in IN_THE_ENDPOINT:
            died = stack.enter_context(dying_at_the_commit(point, lambda id_: worker_of(shop.project, id_)))
        killed = shop.run()
    nursery.point = ""
    if point in IN_THE_ENDPOINT:
        assert died == [killed.execution_id]
    else:
        assert f"killed: {point}" in shop.driver.get_logs(killed.execution_id)
    if point in WRITTEN:
        assert (killed.status, killed.error) == (SUCCEEDED, None)
        assert shop.rows() != before
    else:
        assert (killed.status, killed.error) == (FAILED, "the worker process ended by signal 9 before it was done")
        assert shop.rows() == before
    scratch = shop.project.settings.state / "coreetl" / "executions" / killed.execution_id
    assert not list(scratch.glob("*/scratch"))
    with nursery.used():
        after = shop.run()
    assert (after.status, after.error) == (SUCCEEDED, None)
    assert shop.rows() == shop.source_rows()


def test_a_stopped_run_has_written_nothing(shop: Shop) -> None:
    shop.sell(*orders([1, 2, 3]))
    shop.apply(shop.spec("append"))
    accident(shop, "hold 1")
    running = shop.driver.run_job(JOB, ENVIRONMENT)
    until_connected(shop, running.execution_id)
    (stopped,) = shop.driver.stop_job(JOB, ENVIRONMENT)
    assert stopped.status is ExecutionStatus.CANCELLED
    assert shop.snapshots() == []
    folder = shop.project.settings.state / "coreetl" / "executions" / running.execution_id
    assert not list(folder.glob("*/scratch"))


def test_a_driver_killed_in_the_middle_is_replaced_and_no_row_is_lost_or_doubled(shop: Shop) -> None:
    shop.sell(*orders([1, 2, 3]))
    shop.apply(shop.spec("append", chunk_rows=1))
    accident(shop, "hold 2")
    connection = f'{{"uri": "sqlite:///{shop.file}", "driver": "tests.coreetl_driver.killing_driver"}}'
    arguments = [str(shop.project.settings.root), connection, JOB, ENVIRONMENT]
    command = [sys.executable, "-c", RUN_AND_HANG, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    execution_id = process.stdout.readline().strip()
    until_connected(shop, execution_id)
    worker: Owner = worker_of(shop.project, execution_id)
    process.send_signal(signal.SIGKILL)
    process.wait()
    accident(shop, "none 0")
    shop.sell(*orders([4], "11:00"))
    (found,) = shop.driver.recover()
    assert (found.execution_id, found.attempt) == (execution_id, 2)
    done = shop.driver.wait(execution_id, 60)
    assert (done.status, done.rows_written) == (SUCCEEDED, 4)
    assert not worker.is_alive
    assert shop.rows() == shop.source_rows()


def test_two_runs_at_once_do_not_write_the_same_rows_twice(shop: Shop) -> None:
    shop.sell(*orders([1, 2, 3]))
    shop.apply(shop.spec("append"))
    accident(shop, "hold 99")  # has read all, has not committed
    slow = shop.driver.run_job(JOB, ENVIRONMENT)
    until_connected(shop, slow.execution_id)
    accident(shop, "none 0")
    assert shop.run().rows_written == 3
    Path(f"{shop.file}.go").touch()
    late = shop.driver.wait(slow.execution_id, 60)
    assert late.status is FAILED
    assert "another run has moved the cursor of 'dd.orders'" in str(late.error)
    assert shop.rows() == shop.source_rows()
    assert shop.run().rows_written == 0


def test_a_commit_without_its_cursor_is_denied(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from coreetl_driver import catalog_endpoint
    from coreetl_driver.catalog_endpoint import Grant, Pass
    from coreetl_driver.warehouse import WarehouseError

    monkeypatch.setattr(catalog_endpoint, "_NOTE_TIMEOUT_S", 0.01)
    grant = Grant("e", JOB, ENVIRONMENT, {PLAYGROUND: {}}, "", (), PLAYGROUND, "dd.orders", keeps_cursor=True)
    with pytest.raises(WarehouseError, match="has not said how far it has read") as denied:
        CatalogEndpoint().commit(Pass(grant, "token", "http://x"), PLAYGROUND, ("dd",), "orders", {})
    assert denied.value.status == 403
