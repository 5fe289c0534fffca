"""What the driver itself lacks ends nothing that runs elsewhere, and a stop starts nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from coreetl_driver import ExecutionStatus, supervising
from coreetl_driver.driver import Driver
from coreetl_driver.troubles import Trouble
from dcp_core.errors import TransientError
from dcp_core.settings import Settings
from tests.coreetl_driver.conftest import ENVIRONMENT, Project
from tests.coreetl_driver.test_backends import install
from tests.coreetl_driver.test_outliving_drivers import SLOW, SQL, create, numbers, sql, submissions, summary, until

DONE = (ExecutionStatus.SUCCEEDED, 3, 1, None)


@pytest.fixture
def another(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Settings | None], Driver]]:
    """Makes drivers, as a restart does, with the project's settings or others."""
    install(tmp_path / "site", "refusing", "refusing", "tests.coreetl_driver.refusing:Refusing")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(supervising, "REPORT_AFTER_S", 0.0)
    monkeypatch.setattr(supervising, "HEARTBEAT_S", 0.2)
    made: list[Driver] = []

    def start(settings: Settings | None = None) -> Driver:
        made.append(Driver(settings or project.settings))
        return made[-1]

    yield start
    for driver in made:
        driver.close()


Another = Callable[..., Driver]


@pytest.fixture
def slow(project: Project) -> str:
    """A query that runs for seconds."""
    project.production.create_table("raw.numbers", schema=numbers().schema).append(numbers())  # type: ignore[attr-defined]
    return SLOW


@pytest.fixture
def changed(project: Project) -> Settings:
    """Settings that refuse what was begun with those of the project: catalogs that differ, and name no variable."""
    return project.with_properties({"password": "${NOT_THERE}"}, {})


def flag(project: Project, name: str) -> Path:
    return project.settings.state / name


def started(driver: Driver) -> str:
    return driver.run_job("a_job", ENVIRONMENT).execution_id


def asked(project: Project) -> int:
    """How often the service has taken something."""
    return submissions(project) if flag(project, "outliving").exists() else 0


def error_of(driver: Driver, execution_id: str) -> str:
    return str(driver.get_execution(execution_id).error)


def test_settings_that_change_between_two_drivers_do_not_end_what_runs(
    another: Another, project: Project, changed: Settings
) -> None:
    first = another()
    create(first, project, "refusing")
    execution_id = started(first)
    first.close()
    following = another(changed)
    assert [each.execution_id for each in following.recover()] == [execution_id]
    assert summary(following.wait(execution_id, 60)) == DONE
    assert (asked(project), len(project.rows())) == (1, 3)


def test_what_runs_is_stopped_by_a_driver_with_other_settings(another: Another, project: Project, slow: str) -> None:
    first = another()
    create(first, project, "refusing", slow)
    started(first)
    first.close()
    other = another(project.with_properties({"header.x": "y"}, {}))
    (stopped,) = other.stop_job("a_job", ENVIRONMENT)
    assert stopped.status is ExecutionStatus.CANCELLED
    assert project.rows() == []


def test_whether_what_was_lost_has_committed_is_known_when_its_catalog_can_be_asked(
    another: Another, project: Project, changed: Settings
) -> None:
    first = another()
    create(first, project, "refusing")
    execution_id = started(first)
    assert first.wait(execution_id, 60).status is ExecutionStatus.SUCCEEDED
    first.close()
    sql(project, "UPDATE coreetl_executions SET status = 'RUNNING', owner = NULL, handle = 'a-lost-one'")
    wrong = another(changed)
    wrong.recover()
    until(lambda: "${NOT_THERE}, which is not set" in error_of(wrong, execution_id))
    assert wrong.get_execution(execution_id).status is ExecutionStatus.RUNNING
    wrong.close()
    right = another()
    right.recover()
    assert summary(right.wait(execution_id, 60)) == DONE


def test_what_may_run_without_a_handle_waits_until_the_settings_are_right_again(
    another: Another, project: Project, changed: Settings
) -> None:
    first = another()
    create(first, project, "refusing")
    execution_id = started(first)
    first.close()
    sql(project, "UPDATE coreetl_executions SET handle = NULL")
    wrong = another(changed)
    wrong.recover()
    until(lambda: "'password' differ" in error_of(wrong, execution_id))
    assert not wrong.get_execution(execution_id).status.is_final
    wrong.close()
    right = another()
    right.recover()
    assert summary(right.wait(execution_id, 60)) == DONE
    assert (asked(project), len(project.rows())) == (1, 3)


