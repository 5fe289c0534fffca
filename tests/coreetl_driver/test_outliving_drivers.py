"""Backends whose attempts outlive the driver, or that are away: nothing is lost, run twice, or forgotten."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from coreetl_driver import Execution, ExecutionStatus, supervising
from coreetl_driver.driver import Driver
from coreetl_driver.job_registry import JobRegistry
from coreetl_driver.owners import Owner
from dcp_core.errors import NotSupportedError, TransientError, UnauthorizedError
from dcp_core.settings import Secret
from tests.coreetl_driver.away import Away, Personal
from tests.coreetl_driver.conftest import ENVIRONMENT, Project
from tests.coreetl_driver.outliving import Outliving
from tests.coreetl_driver.test_backends import install

ROOT = Path(__file__).parents[2]
SQL = "SELECT order_id, qty FROM raw.orders"
# Seconds of DuckDB on any machine, and no rows.
SLOW = "SELECT order_id, qty FROM raw.orders WHERE (SELECT sum(a.n * b.n % 7) FROM raw.numbers a, raw.numbers b) < 0"
# The driver runs each job, says so and hangs.
RUN_AND_HANG = """
import sys, time
from pathlib import Path
from coreetl_driver.driver import Driver
from dcp_core.settings import Settings
driver = Driver(Settings(Path(sys.argv[1]), {}, {}))
print(*[driver.run_job(job, "playground_alice").execution_id for job in sys.argv[2:]], flush=True)
time.sleep(600)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the backends of these tests are installed."""
    folder = tmp_path / "site"
    install(folder, "outliving", "outliving", "tests.coreetl_driver.outliving:Outliving")
    install(folder, "away", "away", "tests.coreetl_driver.away:Away")
    install(folder, "personal", "personal", "tests.coreetl_driver.away:Personal")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(supervising, "REPORT_AFTER_S", 0.0)
    return folder


@pytest.fixture
def another(project: Project, site: Path) -> Iterator[Callable[[], Driver]]:
    """Makes drivers, as a restart does."""
    made: list[Driver] = []

    def start() -> Driver:
        made.append(Driver(project.settings))
        return made[-1]

    yield start
    for driver in made:
        driver.close()


def create(driver: Driver, project: Project, backend: str, sql: str = SQL, job: str = "a_job") -> None:
    spec = project.spec(sql, mode="append", compute={"backend": backend})
    driver.create_job(job, ENVIRONMENT, job, spec, {})


def hang(project: Project, site: Path, *jobs: str) -> tuple[subprocess.Popen[str], list[str]]:
    """Another driver that runs jobs, and their executions."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    command = [sys.executable, "-c", RUN_AND_HANG, str(project.settings.root), *jobs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    assert process.stdout is not None
    execution_ids = process.stdout.readline().split()
    assert len(execution_ids) == len(jobs)
    return process, execution_ids


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def sql(project: Project, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(project.settings.state / "coreetl.db")) as connection, connection:
        connection.execute(statement, values)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def submissions(project: Project) -> int:
    return len(list((project.settings.state / "outliving").iterdir()))


def summary(execution: Execution) -> tuple[ExecutionStatus, int | None, int, str | None]:
    return execution.status, execution.rows_written, execution.attempt, execution.error


def test_ten_runs_whose_driver_is_killed_are_taken_up_and_each_writes_once(
    another: Callable[[], Driver], project: Project, site: Path
) -> None:
    first = another()
    jobs = [f"job_{number}" for number in range(10)]
    for job in jobs:
        create(first, project, "outliving", job=job)
    process, execution_ids = hang(project, site, *jobs)
    kill(process)
    # Of one the driver died before it had noted the handle: the attempt is found by submitting it again.
    sql(project, "UPDATE coreetl_executions SET handle = NULL WHERE execution_id = ?", execution_ids[0])
    assert len(another().recover()) == 10
    done = [first.wait(execution_id, 100) for execution_id in execution_ids]
    # All of them append to one table at once: a commit that loses the race says so, and is not half made. How many
    # lose is the machine's affair; one wins.
    written = [each for each in done if each.status is ExecutionStatus.SUCCEEDED]
    assert {each.attempt for each in done} == {1}
    assert written, [each.error for each in done]
    assert submissions(project) == 10
    assert len(project.rows()) == 3 * len(written)
    assert {each.rows_written for each in written} == {3}


def test_closing_a_driver_lets_its_runs_go_on_and_the_next_one_takes_them_up(
    another: Callable[[], Driver], project: Project
) -> None:
    first = another()
    create(first, project, "outliving")
    running = first.run_job("a_job", ENVIRONMENT)
    first.close()
    following = another()
    (found,) = following.recover()
    assert found.execution_id == running.execution_id
    assert summary(following.wait(running.execution_id, 60)) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
    assert (submissions(project), len(project.rows())) == (1, 3)
    assert "attempt-1" in following.get_logs(running.execution_id)


