"""What a server takes at once, of whom and for how long: whoever comes beyond is told to come back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import grpc
import pytest

from dcp_core.errors import SettingsError
from dcp_graph_runner.server.serving import GraphRunnerServer
from dcp_graph_runner.server.settings import ServerSettings
from tests.dcp_graph_runner.access.issuer import Issuer
from tests.dcp_graph_runner.server.conftest import Serve, curl, settings_of
from tests.dcp_graph_runner.server.replicas import until
from tests.end_to_end.projects import Project


def _posted(server: GraphRunnerServer, content: bytes, path: str = "/plan") -> socket.socket:
    """A connection over which a body of 64 MiB has begun to come."""
    connection = socket.create_connection(("127.0.0.1", server.http_port), timeout=10)
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {64 << 20}"
    connection.sendall(f"{head}\r\n\r\n".encode() + content)
    return connection


def test_who_asks_is_known_before_what_they_send_is_read(serve: Serve, project: Project) -> None:
    with Issuer().running() as issuer:
        server = serve(settings_of(project, issuer.section()))
        with _posted(server, b"{") as connection:
            assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
        never = threading.Event()

        def nothing() -> Iterator[bytes]:
            never.wait(10)
            yield from ()

        with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
            plan = channel.stream_unary("/dcp.v1.Operations/Plan")
            with pytest.raises(grpc.RpcError) as refused:
                plan(nothing(), timeout=10)
            never.set()
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert server.service.store.audit_records() == ()  # they asked to read


def test_a_change_by_somebody_unknown_is_recorded_though_it_was_not_read(serve: Serve, project: Project) -> None:
    with Issuer().running() as issuer:
        server = serve(settings_of(project, issuer.section()))
        with _posted(server, b"", "/apply") as connection:
            assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
    (record,) = server.service.store.audit_records()
    assert (record.kind, record.manifest_id, str(record.outcome)) == ("apply", "", "REFUSED")


def test_who_sends_too_slowly_is_told_so_and_holds_no_place(serve: Serve) -> None:
    server = serve(calls=1, request_s=0.3)
    with _posted(server, b"{") as first, _posted(server, b"{") as second:
        assert first.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert second.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert curl(f"{server.http_url}/playground/current").status == 200


def test_what_is_being_received_counts_as_a_call(serve: Serve) -> None:
    server = serve(calls=1)
    with _posted(server, b"{"), _posted(server, b"{"):
        busy = until(lambda: _busy(server))
    assert "retry-after" in busy


def _busy(server: GraphRunnerServer) -> dict[str, str] | None:
    answer = curl(f"{server.http_url}/playground/current")
    return dict(answer.headers) if answer.status == 503 else None


def test_connections_have_an_end(serve: Serve) -> None:
    server = serve(connections=2)
    with _posted(server, b"{"):
        assert curl(f"{server.http_url}/healthz").status == 503
    assert until(lambda: curl(f"{server.http_url}/healthz").status == 200)


@pytest.mark.parametrize("given", [{"connections": 0}, {"request_s": 0.0}])
def test_limits_that_are_none_are_refused(given: dict[str, float], project: Project) -> None:
    (name,) = given
    with pytest.raises(SettingsError, match=name):
        ServerSettings(**given).certificates(project.root)  # type: ignore[arg-type]
