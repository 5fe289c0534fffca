"""Backend ``databricks`` when the service is away, busy, says no, loses what it was given, or ends a run by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver.api import ExecutionStatus, SinkMode
from coreetl_driver.compute.databricks.runs import Handle
from coreetl_driver.compute.routing import TOKEN_NEEDED
from coreetl_driver.compute.tasks import Outcome, Task
from dcp_core.errors import NotFoundError, PermanentError, SettingsError, TransientError, UnauthorizedError
from dcp_core.settings import Secret
from tests.coreetl_driver.workspace import (
    ALICE,
    BOB,
    BOBS_TOKEN,
    NEW_TOKEN,
    PRINCIPAL,
    PRINCIPALS_TOKEN,
    TOKEN,
    Place,
    ended,
    placed,
)
from tests.services.databricks_workspace import LOSE, Fault

SQL = "SELECT order_id, qty FROM {ns}.orders"
RUNS = "/api/2.2/jobs/runs"
GATEWAY = "<html><head><title>502 Bad Gateway</title></head></html>"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as made:
        yield made


def task_of(place: Place, token: str = TOKEN) -> Task:
    return evolve(place.bench.task(SQL), user_token=Secret(token))


def fault(place: Place, path: str, status: int, **how: Any) -> None:
    place.workspace.faults.append(Fault(path, status, **how))


def test_an_answer_that_is_lost_leaves_one_run_and_the_next_try_finds_it(place: Place) -> None:
    task = task_of(place)
    first = place.backend()
    fault(place, f"{RUNS}/submit", LOSE)
    with pytest.raises(TransientError, match="does not take the run"):
        first.submit(task)
    assert place.submissions == 1
    handle = first.submit(task)
    assert place.backend().submit(task) == handle, "and so does the next driver's"
    assert place.submissions == 1
    place.scripts.end(rows=3)
    assert ended(first, handle) == Outcome(ExecutionStatus.SUCCEEDED, 3)


@pytest.mark.parametrize("path", ["scim/v2/Me", "workspace/get-status", "workspace/mkdirs", "workspace/import",
                                  "runs/submit", "runs/get", "runs/get-output"])  # fmt: skip
@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_is_busy_is_asked_again_when_it_says_so_wherever_it_says_it(
    place: Place, path: str, status: int
) -> None:
    task, backend = task_of(place), place.backend()
    place.scripts.end(rows=3)
    fault(place, f"{path}$", status, code="REQUEST_LIMIT_EXCEEDED" if status == 429 else "TEMPORARILY_UNAVAILABLE",
          message="slow down", headers={"Retry-After": "77"})  # fmt: skip
    began, found = time.monotonic(), None
    with pytest.raises(TransientError, match="slow down") as busy:
        found = ended(backend, backend.submit(task))
    assert found is None
    assert busy.value.retry_after_s == 77
    assert time.monotonic() - began < 20, "the waiting is the driver's, which says so"
    assert ended(backend, backend.submit(task)) == Outcome(ExecutionStatus.SUCCEEDED, 3)
    assert place.submissions == 1


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (500, "INTERNAL_ERROR", "oh"),
        (502, "", GATEWAY),
        (504, "DEADLINE_EXCEEDED", "oh"),
        (LOSE, "", ""),
        (200, "", "<html>Sign in</html>"),
    ],
)
def test_a_service_that_is_away_is_asked_again(place: Place, status: int, code: str, message: str) -> None:
    backend, task = place.backend(), task_of(place)
    handle = backend.submit(task)
    fault(place, f"{RUNS}/get$", status, code=code, message=message)
    with pytest.raises(TransientError):
        backend.poll(handle, 0.0)
    assert backend.poll(handle, 0.0) is None


def test_a_service_that_nobody_reaches_is_asked_again_and_says_nothing_on_stderr(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    values = {**place.bench.settings.values, "databricks": {**place.bench.settings.values["databricks"]}}
    values["databricks"]["host"] = "http://127.0.0.1:9"
    away = evolve(place.bench, settings=evolve(place.bench.settings, values=values))
    task = evolve(away.task(SQL), user_token=Secret(TOKEN))
    opened = away.driver()
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        opened.get("databricks").submit(task)
    opened.close()
    assert capfd.readouterr().err == ""


def test_credentials_that_are_refused_start_nothing_and_say_whose_they_are_and_what_to_do(place: Place) -> None:
    backend = place.backend()
    with pytest.raises(UnauthorizedError, match="your token did not come along"):
        backend.submit(evolve(task_of(place), user_token=None))
    for token in ("dapi of nobody", "dapi\nX-Other: 1", "dapi-ü"):
        with pytest.raises(UnauthorizedError, match="spaces or other signs"):
            backend.submit(task_of(place, token))
    with pytest.raises(
        UnauthorizedError, match=r"Invalid access token.*may have expired.*run again with a new one"
    ) as no:
        backend.submit(task_of(place, "dapi-of-nobody"))
    assert "dapi-of-nobody" not in f"{no.value} {no.value.hint} {no.value!r}"
    assert "Config:" not in str(no.value)
    assert place.submissions == 0
    assert place.workspace.files() == []


def test_a_token_that_expires_does_not_end_what_runs_and_a_newer_one_of_its_owner_goes_on_with_it(place: Place) -> None:
    backend = place.backend()
    handle = backend.submit(task_of(place))
    place.workspace.expire(TOKEN)
    for ask in (lambda: backend.poll(handle, 0.0), lambda: backend.cancel(handle), lambda: backend.logs(handle)):
        with pytest.raises(TransientError, match=f"token of {ALICE} may have expired"):
            ask()
    assert backend.submit(task_of(place, BOBS_TOKEN))
    with pytest.raises(TransientError):
        backend.poll(handle, 0.0)  # what bob may do is no business of alice's runs
    place.workspace.tokens[NEW_TOKEN] = ALICE
    backend.submit(task_of(place, NEW_TOKEN))
    assert backend.poll(handle, 0.0) is None
    place.scripts.end(rows=3)
    assert ended(backend, handle) == Outcome(ExecutionStatus.SUCCEEDED, 3)


def test_a_token_that_expires_after_an_answer_was_lost_declares_nothing_failed(place: Place) -> None:
    task, first = task_of(place), place.backend()
    fault(place, f"{RUNS}/submit", LOSE)
    fault(place, f"{RUNS}/submit", 429, code="REQUEST_LIMIT_EXCEEDED")
    for _ in range(2):
        with pytest.raises(TransientError):
            first.submit(task)
    place.workspace.expire(TOKEN)
    following = place.backend()
    with pytest.raises(UnauthorizedError, match="may have expired") as waits:
        following.submit(task)
    assert waits.value.code == TOKEN_NEEDED
    place.workspace.tokens[NEW_TOKEN] = ALICE
    following.submit(task_of(place, NEW_TOKEN))
    handle = following.submit(task)
    assert following.poll(handle, 0.0) is None
    assert place.submissions == 2


def test_what_runs_is_taken_up_by_its_owners_token_and_by_no_other(place: Place) -> None:
    task = task_of(place)
    handle = place.backend().submit(task)
    following = place.backend()
    for token, told in (("dapi-of-nobody", "may have expired"), (BOBS_TOKEN, f"of {ALICE}.* of {BOB}")):
        with pytest.raises(UnauthorizedError, match=told) as waits:
            following.submit(evolve(task, handle=handle, user_token=Secret(token)))
        assert waits.value.code == TOKEN_NEEDED
    place.workspace.calls.clear()
    assert following.submit(evolve(task, handle=handle)) == handle
    assert [call.path.rpartition("/")[2] for call in place.workspace.calls] == ["Me"], "nothing is submitted again"
    assert following.poll(handle, 0.0) is None


def test_a_submission_that_was_refused_may_be_refused_again(place: Place) -> None:
    backend, task = place.backend(), task_of(place)
    fault(place, f"{RUNS}/submit", 400, code="INVALID_PARAMETER_VALUE", message="Cluster policy does not allow it")
    with pytest.raises(PermanentError, match="Cluster policy does not allow it"):
        backend.submit(task)
    place.workspace.expire(TOKEN)
    with pytest.raises(UnauthorizedError):
        place.backend().submit(task)


def test_cancelling_waits_until_the_run_has_ended_and_is_repeatable(place: Place) -> None:
    place.bench.make_tables()
    backend = place.backend()
    handle = backend.submit(task_of(place))
    fault(place, f"{RUNS}/cancel", 503, headers={"Retry-After": "3"})
    with pytest.raises(TransientError) as busy:
        backend.cancel(handle)
    assert busy.value.retry_after_s == 3
    backend.cancel(handle)
    assert [run.exit_code is not None for run in place.scripts.runs] == [True]
    assert backend.poll(handle, 0.0) == Outcome(ExecutionStatus.CANCELLED)
    backend.cancel(handle)
    assert place.backend().submit(task_of(place)) != handle


def test_a_run_that_does_not_end_in_time_is_not_said_to_have_ended(tmp_path: Path) -> None:
    with placed(tmp_path, cancel_timeout_s=0) as place:
        backend = place.backend()
        handle = backend.submit(task_of(place))
        with pytest.raises(TransientError, match="has not yet ended"):
            backend.cancel(handle)


@pytest.mark.parametrize("end", ["cancelled", "failed", "lost"])
def test_what_has_committed_has_succeeded_however_its_run_ended(place: Place, end: str) -> None:
    place.bench.make_tables()
    backend, task = place.backend(), task_of(place)
    handle = backend.submit(task)
    table = place.bench.catalog(task.spec.sink.catalog).load_table(task.spec.sink.table)
    table.append(table.scan().to_arrow(), snapshot_properties={**task.marks, "coreetl.rows-written": "2"})
    if end == "cancelled":
        place.scripts.runs[0].cancel()
    elif end == "failed":
        place.scripts.end(error="the disk is full")
    else:
        place.workspace.submitted[1000].lost = "the instance was reclaimed"
        place.scripts.end(code=1)
    assert ended(backend, handle) == Outcome(ExecutionStatus.SUCCEEDED, 2)


def test_a_run_that_somebody_cancelled_in_the_workspace_is_cancelled(place: Place) -> None:
    place.bench.make_tables()
    backend = place.backend()
    handle = backend.submit(task_of(place))
    place.scripts.runs[0].cancel()
    assert ended(backend, handle) == Outcome(ExecutionStatus.CANCELLED)


def test_what_the_service_says_of_what_runs_ends_it_only_when_it_is_gone(place: Place) -> None:
    backend = place.backend()
    handle = backend.submit(task_of(place))
    asks: dict[str, Callable[[], object]] = {
        "get": lambda: backend.poll(handle, 0.0), "cancel": lambda: backend.cancel(handle)
    }  # fmt: skip
    for path, ask in asks.items():
        fault(place, f"{RUNS}/{path}$", 400, code="INVALID_STATE", message="the jobs service is being upgraded")
        with pytest.raises(TransientError, match="being upgraded"):
            ask()
    assert backend.poll(handle, 0.0) is None


def test_settings_that_are_wrong_now_end_nothing_that_runs(tmp_path: Path) -> None:
    with placed(tmp_path, auth="driver", token=PRINCIPALS_TOKEN) as place:
        handle = place.backend().submit(task_of(place))
        settings = place.bench.settings
        values = {**settings.values, "databricks": {**settings.values["databricks"], "token": "${NOT_SET}"}}
        following = evolve(place.bench, settings=evolve(settings, values=values)).driver()
        place.opened.append(following)
        for ask in (following.get("databricks").logs, following.get("databricks").cancel):
            with pytest.raises(TransientError, match="NOT_SET"):
                ask(handle)
        with pytest.raises(TransientError, match="NOT_SET"):
            following.get("databricks").poll(handle, 0.0)
        with pytest.raises(SettingsError, match="NOT_SET"):
            following.get("databricks").submit(task_of(place))


def test_an_answer_that_was_lost_is_not_forgotten_while_the_settings_are_wrong(place: Place) -> None:
    task = task_of(place)
    fault(place, f"{RUNS}/submit", LOSE)
    with pytest.raises(TransientError):
        place.backend().submit(task)
    values = {**place.bench.settings.values, "spark": {"packages": ["not-a-coordinate"]}}
    place.opened.append(evolve(place.bench, settings=evolve(place.bench.settings, values=values)).driver())
    with pytest.raises(SettingsError, match="not-a-coordinate"):  # which the driver waits out, for what may run
        place.opened[-1].get("databricks").submit(evolve(task, may_run=True))
    assert place.backend().submit(evolve(task, may_run=True))
    assert place.submissions == 1


def test_an_attempt_that_the_service_lost_is_not_found_and_stays_so(place: Place) -> None:
    place.bench.make_tables()
    backend = place.backend()
    handle = backend.submit(task_of(place))
    place.workspace.submitted[1000].lost = "the instance was reclaimed"
    place.scripts.end(says="half a log", code=1)
    for _ in range(2):
        with pytest.raises(NotFoundError, match="lost by Databricks: the instance was reclaimed"):
            ended(backend, handle)
    assert "half a log" in backend.logs(handle)
    backend.cancel(handle)


def test_a_run_that_is_gone_is_not_found(place: Place) -> None:
    backend = place.backend()
    handle = backend.submit(task_of(place))
    del place.workspace.submitted[1000]
    with pytest.raises(NotFoundError, match="Run 1000 does not exist"):
        backend.poll(handle, 0.0)
    with pytest.raises(TransientError, match="comes with their next run"):
        backend.logs(handle)  # nothing of alice's runs any more, and her token is forgotten


@pytest.mark.parametrize("said", [True, False])
def test_a_failure_is_told_by_the_job_and_where_it_says_nothing_by_the_service(place: Place, said: bool) -> None:
    place.bench.make_tables()
    backend = place.backend()
    handle = backend.submit(task_of(place))
    place.scripts.end(error="table dd.x does not exist") if said else place.scripts.end(says="Killed", code=137)
    outcome = ended(backend, handle)
    assert outcome.status is ExecutionStatus.FAILED
    assert outcome.error == ("table dd.x does not exist" if said else "SystemExit: 137")
    assert said or "Killed" in backend.logs(handle)


def test_the_program_is_written_once_and_nothing_else_is_left_behind(place: Place) -> None:
    place.scripts.end(rows=3)
    first, second = place.backend(), place.backend()
    for backend in (first, second):
        handle = backend.submit(task_of(place))
        running = [file for file in place.workspace.files() if "executions" in file]
        assert [file.rpartition("/")[2] for file in running] == ["specification.json"]
        assert ended(backend, handle).status is ExecutionStatus.SUCCEEDED
    files = place.workspace.files()
    assert {file.split("/.coreetl/")[0] for file in files} == {f"Users/{ALICE}"}
    assert sorted(file.rpartition("/")[2] for file in files) == ["main.py", "program.zip"]
    assert sum(call.path.endswith("/import") for call in place.workspace.calls) == 4, "the program once"


def test_an_end_is_told_although_the_files_cannot_be_removed(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.scripts.end(rows=3)
    backend = place.backend()
    handle = backend.submit(task_of(place))
    fault(place, "workspace/delete", 403, code="PERMISSION_DENIED", message="no")
    with caplog.at_level(logging.WARNING):
        assert ended(backend, handle) == Outcome(ExecutionStatus.SUCCEEDED, 3)
    assert "stays in the workspace" in caplog.text


def test_a_token_is_kept_as_long_as_something_of_its_owner_runs_and_no_longer(place: Place) -> None:
    place.scripts.end(rows=3)
    backend = place.backend()
    one, other = backend.submit(task_of(place)), backend.submit(task_of(place))
    ended(backend, one)
    ended(backend, other)
    known = Handle.parsed(other)
    assert known is not None
    unseen = evolve(known, run_id=4711).text
    with pytest.raises(TransientError, match="whose token this driver does not have"):
        backend.poll(unseen, 0.0)
    assert ended(backend, one) == Outcome(ExecutionStatus.SUCCEEDED, 3), "what has ended is told without it"


def test_a_run_can_be_seen_by_its_owner_and_by_those_that_the_settings_name(tmp_path: Path) -> None:
    with placed(tmp_path, viewers=[BOB]) as place:
        place.backend().submit(task_of(place))
        (run,) = place.workspace.submitted.values()
        assert (run.owner, run.viewers) == (ALICE, {BOB})
        assert [each["permission_level"] for each in run.body["access_control_list"]] == ["CAN_VIEW"]


def test_a_service_principal_runs_what_its_environment_runs_and_the_next_driver_needs_no_user(tmp_path: Path) -> None:
    with placed(tmp_path, auth="driver", token=PRINCIPALS_TOKEN) as place:
        backend = place.backend()
        assert not backend.capabilities.acts_as_user_in("playground_alice")
        handle = backend.submit(evolve(task_of(place), user_token=None))
        (run,) = place.workspace.submitted.values()
        assert run.owner == PRINCIPAL
        following = place.backend()
        assert following.poll(handle, 0.0) is None
        place.workspace.expire(PRINCIPALS_TOKEN)
        with pytest.raises(TransientError, match=f"token of {PRINCIPAL} may have expired.*restart the driver"):
            following.poll(handle, 0.0)
        place.workspace.tokens[PRINCIPALS_TOKEN] = PRINCIPAL
        place.scripts.end(rows=3)
        assert ended(following, handle) == Outcome(ExecutionStatus.SUCCEEDED, 3)


def test_a_service_principal_may_sign_in_with_oauth(tmp_path: Path) -> None:
    client = {"auth": "driver", "client_id": PRINCIPAL, "client_secret": "dose-of-the-principal"}
    with placed(tmp_path, **client) as place:
        with pytest.raises(UnauthorizedError, match="client_secret of the service principal may have expired") as no:
            place.backend().submit(task_of(place))
        assert "dose-of" not in str(no.value)
        place.workspace.secrets[PRINCIPAL] = "dose-of-the-principal"
        backend, task = place.backend(), task_of(place)
        for status, after in ((503, 7), (429, 8), (502, None), (LOSE, None)):
            fault(place, "oidc/v1/token", status, headers={"Retry-After": str(after)} if after else {})
            with pytest.raises(TransientError) as away:
                backend.submit(task)
            assert away.value.retry_after_s == after
        handle = backend.submit(task)
        place.scripts.end(rows=3)
        assert ended(place.backend(), handle) == Outcome(ExecutionStatus.SUCCEEDED, 3)


def test_credentials_of_the_drivers_own_process_are_not_used(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The SDK takes what it finds: variables, and the profiles of a file."""
    profiles = tmp_path / "databrickscfg"
    profiles.write_text(f"[DEFAULT]\nhost = http://127.0.0.1:9\ntoken = {BOBS_TOKEN}\n[bob]\ntoken = {BOBS_TOKEN}\n")
    own = {"HOST": "http://127.0.0.1:9", "TOKEN": BOBS_TOKEN, "CLIENT_ID": "x", "CLIENT_SECRET": "y",
           "CONFIG_FILE": str(profiles), "CONFIG_PROFILE": "bob", "AUTH_TYPE": "oauth-m2m"}  # fmt: skip
    for name, value in own.items():
        monkeypatch.setenv(f"DATABRICKS_{name}", value)
    place.backend().submit(task_of(place))
    assert {run.owner for run in place.workspace.submitted.values()} == {ALICE}


