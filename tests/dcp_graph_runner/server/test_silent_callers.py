"""Whoever says nothing, or does without a token what needs none, keeps nobody else out and holds no place for long."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from dcp_graph_runner.server import anybody
from dcp_graph_runner.server.serving import GraphRunnerServer
from tests.dcp_graph_runner.access.issuer import Issuer
from tests.dcp_graph_runner.server.conftest import Serve, curl, settings_of
from tests.dcp_graph_runner.server.replicas import until
from tests.end_to_end.projects import Project

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


@contextlib.contextmanager
def _silent(server: GraphRunnerServer, number: int) -> Iterator[list[socket.socket]]:
    """Connections on which nothing is said."""
    with contextlib.ExitStack() as opened:
        made = [socket.create_connection(("127.0.0.1", server.http_port), timeout=10) for _ in range(number)]
        for each in made:
            opened.enter_context(each)
        yield made


def _open(connections: list[socket.socket]) -> int:
    """How many the server has not closed."""
    found = 0
    for each in connections:
        each.setblocking(False)
        try:
            found += each.recv(1) != b""
        except BlockingIOError:
            found += 1
        except ConnectionResetError:
            pass
        each.settimeout(10)
    return found


def test_silent_connections_make_room_for_those_that_ask(serve: Serve) -> None:
    server = serve(connections=3)
    with _silent(server, 40) as connections:
        assert [curl(f"{server.http_url}/healthz").status for _ in range(5)] == [200] * 5
        assert until(lambda: _open(connections) <= 3)


def test_who_has_been_silent_for_longest_makes_room_and_who_is_answered_does_not(serve: Serve) -> None:
    server = serve(connections=3)
    with _silent(server, 2) as (first, second):
        first.sendall(HEALTH)
        assert first.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert curl(f"{server.http_url}/healthz").status == 200
        assert until(lambda: _open([second]) == 0)
        assert _open([first]) == 1


def test_a_connection_that_sends_no_whole_head_in_time_is_closed(serve: Serve) -> None:
    server = serve(request_s=2.0)
    with _silent(server, 1) as (answered,):
        answered.sendall(HEALTH)  # at once, for it has no longer than the others
        assert answered.recv(4096).startswith(b"HTTP/1.1 200 ")
        answered.sendall(b"G")  # uvicorn waits no longer for what has begun
        with _silent(server, 2) as (silent, slow):
            for each in HEALTH[:10]:
                with contextlib.suppress(OSError):
                    slow.sendall(bytes([each]))
                time.sleep(0.25)
            assert until(lambda: _open([silent, slow, answered]) == 0)


# gRPC

SERVING = health_pb2.HealthCheckResponse.SERVING
ANYTHING = health_pb2.HealthCheckRequest()
BIG = b"\x0a\xff\xff\xff\x07" + b"a" * 0xFFFFFF
"""A field of 16 MiB."""


@pytest.fixture
def guarded(serve: Serve, project: Project) -> Iterator[GraphRunnerServer]:
    """A server that wants tokens, with three places."""
    with Issuer().running() as issuer:
        yield serve(settings_of(project, issuer.section()), connections=3)


@contextlib.contextmanager
def _channel(server: GraphRunnerServer) -> Iterator[grpc.Channel]:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://"), options=options) as channel:
        yield channel


def _code(rpc: Callable[..., Any], *given: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        list(rpc(*given, timeout=20))
    code: grpc.StatusCode = refused.value.code()
    return code


def test_who_watches_the_health_keeps_neither_calls_nor_checks_out(guarded: GraphRunnerServer) -> None:
    with _channel(guarded) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        streams = [health.Watch(ANYTHING) for _ in range(3)]
        assert [next(each).status for each in streams] == [SERVING] * 3
        described = reflection_pb2_grpc.ServerReflectionStub(channel)
        never = threading.Event()
        silent = [described.ServerReflectionInfo(_nothing(never)) for _ in range(3)]
        assert health.Check(ANYTHING, timeout=20).status == SERVING
        assert (
            _code(channel.stream_unary("/dcp.v1.Operations/Plan", None, None), iter([b""]))
            is grpc.StatusCode.UNAUTHENTICATED
        )
        never.set()
        for each in (*streams, *silent):
            each.cancel()


def _nothing(until: threading.Event) -> Iterator[Any]:
    until.wait(20)
    yield from ()


def test_one_watch_too_many_takes_the_oldest_ones_place_and_the_others_hear_what_becomes_of_it(
    guarded: GraphRunnerServer,
) -> None:
    with _channel(guarded) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watches = []
        for _ in range(4):  # one after the other
            watches.append(health.Watch(ANYTHING, timeout=30))
            assert next(watches[-1]).status == SERVING
        oldest, *others = watches
        with pytest.raises(grpc.RpcError) as ended:
            list(oldest)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        with ThreadPoolExecutor(3) as pool:
            heard = [pool.submit(next, each) for each in others]  # who asks after the end may find nothing
            guarded.stop(grace_s=10.0)
            assert [each.result(30).status for each in heard] == [health_pb2.HealthCheckResponse.NOT_SERVING] * 3


def test_a_service_that_is_none_has_no_health(guarded: GraphRunnerServer) -> None:
    with _channel(guarded) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="x"), timeout=20)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_nothing_is_read_of_who_follows_an_operation_before_it_is_known_who_that_is(guarded: GraphRunnerServer) -> None:
    never = threading.Event()
    with _channel(guarded) as channel:
        watch = channel.stream_stream("/dcp.v1.Operations/WatchOperation", None, None)
        assert _code(watch, _nothing(never)) is grpc.StatusCode.UNAUTHENTICATED
        never.set()
        assert _code(watch, iter([BIG])) is grpc.StatusCode.UNAUTHENTICATED


def test_who_follows_an_operation_says_which_in_time(serve: Serve) -> None:
    server, never = serve(request_s=0.3), threading.Event()
    with _channel(server) as channel:
        watch = channel.stream_stream("/dcp.v1.Operations/WatchOperation", None, None)
        assert _code(watch, _nothing(never)) is grpc.StatusCode.INVALID_ARGUMENT
    never.set()


@pytest.mark.parametrize(
    "method", ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch",
               "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"],
)  # fmt: skip
def test_what_answers_anybody_takes_small_messages_and_waits_for_none_for_long(
    guarded: GraphRunnerServer, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anybody, "MESSAGE_S", 30.0)
    never = threading.Event()
    with _channel(guarded) as channel:
        rpc = channel.stream_stream(f"/{method}", None, None)
        assert _code(rpc, iter([BIG])) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert _code(rpc, iter([b"\xff\xff"])) is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.MonkeyPatch.context() as hurried:  # only here, where nothing is to come in time
            hurried.setattr(anybody, "MESSAGE_S", 0.5)
            assert _code(rpc, _nothing(never)) is grpc.StatusCode.DEADLINE_EXCEEDED
        never.set()
        asked = [reflection_pb2.ServerReflectionRequest(list_services=""), reflection_pb2.ServerReflectionRequest()]
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(asked), timeout=20)
        services = [each.name for each in next(answers).list_services_response.service]
        assert "dcp.v1.Operations" in services
        assert len(list(answers)) == 1


def test_many_who_send_no_message_keep_no_health_check_out(guarded: GraphRunnerServer) -> None:
    never = threading.Event()
    with _channel(guarded) as channel:
        check = channel.stream_unary("/grpc.health.v1.Health/Check", None, None)
        silent = [check.future(_nothing(never)) for _ in range(40)]
        assert health_pb2_grpc.HealthStub(channel).Check(ANYTHING, timeout=30).status == SERVING
        assert until(lambda: sum(each.done() for each in silent) >= 24)
        never.set()
