"""What a server takes at once, of whom and for how long: whoever comes beyond is told to come back."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import pytest
from sqlalchemy import event

from dcp_core.errors import SettingsError, TransientError
from dcp_graph_runner.api.long_running import Event, OperationState, RequestStatus, WatchOperationRequest
from dcp_graph_runner.api.messages import ApplyRequest
from dcp_graph_runner.server.readings import readings
from dcp_graph_runner.server.service import IDEMPOTENCY_KEY, Service
from dcp_graph_runner.server.serving import GraphRunnerServer
from dcp_graph_runner.server.settings import ServerSettings
from tests.dcp_graph_runner.access.issuer import Issuer
from tests.dcp_graph_runner.server.conftest import Serve, curl, post, replaced, settings_of
from tests.dcp_graph_runner.server.probes import made, probe
from tests.dcp_graph_runner.server.reflected import ReflectedClient
from tests.dcp_graph_runner.server.replicas import ALICE, call, ended, service, until
from tests.end_to_end.projects import Project

BOB = {"x-dcp-identity": "bob"}


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
            plan = channel.stream_unary("/dcp.v1.Operations/Plan", None, None)
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
    server = serve(calls=1, request_s=2.0)  # for the heads too
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
        until(lambda: server._calls._calls == 1)  # before that it is silent, and makes room
        assert curl(f"{server.http_url}/healthz").status == 503
    assert until(lambda: curl(f"{server.http_url}/healthz").status == 200)


@pytest.mark.parametrize("given", [{"connections": 0}, {"request_s": 0.0}])
def test_limits_that_are_none_are_refused(given: dict[str, float], project: Project) -> None:
    (name,) = given
    with pytest.raises(SettingsError, match=name):
        ServerSettings(**given).certificates(project.root)  # type: ignore[arg-type]


# What is accepted


def _apply(at: Service, name: str, does: str = "", headers: Mapping[str, str] = ALICE) -> OperationState:
    state: OperationState = call(at, "Operations.Apply", _request(name, does), headers)
    return state


def _request(name: str, does: str = "") -> ApplyRequest:
    return ApplyRequest("production", (probe(name, does=does, environment="production"),))


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Service]:
    """A replica with one hand, which is busy until there is a file ``go``."""
    (tmp_path / "dcp.toml").write_text("")
    opened = service(tmp_path, threads=1, open_requests=4)
    _apply(opened, "a", "hold")
    until(lambda: made(tmp_path))
    yield opened
    (tmp_path / "go").touch()
    assert opened.close(20.0)


def test_what_waits_for_a_hand_is_not_in_memory_and_identities_are_served_in_turn(
    single: Service, tmp_path: Path
) -> None:
    waiting = [_apply(single, each) for each in "bcd"]
    waiting.append(_apply(single, "e", headers=BOB))
    assert single.worker.in_hand == 1
    (tmp_path / "go").touch()
    states = [ended(single, each.id) for each in waiting]
    assert {each.status for each in states} == {RequestStatus.DONE}
    assert made(tmp_path) == ["a", "e", "b", "c", "d"]
    assert readings(single, 1)["dcp_requests_taken_over"] == 0


def test_of_one_identity_no_more_are_taken_than_the_settings_say_and_others_are(single: Service) -> None:
    keyed = {**ALICE, IDEMPOTENCY_KEY: "k"}
    first = call(single, "Operations.Apply", _request("b"), keyed)
    for each in "cd":
        _apply(single, each)
    with pytest.raises(TransientError, match="4 operations of alice have not ended") as refused:
        _apply(single, "e")
    assert (refused.value.code, refused.value.retry_after_s) == ("request.too_many", 5.0)
    assert call(single, "Operations.Apply", _request("b"), keyed).id == first.id
    assert _apply(single, "f", headers=BOB).status is RequestStatus.RUNNING


def test_what_came_with_tokens_waits_here_and_so_has_a_limit_of_its_own(single: Service, tmp_path: Path) -> None:
    token = {"x-dcp-credential-databricks": "dapi-0123456789"}
    waiting = _apply(single, "b", headers={**ALICE, **token})
    with pytest.raises(TransientError, match="as many operations in hand"):
        _apply(single, "c", headers={**ALICE, **token})
    (tmp_path / "go").touch()
    assert ended(single, waiting.id).status is RequestStatus.DONE


# Who watches


def test_however_many_watch_one_operation_the_database_is_asked_as_for_one(single: Service, tmp_path: Path) -> None:
    waiting = _apply(single, "b")
    asked: list[str] = []

    async def watch() -> list[Event]:
        return [each async for each in single.watch(WatchOperationRequest(waiting.id), ALICE)]

    async def watch_all() -> list[list[Event]]:
        all_of_them = asyncio.gather(*(watch() for _ in range(100)))
        event.listen(single.store.database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
        in_a_second = 0
        for _ in range(60):  # until all of them have begun
            asked.clear()
            await asyncio.sleep(1.0)
            in_a_second = len([each for each in asked if "dcp_request_events" in each])
            if 1 <= in_a_second <= 4:
                break
        assert 1 <= in_a_second <= 4
        (tmp_path / "go").touch()
        return await all_of_them

    first, *others = asyncio.run(watch_all())
    assert [each.sequence for each in first] == list(range(1, len(first) + 1))
    assert (first[-1].type, first[-1].state and first[-1].state.status) == ("state", RequestStatus.DONE)
    assert all([each.sequence for each in other] == [each.sequence for each in first] for other in others)
    reads = [each for each in asked if "dcp_request_events" in each]
    assert len(reads) < 100


def test_who_watches_hears_that_the_database_is_gone(single: Service) -> None:
    waiting = _apply(single, "b")

    async def watch() -> None:
        async for _ in single.watch(WatchOperationRequest(waiting.id), ALICE):
            pass

    async def cut() -> None:
        watching = asyncio.create_task(watch())
        await asyncio.sleep(1.0)
        single.store.database.engine.dispose()
        with pytest.MonkeyPatch.context() as patched:

            def gone(*_: object) -> None:
                raise TransientError("the database is away")

            patched.setattr(type(single.store.database), "rows", gone)
            patched.setattr(type(single.requests), "events", gone)
            with pytest.raises(TransientError, match="is away"):
                await asyncio.wait_for(watching, 5)

    asyncio.run(cut())


def test_one_watcher_too_many_is_told_to_come_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    table = replaced("Operations.Recover", lambda _dcp, _request: release.wait(20))
    monkeypatch.setattr("dcp_graph_runner.api.table.HANDLERS", table)
    server = serve(handlers=table, watchers=1)
    id = post(f"{server.http_url}/recover", {"environment": "production"}).document["id"]
    events = f"{server.http_url}/operations/{id}/events"
    with subprocess.Popen(["curl", "-sN", events], stdout=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline()
        refused = curl(events)
        with (
            grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel,
            pytest.raises(grpc.RpcError) as also_refused,
        ):
            next(ReflectedClient(channel).stream("Operations", "WatchOperation", {"id": id}))
        watching.kill()
    release.set()
    assert (refused.status, refused.document["code"], refused.headers["retry-after"]) == (503, "server.busy", "5")
    assert also_refused.value.code() is grpc.StatusCode.UNAVAILABLE