def test_no_message_or_log_line_holds_a_token(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.bench.make_tables()
    backend = place.backend()
    fault(place, f"{RUNS}/submit$", 400, code="INVALID_STATE", message=f"what of {TOKEN}?")
    with pytest.raises(PermanentError, match=r"what of \*\*\*\?"):
        backend.submit(task_of(place))
    with caplog.at_level(logging.DEBUG):
        handle = backend.submit(task_of(place))
        place.scripts.end(error="no")
        outcome = ended(backend, handle)
    assert "/api/2.2/jobs/runs/submit" in caplog.text, "the SDK's own log is there"
    for told in (caplog.text, handle, repr(outcome), backend.logs(handle), repr(task_of(place))):
        assert TOKEN not in told
    for file in place.bench.settings.state.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes(), file


def test_modes_go_along(place: Place) -> None:
    """A merge is one: what the stand-in took is what the driver's task says."""
    import json

    task = evolve(place.bench.task(SQL, SinkMode.MERGE), user_token=Secret(TOKEN))
    place.backend().submit(task)
    (run,) = place.workspace.submitted.values()
    arguments = run.body["tasks"][0]["spark_python_task"]["parameters"]
    staged = json.loads(place.workspace.local(arguments[arguments.index("--specification") + 1]).read_text())
    assert staged["sink"] == {"catalog": "pedregal-playground-alice", "table": task.spec.sink.table,
                              "mode": "merge", "keys": ["order_id"]}  # fmt: skip
    assert "catalogs" not in staged
