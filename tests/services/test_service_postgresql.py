"""Replicas of the service on one PostgreSQL: killed, cut off from it, and several at once."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dcp_core.documents import from_json
from dcp_graph_runner.api.long_running import OperationState, RequestStatus
from dcp_graph_runner.api.messages import ApplyAnswer, ApplyRequest
from dcp_graph_runner.server.service import IDEMPOTENCY_KEY, Service
from tests.dcp_graph_runner.server.probes import PLAYGROUND, made, probe
from tests.dcp_graph_runner.server.replicas import ALICE, Replica, audit, call, ended, service, told, until, watched
from tests.services.cutting_proxy import CuttingProxy

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")
_NUMBERS = itertools.count()


@pytest.fixture
def url(postgresql: str) -> str:
    """An empty database of its own."""
    name = f"dcp_service_{next(_NUMBERS)}"
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgresql}/{name}"


@pytest.fixture
def survivor(tmp_path: Path, url: str) -> Iterator[Service]:
    """A replica that nobody kills, in this process."""
    (tmp_path / "dcp.toml").write_text(f'[store]\nurl = "{url}"\n')
    opened = service(tmp_path)
    yield opened
    (tmp_path / "go").touch()
    assert opened.close(20.0)


def assert_whole(at: Service, id: str) -> None:
    *events, last = watched(at, id)
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    assert last.state is not None


@pytest.mark.parametrize("statement", [60, 100, 140, 180])
def test_an_apply_killed_at_any_statement_is_ended_by_the_other_replica(
    survivor: Service, tmp_path: Path, statement: int
) -> None:
    mortal = Replica(tmp_path, "mortal", dies_at=statement)
    plans = tuple(map(probe, "abcd"))
    with contextlib.suppress(EOFError):
        mortal.call("Operations.Apply", ApplyRequest(PLAYGROUND, plans))
    accepted = survivor.requests.all([PLAYGROUND], 10)
    assert mortal.process.wait().status == -signal.SIGKILL
    for each in accepted:
        state = ended(survivor, each.id)
        assert from_json(state.answer, ApplyAnswer).status == "SUCCEEDED"
        assert told(survivor) == [("apply", f"probe/{name}", "SUCCEEDED") for name in "abcd"]
        assert_whole(survivor, each.id)
    assert survivor.store.interrupted(None) == ()


def test_a_database_that_is_away_for_some_seconds_in_the_middle_loses_nothing(
    url: str, postgresql: str, tmp_path: Path
) -> None:
    proxy = CuttingProxy(int(postgresql.rpartition(":")[2]))
    try:
        (tmp_path / "dcp.toml").write_text(f'[store]\nurl = "{through(proxy, url)}"\nconnect_timeout_s = 2.0\n')
        opened = service(tmp_path)
        state = call(opened, "Operations.Apply", ApplyRequest(PLAYGROUND, (probe("a", does="hold"), probe("b"))))
        until(lambda: made(tmp_path))
        with proxy.away():
            (tmp_path / "go").touch()
            time.sleep(4)
        answer = from_json(ended(opened, state.id, 90).answer, ApplyAnswer)
        assert answer.status == "SUCCEEDED"
        assert made(tmp_path) == ["a", "b"]
        assert told(opened) == [("apply", "probe/a", "SUCCEEDED"), ("apply", "probe/b", "SUCCEEDED")]
        assert_whole(opened, state.id)
        assert opened.close(10.0)
    finally:
        proxy.close()


def through(proxy: CuttingProxy, url: str) -> str:
    """The same database, behind the proxy."""
    from tests.services.test_postgresql_replicas import through as behind

    return behind(proxy, url)


def test_replicas_killed_at_random_end_every_request_once(survivor: Service, tmp_path: Path) -> None:
    (tmp_path / "probes").mkdir()
    dice, stop, numbers = random.Random(5), threading.Event(), itertools.count()
    replicas = [Replica(tmp_path, f"r{next(numbers)}") for _ in range(2)]

    def kill() -> None:
        while not stop.wait(dice.uniform(0.5, 1.5)):
            slot = dice.randrange(2)
            replicas[slot].kill()
            replicas[slot] = Replica(tmp_path, f"r{next(numbers)}")

    def ask(number: int) -> OperationState:
        plans = tuple(probe(f"m{each}", content=f"of {number}", does="slow") for each in (number % 6, 6 + number % 5))
        request, key = ApplyRequest(PLAYGROUND, plans), {**ALICE, IDEMPOTENCY_KEY: f"k{number}"}
        id: str | None = None
        while id is None:
            try:
                id = replicas[number % 2].call("Operations.Apply", request, key).id
            except (EOFError, OSError):
                time.sleep(0.1)  # killed; whoever comes next takes the same key
        return ended(survivor, id, 120)

    killer = threading.Thread(target=kill)
    killer.start()
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(ask, range(40)))
    stop.set()
    killer.join(30)
    for left in replicas:
        left.kill()
    assert not (tmp_path / "anomaly").exists()
    assert len({each.id for each in states}) == 40
    for each in states:
        assert each.status is RequestStatus.DONE or (each.error and each.error.code == "plan.stale"), each
        assert_whole(survivor, each.id)
    records = audit(survivor)
    assert len({each.operation_id for each in records}) == len(records)
    rows = [row for each in states if each.answer for row in from_json(each.answer, ApplyAnswer).operations]
    recorded = {each.operation_id: str(each.outcome) for each in records}
    for row in rows:
        if row.id:
            assert recorded[row.id] == str(row.status)
    assert survivor.store.interrupted(None) == ()
    assert survivor.requests.running() == 0
