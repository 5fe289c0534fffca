"""One class of tests for the driver in process and the driver behind gRPC: the same calls, results and errors."""

from __future__ import annotations

import time
from collections.abc import Iterator

import attrs
import pytest

from coreetl_driver import CoreETLDriver, ExecutionStatus, connect
from coreetl_driver.driver import Driver
from coreetl_driver.server import DriverServer
from dcp_core.errors import ConflictError, InvalidSpecError, NotFoundError, TransientError, UnauthorizedError
from dcp_core.settings import Settings
from tests.coreetl_driver.conftest import ENDLESS, ENVIRONMENT, OTHER_TOKEN, PRODUCTION, TOKEN, Project

SQL = "SELECT order_id, qty FROM raw.orders"


@pytest.fixture(params=["in process", "grpc"])
def either(request: pytest.FixtureRequest, project: Project) -> Iterator[CoreETLDriver]:
    if request.param == "in process":
        opened = connect(project.settings)
        yield opened
        opened.close()
        return
    server = DriverServer(project.settings)
    client = connect(_remote(project.settings, server.grpc_url, TOKEN))
    yield client
    client.close()
    server.stop()


def _remote(settings: Settings, url: str, token: str) -> Settings:
    return attrs.evolve(settings, values={**settings.values, "coreetl": {"url": url, "token": token}})


