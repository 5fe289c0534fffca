"""gRPC beside the whole applies: health, errors with everything they say, limits, TLS, and callers who go away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from dcp_core import errors
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.errors import DcpError
from dcp_graph_runner.api.long_running import Problem
from dcp_graph_runner.api.messages import Finding
from dcp_graph_runner.api.table import HANDLERS
from dcp_graph_runner.proto import model_pb2
from dcp_graph_runner.server import wire
from dcp_graph_runner.server.grpc_api import status_of
from dcp_graph_runner.server.serving import GraphRunnerServer
from tests.coreetl_driver.certifying import Authority
from tests.dcp_graph_runner.server.conftest import Serve, curl, replaced, settings_of
from tests.dcp_graph_runner.server.reflected import ReflectedClient
from tests.dcp_graph_runner.server.replicas import until
from tests.end_to_end.projects import Project

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
CURRENT = "Playground.Current"
Code = grpc.StatusCode


def channel_to(server: GraphRunnerServer, *options: tuple[str, Any]) -> grpc.Channel:
    return grpc.insecure_channel(server.grpc_url.removeprefix("grpc://"), options=options)


def problem_in(error: grpc.RpcError) -> tuple[Problem, list[Any]]:
    """What grpcio-status finds in an error."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    first, *others = status.details
    message = model_pb2.Problem()
    assert first.Unpack(message)
    return wire.decode(message, Problem), others


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UnauthenticatedError("who?"), Code.UNAUTHENTICATED),
        (errors.UnauthorizedError("not you", owner="acme==1: authorize"), Code.PERMISSION_DENIED),
        (errors.NotFoundError("nothing"), Code.NOT_FOUND),
        (errors.StalePlanError("moved", where="iceberg_table:a"), Code.FAILED_PRECONDITION),
        (errors.OperationInProgressError("busy", holder="somebody"), Code.ABORTED),
        (errors.NotSupportedError("cannot"), Code.UNIMPLEMENTED),
        (errors.TransientError("later", retry_after_s=2.5), Code.UNAVAILABLE),
        (errors.UsageError("wrong", hint="right"), Code.INVALID_ARGUMENT),
        (errors.InvalidSpecError("contradiction", code="spec.own"), Code.INVALID_ARGUMENT),
        (errors.PluginError("bug"), Code.INTERNAL),
    ],
)
def test_an_error_has_its_status_and_says_everything(serve: Serve, error: DcpError, code: grpc.StatusCode) -> None:
    def fail(_dcp: Any, _request: Any) -> Any:
        raise error

    server = serve(handlers=replaced(CURRENT, fail))
    with channel_to(server) as channel, pytest.raises(grpc.RpcError) as raised:
        ReflectedClient(channel).call("Playground", "Current", {})
    assert (raised.value.code(), raised.value.details()) == (code, error.message)
    problem, others = problem_in(raised.value)
    told = (problem.code, problem.message, problem.where, problem.owner, problem.hint)
    assert told == (error.code, error.message, error.where, error.owner, error.hint)
    if isinstance(error, errors.TransientError):
        retry = RetryInfo()
        assert others[0].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == 2500


def test_a_problem_larger_than_metadata_may_be_is_cut() -> None:
    findings = tuple(_finding(number) for number in range(500))
    status = status_of(Problem("manifest.invalid", "é" * 20_000, 400, hint="h" * 20_000, findings=findings))
    assert len(status.SerializeToString()) < 8 * 1024
    small = status_of(Problem("manifest.invalid", "two", 400, findings=findings[:2]))
    message = model_pb2.Problem()
    assert small.details[0].Unpack(message)
    assert wire.decode(message, Problem).findings == findings[:2]


def _finding(number: int) -> Finding:
    return Finding("derived_dataset/a", Diagnostic(Severity.ERROR, "schema.enum", f"finding {number}", ("a", number)))


def test_health_is_told_for_each_service_and_for_all(serve: Serve) -> None:
    server = serve()
    with channel_to(server) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", *{wire.service_of(each.service).full_name for each in HANDLERS}):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            health.Check(health_pb2.HealthCheckRequest(service="dcp.v1.Nonsense"))
        assert unknown.value.code() is Code.NOT_FOUND


def test_a_request_larger_than_allowed_is_refused(serve: Serve) -> None:
    with channel_to(serve(max_request_mib=1)) as channel, pytest.raises(grpc.RpcError) as refused:
        ReflectedClient(channel).call("Operations", "Applied", {"environment": "x" * 2**20})
    assert refused.value.code() is Code.RESOURCE_EXHAUSTED


