"""The queue of requests on PostgreSQL, where writers do not wait for each other by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dcp_core.errors import TransientError
from dcp_core.records import Caller
from dcp_core.sections import StoreSettings
from dcp_core.store import Holder
from dcp_graph_runner.database import Database
from dcp_graph_runner.request_rows import TOO_MANY, Request
from dcp_graph_runner.requests import RequestLog
from dcp_graph_runner.schema import ensure_current
from tests.dcp_graph_runner import processes

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")
_HERE = Holder("here", 1, "x", "(server)")


@pytest.fixture
def log(postgresql: str) -> Iterator[RequestLog]:
    name = "dcp_requests"
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")
    database = Database(f"{postgresql}/{name}", StoreSettings(pool_size=20))
    ensure_current(database)
    yield RequestLog(database, processes.now, lambda _holder: False)
    database.close()


def _accepted(log: RequestLog, identity: str, number: int) -> bool:
    id = f"req_{identity}_{number:03}"
    request = Request(id, "Operations.Run", Caller(identity, (), id), "production", {"environment": "production"})
    try:
        log.accept(request, None, most_open=3)
    except TransientError as error:
        if error.code != TOO_MANY:
            raise
        return False
    return True


def test_of_those_that_come_at_the_same_time_no_more_are_taken_than_the_settings_say(log: RequestLog) -> None:
    with ThreadPoolExecutor(20) as pool:
        for identity in "abc":
            asked = [pool.submit(_accepted, log, identity, number) for number in range(20)]
            assert sum(each.result() for each in asked) == 3


def test_each_identity_has_its_turn_and_those_that_are_held_count(log: RequestLog) -> None:
    for identity in ("alice", "bob"):
        for number in range(3):
            assert _accepted(log, identity, number)
    (first, second, third), hopeless = log.claim(_HERE, 3)
    assert hopeless == ()
    assert [each.request.id for each in (first, second, third)] == ["req_alice_000", "req_bob_000", "req_alice_001"]
    (fourth,), _ = log.claim(_HERE, 1)
    assert fourth.request.id == "req_bob_001"
