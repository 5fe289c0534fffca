"""The driver's service from its start to its end: health, reflection, readiness, and an end that cuts nobody off."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from attrs import evolve
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from coreetl_driver import CoreETLDriver, ExecutionStatus, connect
from coreetl_driver.draining import Draining
from coreetl_driver.driver import Driver
from coreetl_driver.job_registry import JobRegistry
from coreetl_driver.server import ANY_PORTS, DriverServer
from coreetl_driver.service import SERVICE
from dcp_core.errors import ConflictError, TransientError
from tests.coreetl_driver.conftest import ENVIRONMENT, TOKEN, Project
from tests.coreetl_driver.faulty import Backend
from tests.coreetl_driver.test_backends import install

SQL = "SELECT order_id, qty FROM raw.orders"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SOON_S = 60.0
LONG_S = 100.0  # whoever is answered soon has not waited for so long


@pytest.fixture
def serve(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DriverServer]]:
    """Starts a driver; its backend ``faulty`` runs jobs without an engine, and they end when they are cancelled."""
    install(tmp_path / "site", "faulty-backend", "faulty", "tests.coreetl_driver.faulty:Backend")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(Backend, "stopped", [])
    started: list[DriverServer] = []

    def start(**changes: Any) -> DriverServer:
        started.append(DriverServer(project.settings, evolve(ANY_PORTS, **changes)))
        return started[-1]

    yield start
    for server in started:
        server.stop(grace_s=5)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as opened:
        yield opened


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each call that came to wait for an execution's end: whether it may."""
    told: list[bool] = []
    real = Draining.waiting

    @contextmanager
    def noted(self: Draining) -> Iterator[bool]:
        with real(self) as may_wait:
            told.append(may_wait)
            yield may_wait

    monkeypatch.setattr(Draining, "waiting", noted)
    monkeypatch.setattr("coreetl_driver.guarded.MAX_WAIT_S", LONG_S)
    return told


def client(project: Project, server: DriverServer) -> CoreETLDriver:
    values = {**project.settings.values, "coreetl": {"url": server.grpc_url, "token": TOKEN}}
    return connect(evolve(project.settings, values=values))


def running(project: Project, driver: CoreETLDriver) -> str:
    """An execution that goes on for as long as it may."""
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(SQL, compute={"backend": "faulty"}), {})
    execution = driver.run_job("a_job", ENVIRONMENT)
    assert execution.status is ExecutionStatus.RUNNING
    return execution.execution_id


