"""Whose turn it is when there are more requests than hands, and what becomes of those that nobody will begin."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from dcp_core.documents import to_json
from dcp_core.errors import TransientError
from dcp_core.records import Caller
from dcp_graph_runner.api.long_running import GetOperationRequest, OperationState, RequestStatus
from dcp_graph_runner.api.messages import ApplyRequest, RunRequest
from dcp_graph_runner.graphs.work import SignedIn
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.request_rows import CANCELLED, Request
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner.server.probes import made, probe
from tests.dcp_graph_runner.server.replicas import ALICE, call, ended, service, told, until

TOKEN = {"x-dcp-credential-databricks": "dapi-0123456789"}
BOB = {"x-dcp-identity": "bob"}


def _apply(at: Service, name: str, headers: Mapping[str, str] = ALICE, does: str = "") -> OperationState:
    request = ApplyRequest("production", (probe(name, does=does, environment="production"),))
    state: OperationState = call(at, "Operations.Apply", request, headers)
    return state


def _run(at: Service, name: str, headers: Mapping[str, str] = ALICE) -> OperationState:
    request = RunRequest("production", (probe(name, environment="production"),))
    state: OperationState = call(at, "Operations.Run", request, headers)
    return state


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Opens replicas with one hand, and closes them; what holds it is let go."""
    (tmp_path / "dcp.toml").write_text("")
    replicas: list[Service] = []

    def open_one(**options: int) -> Service:
        replicas.append(service(tmp_path, threads=1, **options))
        return replicas[-1]

    yield open_one
    (tmp_path / "go").touch()
    for each in replicas:
        assert each.close(30.0)


def test_those_who_send_tokens_do_not_keep_those_who_send_none_from_their_turn(
    opened: Callable[..., Service], tmp_path: Path
) -> None:
    at, is_over = opened(), threading.Event()

    def flood(name: str) -> None:
        number = 0
        while not is_over.wait(0.005):
            try:
                _apply(at, f"{name}{number}", {"x-dcp-identity": name, **TOKEN}, "slow")
                number += 1
            except TransientError:
                pass  # as many as may wait here

    threads = [threading.Thread(target=flood, args=(each,)) for each in ("mallory", "mallard")]
    for each in threads:
        each.start()
    try:
        until(lambda: len(made(tmp_path)) >= 2)
        theirs = _apply(at, "bob", BOB)
        until(lambda: at.requests.get(theirs.id).status is RequestStatus.DONE, 30)
    finally:
        is_over.set()
        for each in threads:
            each.join()


def test_what_came_without_tokens_is_done_by_the_replica_that_has_a_free_hand(
    opened: Callable[..., Service], tmp_path: Path
) -> None:
    busy, idle = opened(), opened()
    _apply(busy, "a", {**ALICE, **TOKEN}, "hold")
    until(lambda: made(tmp_path))
    theirs = _apply(busy, "b", BOB)
    until(lambda: idle.requests.get(theirs.id).status is RequestStatus.DONE)
    assert busy.worker.in_hand == 1


def test_what_is_cancelled_before_its_turn_ends_although_all_hands_are_busy(
    opened: Callable[..., Service], tmp_path: Path
) -> None:
    at = opened(open_requests=3)
    _apply(at, "a", does="hold")
    until(lambda: made(tmp_path))
    queued, with_token = _run(at, "b"), _run(at, "c", {**ALICE, **TOKEN})
    with pytest.raises(TransientError, match="3 operations of alice have not ended"):
        _apply(at, "d")
    for each in (queued, with_token):
        call(at, "Operations.CancelOperation", GetOperationRequest(each.id))
        state = ended(at, each.id)
        assert state.error is not None
        assert (state.status, state.error.code) == (RequestStatus.CANCELLED, CANCELLED)
    assert at.worker.in_hand == 1
    assert made(tmp_path) == ["a"]
    assert told(at) == [("run", "probe/b", "REFUSED"), ("run", "probe/c", "REFUSED")]
    last = _apply(at, "d")
    (tmp_path / "go").touch()
    assert ended(at, last.id).status is RequestStatus.DONE


def test_the_end_of_what_a_request_left_is_told_to_whoever_follows_it(opened: Callable[..., Service]) -> None:
    at = opened()
    asked = ApplyRequest("production", (probe("a", environment="production"),))
    caller = Caller("alice", request_id="req_1", is_remote=True)
    request = Request("req_1", "Operations.Apply", caller, "production", to_json(asked), ("databricks",))
    dead = attrs.evolve(current_holder("alice"), started="1")
    claim, id = at.requests.accept(request, dead)
    assert claim is not None
    dcp = at.control_plane(SignedIn(caller), claim=claim)
    (manifest,) = dcp.plan(list(asked.logical_plans), environment=dcp.environment("production")).manifests
    at.store.begin(dcp.operator.new("apply", manifest), dead)
    until(lambda: at.requests.get(id).status is RequestStatus.WAITING_FOR_USER)
    at.requests.cancel(id, "alice")
    until(lambda: at.requests.get(id).status is RequestStatus.CANCELLED)
    events, _ = at.requests.events(id, 0)
    assert [each.type for each in events] == ["operation_finished"]