def test_bytes_that_are_no_message_are_refused(serve: Serve) -> None:
    with channel_to(serve()) as channel:
        unary = channel.unary_unary("/dcp.v1.Operations/Applied", None, None)
        stream = channel.unary_stream("/dcp.v1.Operations/WatchOperation", None, None)
        with pytest.raises(grpc.RpcError) as first:
            unary(b"\xff\xff", timeout=10)
        with pytest.raises(grpc.RpcError) as second:
            list(stream(b"\xff\xff", timeout=10))
    assert [each.value.code() for each in (first, second)] == [Code.INVALID_ARGUMENT] * 2


def test_whoever_watches_what_is_not_there_is_told(serve: Serve) -> None:
    with channel_to(serve()) as channel, pytest.raises(grpc.RpcError) as raised:
        list(ReflectedClient(channel).stream("Operations", "WatchOperation", {"id": "req_none"}))
    assert raised.value.code() is Code.NOT_FOUND
    assert problem_in(raised.value)[0].code == "operation.not_found"


@pytest.fixture
def held() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_caller_who_goes_away_takes_no_thread_of_those_who_wait(serve: Serve, held: threading.Event) -> None:
    begun: list[str] = []
    is_begun = threading.Event()

    def wait(_dcp: Any, _request: Any) -> Any:
        begun.append("one")
        is_begun.set()
        assert held.wait(60)
        raise errors.NotFoundError("nobody hears this")

    server = serve(handlers=replaced(CURRENT, wait), calls=1)
    with channel_to(server) as channel:
        client = ReflectedClient(channel)
        current = channel.unary_unary("/dcp.v1.Playground/Current", None, None)
        first = current.future(b"", timeout=120)
        assert is_begun.wait(30)
        second = current.future(b"", timeout=120)
        until(lambda: server._calls._calls == 2)
        for each in (second, first):
            assert each.cancel()  # type: ignore[no-untyped-call]
        until(lambda: server._calls._calls == 1)  # nobody can stop the one that has begun
        held.set()
        until(lambda: server._calls._calls == 0)
        assert client.call("Playground", "List", {})["current"] == "playground_alice"
        assert begun == ["one"]  # the second one was dropped before its turn


def test_tls_is_for_both_transports_and_asks_callers_for_certificates_where_it_is_told_to(
    serve: Serve, tmp_path: Path
) -> None:
    authority, callers = Authority(tmp_path / "tls"), Authority(tmp_path / "callers")
    certificate, key = authority.issue("server")
    server = serve(certificate=str(certificate), key=str(key), client_ca=str(callers.ca))
    own_certificate, own_key = callers.issue("me")
    assert (server.grpc_url[:8], server.http_url[:8]) == ("grpcs://", "https://")
    known = ("--cacert", str(authority.ca), "--cert", str(own_certificate), "--key", str(own_key))
    assert curl(f"{server.http_url}/playground/list", *known).status == 200
    credentials = grpc.ssl_channel_credentials(
        authority.ca.read_bytes(), own_key.read_bytes(), own_certificate.read_bytes()
    )
    target = server.grpc_url.removeprefix("grpcs://")
    with grpc.secure_channel(target, credentials) as channel:
        assert ReflectedClient(channel).call("Playground", "List", {})["current"] == "playground_alice"
    for refused in (grpc.ssl_channel_credentials(authority.ca.read_bytes()), grpc.ssl_channel_credentials()):
        with grpc.secure_channel(target, refused) as channel, pytest.raises(grpc.RpcError) as raised:
            ReflectedClient(channel)
        assert raised.value.code() is Code.UNAVAILABLE


def test_where_callers_sign_in_both_transports_ask_for_a_token(serve: Serve, project: Project) -> None:
    auth = {"issuer": "http://127.0.0.1:9", "audience": "dcp"}  # nobody there: a missing token needs no keys
    server = serve(settings_of(project, {"auth": auth}))
    refused = curl(f"{server.http_url}/playground/list")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.document["code"] == "unauthenticated"
    with channel_to(server) as channel, pytest.raises(grpc.RpcError) as raised:
        ReflectedClient(channel).call("Playground", "List", {})
    assert raised.value.code() is Code.UNAUTHENTICATED
    assert problem_in(raised.value)[0].message == refused.document["message"]
    described = curl(f"{server.http_url}/openapi.json", "-H", "host: dcp.example.com").document
    assert described["security"] == [{"bearer": []}]
