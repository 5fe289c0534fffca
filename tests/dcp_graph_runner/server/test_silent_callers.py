"""Whoever says nothing, or does without a token what needs none, keeps nobody else out and holds no place for long."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from dcp_graph_runner.server.serving import GraphRunnerServer
from tests.dcp_graph_runner.server.conftest import Serve, curl
from tests.dcp_graph_runner.server.replicas import until

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
    server = serve(request_s=0.5)
    with _silent(server, 3) as (silent, slow, answered):
        answered.sendall(HEALTH)
        assert answered.recv(4096).startswith(b"HTTP/1.1 200 ")
        answered.sendall(b"G")  # uvicorn waits no longer for what has begun
        began = time.monotonic()
        for each in HEALTH[:10]:
            with contextlib.suppress(OSError):
                slow.sendall(bytes([each]))
            time.sleep(0.1)
        assert until(lambda: _open([silent, slow, answered]) == 0)
        assert time.monotonic() - began < 4
