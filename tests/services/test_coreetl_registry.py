"""The job registry in a real PostgreSQL: the contract of every database, and what only a server can do."""

from __future__ import annotations

import datetime
import itertools

import pytest
import sqlalchemy as sa

from coreetl_driver.job_registry import JobRegistry
from dcp_core.errors import InvalidSpecError, TransientError
from tests.coreetl_driver.registry_contract import ENVIRONMENT, OTHER, RegistryContract, execution, spec
from tests.services import servers

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")
_NUMBERS = itertools.count()


@pytest.fixture
def url(postgresql: str) -> str:
    """An empty database of its own."""
    name = f"coreetl_{next(_NUMBERS)}"
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgresql}/{name}"


@pytest.fixture
def registry(url: str) -> JobRegistry:
    return JobRegistry(url)


class TestOnPostgresql(RegistryContract):
    @pytest.fixture
    def url(self, url: str) -> str:
        return url


def test_machines_whose_clocks_disagree_agree_on_who_is_silent(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver whose clock is an hour behind beats its heart; another one's clock is right."""
    behind, right = JobRegistry(url), JobRegistry(url)
    right.create_job("a_job", ENVIRONMENT, "a", spec(), {})
    hour = datetime.timedelta(hours=1)

    class Behind(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Behind:
            return super().now(tz) - hour

    with monkeypatch.context() as patched:
        patched.setattr("coreetl_driver.registry_database.datetime.datetime", Behind)
        behind.add_execution(execution("e1"), {}, OTHER)
        mine = behind.get_run("e1").heartbeat_at
    seen = right.get_run("e1").heartbeat_at
    assert mine is not None
    assert seen is not None
    now = datetime.datetime.now(datetime.UTC)
    assert abs(now - seen) < datetime.timedelta(seconds=20)
    assert abs(now - hour - mine) < datetime.timedelta(seconds=20)
    behind.close()
    right.close()


def test_a_server_that_ends_a_connection_is_found_again(postgresql: str, url: str, registry: JobRegistry) -> None:
    registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})
    name = url.rpartition("/")[2]
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        ).fetchall()
    assert ended
    assert registry.get_job("a_job", ENVIRONMENT).version == 1
    registry.close()


def test_a_server_that_is_away_may_be_tried_again_and_the_password_does_not_show() -> None:
    (port,) = servers.free_ports(1)
    away = JobRegistry(f"postgresql+psycopg://dcp:hunter2@127.0.0.1:{port}/dcp")
    with pytest.raises(TransientError, match="the job registry does not answer") as failed:
        away.list_jobs(None, None)
    assert "hunter2" not in repr(vars(failed.value)) + str(failed.value)


def test_a_value_that_postgresql_cannot_hold_is_the_callers_mistake(registry: JobRegistry) -> None:
    with pytest.raises(InvalidSpecError, match="cannot hold a value"):
        registry.create_job("a_job", ENVIRONMENT, "a\x00b", spec(), {})
    with pytest.raises(InvalidSpecError, match="cannot hold a value"):
        registry.create_job("a_job", ENVIRONMENT, "a" * 300, spec(), {})
    registry.close()


def test_a_user_who_may_change_no_tables_is_enough_once_they_are_there(
    postgresql: str, url: str, registry: JobRegistry
) -> None:
    registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})
    registry.close()
    user = f"runner_{url.rpartition('_')[2]}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN")
        connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.exec_driver_sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}")
    engine.dispose()
    least = JobRegistry(str(url.replace("dcp@", f"{user}@")))
    assert least.add_execution(execution("e1"), {}, OTHER)[1]
    least.delete_job("b_job", ENVIRONMENT)
    least.close()