class TestEitherDriver:
    def test_it_is_a_driver(self, either: CoreETLDriver) -> None:
        assert isinstance(either, CoreETLDriver)

    def test_a_job_comes_back_as_it_was_given_and_creating_it_again_changes_nothing(
        self, either: CoreETLDriver, project: Project
    ) -> None:
        spec = project.spec(SQL + " WHERE order_id <> :x", params={"x": "a"}, compute={"cores": 2, "share": 0.5})
        made = either.create_job("daily_job", ENVIRONMENT, "Daily", spec, {"manifest": "derived_dataset/daily"})
        assert (made.version, made.spec, made.labels) == (1, spec, {"manifest": "derived_dataset/daily"})
        assert either.create_job("daily_job", ENVIRONMENT, "Daily", spec, made.labels) == made
        assert either.get_job("daily_job", ENVIRONMENT) == made
        with pytest.raises(ConflictError, match="daily_job"):
            either.create_job("daily_job", ENVIRONMENT, "Daily", project.spec("SELECT 1 AS order_id, 2 AS qty"), {})

    def test_an_update_is_the_next_version_unless_nothing_changed_or_somebody_was_faster(
        self, either: CoreETLDriver, project: Project
    ) -> None:
        either.create_job("daily_job", ENVIRONMENT, "Daily", project.spec(SQL), {})
        changed = project.spec(SQL + " WHERE qty > 1")
        assert either.update_job("daily_job", ENVIRONMENT, changed, {}, 1).version == 2
        assert either.update_job("daily_job", ENVIRONMENT, changed, {}, 1).version == 2
        with pytest.raises(ConflictError, match="version 2, not 1"):
            either.update_job("daily_job", ENVIRONMENT, project.spec(SQL), {}, 1)
        with pytest.raises(NotFoundError, match="other_job"):
            either.update_job("other_job", ENVIRONMENT, changed, {})

    def test_deleting_is_for_good_and_a_job_made_again_goes_on_counting(
        self, either: CoreETLDriver, project: Project
    ) -> None:
        either.create_job("daily_job", ENVIRONMENT, "Daily", project.spec(SQL), {})
        either.delete_job("daily_job", ENVIRONMENT)
        either.delete_job("daily_job", ENVIRONMENT)
        with pytest.raises(NotFoundError):
            either.get_job("daily_job", ENVIRONMENT)
        with pytest.raises(NotFoundError):
            either.run_job("daily_job", ENVIRONMENT)
        assert either.create_job("daily_job", ENVIRONMENT, "Daily", project.spec(SQL), {}).version == 2

    def test_jobs_are_listed_by_environment_and_id(self, either: CoreETLDriver, project: Project) -> None:
        mine = project.spec(SQL)
        bob = "pedregal-playground-bob"
        bobs = attrs.evolve(
            mine,
            sink=attrs.evolve(mine.sink, catalog=bob),
            catalogs={PRODUCTION: mine.catalogs[PRODUCTION], bob: project.settings.catalog_properties(bob)},
        )
        for environment, spec in ((ENVIRONMENT, mine), ("playground_bob", bobs)):
            for job_id in ("a_job", "b_job"):
                either.create_job(job_id, environment, job_id, spec, {})
        listed = either.list_jobs(ENVIRONMENT)
        assert [(job.environment, job.job_id) for job in listed] == [(ENVIRONMENT, "a_job"), (ENVIRONMENT, "b_job")]
        assert [job.environment for job in either.list_jobs(job_ids=["b_job", "nope"])] == [
            ENVIRONMENT,
            "playground_bob",
        ]
        assert either.list_jobs(ENVIRONMENT, []) == ()

    def test_a_job_writes_its_own_environments_catalog_only_and_reads_no_other_playgrounds(
        self, either: CoreETLDriver, project: Project
    ) -> None:
        spec = project.spec(SQL)
        to_production = attrs.evolve(spec, sink=attrs.evolve(spec.sink, catalog=PRODUCTION))
        with pytest.raises(InvalidSpecError, match="'playground_alice' may not write catalog 'pedregal'"):
            either.create_job("a_job", ENVIRONMENT, "a", to_production, {})
        from_bob = attrs.evolve(spec, catalogs={**spec.catalogs, "pedregal-playground-bob": {}})
        with pytest.raises(InvalidSpecError, match="'playground_alice' may not read catalog 'pedregal-playground-bob'"):
            either.create_job("a_job", ENVIRONMENT, "a", from_bob, {})
        assert either.list_jobs(ENVIRONMENT) == ()

    def test_hostile_sql_is_refused_when_the_job_is_stored(self, either: CoreETLDriver, project: Project) -> None:
        with pytest.raises(InvalidSpecError, match="/etc/passwd"):
            either.create_job("daily_job", ENVIRONMENT, "x", project.spec("SELECT * FROM text.`/etc/passwd`"), {})
        with pytest.raises(InvalidSpecError, match=r"\.\./x"):
            either.create_job("../x", ENVIRONMENT, "x", project.spec(SQL), {})

    def test_a_run_writes_and_tells_how_many_and_the_same_key_runs_once(
        self, either: CoreETLDriver, project: Project
    ) -> None:
        either.create_job("daily_job", ENVIRONMENT, "Daily", project.spec(SQL, mode="append"), {})
        first = either.run_job("daily_job", ENVIRONMENT, idempotency_key="dag-run-1", user="alice")
        again = either.run_job("daily_job", ENVIRONMENT, idempotency_key="dag-run-1", user="alice")
        done = either.wait(first.execution_id, 60)
        assert again.execution_id == first.execution_id
        assert (done.status, done.rows_written, done.error) == (ExecutionStatus.SUCCEEDED, 3, None)
        # In process the caller is trusted; a service knows who called, whatever the request says.
        assert done.user == ("alice" if isinstance(either, Driver) else "airflow")
        assert done.started_at is not None
        assert done.finished_at is not None
        assert done.started_at <= done.finished_at
        assert len(project.rows()) == 3
        assert "writing to pedregal-playground-alice.dd.daily" in either.get_logs(done.execution_id)
        assert [execution.execution_id for execution in either.list_executions("daily_job")] == [done.execution_id]
        with pytest.raises(NotFoundError):
            either.get_execution("nope")
        with pytest.raises(NotFoundError):
            either.get_logs("../../coreetl.db")

    def test_a_stopped_run_is_cancelled_and_leaves_the_table_as_it_was(
        self, either: CoreETLDriver, project: Project
    ) -> None:
        either.create_job("daily_job", ENVIRONMENT, "Daily", project.spec(ENDLESS), {})
        running = either.run_job("daily_job", ENVIRONMENT)
        _until_writing(either, running.execution_id)
        with pytest.raises(ConflictError, match="is running"):
            either.delete_job("daily_job", ENVIRONMENT)
        assert either.stop_job("daily_job", ENVIRONMENT, execution_id="another") == ()
        assert either.get_execution(running.execution_id).status is ExecutionStatus.RUNNING
        (stopped,) = either.stop_job("daily_job", ENVIRONMENT, execution_id=running.execution_id)
        assert (stopped.execution_id, stopped.status) == (running.execution_id, ExecutionStatus.CANCELLED)
        assert either.stop_job("daily_job", ENVIRONMENT) == ()
        assert project.playground.load_table("dd.daily").metadata.snapshots == []
        assert "writing" in either.get_logs(running.execution_id)


def _until_writing(driver: CoreETLDriver, execution_id: str) -> None:
    deadline = time.monotonic() + 60
    while "writing to" not in driver.get_logs(execution_id):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_token_opens_its_environments_only(project: Project) -> None:
    server = DriverServer(project.settings)
    inside = connect(_remote(project.settings, server.grpc_url, TOKEN))
    outside = connect(_remote(project.settings, server.grpc_url, OTHER_TOKEN))
    stranger = connect(_remote(project.settings, server.grpc_url, "a-token-nobody-was-given"))
    try:
        inside.create_job("daily_job", ENVIRONMENT, "Daily", project.spec(SQL), {})
        for client in (outside, stranger):
            with pytest.raises(UnauthorizedError):
                client.get_job("daily_job", ENVIRONMENT)
            with pytest.raises(UnauthorizedError):
                client.run_job("daily_job", ENVIRONMENT)
        assert outside.list_jobs() == ()
        assert len(inside.list_jobs()) == 1
        with pytest.raises(UnauthorizedError, match="missing or wrong"):
            stranger.list_jobs()
    finally:
        server.stop()
    with pytest.raises(TransientError, match="does not answer"):
        inside.list_jobs()