def test_a_later_run_waits_for_one_that_was_taken_up(another: Callable[[], Driver], project: Project) -> None:
    first = another()
    create(first, project, "outliving")
    running = first.run_job("a_job", ENVIRONMENT)
    first.close()
    following = another()
    later = following.run_job("a_job", ENVIRONMENT)
    done = [following.wait(each.execution_id, 60) for each in (running, later)]
    assert [summary(each) for each in done] == [(ExecutionStatus.SUCCEEDED, 3, 1, None)] * 2
    assert done[0].finished_at is not None
    assert done[1].started_at is not None
    assert done[0].finished_at <= done[1].started_at


@pytest.mark.parametrize("is_committed", [True, False])
def test_an_attempt_that_its_backend_has_lost_is_judged_by_the_table(
    another: Callable[[], Driver], project: Project, is_committed: bool
) -> None:
    first = another()
    create(first, project, "outliving")
    execution_id = first.run_job("a_job", ENVIRONMENT).execution_id
    if is_committed:
        assert first.wait(execution_id, 60).status is ExecutionStatus.SUCCEEDED
    first.close()
    (attempt_1,) = (project.settings.state / "outliving").iterdir()
    Outliving(project.settings).cancel(attempt_1.name)  # lost is not alive: the next attempt has the table to itself
    sql(project, "UPDATE coreetl_executions SET status = 'RUNNING', owner = NULL, handle = 'a-lost-one'")
    following = another()
    following.recover()
    status, rows, attempt, _ = summary(following.wait(execution_id, 60))
    assert (status, rows) == (ExecutionStatus.SUCCEEDED, 3)
    # On a busy machine it may have committed before it was killed.
    assert attempt in ((1,) if is_committed else (1, 2))


def test_a_stop_that_was_asked_for_while_no_driver_ran_reaches_the_attempt(
    another: Callable[[], Driver], project: Project
) -> None:
    project.production.create_table("raw.numbers", schema=numbers().schema).append(numbers())
    first = another()
    create(first, project, "outliving", SLOW)
    execution_id = first.run_job("a_job", ENVIRONMENT).execution_id
    first.close()
    (stopped,) = another().stop_job("a_job", ENVIRONMENT)
    assert (stopped.execution_id, stopped.status) == (execution_id, ExecutionStatus.CANCELLED)
    assert project.rows() == []


