"""Two drivers on one PostgreSQL: they share the jobs, and never run one execution twice."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest
from grpc_health.v1 import health_pb2

from coreetl_driver import CoreETLDriver, ExecutionStatus, owners, recovering, server
from coreetl_driver.client import DriverClient
from coreetl_driver.driver import Driver
from coreetl_driver.job_registry import JobRegistry
from coreetl_driver.server import DriverServer
from dcp_core.errors import TransientError
from dcp_core.settings import Secret
from tests.coreetl_driver.conftest import ENDLESS, ENVIRONMENT, Project, make_table
from tests.coreetl_driver.conftest import TOKEN as OWN_TOKEN
from tests.coreetl_driver.conftest import project as project  # a fixture
from tests.coreetl_driver.serving_process import Serving, serving
from tests.services import servers

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")
TOKEN = "a-token-0123456789"
SQL = "SELECT order_id, qty FROM raw.orders"
# Takes an engine some seconds on any machine.
SLOW = (
    "SELECT order_id, qty FROM raw.orders WHERE (SELECT sum(a.id * b.id % 7) FROM range(30000) a, range(30000) b) > 0"
)
CONFIG = """\
[coreetl]
store = "${COREETL_STORE}"

[coreetl_tokens.alice]
token = "${COREETL_TOKEN}"
environments = ["playground_*"]
"""
SOON_S = 240.0
_NUMBERS = itertools.count()


@pytest.fixture
def store(postgresql: str) -> str:
    """An empty database of its own."""
    name = f"drivers_{next(_NUMBERS)}"
    execute(postgresql, f"CREATE DATABASE {name}")
    return f"{postgresql}/{name}"


def execute(postgresql: str, statement: str) -> None:
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def served(project: Project, store: str) -> Iterator[tuple[Serving, Serving]]:
    """Two services of one project, as two operators start them."""
    (project.settings.root / "dcp.toml").write_text(CONFIG)
    environ = {"COREETL_STORE": store, "COREETL_TOKEN": TOKEN}
    with (
        serving(project.settings.root, environ=environ) as first,
        serving(project.settings.root, environ=environ) as two,
    ):
        yield first, two


@pytest.fixture
def drivers(served: tuple[Serving, Serving]) -> Iterator[tuple[CoreETLDriver, CoreETLDriver]]:
    clients = tuple(DriverClient(each.urls["grpc_url"], Secret(TOKEN)) for each in served)
    yield clients[0], clients[1]
    for each in clients:
        each.close()


def snapshots(project: Project, table: str) -> int:
    return len(project.playground.load_table(table).metadata.snapshots)


def until_running(driver: CoreETLDriver, execution_id: str) -> None:
    deadline = time.monotonic() + SOON_S
    while "writing to" not in driver.get_logs(execution_id):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_run_asked_of_both_is_one_execution_and_each_sees_and_stops_what_the_other_runs(
    project: Project, drivers: tuple[CoreETLDriver, CoreETLDriver]
) -> None:
    first, second = drivers
    made = first.create_job("a_job", ENVIRONMENT, "a", project.spec(SQL, mode="append"), {})
    assert second.get_job("a_job", ENVIRONMENT) == made
    with ThreadPoolExecutor(8) as pool:
        runs = [
            pool.submit(each.run_job, "a_job", ENVIRONMENT, idempotency_key=f"key-{number}")
            for number in range(2)
            for each in (first, second, first, second)
        ]
        executions = [run.result(SOON_S).execution_id for run in runs]
    assert len(set(executions)) == 2
    for each in set(executions):
        assert second.wait(each, SOON_S).status is ExecutionStatus.SUCCEEDED
    assert snapshots(project, "dd.daily") == 2
    assert len(project.rows()) == 6

    first.update_job("a_job", ENVIRONMENT, project.spec(ENDLESS), {})
    running = first.run_job("a_job", ENVIRONMENT)
    until_running(first, running.execution_id)
    (stopped,) = second.stop_job("a_job", ENVIRONMENT)
    assert (stopped.execution_id, stopped.status) == (running.execution_id, ExecutionStatus.CANCELLED)
    assert snapshots(project, "dd.daily") == 2


def test_what_a_killed_driver_ran_the_other_one_runs_once(
    project: Project, served: tuple[Serving, Serving], drivers: tuple[CoreETLDriver, CoreETLDriver]
) -> None:
    first, second = drivers
    jobs = ["a_job", "b_job", "c_job"]
    started = []
    for job in jobs:
        make_table(project, f"dd.{job}")
        first.create_job(job, ENVIRONMENT, job, project.spec(SLOW, f"dd.{job}", mode="append"), {})
        started.append(first.run_job(job, ENVIRONMENT, idempotency_key=job))
    until_running(first, started[0].execution_id)
    os.kill(served[0].process.pid, signal.SIGKILL)
    served[0].process.wait()
    # Whoever got no answer asks the other one, several at once.
    with ThreadPoolExecutor(6) as pool:
        again = [pool.submit(second.run_job, job, ENVIRONMENT, idempotency_key=job) for job in jobs * 2]
        assert {run.result(SOON_S).execution_id for run in again} == {each.execution_id for each in started}
    ended = [second.wait(each.execution_id, 2 * SOON_S) for each in started]
    assert [(each.status, each.error, each.rows_written) for each in ended] == [("SUCCEEDED", None, 3)] * 3
    assert any(each.attempt == 2 for each in ended)
    assert [snapshots(project, f"dd.{job}") for job in jobs] == [1] * 3
    assert len(second.list_executions()) == 3


def test_a_driver_of_another_machine_waits_until_the_lease_is_over_and_then_takes_over_once(
    project: Project,
    store: str,
    served: tuple[Serving, Serving],
    drivers: tuple[CoreETLDriver, CoreETLDriver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This process says that it is another machine: of the others it knows only when they were last heard of."""
    monkeypatch.setattr(owners, "_host", lambda: "elsewhere+00000000")
    monkeypatch.setattr(recovering, "LEASE_S", 20.0)  # of heartbeats each six seconds
    served[1].process.kill()
    make_table(project, "dd.slow")
    drivers[0].create_job("a_job", ENVIRONMENT, "a", project.spec(ENDLESS, "dd.slow", mode="append"), {})
    running = drivers[0].run_job("a_job", ENVIRONMENT)
    elsewhere = Driver(attrs.evolve(project.settings, values={"coreetl": {"store": store}}))
    watched_until = time.monotonic() + 26
    while time.monotonic() < watched_until:  # longer than the lease, which the owner renews
        assert elsewhere.recover() == ()
        time.sleep(0.5)
    assert drivers[0].get_execution(running.execution_id).attempt == 1
    os.kill(served[0].process.pid, signal.SIGKILL)
    served[0].process.wait()
    assert elsewhere.recover() == (), "it may still live"
    deadline = time.monotonic() + SOON_S
    while not (found := elsewhere.recover()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [(each.execution_id, each.attempt) for each in found] == [(running.execution_id, 2)]
    (stopped,) = elsewhere.stop_job("a_job", ENVIRONMENT)
    assert stopped.status is ExecutionStatus.CANCELLED
    assert snapshots(project, "dd.slow") == 0
    elsewhere.close()


def test_a_driver_that_stood_still_and_was_taken_for_dead_commits_nothing_when_it_goes_on(
    project: Project,
    store: str,
    served: tuple[Serving, Serving],
    drivers: tuple[CoreETLDriver, CoreETLDriver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served[1].process.kill()
    make_table(project, "dd.slow")
    drivers[0].create_job("a_job", ENVIRONMENT, "a", project.spec(SLOW, "dd.slow", mode="append"), {})
    running = drivers[0].run_job("a_job", ENVIRONMENT)
    until_running(drivers[0], running.execution_id)
    registry = JobRegistry(store)
    worker = owners.Owner.parse(registry.get_run(running.execution_id).handle)
    registry.close()
    assert worker is not None
    served[0].process.send_signal(signal.SIGSTOP)  # its worker computes on, and then wants to commit

    with monkeypatch.context() as patched:
        patched.setattr(owners, "_host", lambda: "elsewhere+00000000")
        patched.setattr(recovering, "LEASE_S", 8.0)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)  # another machine does not clear this one's folders
        elsewhere = Driver(attrs.evolve(project.settings, values={"coreetl": {"store": store}}))
        until(lambda: bool(elsewhere.recover()))
        done = elsewhere.wait(running.execution_id, SOON_S)
        assert (done.status, done.attempt, done.rows_written) == (ExecutionStatus.SUCCEEDED, 2, 3)
        elsewhere.close()
    assert worker.is_alive
    served[0].process.send_signal(signal.SIGCONT)
    until(lambda: not worker.is_alive)
    assert snapshots(project, "dd.slow") == 1
    assert drivers[0].get_execution(running.execution_id) == done, "it has no say in what became of it"


def test_a_driver_whose_registry_is_away_lives_but_is_not_ready_until_it_is_back(
    project: Project, postgresql: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_RECOVERY_INTERVAL_S", 0.2)
    values = {**project.settings.values, "coreetl": {"store": store}}
    started = DriverServer(attrs.evolve(project.settings, values=values))
    name = store.rpartition("/")[2]
    try:
        assert answered(started, "/readyz") == 200
        execute(postgresql, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        execute(postgresql, f"SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = '{name}'")
        assert answered(started, "/readyz") == 503
        assert answered(started, "/healthz") == 200
        until(lambda: health(started) == health_pb2.HealthCheckResponse.NOT_SERVING)
        execute(postgresql, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert answered(started, "/readyz") == 200
        until(lambda: health(started) == health_pb2.HealthCheckResponse.SERVING)
    finally:
        started.stop()


def test_a_driver_that_starts_before_its_database_waits_for_it(project: Project) -> None:
    (port,) = servers.free_ports(1)
    store = f"postgresql+psycopg://dcp:hunter2@127.0.0.1:{port}/dcp"
    started = DriverServer(
        attrs.evolve(project.settings, values={**project.settings.values, "coreetl": {"store": store}})
    )
    client = DriverClient(started.grpc_url, Secret(OWN_TOKEN))
    try:
        assert (answered(started, "/healthz"), answered(started, "/readyz")) == (200, 503)
        assert health(started) == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(TransientError, match="the job registry does not answer") as failed:
            client.list_jobs()
        assert "hunter2" not in repr(vars(failed.value))
    finally:
        client.close()
        started.stop()


def answered(started: DriverServer, path: str) -> int:
    try:
        with urllib.request.urlopen(started.http_url + path, timeout=30) as answer:
            json.load(answer)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def health(started: DriverServer) -> Any:
    import grpc
    from grpc_health.v1 import health_pb2_grpc

    with grpc.insecure_channel(started.grpc_url.removeprefix("grpc://")) as channel:
        return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status


def until(ready: Any) -> None:
    deadline = time.monotonic() + SOON_S
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
