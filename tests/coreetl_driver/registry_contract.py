"""What the job registry must do on every database, several drivers at once included."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve

from coreetl_driver import Column, Execution, ExecutionStatus, JobSpec, Sink, SinkMode
from coreetl_driver.job_registry import JobRegistry
from coreetl_driver.job_tables import SCHEMA_VERSION
from coreetl_driver.owners import Owner
from dcp_core.errors import ConflictError, DcpError, InvalidSpecError, NotFoundError, SettingsError

ENVIRONMENT = "playground_alice"
DRIVERS = 8
ROUNDS = 5
ME, OTHER = Owner("here+1", 1, 1), Owner("there+2", 2, 2)


def spec(sql: str = "SELECT 1 AS a") -> JobSpec:
    sink = Sink("pedregal-playground-alice", "dd.daily", SinkMode.APPEND)
    return JobSpec(sql, [Column("a", "int")], sink, {"pedregal": {"type": "sql"}}, "pedregal")


def execution(number: str, job_id: str = "a_job", key: str | None = None) -> Execution:
    return Execution(number, job_id, 1, ENVIRONMENT, "local", ExecutionStatus.PENDING, idempotency_key=key, user="u")


class RegistryContract:
    """Give it a fixture ``url``: an empty database of its own for each test."""

    @pytest.fixture
    def registry(self, url: str) -> Iterator[JobRegistry]:
        opened = JobRegistry(url)
        yield opened
        opened.close()

    @pytest.fixture
    def at_once(self, url: str) -> Iterator[Callable[[Callable[[JobRegistry, int], Any]], list[Any]]]:
        """The same call by several drivers, each with connections of its own: what each got, errors included."""
        with ExitStack() as stack:
            registries = [JobRegistry(url) for _ in range(DRIVERS)]
            for each in registries:
                stack.callback(each.close)
            pool = stack.enter_context(ThreadPoolExecutor(DRIVERS))

            def call(work: Callable[[JobRegistry, int], Any]) -> list[Any]:
                barrier = threading.Barrier(DRIVERS)

                def one(number: int) -> Any:
                    barrier.wait()
                    try:
                        return work(registries[number], number)
                    except DcpError as error:
                        return error

                return list(pool.map(one, range(DRIVERS)))

            yield call

    def test_a_job_and_its_executions_come_back_as_they_were_given(self, registry: JobRegistry) -> None:
        made = registry.create_job("a_job", ENVIRONMENT, "Ä \U0001f600", spec(), {"a": "ü"})
        assert registry.get_job("a_job", ENVIRONMENT) == made
        added, is_new = registry.add_execution(execution("e1", key="k"), {"x": "ü\x00"}, ME)
        assert (is_new, added.params, added.user) == (True, {"x": "ü\x00"}, "u")
        assert added.created_at is not None
        run = registry.get_run("e1")
        assert (run.owner, run.handle, run.stop_requested) == (ME, None, False)
        assert registry.list_executions("a_job", ENVIRONMENT, 10) == (added,)
        big = 2**40
        assert registry.change(
            "e1", ME, status="SUCCEEDED", rows_written=big, finished_at=datetime.datetime(2026, 1, 1)
        )
        assert registry.get_run("e1").execution.rows_written == big
        assert not registry.change("e1", ME, status="FAILED"), "what is final stays"
        assert registry.unfinished() == ()

    def test_drivers_that_open_an_empty_database_at_once_all_find_it_made(self, at_once: Any) -> None:
        assert at_once(lambda registry, _: registry.list_jobs(None, None)) == [()] * DRIVERS

    def test_the_same_job_made_by_all_at_once_is_one_job(self, at_once: Any, registry: JobRegistry) -> None:
        for number in range(ROUNDS):
            made = at_once(lambda each, _, name=f"job_{number}": each.create_job(name, ENVIRONMENT, name, spec(), {}))
            assert {(job.job_id, job.version) for job in made} == {(f"job_{number}", 1)}
        assert len(registry.list_jobs(ENVIRONMENT, None)) == ROUNDS

    def test_of_different_jobs_with_one_id_exactly_one_is_made(self, at_once: Any, registry: JobRegistry) -> None:
        made = at_once(lambda each, n: each.create_job("a_job", ENVIRONMENT, "a", spec(f"SELECT {n} AS a"), {}))
        (kept,) = [job for job in made if not isinstance(job, Exception)]
        assert all(isinstance(each, ConflictError) for each in made if each is not kept)
        assert registry.get_job("a_job", ENVIRONMENT) == kept

    def test_of_updates_of_one_version_exactly_one_is_made(self, at_once: Any, registry: JobRegistry) -> None:
        registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})
        for version in range(1, ROUNDS):
            sql = f"SELECT {version}%d AS a"
            made = at_once(
                lambda each, n, sql=sql, v=version: each.update_job("a_job", ENVIRONMENT, spec(sql % n), {}, v)
            )
            assert sorted(type(each).__name__ for each in made) == ["ConflictError"] * (DRIVERS - 1) + ["Job"]
            assert registry.get_job("a_job", ENVIRONMENT).version == version + 1

    def test_updates_that_expect_no_version_all_succeed_and_the_last_one_counts(
        self, at_once: Any, registry: JobRegistry
    ) -> None:
        registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})
        made = at_once(lambda each, n: each.update_job("a_job", ENVIRONMENT, spec(f"SELECT {n % 3} AS a"), {}, None))
        assert [each for each in made if isinstance(each, Exception)] == []
        kept = registry.get_job("a_job", ENVIRONMENT)
        assert kept.version == max(job.version for job in made)
        for version in range(1, kept.version + 1):
            assert registry.get_job("a_job", ENVIRONMENT, version).version == version

    def test_one_idempotency_key_is_one_execution(self, at_once: Any, registry: JobRegistry) -> None:
        registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})
        for number in range(ROUNDS):
            given = at_once(lambda each, n, r=number: each.add_execution(execution(f"e{r}-{n}", key=f"k{r}"), {}, ME))
            assert len({found.execution_id for found, _ in given}) == 1
            assert sorted(is_new for _, is_new in given) == [False] * (DRIVERS - 1) + [True]
        assert len(registry.list_executions("a_job", ENVIRONMENT, 1000)) == ROUNDS

    def test_a_lost_execution_is_taken_over_by_exactly_one(self, at_once: Any, registry: JobRegistry) -> None:
        registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})
        for number in range(ROUNDS):
            registry.add_execution(execution(f"e{number}"), {}, OTHER)
            lost = registry.get_run(f"e{number}")
            won = at_once(lambda each, n, lost=lost: each.take_over(lost, evolve(ME, pid=100 + n)))
            assert sorted(won) == [False] * (DRIVERS - 1) + [True]
            owner = registry.get_run(f"e{number}").owner
            assert owner == evolve(ME, pid=100 + won.index(True))
            assert not registry.change(f"e{number}", OTHER, status="FAILED"), "the former owner has no say any more"

    def test_a_job_is_deleted_or_run_but_never_both(self, at_once: Any, registry: JobRegistry) -> None:
        for number in range(2 * ROUNDS):
            registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})

            def work(each: JobRegistry, n: int, r: int = number) -> Any:
                if n % 2:
                    return each.delete_job("a_job", ENVIRONMENT)
                return each.add_execution(execution(f"e{r}-{n}"), {}, ME)

            given = at_once(work)
            runs = [each for each in given[::2] if not isinstance(each, Exception)]
            is_there = bool(registry.list_jobs(ENVIRONMENT, ["a_job"]))
            assert is_there == bool(runs)
            assert {type(each) for each in given[::2] if isinstance(each, Exception)} <= {NotFoundError}
            assert {type(each) for each in given[1::2] if isinstance(each, Exception)} <= {ConflictError}
            for added, _ in runs:
                assert registry.change(added.execution_id, ME, status="CANCELLED")
            registry.delete_job("a_job", ENVIRONMENT)

    def test_the_last_sign_of_life_is_told_by_this_machines_clock(self, registry: JobRegistry) -> None:
        registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})
        registry.add_execution(execution("e1"), {}, OTHER)
        for change in ({"heartbeat_at": None}, {"handle": "h"}):  # what a heartbeat says of the time does not count
            registry.change("e1", OTHER, **change)
            beaten_at = registry.get_run("e1").heartbeat_at
            assert beaten_at is not None
            assert abs(datetime.datetime.now(datetime.UTC) - beaten_at) < datetime.timedelta(seconds=20)

    def test_a_registry_of_the_first_version_is_brought_to_this_one_by_whoever_comes_first(
        self, url: str, registry: JobRegistry, at_once: Any
    ) -> None:
        registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})
        registry.add_execution(execution("e1"), {}, ME)
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE coreetl_executions DROP COLUMN handle")
            connection.exec_driver_sql("ALTER TABLE coreetl_executions DROP COLUMN unsubmitted_attempt")
            connection.exec_driver_sql("ALTER TABLE coreetl_executions ADD COLUMN worker TEXT")
            connection.exec_driver_sql("UPDATE coreetl_executions SET worker = 'its/process'")
            connection.exec_driver_sql("UPDATE coreetl_schema SET version = 1")
        runs = at_once(lambda each, _: each.get_run("e1"))
        assert {run.handle for run in runs} == {"its/process"}
        assert all(run.may_run for run in runs), "what an older driver has not noted may run"
        with engine.begin() as connection:
            found = connection.exec_driver_sql("SELECT version FROM coreetl_schema").all()
            assert [tuple(row) for row in found] == [(SCHEMA_VERSION,)]
        engine.dispose()

    def test_a_registry_of_a_newer_version_is_refused_and_left_as_it_is(self, url: str, registry: JobRegistry) -> None:
        registry.list_jobs(None, None)
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE coreetl_schema SET version = 99")
            connection.exec_driver_sql("DROP TABLE coreetl_executions")
        other = JobRegistry(url)
        with pytest.raises(SettingsError, match=f"is of version 99, this driver knows {SCHEMA_VERSION}"):
            other.list_jobs(None, None)
        other.close()
        assert "coreetl_executions" not in sa.inspect(engine).get_table_names()
        engine.dispose()

    def test_what_the_database_cannot_hold_is_refused_in_words(self, registry: JobRegistry) -> None:
        registry.create_job("a_job", ENVIRONMENT, "a", spec(), {})
        with pytest.raises(InvalidSpecError, match="at most 200 characters"):
            registry.add_execution(execution("e1", key="k" * 201), {}, ME)
        assert registry.list_executions(None, None, 10) == ()
        with pytest.raises(NotFoundError):
            registry.add_execution(execution("e1", job_id="b_job"), {}, ME)
