"""What a request had begun when its replica died is never recorded as refused, nor not at all, whoever ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dcp_core.applying import announced
from dcp_core.documents import to_json
from dcp_core.errors import UnauthorizedError
from dcp_core.model import Environment, ManifestPlan
from dcp_core.operating import RUN
from dcp_core.records import AuditRecord, Caller, OperationStatus
from dcp_graph_runner import audit_playgrounds
from dcp_graph_runner.api.long_running import GetOperationRequest, OperationState, RequestStatus
from dcp_graph_runner.api.messages import RunRequest
from dcp_graph_runner.api.playground import PlaygroundRequest
from dcp_graph_runner.deeds import LEFT, Subject, recorded
from dcp_graph_runner.graphs.work import SignedIn
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.ops.messages import BackfillRequest
from dcp_graph_runner.playgrounds import Playgrounds
from dcp_graph_runner.request_rows import Request
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner import processes
from tests.dcp_graph_runner.server.probes import PLAYGROUND, probe
from tests.dcp_graph_runner.server.replicas import audit, call, ended, service, until

ID = "req_20261123T000000_aaaaaaaaaaaa"
BACKFILL = BackfillRequest(PLAYGROUND, "probe/a", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
RUNNING = RunRequest(PLAYGROUND, (probe("a"), probe("b")))
HERS = PlaygroundRequest(PLAYGROUND)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dcp.toml").write_text("")
    return tmp_path


@pytest.fixture
def open_replica(root: Path) -> Iterator[Callable[[], Service]]:
    opened: list[Service] = []

    def make() -> Service:
        opened.append(service(root))
        return opened[-1]

    yield make
    for each in opened:
        assert each.close(10.0)


def killed(root: Path, method: str, request: Any, needs: tuple[str, ...], begins: bool) -> None:
    """Accept a request of Alice's, begin what it asks for, and die."""
    at = service(root)
    caller = Caller("alice", (), ID, is_remote=True)
    asked = Request(ID, method, caller, PLAYGROUND, to_json(request), needs)
    claim, _ = at.requests.accept(asked, current_holder("alice"))
    assert claim is not None
    dcp = at.control_plane(SignedIn(caller), claim=claim)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if not begins:
        die()
    if method == "Operations.Run":
        operation = dcp.operator.new(RUN, ManifestPlan(probe("a"), ()))
        ahead = dcp.operator.audit_record(operation, OperationStatus.FAILED, (), LEFT)
        with announced(ahead, current_holder("alice"), dcp.store):
            die()
    if method == "Ops.Backfill":
        with recorded(dcp, Subject("backfill", PLAYGROUND, "BACKFILL probe/a", "probe/a")) as deed:
            deed.begin()
            die()
    with audit_playgrounds.recorded(dcp, "destroy", PLAYGROUND) as deed:
        Playgrounds.of(dcp).destroy(PLAYGROUND, deed.begin)
        die()


def cancelled(at: Service) -> OperationState:
    """The request, cancelled while it waits for its user."""
    assert ended(at, ID).status is RequestStatus.WAITING_FOR_USER
    call(at, "Operations.CancelOperation", GetOperationRequest(ID))
    return until(lambda: ((state := at.requests.get(ID)).status.is_final and state) or None)


def told(at: Service, kind: str) -> list[AuditRecord]:
    return [each for each in audit(at) if each.kind == kind]


@pytest.mark.parametrize("begins", [True, False])
def test_a_backfill_that_had_begun_and_is_cancelled_later_was_not_refused(
    root: Path, open_replica: Callable[[], Service], begins: bool
) -> None:
    assert processes.run(killed, root, "Ops.Backfill", BACKFILL, ("databricks",), begins) == -9
    at = open_replica()
    assert cancelled(at).status is RequestStatus.CANCELLED
    (record,) = told(at, "backfill")
    assert (record.user, record.environment, record.manifest_id) == ("alice", PLAYGROUND, "probe/a")
    assert (record.outcome, record.message) == (("FAILED", LEFT) if begins else ("REFUSED", "it was cancelled"))
    assert at.store.audit_log.announced() == 0


