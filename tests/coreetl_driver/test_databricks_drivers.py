"""Executions of a driver on a stand-in for Databricks: over restarts, lost runs, and with the user's token alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver import Execution, ExecutionStatus, connect
from coreetl_driver.api import CoreETLDriver
from coreetl_driver.driver import Driver
from coreetl_driver.user_tokens import run_with_tokens, stop_with_tokens
from dcp_core.errors import TransientError, UnauthorizedError
from dcp_core.model import Environment
from dcp_core.settings import Secret, Settings
from tests.coreetl_driver import driving
from tests.coreetl_driver.workspace import (
    ALICE,
    BOBS_TOKEN,
    NEW_TOKEN,
    PRINCIPAL,
    PRINCIPALS_TOKEN,
    TOKEN,
    Place,
    placed,
)
from tests.services.databricks_workspace import LOSE, Fault

ENVIRONMENT = "playground_alice"
SQL = "SELECT order_id, qty FROM {ns}.orders"
RUNS = "/api/2.2/jobs/runs"
Another = Callable[[], Driver]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as made:
        made.bench.make_tables()
        yield made


@pytest.fixture
def settings(place: Place) -> Settings:
    return evolve(place.bench.settings, values={**place.bench.settings.values, "coreetl": {"backend": "databricks"}})


@pytest.fixture
def another(settings: Settings) -> Iterator[Another]:
    opened: list[Driver] = []

    def make() -> Driver:
        opened.append(Driver(settings))
        return opened[-1]

    yield make
    for driver in opened:
        driver.close()


def create(driver: CoreETLDriver, place: Place, job_id: str = "a_job") -> None:
    driver.create_job(job_id, ENVIRONMENT, "x", place.bench.task(SQL).spec, {})


def started(driver: Driver, token: str = TOKEN, job_id: str = "a_job", user: str = "alice") -> str:
    return driver.run_job(job_id, ENVIRONMENT, user_token=Secret(token), user=user).execution_id


def until(found: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


def summary(execution: Execution) -> tuple[Any, ...]:
    return execution.status, execution.rows_written, execution.attempt, execution.error


def test_a_run_goes_on_over_a_restart_and_its_user_takes_it_up_again(place: Place, another: Another) -> None:
    first = another()
    create(first, place)
    execution_id = started(first)
    until(lambda: place.submissions == 1)
    first.close()
    following = another()
    create(following, place, "another_job")
    assert following.recover() == ()
    assert "needs its user's token" in str(following.get_execution(execution_id).error)
    place.workspace.expire(TOKEN)
    started(following)  # with the old one
    until(lambda: "run the job again" in str(following.get_execution(execution_id).error))
    assert following.get_execution(execution_id).status is ExecutionStatus.RUNNING
    place.workspace.tokens[NEW_TOKEN] = ALICE
    second = started(following, NEW_TOKEN)
    place.scripts.end(rows=3)
    assert summary(following.wait(execution_id, 60)) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
    assert summary(following.wait(second, 60)) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
    assert place.submissions == 2, "the one with the old token was never taken"


def test_a_token_that_expires_while_a_run_goes_on_is_told_and_waited_for(
    place: Place, another: Another, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coreetl_driver.supervising.REPORT_AFTER_S", 0.2)
    driver = another()
    create(driver, place)
    execution_id = started(driver)
    place.workspace.expire(TOKEN)
    until(lambda: "may have expired" in str(driver.get_execution(execution_id).error))
    assert driver.get_execution(execution_id).status is ExecutionStatus.RUNNING
    place.workspace.tokens[NEW_TOKEN] = ALICE
    create(driver, place, "another_job")
    started(driver, NEW_TOKEN, "another_job")
    place.scripts.end(rows=3)
    assert summary(driver.wait(execution_id, 60)) == (ExecutionStatus.SUCCEEDED, 3, 1, None)


def test_an_answer_that_is_lost_gives_one_run_and_one_execution(place: Place, another: Another) -> None:
    driver = another()
    create(driver, place)
    place.workspace.faults += [
        Fault(f"{RUNS}/submit", LOSE),
        Fault(f"{RUNS}/submit", 429, headers={"Retry-After": "1"}),
    ]
    execution_id = started(driver)
    place.scripts.end(rows=3)
    assert summary(driver.wait(execution_id, 60)) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
    assert place.submissions == 1


def test_a_run_that_the_service_loses_is_followed_by_another(place: Place, another: Another) -> None:
    driver = another()
    create(driver, place)
    execution_id = started(driver)
    until(lambda: place.submissions == 1)
    place.workspace.submitted[1000].lost = "the instance was reclaimed"
    place.scripts.runs[0].process.kill()
    until(lambda: place.submissions == 2)
    place.scripts.end(rows=3)
    assert summary(driver.wait(execution_id, 60)) == (ExecutionStatus.SUCCEEDED, 3, 2, None)
    tokens = [run.body["idempotency_token"] for run in place.workspace.submitted.values()]
    assert tokens == [f"{execution_id}-1", f"{execution_id}-2"]


def test_a_stop_ends_the_run_and_its_log_stays(place: Place, another: Another) -> None:
    driver = another()
    create(driver, place)
    execution_id = started(driver)
    (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
    assert (stopped.execution_id, stopped.status) == (execution_id, ExecutionStatus.CANCELLED)
    assert place.scripts.runs[0].is_cancelled


def test_what_runs_although_its_driver_is_gone_is_stopped_with_its_users_token_and_said_to_run_until_then(
    place: Place, another: Another
) -> None:
    first = another()
    create(first, place)
    execution_id = started(first)
    until(lambda: place.submissions == 1)
    first.close()
    following = another()
    began = time.monotonic()
    for tokens, user in (({}, "alice"), ({"databricks": Secret(TOKEN)}, "bob")):
        with pytest.raises(TransientError, match=r"cannot be stopped yet: .*needs its user's token"):
            stop_with_tokens(following, tokens, "a_job", ENVIRONMENT, user)
    assert time.monotonic() - began < 20, "nobody waits for what cannot come"
    assert place.scripts.runs[0].exit_code is None
    (stopped,) = stop_with_tokens(following, {"databricks": Secret(TOKEN)}, "a_job", ENVIRONMENT, "alice")
    assert (stopped.execution_id, stopped.status) == (execution_id, ExecutionStatus.CANCELLED)
    assert place.scripts.runs[0].is_cancelled


def test_a_token_that_is_refused_fails_the_execution_before_anything_runs(place: Place, another: Another) -> None:
    driver = another()
    create(driver, place)
    failed = driver.wait(started(driver, "dapi-of-nobody"), 30)
    assert failed.status is ExecutionStatus.FAILED
    assert "Invalid access token" in str(failed.error)
    assert "dapi-of-nobody" not in str(failed.error)
    assert place.submissions == 0


@pytest.mark.parametrize("way", driving.WAYS)
def test_the_token_goes_to_the_driver_when_it_asks_for_it_over_any_way_and_lies_nowhere(
    place: Place, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    sent: list[bool] = []
    with driving.driven(way, tmp_path, settings.values) as values:
        driver = connect(evolve(settings, values=values))
        try:
            create(driver, place)

            class Told:
                """The driver, which notes whether a token came."""

                def run_job(self, *given: Any, **how: Any) -> Execution:
                    sent.append(bool(how.get("user_token")))
                    return driver.run_job(*given, **how)

                def __getattr__(self, name: str) -> Any:
                    return getattr(driver, name)

            how: Mapping[str, Any] = {"params": {}, "user": "alice"}
            told: Any = Told()
            with pytest.raises(UnauthorizedError, match="acts as you") as needed:
                run_with_tokens(told, {"acme": Secret(BOBS_TOKEN)}, "a_job", ENVIRONMENT, idempotency_key="1", **how)
            assert "DATABRICKS_TOKEN" in str(needed.value.hint)
            tokens = {"databricks": Secret(TOKEN)}
            run_with_tokens(told, tokens, "a_job", ENVIRONMENT, idempotency_key="0", **how)
            (stopped,) = stop_with_tokens(driver, tokens, "a_job", ENVIRONMENT, "alice")
            assert stopped.status is ExecutionStatus.CANCELLED
            sent.clear()
            done = run_with_tokens(told, tokens, "a_job", ENVIRONMENT, idempotency_key="2", **how)
            place.scripts.end(rows=3)
            assert driver.wait(done.execution_id, 60).status is ExecutionStatus.SUCCEEDED
            assert sent == [False, True]
            assert "denied" not in caplog.text, "it was only asked for a token"
            assert {run.owner for run in place.workspace.submitted.values()} == {ALICE}
        finally:
            driver.close()
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes(), file


def test_production_is_its_principals_and_playgrounds_are_their_users_on_one_driver(tmp_path: Path) -> None:
    with placed(tmp_path, production={"auth": "driver", "token": PRINCIPALS_TOKEN}) as place:
        values = {**place.bench.settings.values, "coreetl": {"backend": "databricks"}}
        settings = evolve(place.bench.settings, values=values)
        production = evolve(place.bench, environment=Environment.named("production"))
        first = Driver(settings)
        first.create_job("nightly", "production", "x", production.task(SQL).spec, {})
        create(first, place)
        with pytest.raises(UnauthorizedError, match="acts as you"):
            first.run_job("a_job", ENVIRONMENT)
        hers, nightly = started(first), first.run_job("nightly", "production").execution_id
        until(lambda: place.submissions == 2)
        assert {run.owner for run in place.workspace.submitted.values()} == {ALICE, PRINCIPAL}
        first.close()
        following = Driver(settings)
        try:
            assert [each.execution_id for each in following.recover()] == [nightly]
            place.scripts.end(rows=3)
            assert summary(following.wait(nightly, 60)) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
            assert "needs its user's token" in str(following.get_execution(hers).error)
        finally:
            following.close()
