"""From the start of a server to its end: what it refuses to begin with, and an end that cuts nobody off."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dcp_core.errors import DcpError, NotFoundError, SettingsError, TransientError
from dcp_core.settings import Settings
from dcp_graph_runner.server import serving
from dcp_graph_runner.server.serving import GraphRunnerServer
from dcp_graph_runner.server.settings import ServerSettings
from tests.coreetl_driver.certifying import Authority
from tests.dcp_graph_runner.server.conftest import Serve, curl, post, replaced, settings_of
from tests.dcp_graph_runner.server.reflected import ReflectedClient
from tests.end_to_end.projects import Project

CURRENT = "Playground.Current"
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def until(ready: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_its_end_answers_every_call_that_has_come_and_refuses_the_others(serve: Serve) -> None:
    answered = threading.Semaphore(0)
    begun: list[int] = []
    first, turned_away = threading.Lock(), threading.Event()

    def slow(_dcp: Any, _request: Any) -> Any:
        begun.append(1)
        answered.release()
        if first.acquire(blocking=False):
            turned_away.wait(15)  # there is a call in hand until somebody else is refused
        else:
            time.sleep(0.3)
        raise NotFoundError("answered")

    server = serve(handlers=replaced(CURRENT, slow), calls=64)
    with (
        grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel,
        ThreadPoolExecutor(24) as pool,
    ):
        client = ReflectedClient(channel)
        health = health_pb2_grpc.HealthStub(channel)
        stopped = threading.Event()
        ended: list[str] = []

        def keep_calling() -> None:
            while not stopped.is_set():
                try:
                    client.call("Playground", "Current", {})
                except grpc.RpcError as error:
                    ended.append(f"{error.code().name} {error.details()}")
                    if error.code() is grpc.StatusCode.UNAVAILABLE:
                        turned_away.set()
                        return

        def keep_curling() -> None:
            while not stopped.is_set():
                try:
                    answer = curl(f"{server.http_url}/playground/current")
                except subprocess.CalledProcessError as error:
                    ended.append(f"curl {error.returncode}")
                    return
                ended.append(f"{answer.status} {answer.document['detail']}")
                if answer.status == 503:
                    return

        callers: list[Future[None]] = [pool.submit(each) for each in [keep_calling] * 16 + [keep_curling] * 4]
        for _ in range(20):
            assert answered.acquire(timeout=30)
        watched = iter(health.Watch(health_pb2.HealthCheckRequest(service="")))
        assert next(watched).status != NOT_SERVING
        stopping = pool.submit(server.stop, 60.0)
        assert next(watched).status == NOT_SERVING
        assert stopping.result(90)
        stopped.set()
        for each in callers:
            each.result(30)
    told = [each for each in ended if each in ("NOT_FOUND answered", "404 answered")]
    assert len(told) == len(begun)  # every call that was begun
    draining = "this server is about to end"
    assert f"UNAVAILABLE {draining}" in ended
    # What was not begun at the very end: gRPC's core cancels what it has not accepted yet, and the kernel resets what
    # nobody has accepted when a port is closed.
    refused = (
        *(f"UNAVAILABLE {draining}", f"503 {draining}", "CANCELLED", "curl 7", "curl 52", "curl 56"),
        *("UNAVAILABLE failed to connect", "UNAVAILABLE Socket closed", "UNAVAILABLE recvmsg:Connection reset"),
        *("UNAVAILABLE Connection reset", "UNAVAILABLE sendmsg:Broken pipe"),
    )
    assert [each for each in ended if each not in told and not each.startswith(refused)] == []


def test_it_says_that_it_ends_before_it_refuses_anybody(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    noticed = threading.Event()

    def sleep(seconds: float) -> None:  # as long as the callers here need
        slept.append(seconds)
        noticed.wait(60)

    monkeypatch.setattr(serving, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    server = serve(notice_s=7.0)
    with (
        grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel,
        ThreadPoolExecutor() as pool,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        stopping = pool.submit(server.stop, 120.0)
        until(lambda: health.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING)
        assert curl(f"{server.http_url}/readyz").status == 503
        assert curl(f"{server.http_url}/playground/list").status == 200
        assert not stopping.done()
        noticed.set()
        assert stopping.result(60)
    assert slept == [7.0]


def test_whoever_watches_hears_the_end_of_what_is_in_hand(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ending = threading.Event(), threading.Event()

    def slow(_dcp: Any, _request: Any) -> Any:
        begun.set()
        assert ending.wait(60)
        raise NotFoundError("done")

    table = replaced("Operations.Recover", slow)
    monkeypatch.setattr("dcp_graph_runner.api.table.HANDLERS", table)
    monkeypatch.setattr(serving, "_LAST_EVENTS_S", 20.0)  # a busy machine takes its time
    server = serve(handlers=table)
    state = post(f"{server.http_url}/recover", {"environment": "playground_alice"}).document
    with ThreadPoolExecutor() as pool:
        events = pool.submit(
            curl, f"{server.http_url}/operations/{state['id']}/events", "-H", "accept: application/jsonl"
        )
        assert begun.wait(30)
        until(lambda: b'dcp_watchers{transport="http"} 1.0' in server.metrics.text())
        stopping = pool.submit(server.stop, 60.0)
        until(lambda: server.service._is_draining)
        ending.set()
        assert stopping.result(90)
        last = json.loads(events.result(30).body.splitlines()[-1])
    assert (last["type"], last["state"]["status"]) == ("state", "FAILED")


@pytest.mark.parametrize("name", [CURRENT, "Operations.Recover"])
def test_what_never_ends_keeps_no_server_longer_than_its_grace(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    begun, held = threading.Event(), threading.Event()

    def hang(_dcp: Any, _request: Any) -> Any:
        begun.set()
        assert held.wait(60)
        raise NotFoundError("nobody hears this")

    table = replaced(name, hang)
    monkeypatch.setattr("dcp_graph_runner.api.table.HANDLERS", table)
    server = serve(handlers=table)
    with ThreadPoolExecutor() as pool:
        if name == CURRENT:
            call = pool.submit(subprocess.run, ["curl", "-s", f"{server.http_url}/playground/current"], check=False)
        else:
            state = post(f"{server.http_url}/recover", {"environment": "playground_alice"}).document
            call = pool.submit(subprocess.run, ["curl", "-sN", f"{server.http_url}/operations/{state['id']}/events"])
        assert begun.wait(10)
        assert not server.stop(3.0)
        assert not held.is_set()
        assert call.result(10) is not None
        held.set()


def test_a_port_that_is_taken_is_an_error_and_nothing_stays(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        before = threading.active_count()
        for name in ("grpc_port", "http_port"):
            ports = {"grpc_port": 0, "http_port": 0, name: port}
            with pytest.raises(TransientError, match=f"^port {port} on 127.0.0.1 is taken$") as refused:
                GraphRunnerServer(settings, ServerSettings(**ports))
            assert refused.value.hint == "--grpc-port / --http-port, or another `pretzel server start` runs"
        until(lambda: threading.active_count() <= before + 2)  # gRPC keeps threads of its own


@pytest.mark.parametrize(
    ("serving", "words"),
    [
        ({"host": "0.0.0.0"}, "does not listen on 0.0.0.0 without TLS"),
        ({"certificate": "a.pem"}, "certificate and key belong together"),
        ({"client_ca": "a.pem"}, "client_ca needs certificate and key"),
        ({"certificate": "a.pem", "key": "b.pem"}, "cannot be used"),
        ({"grpc_port": 9, "http_port": 9}, "are both 9"),
        ({"workers": 0}, "workers is 0"),
        ({"calls": 2000}, "calls is 2000"),
        ({"grace_s": 0.0}, "grace_s is 0"),
        ({"grace_s": 2.0, "notice_s": 2.0}, "notice_s is 2"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: Settings, serving: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        GraphRunnerServer(settings, attrs.evolve(ServerSettings(grpc_port=0, http_port=0), **serving))


def test_without_anybody_signing_in_it_is_heard_on_this_machine_only(settings: Settings, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path / "tls").issue("server")
    serving = ServerSettings("0.0.0.0", 0, 0, certificate=str(certificate), key=str(key))
    with pytest.raises(DcpError, match=r"\[auth\]"):
        GraphRunnerServer(settings, serving)


def test_the_section_and_then_the_command_line_say_where_it_listens(project: Project) -> None:
    settings = settings_of(project, {"server": {"grpc_port": 1, "http_port": 2}})
    assert ServerSettings.from_settings(settings, grpc_port=3, http_port=None) == ServerSettings(
        grpc_port=3, http_port=2
    )


def test_the_command_serves_until_it_is_told_to_end(project: Project) -> None:
    arguments = ("-o", "json", "server", "start", "--grpc-port", "0", "--http-port", "0")
    process = subprocess.Popen(
        project.command(*arguments),
        cwd=project.root,
        env=project.process_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        text = ""
        while "}" not in text:
            text += process.stdout.readline()
        told = json.loads(text)
        assert curl(f"{told['http_url']}/playground/current").document["name"] == "playground_alice"
        with grpc.insecure_channel(told["grpc_url"].removeprefix("grpc://")) as channel:
            assert "dcp.v1.Operations" in ReflectedClient(channel).services
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    lines = [json.loads(line) for line in err.splitlines()]
    (access,) = (each for each in lines if each["logger"] == "dcp.server.access")
    assert (access["handler"], access["identity"], access["code"]) == (CURRENT, "alice", "ok")
    assert lines[-1]["message"] == "the server has ended"


def test_the_graphs_are_printed_as_they_run(project: Project) -> None:
    shown = project.pretzel("server", "graphs")
    assert shown.status == 0
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    apply = shown.out.partition("\napply")[2].partition("\n\n")[0]
    order = [apply.index(f"─ {name}") for name in ("authenticate", "authorize", "route", "plan", "apply", "audit")]
    assert order == sorted(order)
    document = project.pretzel("-o", "json", "server", "graphs").document
    (found,) = (each for each in document["graphs"] if each["name"] == "apply")
    assert found["handlers"] == ["Operations.Apply"]
    assert {"name", "summary", "stage", "always"} == set(found["nodes"][0])
