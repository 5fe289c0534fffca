"""A server that has as much to do as it can is waited for by its client, and nobody has all of its places."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from dcp_core.errors import ConflictError, TransientError
from dcp_graph_runner.api.long_running import WatchOperationRequest
from dcp_graph_runner.api.messages import ApplyRequest, PlanDestructionRequest
from dcp_graph_runner.api.playground import PlaygroundRequest
from dcp_graph_runner.api.table import find
from dcp_graph_runner.client import client as clients
from dcp_graph_runner.client.address import Address
from dcp_graph_runner.client.client import CancelledError, Client
from dcp_graph_runner.client.connection import BUSY, Connection
from dcp_graph_runner.client.settings import RemoteSettings
from dcp_graph_runner.client.signing_in import SigningIn
from dcp_graph_runner.server.service import Service
from dcp_graph_runner.server.serving import GraphRunnerServer
from tests.dcp_graph_runner.server.conftest import Serve, post, replaced
from tests.dcp_graph_runner.server.probes import made, probe
from tests.dcp_graph_runner.server.reflected import ReflectedClient
from tests.dcp_graph_runner.server.replicas import call, service, until
from tests.end_to_end.projects import PLAYGROUND

WORDS = "this server answers as many calls as it can"


class Caller:
    """Of one server; ``on_sleep`` is what happens while it waits."""

    def __init__(self, port: int, on_sleep: Callable[[], object], **settings: float) -> None:
        address, remote = Address("127.0.0.1", port, False), RemoteSettings(**settings)  # type: ignore[arg-type]
        self.slept_s: list[float] = []
        self.told: list[str] = []

        def sleep(seconds: float) -> None:
            self.slept_s.append(seconds)
            on_sleep()

        signing_in = SigningIn(address, "alice", remote.token)
        self.client = Client(Connection(address, remote), signing_in, remote, self.told.append, sleep=sleep)

    def submit(self, on_event: Callable[[Any], None] = lambda event: None) -> Any:
        return self.client.submit(find("Operations.PlanDestruction"), PlanDestructionRequest(PLAYGROUND), on_event)


@pytest.fixture
def held(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[GraphRunnerServer, str]]]:
    """Servers, each with an operation that goes on until the end of the test."""
    release = threading.Event()
    table = replaced("Operations.Recover", lambda _dcp, _request: release.wait(60))
    monkeypatch.setattr("dcp_graph_runner.api.table.HANDLERS", table)

    def start(**serving: Any) -> tuple[GraphRunnerServer, str]:
        server = serve(handlers=table, **serving)
        return server, post(f"{server.http_url}/recover", {"environment": "production"}).document["id"]

    yield start
    release.set()


def test_who_cannot_follow_an_operation_yet_waits_and_hears_of_its_end(
    held: Callable[..., tuple[GraphRunnerServer, str]],
) -> None:
    server, id = held(watchers=1)
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        others = ReflectedClient(channel).stream("Operations", "WatchOperation", {"id": id})
        next(others)

        def make_room() -> None:
            if len(caller.slept_s) == 2:
                others.close()
                until(lambda: server._calls._watchers == 0)

        caller = Caller(server.grpc_port, make_room)
        assert caller.submit() is not None
        caller.client.close()
    assert [5.0 <= each <= 6.0 for each in caller.slept_s] == [True, True]
    assert len(caller.told) == 2
    assert caller.told[0].startswith("1 callers follow operations here, and no more can; trying again for up to 300 s")


def test_a_client_has_patience_with_a_server_that_is_busy_and_an_end_of_it(serve: Serve) -> None:
    server = serve(calls=1)
    for _ in range(2):
        server._calls._enter()
    free = Caller(server.grpc_port, server._calls._leave)
    created = free.client.call(find("Playground.Create"), PlaygroundRequest(PLAYGROUND))  # what is not repeatable
    assert created is not None
    assert len(free.slept_s) == 1
    server._calls._enter()
    impatient = Caller(server.grpc_port, lambda: None, reconnect_s=0.0)
    with pytest.raises(TransientError, match=WORDS) as refused:
        impatient.submit()
    assert refused.value.code == BUSY
    server._calls._leave()
    server._calls._leave()


def test_a_limit_of_the_transport_is_one_that_passes() -> None:
    taken, release = threading.Event(), threading.Event()
    server = grpc.server(futures.ThreadPoolExecutor(2), maximum_concurrent_rpcs=1)

    def answer(_content: bytes, context: Any) -> bytes:
        taken.set()
        release.wait(60)
        return b""

    method = find("Playground.Create").method
    rpcs = {method: grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("dcp.v1.Playground", rpcs),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    caller = Caller(port, lambda: None, reconnect_s=0.0)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        first = channel.unary_unary(f"/dcp.v1.Playground/{method}", None, None).future(b"")
        assert taken.wait(60)
        with pytest.raises(TransientError) as refused:
            caller.client.call(find("Playground.Create"), PlaygroundRequest(PLAYGROUND))
        assert refused.value.code == BUSY
        release.set()
        first.result()
    caller.client.close()
    server.stop(0).wait()


def test_of_one_identity_half_of_the_places_are_taken_and_others_have_theirs(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("")
    at: Service = service(tmp_path, watchers=4)
    asked = ApplyRequest("production", (probe("a", does="hold", environment="production"),))
    id = call(at, "Operations.Apply", asked).id
    until(lambda: made(tmp_path))

    async def follow() -> None:
        def watch(identity: str) -> Any:
            return at.watch(WatchOperationRequest(id), {"x-dcp-identity": identity})

        mine = [watch("alice") for _ in range(2)]
        for each in mine:
            await anext(each)
        with pytest.raises(TransientError, match="2 callers of alice follow operations here") as refused:
            await anext(watch("alice"))
        assert (refused.value.code, refused.value.retry_after_s) == (BUSY, 5.0)
        theirs = watch("bob")
        await anext(theirs)
        await mine.pop().aclose()
        again = watch("alice")
        await anext(again)
        for each in (*mine, theirs, again):
            await each.aclose()

    asyncio.run(follow())
    assert not at._watching._followers
    (tmp_path / "go").touch()
    assert at.close(20.0)


def test_who_cancels_and_is_not_heard_is_told_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    caller = Caller(server.grpc_port, lambda: None)
    ask = clients.Client._ask

    def away(self: Client, handler: Any, *given: Any, **more: Any) -> Any:
        if handler.method == "CancelOperation":
            raise ConflictError("it cannot be cancelled")
        return ask(self, handler, *given, **more)

    def interrupt(event: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clients.Client, "_ask", away)
    with pytest.raises(CancelledError) as unheard:
        caller.submit(interrupt)
    assert "may go on" in unheard.value.hint
    assert "was asked" not in unheard.value.hint
    assert [each for each in caller.told if "may go on: it cannot be cancelled" in each]
    monkeypatch.undo()
    with pytest.raises(CancelledError) as heard:
        caller.submit(_once(interrupt))
    assert "the server was asked to end it" in heard.value.hint


def _once(function: Callable[[Any], None]) -> Callable[[Any], None]:
    was_called: list[bool] = []

    def call_once(event: Any) -> None:
        if not was_called:
            was_called.append(True)
            function(event)

    return call_once
