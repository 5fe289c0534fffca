"""A job that is stopped while its data files are being written: the table is what it was, and the next run is whole."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver import ExecutionStatus, SinkMode
from coreetl_driver.driver import Driver
from tests.coreetl_driver.conftest import ENVIRONMENT, PLAYGROUND, Project

JOB = "daily_job"
# Rows without end, each of which is written as it comes.
ROWS = """
SELECT concat('order-', CAST(a.id AS string)) AS order_id, a.id * 1000000 + b.id AS qty
FROM range(4000000) a CROSS JOIN range(4000000) b
"""
# A merge counts its rows before it writes them: many, but not without end.
MANY_ROWS = "SELECT concat('order-', CAST(id AS string)) AS order_id, id AS qty FROM range(6000000)"
FEW_ROWS = "SELECT 'x' AS order_id, CAST(1 AS bigint) AS qty"


def data_files(project: Project) -> set[Path]:
    """Those, too, that are not whole yet: their names end in #1."""
    return set((project.settings.state / "warehouse" / PLAYGROUND).rglob("*.parquet*"))


def table(project: Project) -> Any:
    return project.playground.load_table("dd.daily")


@pytest.mark.parametrize("mode", list(SinkMode))
def test_a_job_stopped_while_it_writes_leaves_the_table_as_it_was(
    driver: Driver, project: Project, mode: SinkMode
) -> None:
    driver.create_job(JOB, ENVIRONMENT, "daily", project.spec(FEW_ROWS, mode=mode.value), {})
    assert driver.wait(driver.run_job(JOB, ENVIRONMENT).execution_id, 60).status is ExecutionStatus.SUCCEEDED
    before, files = table(project).metadata_location, data_files(project)
    long = MANY_ROWS if mode is SinkMode.MERGE else ROWS
    driver.update_job(JOB, ENVIRONMENT, project.spec(long, mode=mode.value), {})
    running = driver.run_job(JOB, ENVIRONMENT)
    deadline = time.monotonic() + 120
    while data_files(project) == files:
        assert time.monotonic() < deadline, driver.get_logs(running.execution_id)
        time.sleep(0.01)
    (stopped,) = driver.stop_job(JOB, ENVIRONMENT)
    assert stopped.status is ExecutionStatus.CANCELLED
    assert table(project).metadata_location == before
    assert project.rows() == [{"order_id": "x", "qty": 1}]
    driver.update_job(JOB, ENVIRONMENT, project.spec(FEW_ROWS.replace("'x'", "'y'"), mode=mode.value), {})
    assert driver.wait(driver.run_job(JOB, ENVIRONMENT).execution_id, 60).status is ExecutionStatus.SUCCEEDED
    kept = [] if mode in (SinkMode.OVERWRITE, SinkMode.OVERWRITE_PARTITIONS) else [{"order_id": "x", "qty": 1}]
    assert project.rows() == [*kept, {"order_id": "y", "qty": 1}]