def test_what_was_never_submitted_fails_with_settings_that_refuse_it(
    another: Another, project: Project, changed: Settings
) -> None:
    first = another()
    create(first, project, "refusing")
    flag(project, "full").touch()
    execution_id = started(first)
    first.close()
    following = another(changed)
    (found,) = following.recover()
    assert (found.execution_id, found.status) == (execution_id, ExecutionStatus.FAILED)
    assert "'password' differ" in str(found.error)
    assert asked(project) == 0


@pytest.mark.parametrize(("name", "said"), [("expired", "expired; renew them"), ("wrong", "has no cluster")])
@pytest.mark.parametrize("is_restarted", [True, False])
def test_what_may_run_outlives_credentials_and_settings_that_are_refused(
    another: Another, project: Project, name: str, said: str, is_restarted: bool
) -> None:
    driver = another()
    create(driver, project, "refusing")
    if is_restarted:
        execution_id = started(driver)
        driver.close()
        sql(project, "UPDATE coreetl_executions SET handle = NULL")
        flag(project, name).touch()
        driver = another()
        driver.recover()
    else:
        flag(project, "mute").touch()
        execution_id = started(driver)
        flag(project, name).touch()
    until(lambda: said in error_of(driver, execution_id))
    assert not driver.get_execution(execution_id).status.is_final
    flag(project, name).unlink()
    assert summary(driver.wait(execution_id, 60)) == DONE
    assert (asked(project), len(project.rows())) == (1, 3)


