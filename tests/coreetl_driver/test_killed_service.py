"""A service that dies at the worst moment, with ten jobs running: none is lost, none writes twice."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coreetl_driver import Execution
from coreetl_driver.client import DriverClient
from dcp_core.settings import Secret
from tests.coreetl_driver.conftest import ENVIRONMENT, Project, make_table
from tests.coreetl_driver.serving_process import serving

TOKEN = "a-token-0123456789"
CONFIG = """\
[coreetl_tokens.alice]
token = "${COREETL_TOKEN}"
environments = ["playground_*"]
"""
COUNT = 10
JOBS = [f"job_{number}" for number in range(COUNT)]
DEADLINE_S = 200.0


def run_all(driver: DriverClient) -> list[Execution]:
    """Each with its key: what a caller does again who got no answer."""
    return [driver.run_job(job, ENVIRONMENT, idempotency_key=f"run-of-{job}") for job in JOBS]


def until_one_has_ended(driver: DriverClient) -> Counter[str]:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        statuses = Counter(execution.status.value for execution in driver.list_executions(environment=ENVIRONMENT))
        if statuses["SUCCEEDED"]:
            return statuses
        assert time.monotonic() < deadline
        time.sleep(0.02)


def check(ended: list[Execution], driver: DriverClient) -> None:
    assert [(each.status, each.error, each.rows_written) for each in ended] == [("SUCCEEDED", None, 3)] * COUNT
    assert {each.attempt for each in ended} <= {1, 2}
    assert any(each.attempt == 2 for each in ended), "some had to be run again"
    assert len(driver.list_executions(environment=ENVIRONMENT)) == COUNT


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def test_a_service_killed_while_ten_jobs_run_loses_none_and_repeats_none(project: Project, tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text(CONFIG)
    environ = {"COREETL_TOKEN": TOKEN}
    for job in JOBS:
        make_table(project, f"dd.{job}")
    port = str(free_port())
    with serving(tmp_path, "--grpc-port", port, environ=environ) as first, ThreadPoolExecutor() as pool:
        driver = DriverClient(first.urls["grpc_url"], Secret(TOKEN))
        for number, job in enumerate(JOBS):
            sql = f"SELECT order_id, qty * {number} AS qty FROM raw.orders"
            driver.create_job(job, ENVIRONMENT, job, project.spec(sql, f"dd.{job}", mode="append"), {})
        started = run_all(driver)
        waiting = [pool.submit(driver.wait, execution.execution_id) for execution in started]
        statuses = until_one_has_ended(driver)
        os.kill(first.process.pid, signal.SIGKILL)
        assert sum(statuses.values()) == COUNT
        assert statuses["SUCCEEDED"] < COUNT, "the others were running"
        first.process.wait()
        with serving(tmp_path, "--grpc-port", port, environ=environ) as second:
            again = DriverClient(second.urls["grpc_url"], Secret(TOKEN))
            again.get_execution(started[0].execution_id)  # this one asks until the service is found again
            assert [execution.execution_id for execution in run_all(again)] == [each.execution_id for each in started]
            ended = [again.wait(execution.execution_id, DEADLINE_S) for execution in started]
            assert [each.result(DEADLINE_S) for each in waiting] == ended, "who was waiting waited on"
            check(ended, again)
            second.process.send_signal(signal.SIGTERM)
            assert second.process.wait(30) == 0
            for each in (driver, again):
                each.close()

    for number, job in enumerate(JOBS):
        rows = [(row["order_id"], row["qty"]) for row in project.rows(f"dd.{job}")]
        assert (job, rows) == (job, [("a", number), ("b", 2 * number), ("c", 3 * number)])
        snapshots = project.playground.load_table(f"dd.{job}").metadata.snapshots
        assert len(snapshots) == 1, "one commit each"
