"""An operation whose request is still open is for the worker of that request, whoever else comes by."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from dcp_core import recovering
from dcp_core.documents import to_json
from dcp_core.hookspecs import hookimpl
from dcp_core.model import Environment, LogicalPlan
from dcp_core.operating import APPLY
from dcp_core.records import Caller, Decision, Operation, OperationStatus
from dcp_core.registry import EXTENSIONS
from dcp_core.store import Holder
from dcp_graph_runner.api.long_running import RequestStatus
from dcp_graph_runner.api.messages import ApplyAnswer, ApplyRequest, DestroyRequest, RecoverRequest
from dcp_graph_runner.graphs.work import SignedIn
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.request_rows import Claim, Request
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner.server.probes import PLAYGROUND, made, probe
from tests.dcp_graph_runner.server.replicas import answered, done, service

WHERE = Environment.named(PLAYGROUND)
ID = "req_20261123T000000_aaaaaaaaaaaa"


class Denies:
    """Nobody but DCP's own requests may do anything to one manifest."""

    def __init__(self, id: str) -> None:
        self._id = id

    @hookimpl
    def authorize(self, request: object) -> Decision | None:
        about = getattr(request, "logical_plan", None)
        return Decision(False, "it is not yours") if about is not None and about.id == self._id else None


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "dcp.toml").write_text("")
    opened = service(tmp_path)
    yield opened
    assert opened.close(10.0)


def dead() -> Holder:
    """Of a process of this machine that is gone."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    return attrs.evolve(current_holder("alice"), pid=gone.pid)


def left(at: Service, plan: LogicalPlan, request_id: str = "") -> Operation:
    """An operation of Alice's that her process did not end."""
    dcp = at.control_plane(SignedIn(Caller("alice", (), request_id)))
    (manifest,) = dcp.plan(plan).manifests
    operation = dcp.operator.new(APPLY, manifest)
    dcp.store.begin(operation, dead())
    return operation


def accepted(at: Service, plan: LogicalPlan) -> None:
    """A request of hers that came with a token and waits for her."""
    document = to_json(ApplyRequest(PLAYGROUND, (plan,)))
    request = Request(ID, "Operations.Apply", Caller("alice", (), ID), PLAYGROUND, document, ("databricks",))
    claim, _ = at.requests.accept(request, dead())
    assert isinstance(claim, Claim)


def test_nobody_else_finishes_what_an_open_request_goes_on_with(replica: Service, tmp_path: Path) -> None:
    operation = left(replica, probe("a"), ID)
    accepted(replica, probe("a"))
    for method, request in (
        ("Operations.Recover", RecoverRequest(PLAYGROUND)),
        ("Operations.Destroy", DestroyRequest(PLAYGROUND)),
        ("Operations.Apply", ApplyRequest(PLAYGROUND, (probe("a", "newer"),))),
    ):
        done(replica, method, request)
        assert made(tmp_path) == []
        assert [each.id for each in replica.store.interrupted(PLAYGROUND)] == [operation.id]
    whose = replica.control_plane(SignedIn(Caller("alice", (), ID)))
    assert [each.id for each in whose.recover(WHERE)] == [operation.id], "the request's own worker goes on with it"
    assert made(tmp_path) == ["a"]


def test_what_a_request_that_has_ended_left_is_for_everybody(replica: Service, tmp_path: Path) -> None:
    operation = left(replica, probe("a"), ID)
    accepted(replica, probe("a"))
    replica.requests.claim(current_holder("alice"), 5)  # it waits for Alice now, or a worker had it do so before
    replica.requests.cancel(ID, "alice")
    for each in replica.requests.claim_waiting(current_holder("alice")):
        replica.requests.finish(each.claim, RequestStatus.CANCELLED, error=each.problem)
    assert replica.store.served([ID]) == frozenset()
    dcp = replica.control_plane(SignedIn(Caller("bob")))
    assert [each.id for each in recovering.free(dcp.operator, replica.store.interrupted(PLAYGROUND))] == [operation.id]


def test_a_change_finishes_nothing_of_the_manifests_that_it_was_refused(replica: Service, tmp_path: Path) -> None:
    operation = left(replica, probe("a"))
    replica.registry.register(EXTENSIONS, "denies", Denies("probe/a"), "this test")
    answer: ApplyAnswer = answered(replica, "Operations.Apply", ApplyRequest(PLAYGROUND, (probe("a"), probe("b"))))
    assert {each.manifest_id: each.status for each in answer.operations} == {
        "probe/a": OperationStatus.REFUSED, "probe/b": OperationStatus.SUCCEEDED,
    }  # fmt: skip
    assert made(tmp_path) == ["b"]
    assert [each.id for each in replica.store.interrupted(PLAYGROUND)] == [operation.id]


def test_a_change_that_expects_nothing_to_do_finishes_nothing(replica: Service, tmp_path: Path) -> None:
    operation = left(replica, probe("a"))
    for method, request in (
        ("Operations.Apply", ApplyRequest(PLAYGROUND, (probe("a"),), expected=())),
        ("Operations.Destroy", DestroyRequest(PLAYGROUND, ("probe/a",), expected=())),
    ):
        done(replica, method, request)
        assert made(tmp_path) == []
        assert [each.id for each in replica.store.interrupted(PLAYGROUND)] == [operation.id]


def test_a_destruction_of_everything_finishes_what_was_never_in_force(replica: Service, tmp_path: Path) -> None:
    left(replica, probe("a"))
    answer: ApplyAnswer = answered(replica, "Operations.Destroy", DestroyRequest(PLAYGROUND))
    assert [(each.kind, each.status) for each in answer.operations] == [
        ("apply", OperationStatus.SUCCEEDED), ("destroy", OperationStatus.SUCCEEDED),
    ]  # fmt: skip
    assert (made(tmp_path), list((tmp_path / "probes").iterdir())) == (["a"], [])


def test_a_destruction_of_everything_finishes_only_what_it_may(replica: Service, tmp_path: Path) -> None:
    operation = left(replica, probe("a"))
    answered(replica, "Operations.Apply", ApplyRequest(PLAYGROUND, (probe("b"),)))
    replica.registry.register(EXTENSIONS, "denies", Denies("probe/a"), "this test")
    answered(replica, "Operations.Destroy", DestroyRequest(PLAYGROUND))
    assert made(tmp_path) == ["b"]
    assert not (tmp_path / "probes" / f"{PLAYGROUND}.b").exists()
    assert [each.id for each in replica.store.interrupted(PLAYGROUND)] == [operation.id]
