"""Replicas that are killed: what they had in hand goes on elsewhere, once, and is told and recorded without a gap."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcp_core.documents import from_json, to_json
from dcp_core.errors import UnauthorizedError
from dcp_core.hookspecs import hookimpl
from dcp_core.records import AuthorizationRequest, Caller, Decision, OperationStatus
from dcp_core.registry import EXTENSIONS
from dcp_core.store import Holder
from dcp_graph_runner.api.long_running import Event, GetOperationRequest, OperationState, RequestStatus
from dcp_graph_runner.api.messages import ApplyAnswer, ApplyRequest, PlanRequest, RunAnswer, RunRequest
from dcp_graph_runner.api.playground import PlaygroundRequest, UseRequest
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.request_rows import Request, new_request_id
from dcp_graph_runner.server.service import IDEMPOTENCY_KEY, Service
from tests.dcp_graph_runner.server.probes import PLAYGROUND, made, probe
from tests.dcp_graph_runner.server.replicas import (
    ALICE,
    Replica,
    answered,
    audit,
    call,
    ended,
    service,
    told,
    until,
    watched,
)
from tests.end_to_end.projects import FOLDER, Project, order, orders_schema

TOKEN = {**ALICE, "x-dcp-credential-databricks": "dapi-very-secret"}
BOB = {"x-dcp-identity": "bob", "x-dcp-credential-databricks": "dapi-other"}


@pytest.fixture
def survivor(tmp_path: Path) -> Iterator[Service]:
    """The replica that nobody kills, in this process."""
    (tmp_path / "dcp.toml").write_text("")
    opened = service(tmp_path)
    yield opened
    (tmp_path / "go").touch()
    assert opened.close(20.0)


def apply(*names: str, does: str = "") -> ApplyRequest:
    return ApplyRequest(PLAYGROUND, tuple(probe(name, does=does) for name in names))


def assert_whole(events: list[Event]) -> OperationState:
    """Numbered from 1 without gaps or repeats; gives the end."""
    *before, last = events
    assert [each.sequence for each in before] == list(range(1, len(before) + 1))
    assert last.state is not None
    return last.state


def assert_applied_once(at: Service, state: OperationState, names: str) -> None:
    assert state.status is RequestStatus.DONE, state
    answer = from_json(state.answer, ApplyAnswer)
    assert answer.status == "SUCCEEDED", answer
    assert sorted(each.manifest_id for each in answer.operations) == [f"probe/{name}" for name in names]
    applies = [each for each in audit(at) if each.kind == "apply"]
    assert sorted((each.manifest_id, str(each.outcome)) for each in applies) == [
        (f"probe/{name}", "SUCCEEDED") for name in names
    ]
    assert {each.id for each in answer.operations} == {each.operation_id for each in applies}
    assert at.store.interrupted(None) == ()


@pytest.mark.parametrize("statement", [3, 20, 40, 60, 80, 100, 120, 150, 180])
def test_an_apply_killed_at_any_statement_is_ended_by_the_other_replica(
    survivor: Service, tmp_path: Path, statement: int
) -> None:
    mortal = Replica(tmp_path, "mortal", dies_at=statement)
    try:
        id = mortal.call("Operations.Apply", apply("a", "b", "c", "d")).id
    except EOFError:  # it died before it could answer: accepted or not
        accepted = survivor.requests.all([PLAYGROUND], 10)
        if not accepted:
            assert told(survivor) == []
            return
        id = accepted[0].id
    events: list[Event] = []
    watching = threading.Thread(target=lambda: events.extend(watched(survivor, id)))
    watching.start()
    state = ended(survivor, id)
    watching.join(20)
    assert assert_whole(events) == state
    assert_applied_once(survivor, state, "abcd")
    assert sorted(set(made(tmp_path))) == ["a", "b", "c", "d"]
    assert mortal.process.wait().status == -signal.SIGKILL


def test_a_request_that_ends_every_process_is_given_up_with_a_record_each_and_nothing_is_left_locked(
    tmp_path: Path,
) -> None:
    (tmp_path / "dcp.toml").write_text("[store]\ntake_overs = 2\n")
    plans = (probe("a"), probe("b", does="exit"), probe("c"))
    first = Replica(tmp_path, "first")
    id = first.call("Operations.Apply", ApplyRequest(PLAYGROUND, plans)).id
    first.process.wait()
    for name in ("second", "third"):
        assert Replica(tmp_path, name).process.wait().status == 9
    survivor = service(tmp_path)
    state = ended(survivor, id)
    assert state.status is RequestStatus.FAILED
    assert state.error is not None
    assert (state.error.code, state.error.message) == (
        "request.given_up", "given up: 3 processes ended while they worked on it",
    )  # fmt: skip
    assert made(tmp_path) == ["a", "b", "b", "b"]
    assert told(survivor) == [
        ("apply", "probe/a", "SUCCEEDED"), ("apply", "probe/b", "FAILED"), ("apply", "probe/c", "REFUSED"),
    ]  # fmt: skip
    assert all(each.status is not OperationStatus.RUNNING for each in survivor.store.operations())
    assert_whole(watched(survivor, id))
    answer: ApplyAnswer = answered(survivor, "Operations.Apply", apply("a", "b", "c"))
    assert [str(each.status) for each in answer.operations] == ["SUCCEEDED"] * 3
    assert sorted(made(tmp_path)[4:]) == ["b", "c"]
    assert survivor.close(10.0)


def test_a_request_that_came_with_a_token_waits_for_its_user_when_its_replica_is_gone(
    survivor: Service, tmp_path: Path
) -> None:
    mortal = Replica(tmp_path, "mortal")
    id = mortal.call("Operations.Apply", apply("a", does="hold"), TOKEN).id
    until(lambda: made(tmp_path))
    mortal.kill()
    assert "dapi-very-secret" not in str([file.read_bytes() for file in (tmp_path / ".dcp").glob("state.db*")])
    waiting = ended(survivor, id)
    assert (waiting.status, waiting.needs) == (RequestStatus.WAITING_FOR_USER, ("databricks",))
    seen = watched(survivor, id)
    assert assert_whole(seen) == waiting
    request = GetOperationRequest(id)
    with pytest.raises(Exception, match="only who asked for it resumes it"):
        call(survivor, "Operations.ResumeOperation", request, BOB)
    assert told(survivor) == [("resume", "", "REFUSED")]
    with pytest.raises(Exception, match="waits for your tokens of: databricks") as missing:
        call(survivor, "Operations.ResumeOperation", request, ALICE)
    assert missing.value.code == "operation.needs_tokens"  # type: ignore[attr-defined]
    (tmp_path / "go").touch()
    call(survivor, "Operations.ResumeOperation", request, TOKEN)
    with pytest.raises(Exception, match="does not wait for anybody"):
        call(survivor, "Operations.ResumeOperation", request, TOKEN)
    rest = watched(survivor, id, after=len(seen) - 1)
    assert_applied_once(survivor, assert_whole(seen[:-1] + rest), "a")


def waiting(at: Service, method: str, request: object) -> str:
    """A request with a token of alice's, left by a process that is gone, that waits for her by now."""
    with subprocess.Popen(["true"]) as left:
        left.wait()
    id = new_request_id(datetime.now(UTC))
    asked = Request(id, method, Caller("alice", (), id), PLAYGROUND, to_json(request), ("databricks",))
    at.requests.accept(asked, Holder(current_holder("x").host, left.pid, "gone", "x"))
    until(lambda: at.requests.get(id).status is RequestStatus.WAITING_FOR_USER)
    return id