def test_a_stop_from_another_process_than_the_one_that_runs_it(
    another: Callable[[], Driver], project: Project, site: Path
) -> None:
    project.production.create_table("raw.numbers", schema=numbers().schema).append(numbers())
    driver = another()
    create(driver, project, "outliving", SLOW)
    process, (execution_id,) = hang(project, site, "a_job")
    try:
        assert driver.get_logs(execution_id) == "-- attempt-1\n"  # asked of the backend: it has said nothing yet
        (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
        assert (stopped.execution_id, stopped.status) == (execution_id, ExecutionStatus.CANCELLED)
    finally:
        kill(process)


def numbers() -> object:
    import pyarrow as pa

    return pa.table({"n": pa.array(range(300_000), pa.int64())})


def test_a_submission_whose_answer_is_lost_is_repeated_and_starts_nothing_twice(
    another: Callable[[], Driver], project: Project
) -> None:
    driver = another()
    create(driver, project, "away")
    (project.settings.state / "mute").touch()
    done = driver.wait(driver.run_job("a_job", ENVIRONMENT).execution_id, 60)
    assert summary(done) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
    assert (submissions(project), len(project.rows())) == (1, 3)


def test_a_backend_that_is_away_is_reported_and_asked_until_it_answers(
    another: Callable[[], Driver], project: Project
) -> None:
    driver = another()
    create(driver, project, "away")
    away = project.settings.state / "away"
    away.touch()
    execution_id = driver.run_job("a_job", ENVIRONMENT).execution_id
    until(lambda: "does not answer" in str(driver.get_execution(execution_id).error))
    waiting = driver.get_execution(execution_id)
    assert waiting.status is ExecutionStatus.PENDING
    assert "backend 'away' does not answer, and is asked again and again: 503" in str(waiting.error)
    away.unlink()
    until(lambda: driver.get_execution(execution_id).status is ExecutionStatus.RUNNING)
    away.touch()
    until(lambda: "does not answer" in str(driver.get_execution(execution_id).error))
    assert driver.get_execution(execution_id).status is ExecutionStatus.RUNNING
    away.unlink()
    assert summary(driver.wait(execution_id, 60)) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
    assert submissions(project) == 1


def test_a_stop_reaches_a_backend_that_was_away_when_it_was_asked_for(
    another: Callable[[], Driver], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coreetl_driver.driver.STOP_TIMEOUT_S", 0.2)
    driver = another()
    create(driver, project, "away")
    away = project.settings.state / "away"
    away.touch()
    execution_id = driver.run_job("a_job", ENVIRONMENT).execution_id
    (unclear,) = driver.stop_job("a_job", ENVIRONMENT)
    assert unclear.status is ExecutionStatus.PENDING  # nobody knows whether it runs
    away.unlink()
    assert driver.wait(execution_id, 60).status is ExecutionStatus.CANCELLED
    assert project.rows() == []


def test_a_backend_that_acts_as_the_user_gets_the_token_and_after_a_restart_waits_for_it(
    another: Callable[[], Driver], project: Project
) -> None:
    first = another()
    create(first, project, "personal")
    with pytest.raises(UnauthorizedError, match="acts as you"):
        first.run_job("a_job", ENVIRONMENT)
    execution_id = first.run_job("a_job", ENVIRONMENT, user_token=Personal.token, user="alice").execution_id
    first.close()
    following = another()
    assert following.recover() == ()
    waiting = following.wait(execution_id, 0.3)
    assert waiting.status is ExecutionStatus.RUNNING
    assert "needs its user's token" in str(waiting.error)
    following.run_job("a_job", ENVIRONMENT, user_token=Personal.token, user="alice", idempotency_key="next")
    assert summary(following.wait(execution_id, 60)) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
    for file in project.settings.state.rglob("*"):
        assert not file.is_file() or b"dapi-of-alice" not in file.read_bytes(), file


def test_nobody_goes_on_with_somebody_elses_run_with_a_token_of_his_own(
    another: Callable[[], Driver], project: Project
) -> None:
    first = another()
    create(first, project, "personal")
    execution_id = first.run_job("a_job", ENVIRONMENT, user_token=Personal.token, user="alice").execution_id
    first.close()
    following = another()
    following.run_job("a_job", ENVIRONMENT, user_token=Secret("of bob"), user="bob")
    assert "needs its user's token" in str(following.get_execution(execution_id).error)


def test_what_a_backend_cannot_do_is_refused_before_anything_is_submitted(
    another: Callable[[], Driver], project: Project
) -> None:
    driver = another()
    merge = project.spec(SQL, mode="merge", compute={"backend": "outliving"})
    driver.create_job("merges", ENVIRONMENT, "x", merge, {})
    with pytest.raises(NotSupportedError, match="'outliving' does not merge, only: append, overwrite"):
        driver.run_job("merges", ENVIRONMENT)
    overlaid = attrs.evolve(project.spec(SQL, mode="append"), read_overlay=[merge.sink.catalog])
    driver.create_job("overlaid", ENVIRONMENT, "x", attrs.evolve(overlaid, compute=merge.compute), {})
    with pytest.raises(NotSupportedError, match="reads production only") as refused:
        driver.run_job("overlaid", ENVIRONMENT)
    assert "[[coreetl.routes]]" in str(refused.value.hint)
    assert driver.list_executions() == ()


def test_a_registry_of_the_first_version_is_upgraded_and_keeps_what_runs(
    another: Callable[[], Driver], project: Project
) -> None:
    driver = another()
    create(driver, project, "outliving")
    done = driver.wait(driver.run_job("a_job", ENVIRONMENT).execution_id, 60)
    driver.close()
    sql(project, "ALTER TABLE coreetl_executions RENAME COLUMN handle TO worker")
    sql(project, "ALTER TABLE coreetl_executions DROP COLUMN unsubmitted_attempt")
    sql(project, "UPDATE coreetl_executions SET worker = ?", str(Owner.current()))
    sql(project, "UPDATE coreetl_schema SET version = 1")
    registry = JobRegistry(f"sqlite:///{project.settings.state}/coreetl.db")
    run = registry.get_run(done.execution_id)
    registry.close()
    assert (run.execution, run.handle) == (done, str(Owner.current()))


def test_a_service_that_asks_for_time_is_given_it(
    another: Callable[[], Driver], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def busy(self: Away) -> None:
        asked.append(time.monotonic())
        if len(asked) < 3:
            raise TransientError("429, too many requests", retry_after_s=0.5)

    monkeypatch.setattr(Away, "_answer", busy)
    driver = another()
    create(driver, project, "away")
    done = driver.wait(driver.run_job("a_job", ENVIRONMENT).execution_id, 60)
    assert summary(done) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
    assert min(later - earlier for earlier, later in itertools.pairwise(asked[:3])) >= 0.5
