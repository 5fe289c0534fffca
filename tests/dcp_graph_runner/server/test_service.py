"""The service without transports: what is asked, what is answered, what is recorded."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core.documents import from_json
from dcp_core.errors import (
    ConflictError,
    DcpError,
    NotFoundError,
    NotSupportedError,
    TransientError,
    UnauthenticatedError,
    UnauthorizedError,
    UsageError,
)
from dcp_core.hookspecs import hookimpl
from dcp_core.model import LogicalPlan
from dcp_core.records import AuthorizationRequest, Decision, OperationStatus, Sandbox
from dcp_core.registry import EXTENSIONS, PLUGINS
from dcp_graph_runner.api.long_running import Event, GetOperationRequest, OperationState, RequestStatus
from dcp_graph_runner.api.messages import (
    ApplyAnswer,
    ApplyRequest,
    ExpectedAction,
    LintRequest,
    PlanAnswer,
    PlanRequest,
    RunRequest,
)
from dcp_graph_runner.server.problems import status_of
from dcp_graph_runner.server.service import IDEMPOTENCY_KEY, PEER, Service
from tests.dcp_graph_runner.server.probes import PLAYGROUND, made, probe
from tests.dcp_graph_runner.server.replicas import (
    ALICE,
    answered,
    audit,
    call,
    done,
    ended,
    service,
    told,
    until,
    watched,
)
from tests.end_to_end.projects import FOLDER, Project
from tests.faults.worlds import ENDLESS

BOB = {"x-dcp-identity": "bob"}
AUTH = '[auth]\nissuer = "http://127.0.0.1:9"\naudience = ["dcp"]\n'


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "dcp.toml").write_text("")
    opened = service(tmp_path)
    now = datetime.now(UTC)
    opened.store.put_sandbox(Sandbox(PLAYGROUND, "alice", "alice", now, now + timedelta(days=1)))
    yield opened
    (tmp_path / "go").touch()  # whatever is held still
    assert opened.close(20.0)


def apply(*logical_plans: LogicalPlan, **more: object) -> ApplyRequest:
    return ApplyRequest(PLAYGROUND, logical_plans, **more)  # type: ignore[arg-type]


def test_an_apply_is_accepted_done_recorded_and_told_event_by_event(replica: Service, tmp_path: Path) -> None:
    accepted = call(replica, "Operations.Apply", apply(probe("a"), probe("b"), probe("c")))
    assert (accepted.status, accepted.identity, accepted.environment) == (RequestStatus.RUNNING, "alice", PLAYGROUND)
    *events, last = watched(replica, accepted.id)
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    assert (last.type, last.state.status) == ("state", RequestStatus.DONE)  # type: ignore[union-attr]
    assert {each.type for each in events} >= {"node_started", "operation_started", "action_finished"}
    answer: ApplyAnswer = answered(replica, "Operations.Apply", apply(probe("a"), probe("b"), probe("c")))
    assert (answer.status, [each.id for each in answer.operations]) == ("SUCCEEDED", ["", "", ""])
    assert sorted(made(tmp_path)) == ["a", "b", "c"]
    assert told(replica) == [("apply", f"probe/{name}", "SUCCEEDED") for name in "abc"]


def test_of_several_manifests_the_denied_one_is_refused_and_the_others_go_on(replica: Service, tmp_path: Path) -> None:
    replica.registry.register(EXTENSIONS, "policy", _Denies("probe/b"))
    answer: ApplyAnswer = answered(replica, "Operations.Apply", apply(probe("a"), probe("b"), probe("c")))
    assert answer.status == "PARTIAL"
    assert {each.manifest_id: str(each.status) for each in answer.operations} == {
        "probe/a": "SUCCEEDED", "probe/b": "REFUSED", "probe/c": "SUCCEEDED",
    }  # fmt: skip
    assert sorted(made(tmp_path)) == ["a", "c"]
    assert told(replica) == [
        ("apply", "probe/a", "SUCCEEDED"), ("apply", "probe/b", "REFUSED"), ("apply", "probe/c", "SUCCEEDED"),
    ]  # fmt: skip


def test_what_is_denied_as_a_whole_is_refused_at_once_with_a_record_for_each_manifest(replica: Service) -> None:
    with pytest.raises(UnauthorizedError, match="belongs to alice"):
        call(replica, "Operations.Apply", apply(probe("a"), probe("b")), BOB)
    assert told(replica) == [("apply", "probe/a", "REFUSED"), ("apply", "probe/b", "REFUSED")]


def test_another_tenant_than_the_requests_is_refused_and_recorded(replica: Service) -> None:
    with pytest.raises(UnauthorizedError, match="x-tenant-id"):
        call(replica, "Operations.Apply", apply(probe("a")), {**ALICE, "x-tenant-id": "production"})
    assert told(replica) == [("apply", "probe/a", "REFUSED")]


def test_a_refused_call_with_very_many_manifests_has_one_record(replica: Service) -> None:
    with pytest.raises(UnauthorizedError):
        call(replica, "Operations.Apply", apply(*(probe(f"m{number}") for number in range(101))), BOB)
    assert told(replica) == [("apply", "", "REFUSED")]


def test_reads_leave_no_record_whether_they_succeed_or_not(replica: Service) -> None:
    answered(replica, "Operations.Plan", PlanRequest(PLAYGROUND, (probe("a"),)))
    answered(replica, "Operations.Lint", LintRequest(PLAYGROUND, (probe("a"),)))
    with pytest.raises(UsageError):
        call(replica, "Operations.Plan", PlanRequest("elsewhere", ()))
    with pytest.raises(NotFoundError):
        call(replica, "Operations.GetOperation", GetOperationRequest("req_none"))
    assert told(replica) == []


def test_a_bug_in_the_middle_is_recorded_and_what_it_says_is_kept_from_callers(
    replica: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("the password is 1234")

    monkeypatch.setattr("dcp_core.control_plane.ControlPlane.plan", broken)
    state = done(replica, "Operations.Apply", apply(probe("a")))
    assert state.status is RequestStatus.FAILED
    assert state.error is not None
    assert (state.error.code, state.error.status) == ("server.bug", 500)
    assert "1234" not in str(state)
    (record,) = replica.store.audit_records()
    assert (record.manifest_id, str(record.outcome), record.message) == (
        "probe/a", "REFUSED", "a bug ended it: ValueError",
    )  # fmt: skip


@pytest.mark.parametrize(("raised", "code"), [("SystemExit", None), ("GeneratorExit", "server.bug")])
def test_whatever_a_primitive_raises_ends_the_request_and_frees_its_worker(
    replica: Service, raised: str, code: str | None
) -> None:
    state = done(replica, "Operations.Apply", apply(probe("a", does=raised)))
    assert (state.error.code if state.error else None) == code
    if code is None:
        (operation,) = from_json(state.answer, ApplyAnswer).operations
        assert str(operation.status) == "FAILED"
        assert "create: SystemExit" in (operation.results[0].error or "")
    until(lambda: replica.worker.in_hand == 0)
    assert answered(replica, "Operations.Apply", apply(probe("b"))).status == "SUCCEEDED"


# Signing in


def test_a_flood_of_callers_whom_nobody_knows_leaves_one_record_a_minute_for_each_peer(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text(AUTH)
    opened = service(tmp_path)
    for number in range(50):
        with pytest.raises(UnauthenticatedError):
            call(opened, "Operations.Apply", apply(probe("a")), {PEER: f"10.0.0.{number % 2}"})
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            call(opened, "Operations.Plan", PlanRequest(PLAYGROUND, ()), {PEER: "10.0.0.1"})
    assert told(opened) == [("apply", "probe/a", "REFUSED")] * 2
    assert opened.close(5.0)


# Idempotency keys


def test_a_key_that_comes_again_gives_the_same_operation_to_the_same_caller_alone(replica: Service) -> None:
    production = ApplyRequest("production", (probe("a", environment="production"),))
    keyed = {IDEMPOTENCY_KEY: "k1"}
    first = call(replica, "Operations.Apply", production, {**ALICE, **keyed})
    again = call(replica, "Operations.Apply", production, {**ALICE, **keyed})
    other = call(replica, "Operations.Apply", production, {**BOB, **keyed})
    assert first.id == again.id != other.id
    with pytest.raises(ConflictError, match="another request") as refused:
        call(replica, "Operations.Apply", ApplyRequest("production", ()), {**ALICE, **keyed})
    assert refused.value.code == "request.key_used"
    with pytest.raises(UsageError, match="1 to 255"):
        call(replica, "Operations.Apply", production, {**ALICE, IDEMPOTENCY_KEY: "k" * 256})
    assert ended(replica, first.id).status is ended(replica, other.id).status is RequestStatus.DONE


def test_a_key_sent_to_two_replicas_at_once_is_one_operation(replica: Service, tmp_path: Path) -> None:
    other = service(tmp_path)
    barrier = threading.Barrier(8)

    def ask(number: int) -> str:
        barrier.wait(10)
        at = (replica, other)[number % 2]
        return str(call(at, "Operations.Apply", apply(probe("a")), {**ALICE, IDEMPOTENCY_KEY: "both"}).id)

    with ThreadPoolExecutor(8) as pool:
        (id,) = set(pool.map(ask, range(8)))
    assert ended(replica, id).status is RequestStatus.DONE
    assert made(tmp_path) == ["a"]
    assert other.close(10.0)


# Plans that were shown


def test_a_plan_that_was_shown_is_done_and_one_that_is_no_longer_true_is_refused_by_name(
    replica: Service, tmp_path: Path
) -> None:
    shown: PlanAnswer = answered(replica, "Operations.Plan", PlanRequest(PLAYGROUND, (probe("a"), probe("b"))))
    expected = tuple(map(ExpectedAction.of, shown.plan.actions))
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / f"{PLAYGROUND}.b").write_text("somebody else's")
    state = done(replica, "Operations.Apply", apply(probe("a"), probe("b"), expected=expected))
    assert state.error is not None
    assert (state.error.code, state.error.status, state.error.where) == ("plan.stale", 409, "probe_file:b")
    assert "was created after the plan was made" in state.error.message
    assert made(tmp_path) == []
    assert told(replica) == [("apply", "probe/a", "REFUSED"), ("apply", "probe/b", "REFUSED")]
    (tmp_path / "probes" / f"{PLAYGROUND}.b").unlink()
    answer: ApplyAnswer = answered(replica, "Operations.Apply", apply(probe("a"), probe("b"), expected=expected))
    assert answer.status == "SUCCEEDED"


# What a caller has made up


def _nested(levels: int) -> object:
    value: object = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"environment": "production"}, "compiled for production"),
        ({"compiled_by": "dcp-plugins-ingestion==1.0"}, "was compiled by dcp-plugins-ingestion"),
        ({"compiled_by": "embedded==99"}, "was compiled by embedded==99"),
        ({"compiled_by": ""}, "was compiled by nobody knows what"),
        ({"id": "derived_dataset/a"}, "no id of the type"),
        ({"id": "probe/../etc"}, "no id of the type"),
        ({"id": "probe/" + "a" * 100_000}, "no id of the type"),
        ({"plugin_type": "nothing", "id": "nothing/a"}, "'nothing' is not installed"),
        ({"plugin_spec": {}}, "cannot be read as what its plugin compiles"),
        ({"plugin_spec": {"name": ["a"], "content": _nested(100), "does": ""}}, "more than 64 levels"),
        ({"plugin_spec": {"name": 7, "content": {}, "does": None, "more": 1}}, "cannot be read"),
    ],
)
def test_a_logical_plan_that_was_made_up_is_refused_as_the_callers_mistake(
    replica: Service, changed: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(DcpError, match=words) as refused:
        call(replica, "Operations.Apply", apply(attrs.evolve(probe("a"), **changed)))
    assert 400 <= status_of(refused.value) < 500
    assert len(str(refused.value)) < 1000
    assert len(told(replica)) == 1


def test_an_id_that_is_there_twice_is_refused(replica: Service) -> None:
    with pytest.raises(UsageError, match="probe/a is there twice"):
        call(replica, "Operations.Apply", apply(probe("a"), probe("a", content="other")))


@pytest.mark.parametrize("spec", [{}, {"table_name": 3}, {"sql": "SELECT 1", "table_name": "t", "fields": "x"}])
@pytest.mark.parametrize("kind", ["derived_dataset", "gr_ingestion", "taulu_ingestion", "feature_platform"])
def test_no_shipped_plugin_takes_garbage_for_a_bug_of_the_server(
    replica: Service, kind: str, spec: Mapping[str, Any]
) -> None:
    compiled_by = replica.registry.owner(PLUGINS, kind)
    forged = attrs.evolve(probe("a"), plugin_type=kind, id=f"{kind}/a", plugin_spec=spec, compiled_by=compiled_by)
    with pytest.raises(DcpError) as refused:
        call(replica, "Operations.Apply", apply(forged))
    assert 400 <= status_of(refused.value) < 500


# Cancelling


def test_an_apply_cannot_be_cancelled_and_nobody_cancels_what_is_somebody_elses(
    replica: Service, tmp_path: Path
) -> None:
    held = call(replica, "Operations.Apply", apply(probe("a", does="hold")))
    until(lambda: made(tmp_path))
    with pytest.raises(NotSupportedError, match="goes on to its end"):
        call(replica, "Operations.CancelOperation", GetOperationRequest(held.id))
    planned = call(replica, "Operations.Plan", PlanRequest(PLAYGROUND, ()))
    with pytest.raises(UnauthorizedError, match="is alice's"):
        call(replica, "Operations.CancelOperation", GetOperationRequest(planned.id), BOB)
    (tmp_path / "go").touch()
    assert ended(replica, held.id).status is RequestStatus.DONE


def test_what_is_cancelled_before_its_turn_never_begins_and_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("")
    opened = service(tmp_path, threads=1)
    held = call(opened, "Operations.Apply", apply(probe("a", does="hold")))
    until(lambda: made(tmp_path))
    queued = call(opened, "Operations.Run", RunRequest(PLAYGROUND, (probe("b"),)))
    call(opened, "Operations.CancelOperation", GetOperationRequest(queued.id))
    time.sleep(0.6)  # until the worker has looked
    (tmp_path / "go").touch()
    state = ended(opened, queued.id)
    assert (state.status, state.error.code) == (RequestStatus.CANCELLED, "cancelled")  # type: ignore[union-attr]
    assert ended(opened, held.id).status is RequestStatus.DONE
    assert told(opened) == [("apply", "probe/a", "SUCCEEDED"), ("run", "probe/b", "REFUSED")]
    assert opened.close(10.0)


def test_a_run_that_is_cancelled_is_stopped_and_recorded_so(replica: Service, tmp_path: Path) -> None:
    project = Project(tmp_path)
    for name in ("first", "second"):
        project.dataset(name, sql=ENDLESS)
    with project.control_plane() as dcp:
        plans = tuple(dcp.parse(tmp_path / FOLDER / f"{name}.yaml", PLAYGROUND) for name in ("first", "second"))
    applied: ApplyAnswer = answered(replica, "Operations.Apply", apply(*plans))
    assert applied.status == "SUCCEEDED"
    running = call(replica, "Operations.Run", RunRequest(PLAYGROUND, plans))

    def started() -> Event | None:
        found, _ = replica.requests.events(running.id, 0)
        return next((each for each in found if each.execution and each.execution.status == "RUNNING"), None)

    execution = until(started).execution
    call(replica, "Operations.CancelOperation", GetOperationRequest(running.id))
    assert ended(replica, running.id).status is RequestStatus.CANCELLED
    ids = [each.id for each in plans]
    assert told(replica)[2:] == [("run", ids[0], "CANCELLED"), ("run", ids[1], "REFUSED")]
    assert execution is not None
    with closing(sqlite3.connect(tmp_path / ".dcp" / "coreetl.db")) as driver:
        rows = driver.execute("SELECT execution_id, status FROM coreetl_executions").fetchall()
    assert rows == [(execution.id, "CANCELLED")]


# Ending


def test_a_draining_replica_takes_nothing_new_and_ends_what_it_has(replica: Service, tmp_path: Path) -> None:
    held = call(replica, "Operations.Apply", apply(probe("a", does="hold")))
    until(lambda: made(tmp_path))
    replica.begin_drain()
    assert not replica.is_ready()
    with pytest.raises(TransientError) as refused:
        call(replica, "Operations.Plan", PlanRequest(PLAYGROUND, ()))
    assert refused.value.code == "server.draining"
    closing = threading.Thread(target=replica.close, args=(20.0,))
    closing.start()
    (tmp_path / "go").touch()
    assert ended(replica, held.id).status is RequestStatus.DONE
    closing.join(20)


def test_what_a_closing_replica_cannot_end_in_time_another_one_ends(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("")
    first, second = service(tmp_path, threads=1), service(tmp_path)
    held = call(first, "Operations.Apply", apply(probe("a", does="hold"), probe("b")))
    until(lambda: made(tmp_path))
    queued = call(first, "Operations.Apply", apply(probe("c")))
    assert not first.close(0.2)
    assert ended(second, queued.id).status is RequestStatus.DONE
    # The other one waits for the operation that the first has in hand still, and does what it has not begun.
    until(lambda: second.requests.get(held.id).status is RequestStatus.RUNNING and second.worker.in_hand)
    (tmp_path / "go").touch()
    answer = from_json(ended(second, held.id).answer, ApplyAnswer)
    assert [each.manifest_id for each in answer.operations] == ["probe/a", "probe/b"]
    assert answer.status == "SUCCEEDED"
    assert sorted(made(tmp_path)) == ["a", "b", "c"]
    assert told(second) == [("apply", f"probe/{name}", "SUCCEEDED") for name in "abc"]
    assert second.close(10.0)


# Many at once


def test_twenty_threads_apply_five_manifests_and_no_two_are_ever_at_one(replica: Service, tmp_path: Path) -> None:
    def ask(number: int) -> OperationState:
        plans = [probe(f"m{each}", content=f"of {number}", does="slow") for each in range(5)]
        # All twenty contend for five manifests, and each waits for the others.
        return ended(replica, call(replica, "Operations.Apply", apply(*plans)).id, 240)

    with ThreadPoolExecutor(20) as pool:
        states = list(pool.map(ask, range(20)))
    assert not (tmp_path / "anomaly").exists()
    # What another one has changed while a request was planned is refused as a whole, with the resource's name.
    stale = [each for each in states if each.status is RequestStatus.FAILED]
    assert {each.error.code for each in stale if each.error} <= {"plan.stale"}
    answers = [from_json(each.answer, ApplyAnswer) for each in states if each.status is RequestStatus.DONE]
    rows = [row for each in answers for row in each.operations]
    assert len(rows) == 5 * len(answers) > 0
    for row in rows:
        if row.status is OperationStatus.REFUSED:
            assert "is being changed by alice" in str(row.error) or "after the plan was made" in str(row.error)
    records = audit(replica)
    assert len({each.operation_id for each in records}) == len(records)
    assert len(records) == len([row for row in rows if row.id]) + 5 * len(stale)
    assert replica.store.interrupted(None) == ()


class _Denies:
    def __init__(self, id: str) -> None:
        self._id = id

    @hookimpl
    def authorize(self, request: AuthorizationRequest) -> Decision | None:
        if request.logical_plan is not None and request.logical_plan.id == self._id:
            return Decision(False, f"nobody touches {self._id}")
        return None