def http(server: DriverServer, path: str, body: Any = None) -> tuple[int, Any, Any]:
    """Status, document and headers."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.http_url + path, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=2 * SOON_S) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def owner_of(project: Project, execution_id: str) -> Any:
    registry = JobRegistry(f"sqlite:///{project.settings.state}/coreetl.db")
    owner = registry.get_run(execution_id).owner
    registry.close()
    return owner


def test_health_is_told_to_anybody_by_the_standard_service(serve: Callable[..., DriverServer]) -> None:
    server = serve()
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            health.Check(health_pb2.HealthCheckRequest(service="coreetl.v1.Nonsense"))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_shows_the_service_to_tools_that_do_not_know_it(serve: Callable[..., DriverServer]) -> None:
    server = serve()
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        asked = iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)])
        (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked)
        files = [FileDescriptorProto.FromString(each) for each in answer.file_descriptor_response.file_descriptor_proto]
        methods = {method.name for file in files for service in file.service for method in service.method}
        assert {"RunJob", "ExplainRun", "StopJob"} <= methods


def test_streams_of_reflection_that_never_end_keep_no_caller_waiting(
    serve: Callable[..., DriverServer], project: Project
) -> None:
    server = serve()
    done = threading.Event()

    def silent() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        done.wait(SOON_S)
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        streams = [stub.ServerReflectionInfo(silent()) for _ in range(200)]  # more than the service has threads
        driver = client(project, server)
        assert driver.list_jobs() == ()
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == SERVING
        driver.close()
        for stream in streams:
            stream.cancel()
        done.set()


def test_an_ending_service_says_so_and_answers_but_starts_nothing(
    serve: Callable[..., DriverServer], project: Project, pool: ThreadPoolExecutor
) -> None:
    server = serve(notice_s=3.0, grace_s=20.0)
    driver = client(project, server)
    execution_id = running(project, driver)
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watched = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert next(watched).status == SERVING
        assert http(server, "/readyz")[0] == 200
        stopped = pool.submit(server.stop)
        assert next(watched).status == NOT_SERVING
        assert health.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING
        until(lambda: http(server, "/readyz")[0] == 503)
        assert http(server, "/healthz")[0] == 200, "it lives: whoever starts processes anew must not kill it"

        with pytest.raises(TransientError, match="shutting down and starts nothing new") as refused:
            driver.run_job("a_job", ENVIRONMENT)
        assert refused.value.code == "coreetl.draining"
        assert refused.value.retry_after_s == 2.0
        status, document, headers = http(server, "/v1/jobs/a_job/run", {"environment": ENVIRONMENT})
        assert (status, document["error"]["type"], headers["retry-after"]) == (503, "transient", "2")
        assert driver.get_execution(execution_id).status is ExecutionStatus.RUNNING
        assert len(driver.list_executions("a_job")) == 1
        assert stopped.result(SOON_S), "a watcher of health is not waited for"
        with pytest.raises(grpc.RpcError):
            next(watched)
    driver.close()
    assert owner_of(project, execution_id) is None, "it was handed over"


def test_whoever_waits_for_an_execution_is_answered_when_the_service_ends(
    serve: Callable[..., DriverServer],
    project: Project,
    pool: ThreadPoolExecutor,
    waits: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coreetl_driver.client._PATIENCE_S", 1.0)
    monkeypatch.setattr("coreetl_driver.client.MAX_WAIT_S", LONG_S)
    server = serve()
    driver = client(project, server)
    execution_id = running(project, driver)
    over_http: Future[Any] = pool.submit(http, server, f"/v1/executions/{execution_id}?wait_s={LONG_S}")
    over_grpc = pool.submit(driver.wait, execution_id, LONG_S)
    until(lambda: waits == [True, True])
    assert not over_http.done()
    assert not over_grpc.done()
    assert server.stop()
    assert over_http.result(SOON_S)[:2][0] == 200
    assert over_http.result()[1]["status"] == "RUNNING"
    with pytest.raises(TransientError, match="does not answer"):  # it asked again, of nobody
        over_grpc.result(SOON_S)
    driver.close()


def test_a_call_that_does_not_end_is_cut_off_when_the_grace_is_over(
    serve: Callable[..., DriverServer], project: Project, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    began = threading.Event()

    def hang(self: Backend, task: Any) -> str:
        began.set()
        released.wait(SOON_S)
        return "none/late"

    monkeypatch.setattr(Backend, "submit", hang)
    server = serve()
    driver = client(project, server)
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec(SQL, compute={"backend": "faulty"}), {})
    run = pool.submit(driver.run_job, "a_job", ENVIRONMENT)
    assert began.wait(SOON_S)
    assert not server.stop(grace_s=1.5), "not everything was done in time, and it says so"
    assert not released.is_set()
    with pytest.raises(TransientError):
        run.result(SOON_S)
    released.set()
    driver.close()


def test_stopping_twice_does_no_harm(serve: Callable[..., DriverServer]) -> None:
    server = serve()
    assert server.stop()
    assert server.stop()


def test_any_number_may_wait_and_the_rest_is_answered_all_the_same(
    serve: Callable[..., DriverServer], project: Project, waits: list[bool]
) -> None:
    server = serve()
    driver = client(project, server)
    execution_id = running(project, driver)
    with ThreadPoolExecutor(300) as pool:  # more than the service has threads
        waiting = [pool.submit(driver.wait, execution_id, 2 * LONG_S) for _ in range(300)]
        until(lambda: len(waits) >= 300 and False in waits)  # as many wait as may
        for _ in range(3):
            assert driver.list_jobs()[0].job_id == "a_job"
        assert not any(each.done() for each in waiting), "the others did not have to end for it"
        (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
        assert stopped.status is ExecutionStatus.CANCELLED
        assert {each.result(SOON_S).status for each in waiting} == {ExecutionStatus.CANCELLED}
    driver.close()


def test_a_wait_or_a_limit_that_is_no_number_holds_nothing_up(
    serve: Callable[..., DriverServer], project: Project
) -> None:
    server = serve()
    driver = client(project, server)
    execution_id = running(project, driver)
    for text in ("nan", "inf", "-inf", "soon"):
        for path in (f"/v1/executions/{execution_id}?wait_s={text}", f"/v1/executions?limit={text}"):
            status, document, _ = http(server, path)
            assert (status, document["error"]["type"]) == (400, "invalid_spec")
    assert http(server, f"/v1/executions/{execution_id}?wait_s=-1")[0] == 200
    assert driver.wait(execution_id, float("nan")).status is ExecutionStatus.RUNNING
    driver.close()


@pytest.mark.parametrize("sign", ["x", "é", "\x00", "\udc80", "𝄞"], ids=ascii)
def test_an_error_of_any_length_arrives_as_what_it_is_and_is_not_tried_again(
    serve: Callable[..., DriverServer], project: Project, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_given: Any) -> Any:
        raise ConflictError(f"not {sign * 40_000}", hint=f"try {sign * 40_000}")

    monkeypatch.setattr(Driver, "get_job", refused)
    server = serve()
    driver = client(project, server)
    with pytest.raises(ConflictError, match=r"^not .*… \(40004 characters in all\)$") as told:
        driver.get_job("a_job", ENVIRONMENT)
    assert str(told.value.hint).startswith("try ")
    driver.close()
    status, document, _ = http(server, f"/v1/jobs/a_job?environment={ENVIRONMENT}")
    assert (status, document["error"]["message"]) == (409, str(told.value))
    assert len(json.dumps(document, ensure_ascii=False).encode()) < 5_000
