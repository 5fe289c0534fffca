"""A driver that was taken for dead, and is not: what it still runs must not write any more."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from coreetl_driver import ExecutionStatus, supervising
from coreetl_driver.driver import Driver
from tests.coreetl_driver.conftest import ENVIRONMENT, Project
from tests.coreetl_driver.test_recovery import until_writing, worker_of

# Some seconds on any machine.
SLOW = (
    "SELECT order_id, qty FROM raw.orders WHERE (SELECT sum(a.id * b.id % 7) FROM range(30000) a, range(30000) b) > 0"
)
OTHER = "elsewhere+00000000/1/1"


def test_an_execution_that_is_another_drivers_now_cannot_commit_here(
    driver: Driver, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "HEARTBEAT_S", 600.0)  # this driver does not look whether it still owns it
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(SLOW, mode="append"), {})
    execution = driver.run_job("a_job", ENVIRONMENT)
    until_writing(driver, execution.execution_id)
    worker = worker_of(project, execution.execution_id)
    with closing(sqlite3.connect(project.settings.state / "coreetl.db")) as connection, connection:
        taken = "UPDATE coreetl_executions SET owner = ?, attempt = 2 WHERE execution_id = ?"
        connection.execute(taken, (OTHER, execution.execution_id))
    deadline = time.monotonic() + 60
    while worker.is_alive:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert project.playground.load_table("dd.daily").metadata.snapshots == []
    found = driver.get_execution(execution.execution_id)
    assert (found.status, found.attempt, found.error) == (ExecutionStatus.RUNNING, 2, None), "the other one tells"


def test_an_execution_whose_registry_does_not_answer_cannot_commit(driver: Driver, project: Project) -> None:
    """Whether it is still this driver's cannot be known."""
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(SLOW, mode="append"), {})
    execution = driver.run_job("a_job", ENVIRONMENT)
    until_writing(driver, execution.execution_id)
    trigger = "CREATE TRIGGER broken BEFORE UPDATE OF heartbeat_at ON coreetl_executions"
    broken = f"{trigger} BEGIN SELECT RAISE(ABORT, 'away'); END"
    with closing(sqlite3.connect(project.settings.state / "coreetl.db")) as connection, connection:
        connection.execute(broken)
    failed = driver.wait(execution.execution_id, 60)
    assert failed.status is ExecutionStatus.FAILED
    assert "its job registry does not answer" in str(failed.error)
    assert project.playground.load_table("dd.daily").metadata.snapshots == []
