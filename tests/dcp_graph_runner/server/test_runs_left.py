"""Runs that a request waits for when its replica dies: recorded once, by whoever goes on with it or ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dcp_core import Decision, hookimpl
from dcp_core.documents import to_json
from dcp_core.operating import LEFT
from dcp_core.records import AuthorizationRequest, Caller
from dcp_core.registry import EXTENSIONS, PLUGINS, PRIMITIVES
from dcp_graph_runner.api.long_running import GetOperationRequest, RequestStatus
from dcp_graph_runner.api.table import find
from dcp_graph_runner.graphs.work import SignedIn
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.ops.messages import BackfillRequest, StartRequest
from dcp_graph_runner.request_rows import Request
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner import processes
from tests.dcp_graph_runner.ops.clockwork import CLOCK, ENVIRONMENT, Clock, Clockwork, hours, opened
from tests.dcp_graph_runner.server.replicas import ALICE, audit, call, ended, service, until

ID = "req_20261123T000000_aaaaaaaaaaaa"
TOKEN = {**ALICE, "x-dcp-credential-databricks": "dapi-0123456789"}
HOUR = {"data_interval_start": "2026-01-01T00:00:00+00:00"}
START = StartRequest(ENVIRONMENT, CLOCK.id, HOUR, wait=True)
BACKFILL = BackfillRequest(ENVIRONMENT, CLOCK.id, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 3, tzinfo=UTC))


class Nobody:
    """Denies starts."""

    @hookimpl
    def authorize(self, request: AuthorizationRequest) -> Decision | None:
        return Decision(False, "not any more") if request.operation == "start" else None


def replica(root: Path, clock: Clock) -> Service:
    at = service(root)
    at.registry.register(PLUGINS, "clockwork", Clockwork())
    at.registry.register(PRIMITIVES, "clock", clock)
    return at


def killed(root: Path, method: str, request: Any, deadly: int) -> None:
    """Accept a request of Alice's, work on it, and die as the execution of that number is to start."""
    clock, left = Clock(), [deadly]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    clock._before = tick
    at = replica(root, clock)
    caller = Caller("alice", (), ID, is_remote=True)
    asked = Request(ID, method, caller, ENVIRONMENT, to_json(request), ("databricks",))
    claim, _ = at.requests.accept(asked, current_holder("alice"))
    find(method).function(at.control_plane(SignedIn(caller), claim=claim), request)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dcp.toml").write_text("")
    opened(tmp_path, Clock()).close()
    return tmp_path


@pytest.fixture
def other(root: Path) -> Iterator[Service]:
    """A replica that lives."""
    at = replica(root, Clock())
    yield at
    assert at.close(10.0)


def told(at: Service) -> list[tuple[str, str, str]]:
    """Kind, outcome and message of what was recorded since the apply."""
    rows = [(each.kind, str(each.outcome), each.message) for each in audit(at)]
    return [each for each in rows if each[0] not in ("apply", "playground_create")]


def let_go(at: Service) -> None:
    """The request waits for Alice; anybody who works meanwhile leaves it alone."""
    assert ended(at, ID).status is RequestStatus.WAITING_FOR_USER
    at.control_plane(SignedIn(Caller("bob"))).settle_audit()


def test_a_start_that_is_waited_for_and_taken_over_is_recorded_once(root: Path, other: Service) -> None:
    assert processes.run(killed, root, "Ops.Start", START, 1) == -9
    let_go(other)
    assert told(other) == []
    call(other, "Operations.ResumeOperation", GetOperationRequest(ID), TOKEN)
    assert ended(other, ID).status is RequestStatus.DONE
    assert hours(root) == [0]
    assert told(other) == [("start", "SUCCEEDED", "")]
    assert other.store.audit_log.announced() == 0


def test_a_start_that_is_waited_for_and_cancelled_later_is_recorded_once(root: Path, other: Service) -> None:
    assert processes.run(killed, root, "Ops.Start", START, 1) == -9
    let_go(other)
    call(other, "Operations.CancelOperation", GetOperationRequest(ID))
    until(lambda: other.requests.get(ID).status is RequestStatus.CANCELLED)
    assert told(other) == [("start", "FAILED", LEFT)]
    assert other.store.audit_log.announced() == 0


def test_a_start_that_had_begun_and_may_not_be_gone_on_with_was_not_refused(root: Path, other: Service) -> None:
    assert processes.run(killed, root, "Ops.Start", START, 1) == -9
    let_go(other)
    other.registry.register(EXTENSIONS, "nobody", Nobody(), "a test")
    call(other, "Operations.ResumeOperation", GetOperationRequest(ID), TOKEN)
    assert ended(other, ID).status is RequestStatus.FAILED
    ((kind, outcome, message),) = told(other)
    assert (kind, outcome) == ("start", "FAILED")
    assert message.endswith("; when it was taken over: denied: not any more")
    assert other.store.audit_log.announced() == 0


def test_a_run_of_a_backfill_that_was_cut_off_and_done_by_another_replica_did_not_fail(
    root: Path, other: Service
) -> None:
    assert processes.run(killed, root, "Ops.Backfill", BACKFILL, 2) == -9
    let_go(other)
    assert told(other) == [("run", "SUCCEEDED", "")]
    call(other, "Operations.ResumeOperation", GetOperationRequest(ID), TOKEN)
    assert ended(other, ID).status is RequestStatus.DONE
    assert hours(root) == [0, 1, 2]
    assert told(other) == [*[("run", "SUCCEEDED", "")] * 3, ("backfill", "SUCCEEDED", "")]
    assert other.store.audit_log.announced() == 0