@pytest.mark.parametrize("name", ["expired", "wrong"])
def test_what_runs_outlives_credentials_and_settings_that_are_refused_when_it_is_looked_after(
    another: Another, project: Project, name: str, slow: str
) -> None:
    driver = another()
    create(driver, project, "refusing", slow)
    execution_id = started(driver)
    flag(project, name).touch()
    until(lambda: "what may run goes on" in error_of(driver, execution_id))
    assert driver.get_execution(execution_id).status is ExecutionStatus.RUNNING
    flag(project, name).unlink()
    (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
    assert stopped.status is ExecutionStatus.CANCELLED


@pytest.mark.parametrize("name", ["expired", "wrong"])
@pytest.mark.parametrize("was_full", [True, False])
def test_what_certainly_does_not_run_fails_when_credentials_or_settings_are_refused(
    another: Another, project: Project, name: str, was_full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coreetl_driver.troubles._MAX_ASKED_S", 0.3)
    driver = another()
    create(driver, project, "refusing")
    if was_full:
        flag(project, "full").touch()
        execution_id = started(driver)
        flag(project, name).touch()
        flag(project, "full").unlink()
    else:
        flag(project, name).touch()
        execution_id = started(driver)
    assert driver.wait(execution_id, 60).status is ExecutionStatus.FAILED
    assert asked(project) == 0


def test_an_attempt_that_cannot_be_asked_about_has_failed_when_it_has_been_ended_and_no_earlier(
    another: Another, project: Project, slow: str
) -> None:
    driver = another()
    create(driver, project, "refusing", slow)
    execution_id = started(driver)
    for name in ("unstoppable", "broken"):
        flag(project, name).touch()
    until(lambda: "503, not now" in error_of(driver, execution_id))
    told = driver.get_execution(execution_id)
    assert told.status is ExecutionStatus.RUNNING, "it runs"
    assert "switched off; its attempt is to be ended, but backend 'refusing' does not answer" in str(told.error)
    flag(project, "unstoppable").unlink()
    failed = driver.wait(execution_id, 60)
    assert failed.status is ExecutionStatus.FAILED
    assert str(failed.error) == "this version of the interface has been switched off"
    assert project.rows() == []


def test_a_stop_of_what_is_refused_starts_nothing(another: Another, project: Project) -> None:
    driver = another()
    create(driver, project, "refusing")
    flag(project, "full").touch()
    execution_id = started(driver)
    flag(project, "full").unlink()
    (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
    assert summary(stopped) == (ExecutionStatus.CANCELLED, None, 1, None)
    assert stopped.execution_id == execution_id
    assert asked(project) == 0


def test_a_stop_of_what_an_earlier_driver_never_submitted_starts_nothing(another: Another, project: Project) -> None:
    first = another()
    create(first, project, "refusing")
    flag(project, "full").touch()
    started(first)
    first.close()
    flag(project, "full").unlink()
    (stopped,) = another().stop_job("a_job", ENVIRONMENT)
    assert stopped.status is ExecutionStatus.CANCELLED
    assert asked(project) == 0


def test_a_stop_of_what_waited_for_another_run_starts_nothing(another: Another, project: Project, slow: str) -> None:
    first = another()
    create(first, project, "refusing", slow)
    started(first)
    first.close()
    second = another()
    waiting = started(second)  # for the first one, which goes on
    second.close()
    stopped = {each.execution_id: each.status for each in another().stop_job("a_job", ENVIRONMENT)}
    assert stopped[waiting] is ExecutionStatus.CANCELLED
    assert asked(project) == 1


def test_a_stop_that_another_driver_asks_for_is_acted_on_although_the_service_wants_to_be_left_alone(
    another: Another, project: Project, slow: str
) -> None:
    driver = another()
    create(driver, project, "refusing", slow)
    execution_id = started(driver)
    flag(project, "busy").touch()
    until(lambda: "come back later" in error_of(driver, execution_id))
    flag(project, "busy").unlink()
    sql(project, "UPDATE coreetl_executions SET stop_requested = 1")
    assert driver.wait(execution_id, 30).status is ExecutionStatus.CANCELLED


@pytest.mark.parametrize("asked_s", [math.inf, math.nan, 86_400.0, -1.0])
def test_nobody_waits_longer_than_some_minutes_whatever_a_service_asks_for(asked_s: float) -> None:
    trouble = Trouble("an-execution", "a-backend")
    trouble.note(TransientError("429", retry_after_s=asked_s))
    assert 0.0 < trouble.left_s <= 300.0


def test_a_task_shows_no_property_of_its_catalogs(project: Project) -> None:
    from coreetl_driver.job_registry import JobRegistry
    from coreetl_driver.owners import Owner
    from coreetl_driver.preparing import Tasks
    from coreetl_driver.recording import Record

    settings = project.with_properties({"password": "${PASSWORD}"}, {"PASSWORD": "hunter2-hunter2"})
    driver = Driver(settings)
    create(driver, attrs.evolve(project, settings=settings), "local")
    driver.run_job("a_job", ENVIRONMENT)
    driver.close()
    registry = JobRegistry(f"sqlite:///{settings.state}/coreetl.db")
    (run,) = registry.unfinished()
    made = Tasks(settings, Record(registry, Owner.current()), settings.state)
    task = made.of(run, registry.get_job("a_job", ENVIRONMENT), None)
    assert {catalog["password"] for catalog in task.catalogs.values()} == {"hunter2-hunter2"}
    assert "nothing" not in task.catalogs
    assert "hunter2" not in f"{task} {task.catalogs!r} {made.ready(task)} {made!r}"
    registry.close()


def test_a_run_that_is_interrupted_before_anything_was_taken_can_be_stopped_at_once(
    another: Another, project: Project
) -> None:
    driver = another()
    create(driver, project, "refusing")
    flag(project, "interrupting").touch()
    with pytest.raises(KeyboardInterrupt):
        started(driver)
    (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
    assert (stopped.status, asked(project)) == (ExecutionStatus.CANCELLED, 0)


def moved(project: Project, **coreetl: object) -> Settings:
    """The project's settings with another ``[coreetl]``."""
    return attrs.evolve(project.settings, values={**project.settings.values, "coreetl": coreetl})


def routed(driver: Driver, project: Project) -> None:
    """A job that goes where the settings send it."""
    driver.create_job("a_job", ENVIRONMENT, "a_job", project.spec(SQL, mode="append"), {})


def test_what_nobody_has_taken_goes_where_its_job_goes_now(another: Another, project: Project) -> None:
    first = another(moved(project, backend="refusing"))
    routed(first, project)
    flag(project, "full").touch()
    execution_id = started(first)
    first.close()
    following = another(moved(project, backend="local"))
    assert [each.execution_id for each in following.recover()] == [execution_id]
    done = following.wait(execution_id, 60)
    assert (done.status, done.backend, asked(project)) == (ExecutionStatus.SUCCEEDED, "local", 0)
    assert len(project.rows()) == 3


def test_what_nobody_has_taken_is_ended_without_its_backend(another: Another, project: Project) -> None:
    first = another()
    create(first, project, "refusing")
    flag(project, "full").touch()
    execution_id = started(first)
    first.close()
    sql(project, "UPDATE coreetl_executions SET backend = 'uninstalled'")
    other = another()
    (stopped,) = other.stop_job("a_job", ENVIRONMENT)
    assert (stopped.execution_id, stopped.status) == (execution_id, ExecutionStatus.CANCELLED)


def test_a_trouble_that_stays_the_same_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble("e1", "refusing")
    for _ in range(3):
        trouble.note(TransientError("503, come back later"))
    trouble.note(TransientError("504, come back later"))
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [each.partition(": ")[2][-20:] for each in warned] == ["503, come back later", "504, come back later"]
