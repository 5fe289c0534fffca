"""Drivers that die while their jobs run: nothing is lost, nothing is written twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs

from coreetl_driver import ExecutionStatus
from coreetl_driver.catalog_endpoint import CatalogEndpoint
from coreetl_driver.driver import Driver
from coreetl_driver.job_registry import JobRegistry
from coreetl_driver.owners import Owner
from coreetl_driver.supervising import MAX_ATTEMPTS
from tests.coreetl_driver.conftest import ENDLESS, ENVIRONMENT, PLAYGROUND, PRODUCTION, Project

SQL = "SELECT order_id, qty FROM raw.orders"
RUN_AND_HANG = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from coreetl_driver.driver import Driver
from dcp_core.settings import Settings
driver = Driver(Settings(Path(sys.argv[2]), {}, {}))
execution = driver.run_job("a_job", sys.argv[3])
print(execution.execution_id, flush=True)
time.sleep(600)
"""


def other_driver(project: Project) -> tuple[subprocess.Popen[str], str]:
    """Another process that runs the job, and the execution's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_AND_HANG, str(Path(__file__).parents[2]), str(project.settings.root), ENVIRONMENT],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    execution_id = process.stdout.readline().strip()
    assert execution_id
    return process, execution_id


def until_writing(driver: Driver, execution_id: str) -> None:
    deadline = time.monotonic() + 60
    while "writing to" not in driver.get_logs(execution_id):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def worker_of(project: Project, execution_id: str) -> Owner:
    registry = JobRegistry(f"sqlite:///{project.settings.state}/coreetl.db")
    worker = Owner.parse(registry.get_run(execution_id).handle)
    registry.close()
    assert worker is not None
    return worker


def test_a_driver_killed_in_the_middle_of_a_run_is_replaced_by_the_next_one(driver: Driver, project: Project) -> None:
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(ENDLESS, mode="append"), {})
    process, execution_id = other_driver(project)
    try:
        until_writing(driver, execution_id)
        worker = worker_of(project, execution_id)
        assert driver.recover() == ()  # its owner lives
        assert driver.get_execution(execution_id).status is ExecutionStatus.RUNNING
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    driver.update_job("a_job", ENVIRONMENT, project.spec(SQL, mode="append"), {})
    (found,) = driver.recover()
    assert (found.execution_id, found.attempt, found.job_version) == (execution_id, 2, 1)
    assert found.status is ExecutionStatus.RUNNING
    assert not worker.is_alive
    (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
    assert stopped.status is ExecutionStatus.CANCELLED
    logs = driver.get_logs(execution_id)
    assert "-- attempt-1" in logs
    assert "-- attempt-2" in logs


def test_a_run_whose_driver_died_before_it_wrote_is_run_again_and_writes_once(driver: Driver, project: Project) -> None:
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(SQL, mode="append"), {})
    process, execution_id = other_driver(project)
    process.send_signal(signal.SIGKILL)  # the worker is still starting
    process.wait()
    new = driver.run_job("a_job", ENVIRONMENT)  # recovers the lost one first
    done = [driver.wait(found, 60) for found in (execution_id, new.execution_id)]
    assert [execution.status for execution in done] == [ExecutionStatus.SUCCEEDED] * 2
    assert (done[0].attempt, done[1].attempt) == (2, 1)
    assert done[0].finished_at is not None
    assert done[1].started_at is not None
    assert done[0].finished_at <= done[1].started_at  # at once, one would fail with the other's commit
    assert len(project.rows()) == 6


def test_what_waits_for_a_recovered_run_can_be_stopped_and_is_handed_over_with_it(project: Project) -> None:
    first = Driver(project.settings)
    first.create_job("a_job", ENVIRONMENT, "a", project.spec(ENDLESS), {})
    process, lost = other_driver(project)
    process.kill()
    process.wait()
    waiting = first.run_job("a_job", ENVIRONMENT)
    assert waiting.status is ExecutionStatus.PENDING
    first.close()
    second = Driver(project.settings)
    assert [each.execution_id for each in second.recover()] == [lost, waiting.execution_id]
    assert second.get_execution(waiting.execution_id).status is ExecutionStatus.PENDING
    stopped = second.stop_job("a_job", ENVIRONMENT)
    assert {(each.execution_id, each.status) for each in stopped} == {
        (lost, ExecutionStatus.CANCELLED), (waiting.execution_id, ExecutionStatus.CANCELLED)
    }  # fmt: skip
    second.close()


def test_a_run_that_had_committed_when_its_driver_died_has_succeeded(driver: Driver, project: Project) -> None:
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(SQL, mode="append"), {})
    done = driver.wait(driver.run_job("a_job", ENVIRONMENT).execution_id, 60)
    assert done.rows_written == 3
    _pretend_lost(project, done.execution_id, "RUNNING")
    (found,) = driver.recover()
    assert (found.status, found.rows_written, found.attempt) == (ExecutionStatus.SUCCEEDED, 3, 1)
    assert len(project.rows()) == 3


def test_a_lost_run_whose_stop_was_asked_for_is_cancelled(driver: Driver, project: Project) -> None:
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(ENDLESS), {})
    process, execution_id = other_driver(project)
    until_writing(driver, execution_id)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
    assert (stopped.execution_id, stopped.status) == (execution_id, ExecutionStatus.CANCELLED)
    assert project.playground.load_table("dd.daily").metadata.snapshots == []


def test_a_run_is_stopped_from_another_process_than_the_one_that_runs_it(driver: Driver, project: Project) -> None:
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(ENDLESS), {})
    process, execution_id = other_driver(project)
    try:
        until_writing(driver, execution_id)
        worker = worker_of(project, execution_id)
        (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
        assert (stopped.execution_id, stopped.status) == (execution_id, ExecutionStatus.CANCELLED)
        assert process.poll() is None
        assert not worker.is_alive
    finally:
        process.kill()
        process.wait()


def test_a_run_that_is_lost_again_and_again_fails_and_says_so(driver: Driver, project: Project) -> None:
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec("SELECT nope FROM raw.orders"), {})
    failed = driver.wait(driver.run_job("a_job", ENVIRONMENT).execution_id, 60)
    _pretend_lost(project, failed.execution_id, "RUNNING", attempt=MAX_ATTEMPTS)
    (found,) = driver.recover()
    assert found.status is ExecutionStatus.FAILED
    assert "given up after 3 attempts" in str(found.error)


def test_closing_a_driver_hands_its_runs_over(project: Project) -> None:
    first = Driver(project.settings)
    first.create_job("a_job", ENVIRONMENT, "a", project.spec(ENDLESS), {})
    execution = first.run_job("a_job", ENVIRONMENT)
    until_writing(first, execution.execution_id)
    worker = worker_of(project, execution.execution_id)
    first.close()
    assert not worker.is_alive
    second = Driver(project.settings)
    (found,) = second.recover()
    assert (found.execution_id, found.attempt) == (execution.execution_id, 2)
    second.stop_job("a_job", ENVIRONMENT)
    second.close()


def test_a_worker_ends_by_itself_when_its_driver_is_killed(driver: Driver, project: Project) -> None:
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(ENDLESS), {})
    process, execution_id = other_driver(project)
    until_writing(driver, execution_id)
    worker = worker_of(project, execution_id)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while worker.is_alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not worker.is_alive


def test_a_process_is_told_from_another_that_got_its_pid() -> None:
    me = Owner.current()
    assert me.is_alive
    assert Owner.parse(str(me)) == me
    assert not attrs.evolve(me, started=me.started + 1).is_alive
    assert not attrs.evolve(me, host="elsewhere").is_local
    attrs.evolve(me, started=me.started + 1).kill_group()
    assert os.getpid() == me.pid


def test_stored_jobs_and_logs_hold_no_secret(project: Project) -> None:
    environ = {"WAREHOUSE_PASSWORD": "hunter2-hunter2"}
    settings = project.with_properties({"password": "${WAREHOUSE_PASSWORD}"}, environ)
    opened = Driver(settings)
    opened.create_job("a_job", ENVIRONMENT, "a", attrs.evolve(project, settings=settings).spec(SQL), {})
    done = opened.wait(opened.run_job("a_job", ENVIRONMENT).execution_id, 60)
    assert done.status is ExecutionStatus.SUCCEEDED
    assert "hunter2" not in opened.get_logs(done.execution_id)
    opened.close()
    for file in settings.state.rglob("*"):
        if file.is_file():
            assert b"hunter2" not in file.read_bytes(), file


def test_a_reference_that_cannot_be_resolved_fails_the_run_and_names_the_variable(
    project: Project,
) -> None:
    settings = project.with_properties({"password": "${NOT_THERE}"}, {})
    driver = Driver(settings)
    driver.create_job("a_job", ENVIRONMENT, "a", attrs.evolve(project, settings=settings).spec(SQL), {})
    failed = driver.run_job("a_job", ENVIRONMENT)
    driver.close()
    assert failed.status is ExecutionStatus.FAILED
    assert "${NOT_THERE}" in str(failed.error)


def _pretend_lost(project: Project, execution_id: str, status: str, attempt: int = 1) -> None:
    """Put an execution back to where a driver that died right now would have left it."""
    import sqlite3

    with sqlite3.connect(project.settings.state / "coreetl.db") as connection:
        connection.execute(
            "UPDATE coreetl_executions SET status = ?, attempt = ?, owner = ?, rows_written = NULL, error = NULL "
            "WHERE execution_id = ?",
            (status, attempt, str(attrs.evolve(Owner.current(), started=1)), execution_id),
        )


def test_nobody_can_read_through_a_revoked_pass(project: Project) -> None:
    from coreetl_driver.catalog_endpoint import Grant

    endpoint = CatalogEndpoint()
    catalogs = {name: project.settings.catalog_properties(name) for name in (PRODUCTION, PLAYGROUND)}
    issued = endpoint.grant(Grant("e", "j", ENVIRONMENT, catalogs, PRODUCTION))
    assert endpoint.holder(f"Bearer {issued.token}") is issued
    assert endpoint.holder(f"Basic {issued.token}") is None
    endpoint.revoke(issued)
    assert endpoint.holder(f"Bearer {issued.token}") is None
    endpoint.stop()