def test_who_may_not_do_it_any_more_resumes_nothing(survivor: Service, tmp_path: Path) -> None:
    id = waiting(survivor, "Operations.Apply", apply("a"))

    class Changed:
        @hookimpl
        def authorize(self, request: AuthorizationRequest) -> Decision | None:
            return Decision(False, "not in the team any more") if request.operation == "apply" else None

    survivor.registry.register(EXTENSIONS, "policy", Changed(), "a test")
    with pytest.raises(UnauthorizedError, match="not in the team any more"):
        call(survivor, "Operations.ResumeOperation", GetOperationRequest(id), TOKEN)
    assert survivor.requests.get(id).status is RequestStatus.WAITING_FOR_USER
    assert made(tmp_path) == []
    assert told(survivor) == [("resume", "", "REFUSED")]


def test_a_plan_that_came_with_a_token_waits_for_it_too(survivor: Service) -> None:
    id = waiting(survivor, "Operations.Plan", PlanRequest(PLAYGROUND, (probe("a"),)))
    call(survivor, "Operations.ResumeOperation", GetOperationRequest(id), TOKEN)
    assert ended(survivor, id).status is RequestStatus.DONE
    accepted = call(survivor, "Operations.Plan", PlanRequest(PLAYGROUND, (probe("a"),)), TOKEN)
    assert survivor.requests.asked(accepted.id, Caller("alice")).needs == ("databricks",)
    assert ended(survivor, accepted.id).status is RequestStatus.DONE


def test_a_destruction_of_the_playground_in_use_names_it_for_whoever_goes_on_with_it(survivor: Service) -> None:
    for name in (PLAYGROUND, "playground_scratch"):
        call(survivor, "Playground.Create", PlaygroundRequest(name))
    call(survivor, "Playground.Use", UseRequest("playground_scratch"))
    keyed = {**ALICE, IDEMPOTENCY_KEY: "once"}
    accepted = call(survivor, "Playground.Destroy", PlaygroundRequest(), keyed)
    stored = survivor.requests.asked(accepted.id, Caller("alice")).document
    assert stored == {"environment": "playground_scratch"}
    assert ended(survivor, accepted.id).status is RequestStatus.DONE
    # The one in use is alice's own again by now: the same call is the same operation all the same.
    assert call(survivor, "Playground.Destroy", PlaygroundRequest(), keyed).id == accepted.id
    assert [each.id for each in survivor.store.sandboxes()] == [PLAYGROUND]


