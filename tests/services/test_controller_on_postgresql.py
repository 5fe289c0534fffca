"""Several controllers on one PostgreSQL."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dcp_core.errors import LeaseLostError
from dcp_core.store import Holder
from dcp_graph_runner.controller.leasing import Leases, Unit
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import ensure_current
from tests.dcp_graph_runner.controller import replicas
from tests.end_to_end.projects import Project

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")
_NUMBERS = itertools.count()
REPLICAS, ROUNDS = 4, 40
UNITS = tuple(Unit("production", number) for number in range(8))


@pytest.fixture
def url(postgresql: str) -> str:
    """An empty database of its own."""
    name = f"dcp_controller_{next(_NUMBERS)}"
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgresql}/{name}"


def test_two_share_the_work_and_one_goes_on_when_the_other_is_killed(tmp_path: Path, url: str) -> None:
    (tmp_path / "dcp.toml").write_text(f'[store]\nurl = "{url}"\n{replicas.SETTINGS}')
    replicas.two_share_and_one_survives(Project(tmp_path))


def test_replicas_that_tend_at_once_never_hold_the_same(url: str) -> None:
    """Each writes under its lease what everybody sees; clocks are an hour apart, for the database's is what counts."""
    database = Database(url)
    ensure_current(database)
    inside: dict[Unit, str] = {}
    anomalies: list[str] = []
    guard = threading.Lock()

    def replica(number: int) -> None:
        name = f"r{number}"
        clock_at = datetime.now(UTC) + timedelta(hours=number)
        leases = Leases(
            database, name, Holder(name, 1, "", ""), timedelta(seconds=30), lambda: clock_at, lambda _: False
        )
        for each in range(ROUNDS):
            leases.tend(UNITS)
            for unit in leases.held:
                try:
                    with database.writing() as connection:
                        leases.confirm(connection, unit)
                        with guard:
                            other = inside.setdefault(unit, name)
                        if other != name:
                            anomalies.append(f"{unit}: {name} and {other}")
                        with guard:
                            inside.pop(unit, None)
                except LeaseLostError:
                    continue
            if each % 10 == 9:
                leases.release()

    threads = [threading.Thread(target=replica, args=(number,)) for number in range(REPLICAS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert anomalies == []
    last = Leases(database, "last", Holder("last", 1, "", ""), timedelta(seconds=30), lambda: datetime.now(UTC))
    assert set(last.tend(UNITS)) == set(UNITS), "nothing is left locked"
    database.close()