def test_of_a_run_only_the_manifests_that_it_never_came_to_were_refused(
    root: Path, open_replica: Callable[[], Service]
) -> None:
    assert processes.run(killed, root, "Operations.Run", RUNNING, ("databricks",), True) == -9
    at = open_replica()
    assert cancelled(at).status is RequestStatus.CANCELLED
    records = {each.manifest_id: (each.outcome, each.message) for each in told(at, "run")}
    assert records == {"probe/a": ("FAILED", LEFT), "probe/b": ("REFUSED", "it was cancelled")}


def test_what_was_begun_and_may_not_be_gone_on_with_was_not_refused(
    root: Path, open_replica: Callable[[], Service]
) -> None:
    assert processes.run(killed, root, "Operations.Run", RUNNING, ("databricks",), True) == -9
    at = open_replica()
    assert ended(at, ID).status is RequestStatus.WAITING_FOR_USER
    caller = Caller("alice", (), ID, is_remote=True)
    claim = at.requests.resume(ID, current_holder("alice"), caller)
    dcp = at.control_plane(SignedIn(caller), claim=claim)
    dcp.refuse(RUN, [ManifestPlan(each, ()) for each in RUNNING.logical_plans], UnauthorizedError("not any more"))
    records = {each.manifest_id: (each.outcome, each.message) for each in told(at, "run")}
    left = f"{LEFT}; when it was taken over: not any more"
    assert records == {"probe/a": ("FAILED", left), "probe/b": ("REFUSED", "not any more")}


def test_while_its_request_is_open_nobody_settles_what_was_left(
    root: Path, open_replica: Callable[[], Service]
) -> None:
    assert processes.run(killed, root, "Ops.Backfill", BACKFILL, ("databricks",), True) == -9
    at = open_replica()
    dcp = at.control_plane(SignedIn(Caller("bob")))
    dcp.settle_audit()
    assert (told(at, "backfill"), at.store.audit_log.announced()) == ([], 1)
    dcp.recover(Environment.named(PLAYGROUND))
    assert (told(at, "backfill"), at.store.audit_log.announced()) == ([], 1)
    cancelled(at)
    assert dcp.store.settle_audit() == ()


def test_a_destruction_of_a_playground_that_came_to_its_end_unseen_is_recorded(
    root: Path, open_replica: Callable[[], Service]
) -> None:
    at = open_replica()
    call(at, "Playground.Create", HERS)
    assert processes.run(killed, root, "Playground.Destroy", HERS, (), True) == -9
    state = ended(at, ID)
    assert state.error is not None, "it is gone already"
    assert at.store.sandboxes() == ()
    (record,) = told(at, "playground_destroy")
    assert (record.user, record.environment, record.outcome) == ("alice", PLAYGROUND, "FAILED")
    assert record.message.startswith(f"{LEFT}; when it was taken over: ")
    assert [each.kind for each in audit(at)] == ["playground_create", "playground_destroy"]
    assert at.store.audit_log.announced() == 0


def test_what_has_its_record_has_no_second_one_when_the_request_is_ended(
    root: Path, open_replica: Callable[[], Service]
) -> None:
    assert processes.run(recorded_and_killed, root) == -9
    at = open_replica()
    cancelled(at)
    assert [(each.kind, each.outcome) for each in audit(at)] == [("backfill", "SUCCEEDED")]


def recorded_and_killed(root: Path) -> None:
    """Do the deed of a request, record it, and die before the request ends."""
    at = service(root)
    caller = Caller("alice", (), ID, is_remote=True)
    asked = Request(ID, "Ops.Backfill", caller, PLAYGROUND, to_json(BACKFILL), ("databricks",))
    claim, _ = at.requests.accept(asked, current_holder("alice"))
    assert claim is not None
    dcp = at.control_plane(SignedIn(caller), claim=claim)
    with recorded(dcp, Subject("backfill", PLAYGROUND, "BACKFILL probe/a", "probe/a")) as deed:
        deed.begin()
    os.kill(os.getpid(), signal.SIGKILL)
