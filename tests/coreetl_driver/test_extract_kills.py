"""Workers and drivers that die in the middle of an extraction: at the end the table is the source, row for row."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver import ExecutionStatus
from coreetl_driver.catalog_endpoint import CatalogEndpoint
from coreetl_driver.owners import Owner
from tests.coreetl_driver.conftest import ENVIRONMENT, PLAYGROUND, Project
from tests.coreetl_driver.extracting import JOB, Shop, open_shop, orders
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


def wait_for_log(shop: Shop, execution_id: str, words: str) -> None:
    deadline = time.monotonic() + 60
    while words not in shop.driver.get_logs(execution_id):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_worker_killed_between_any_two_chunks_leaves_nothing_and_the_next_run_does_it_all(
    shop: Shop, mode: str
) -> None:
    shop.sell(*orders([1, 2, 3]))
    shop.run(shop.spec(mode, chunk_rows=2))
    shop.sell(*orders(range(4, 10), "11:00"))
    for batch in (1, 3, 99) if mode == "append" else (2,):
        accident(shop, f"kill {batch}")
        killed = shop.run()
        assert (killed.status, killed.error) == (FAILED, "the worker process ended by signal 9 before it was done")
        assert len(shop.rows()) == 3
    accident(shop, "none 0")
    assert shop.run().status is SUCCEEDED
    assert shop.rows() == shop.source_rows()


@pytest.mark.parametrize(("mode", "moment"), [("append", "before"), ("append", "after"), ("merge", "after")])
def test_a_worker_killed_around_its_commit_has_written_all_or_nothing(
    shop: Shop, mode: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = CatalogEndpoint.commit
    killed: list[str] = []

    def and_kill(self: CatalogEndpoint, issued: Any, *rest: Any) -> Any:
        worker = worker_of(shop.project, issued.grant.execution_id)
        killed.append(issued.grant.execution_id)
        if moment == "before":
            worker.kill_group()
            raise RuntimeError("nobody is there for an answer")
        answer = commit(self, issued, *rest)
        worker.kill_group()
        return answer

    monkeypatch.setattr(CatalogEndpoint, "commit", and_kill)
    shop.sell(*orders([1, 2, 3]))
    first = shop.run(shop.spec(mode))
    assert killed == [first.execution_id]
    assert first.status is (FAILED if moment == "before" else SUCCEEDED)
    assert first.rows_written == (None if moment == "before" else 3)
    monkeypatch.undo()
    shop.sell(*orders([4], "11:00"))
    second = shop.run()
    assert (second.status, second.rows_written) == (SUCCEEDED, 4 if moment == "before" or mode == "merge" else 1)
    assert shop.rows() == shop.source_rows()


def test_workers_killed_at_any_time_and_rows_that_arrive_meanwhile_end_in_the_source_row_for_row(shop: Shop) -> None:
    shop.apply(shop.spec("append", chunk_rows=3))
    outcomes = set()
    for number in range(7):
        shop.sell(*orders(range(number * 10, number * 10 + 10), f"1{number}:00"))
        running = shop.driver.run_job(JOB, ENVIRONMENT)
        time.sleep(0.55 + 0.17 * number)  # from the start of the engine to after the commit
        if not (found := shop.driver.get_execution(running.execution_id)).status.is_final:
            worker_of(shop.project, found.execution_id).kill_group()
        outcomes.add(shop.driver.wait(running.execution_id, 60).status)
    assert outcomes <= {SUCCEEDED, FAILED}
    shop.run()
    assert shop.rows() == shop.source_rows()


def test_a_stopped_run_has_written_nothing(shop: Shop) -> None:
    shop.sell(*orders([1, 2, 3]))
    shop.apply(shop.spec("append"))
    accident(shop, "hold 1")
    running = shop.driver.run_job(JOB, ENVIRONMENT)
    wait_for_log(shop, running.execution_id, "reading table orders")
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
    wait_for_log(shop, execution_id, "reading table orders")
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
    wait_for_log(shop, slow.execution_id, "reading table orders")
    time.sleep(0.3)
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
