"""An error that crosses the wire arrives as what it was."""

from __future__ import annotations

import inspect

import pytest

from dcp_core import errors
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.errors import DcpError, InvalidManifestError, OperationInProgressError, TransientError
from dcp_graph_runner.api.long_running import Problem
from dcp_graph_runner.api.messages import Finding
from dcp_graph_runner.client.problems import raised
from dcp_graph_runner.graphs.work import FindingsError
from dcp_graph_runner.proto import model_pb2
from dcp_graph_runner.server import wire
from dcp_graph_runner.server.problems import problem_of

DETAILS = {"where": "kafka_topic:orders", "owner": "dcp-primitives==0.1.0: create", "hint": "wait a little"}
FINDING = Diagnostic(Severity.ERROR, "sql.unknown_column", "there is no column x", ("workflow", "sql"), hint="y?")
CLASSES = [
    each
    for each in vars(errors).values()
    if inspect.isclass(each) and issubclass(each, DcpError) and each is not DcpError
]


def made(kind: type[DcpError]) -> DcpError:
    if issubclass(kind, InvalidManifestError):
        return kind([FINDING], **DETAILS)
    if issubclass(kind, OperationInProgressError):
        return kind("bob is at it", holder="bob", **DETAILS)
    if issubclass(kind, TransientError):
        return kind("it is down", retry_after_s=2.5, **DETAILS)
    return kind("it is so", **DETAILS)


def crossed(error: DcpError) -> DcpError:
    """Through the very bytes of the protocol."""
    message = wire.encode(problem_of(error, "a test"), model_pb2.Problem.DESCRIPTOR)
    return raised(wire.decode(model_pb2.Problem.FromString(message.SerializeToString()), Problem))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_arrives_as_its_class_with_all_that_it_said(kind: type[DcpError]) -> None:
    sent = made(kind)
    arrived = crossed(sent)
    assert type(arrived) is kind
    told = ("message", "code", "where", "owner", "hint")
    assert {name: getattr(arrived, name) for name in told} == {name: getattr(sent, name) for name in told}
    assert getattr(arrived, "retry_after_s", None) == getattr(sent, "retry_after_s", None)
    assert getattr(arrived, "diagnostics", ()) == getattr(sent, "diagnostics", ())


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (errors.NotFoundError("gone", code="playground.not_found"), errors.NotFoundError),
        (errors.ConflictError("taken", code="request.key_used"), errors.ConflictError),
        (errors.TransientError("later", code="server.draining"), errors.TransientError),
        (errors.UnauthorizedError("no", code="tenant"), errors.UnauthorizedError),
        (errors.SettingsError("wrong", code="server.tls_needed"), errors.PermanentError),
    ],
)
def test_an_error_with_a_code_of_its_own_is_tried_again_or_not_as_before(sent: DcpError, kind: type[DcpError]) -> None:
    arrived = crossed(sent)
    assert type(arrived) is kind
    assert arrived.code == sent.code


def test_a_finding_is_located_by_who_has_the_manifest() -> None:
    problem = problem_of(FindingsError((Finding("derived_dataset/daily", FINDING),)), "a test")
    found = raised(problem, lambda finding: Diagnostic(Severity.ERROR, finding.manifest_id, "here", file="a.yaml"))
    assert isinstance(found, InvalidManifestError)
    assert [each.position for each in found.diagnostics] == ["a.yaml"]


def test_a_bug_of_the_server_tells_nothing_but_where_to_look() -> None:
    problem = problem_of(RuntimeError("password=hunter2"), "a test")
    arrived = raised(problem)
    assert type(arrived) is errors.PermanentError
    assert "hunter2" not in str(arrived)
    assert "in its log" in str(arrived)