def test_what_nobody_resumes_is_ended_after_some_days_and_what_its_user_cancels_at_once(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("[store]\nwaiting_days = 0.0004\n")  # 35 s, a little more than a lease
    mortal = Replica(tmp_path, "mortal")
    id = mortal.call("Operations.Apply", apply("a", "b", does="hold"), TOKEN).id
    run = mortal.call("Operations.Run", RunRequest(PLAYGROUND, (probe("c", does="hold"),)), TOKEN).id
    until(lambda: made(tmp_path))
    mortal.kill()
    survivor = service(tmp_path)
    assert ended(survivor, id).status is RequestStatus.WAITING_FOR_USER
    if ended(survivor, run).status is RequestStatus.WAITING_FOR_USER:
        call(survivor, "Operations.CancelOperation", GetOperationRequest(run))
        until(lambda: survivor.requests.get(run).status is RequestStatus.CANCELLED)
    state = until(lambda: _final(survivor.requests.get(id)))
    assert (state.status, state.error.code) == (  # type: ignore[union-attr]
        RequestStatus.FAILED, "request.waited_too_long",
    )  # fmt: skip
    assert [each for each in told(survivor) if each[0] == "apply"] == [
        ("apply", "probe/a", "FAILED"), ("apply", "probe/b", "REFUSED"),
    ]  # fmt: skip
    assert [each[1] for each in told(survivor) if each[0] == "run"] == ["probe/c"]
    assert survivor.close(10.0)


def test_a_replica_that_stood_still_beyond_its_lease_writes_nothing_more(survivor: Service, tmp_path: Path) -> None:
    mortal = Replica(tmp_path, "mortal")
    id = mortal.call("Operations.Apply", apply("a", "b", does="hold")).id
    until(lambda: made(tmp_path))
    stand_still(mortal, tmp_path / ".dcp" / "state.db")
    (tmp_path / "go").touch()
    state = ended(survivor, id, deadline_s=90)
    assert_applied_once(survivor, state, "ab")
    events, records, lines = watched(survivor, id), audit(survivor), made(tmp_path)
    mortal.process.kill(signal.SIGCONT)
    time.sleep(3)
    assert mortal.state(id) == state
    assert (watched(survivor, id)[:-1], audit(survivor), made(tmp_path)) == (events[:-1], records, lines)
    mortal.kill()


def stand_still(replica: Replica, database: Path) -> None:
    """Stop its process between two transactions: in one of them it would keep everybody from SQLite's file."""
    for _ in range(100):
        replica.process.kill(signal.SIGSTOP)
        with closing(sqlite3.connect(database, timeout=0.5, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
                return
            except sqlite3.OperationalError:
                replica.process.kill(signal.SIGCONT)
                time.sleep(0.05)
    raise AssertionError("it never stood still outside a transaction")


def test_a_run_goes_on_elsewhere_as_the_same_execution(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("")
    project = Project(tmp_path)
    project.source("raw.orders", [order("a", 1), order("b", 2)], orders_schema())
    project.dataset("daily")
    mortal = Replica(tmp_path, "mortal")
    with project.control_plane() as dcp:
        plan = dcp.parse(tmp_path / FOLDER / "daily.yaml", PLAYGROUND)
    applied = mortal.ended(mortal.call("Operations.Apply", ApplyRequest(PLAYGROUND, (plan,))).id)
    assert applied.status is RequestStatus.DONE, applied
    running = mortal.call("Operations.Run", RunRequest(PLAYGROUND, (plan,))).id
    survivor = service(tmp_path)

    def execution() -> str | None:
        found, _ = survivor.requests.events(running, 0)
        return next((each.execution.id for each in found if each.execution is not None), None)

    begun = until(execution)
    mortal.kill()
    state = ended(survivor, running, 90)
    assert state.status is RequestStatus.DONE, state
    (result,) = from_json(state.answer, RunAnswer).results
    assert [(each.id, str(each.status)) for each in result.executions] == [(begun, "SUCCEEDED")]
    events = watched(survivor, running)
    assert assert_whole(events) == state
    table = project.catalog().load_table("derived_datasets.daily")
    assert len(table.snapshots()) == 1
    assert told(survivor) == [
        ("apply", "derived_dataset/daily", "SUCCEEDED"), ("run", "derived_dataset/daily", "SUCCEEDED"),
    ]  # fmt: skip
    assert survivor.close(20.0)


def _final(state: OperationState) -> OperationState | None:
    return state if state.status.is_final else None
