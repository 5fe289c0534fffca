"""Up to when the tables that a job reads are complete, by who fills them and what has succeeded."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest
import sqlalchemy as sa
from attrs import define, evolve
from google.protobuf.timestamp_pb2 import Timestamp

from coreetl_driver import Sink, SinkMode, job_registry
from coreetl_driver.api import Execution, ExecutionStatus
from coreetl_driver.client import DriverClient
from coreetl_driver.driver import Driver
from coreetl_driver.job_registry import JobRegistry
from coreetl_driver.job_tables import EXECUTIONS
from coreetl_driver.owners import Owner
from coreetl_driver.proto import coreetl_pb2 as pb
from coreetl_driver.proto import coreetl_pb2_grpc
from coreetl_driver.server import DriverServer
from coreetl_driver.upstream import UpstreamTable
from dcp_core.errors import NotFoundError
from dcp_core.settings import Secret
from tests.coreetl_driver.conftest import ENVIRONMENT, PLAYGROUND, PRODUCTION, TOKEN, Project, make_table

AT = datetime(2026, 1, 31, 6, 0, tzinfo=UTC)
DUE = datetime(2026, 1, 31, 5, 0, tzinfo=UTC)
SCHEDULE = "0 5 * * *"
READER = "daily_job"
PRODUCTIONS_TOKEN = "reads-both-0123456789"


@define
class Jobs:
    """Jobs and executions as they might be in a registry, whoever ran them."""

    project: Project
    registry: JobRegistry
    driver: Driver

    def add(self, job_id: str, table: str, catalog: str = PRODUCTION, sql: str = "SELECT 1", **changes: Any) -> str:
        own, mode = self.project.spec(sql), SinkMode(changes.pop("mode", "overwrite"))
        keys = ("order_id",) if mode is SinkMode.MERGE else ()
        spec = evolve(own, sink=Sink(catalog, table, mode, keys), **changes)
        self.registry.create_job(job_id, environment_of(catalog), job_id, spec, {})
        return job_id

    def reader(self, sql: str, **changes: Any) -> None:
        self.add(READER, "dd.daily", PLAYGROUND, sql, **changes)

    def ran(
        self, job_id: str, status: str, end: datetime | None = None, began_at: datetime | None = None, **place: Any
    ) -> None:
        environment = environment_of(place.get("catalog", PRODUCTION))
        me = Owner.current()
        params = {name: value for name, value in place.items() if name == "continuous"}
        if end is not None:
            start = place.get("start", end - timedelta(days=1))
            params |= {"data_interval_start": start.isoformat(), "data_interval_end": end.isoformat()}
        name = f"{job_id}-{len(self.registry.list_executions(job_id, environment, 1000))}"
        added = Execution(name, job_id, 1, environment, "local", ExecutionStatus.PENDING)
        self.registry.add_execution(added, params, me)
        values: dict[str, Any] = {"status": status}
        if began_at is not None:
            values |= {"created_at": began_at.replace(tzinfo=None), "started_at": began_at.replace(tzinfo=None)}
        assert self.registry.change(name, None, **values)

    def ran_daily(self, job_id: str, days: Iterable[int]) -> None:
        """One success for each interval that ends so many days after it was due, right then."""
        first, copies = f"{job_id}-first", []
        self.registry.add_execution(
            Execution(first, job_id, 1, "production", "local", ExecutionStatus.PENDING), {}, Owner.current()
        )
        database = sa.create_engine(f"sqlite:///{self.project.settings.state}/coreetl.db")
        with database.begin() as connection:
            row = connection.execute(sa.select(EXECUTIONS).where(EXECUTIONS.c.execution_id == first)).one()
            for day in days:
                end = DUE + timedelta(days=day)
                start, at = end - timedelta(days=1), end.replace(tzinfo=None)
                params = {"data_interval_start": start.isoformat(), "data_interval_end": end.isoformat()}
                own = {"execution_id": f"{job_id}-of-day-{day}", "status": "SUCCEEDED", "params": json.dumps(params)}
                copies.append({**row._mapping, **own, "created_at": at, "started_at": at})
            connection.execute(EXECUTIONS.delete().where(EXECUTIONS.c.execution_id == first))
            connection.execute(EXECUTIONS.insert(), copies)
        database.dispose()

    def upstream(self, at: datetime | None = AT) -> tuple[UpstreamTable, ...]:
        return self.driver.get_upstream(READER, ENVIRONMENT, at)

    def is_complete(self, at: datetime = AT) -> bool:
        (table,) = self.upstream(at)
        assert table.is_filled
        return table.is_complete


def environment_of(catalog: str) -> str:
    return "production" if catalog == PRODUCTION else ENVIRONMENT


@pytest.fixture
def jobs(project: Project, driver: Driver) -> Iterator[Jobs]:
    registry = JobRegistry(f"sqlite:///{project.settings.state}/coreetl.db")
    yield Jobs(project, registry, driver)
    registry.close()


def test_a_table_is_complete_when_its_job_has_succeeded_for_the_last_interval_before_the_moment(jobs: Jobs) -> None:
    jobs.reader("SELECT * FROM dd.orders")
    job = jobs.add("orders_job", "dd.orders", schedule=SCHEDULE)
    (table,) = jobs.upstream()
    assert (table.catalog, table.table, table.job_id, table.environment) == (PRODUCTION, "dd.orders", job, "production")
    assert (table.due, table.is_complete) == (DUE, False)
    jobs.ran(job, "SUCCEEDED", DUE - timedelta(days=1))
    jobs.ran(job, "FAILED", DUE)
    assert not jobs.is_complete()
    jobs.ran(job, "SUCCEEDED", DUE)
    assert jobs.is_complete()
    assert jobs.is_complete(DUE), "the moment itself counts: what ends then is complete"
    assert not jobs.is_complete(AT + timedelta(days=1))
    assert jobs.is_complete(AT - timedelta(days=1)), "each run replaces the whole table"


@pytest.mark.parametrize("mode", ["append", "merge", "overwrite_partitions"])
def test_where_runs_add_to_a_table_a_later_success_does_not_fill_the_hole_before_it(jobs: Jobs, mode: str) -> None:
    jobs.reader("SELECT * FROM dd.orders")
    job = jobs.add("orders_job", "dd.orders", schedule=SCHEDULE, mode=mode)
    jobs.ran(job, "FAILED", DUE)
    jobs.ran(job, "SUCCEEDED", DUE + timedelta(days=1))
    assert not jobs.is_complete()
    assert jobs.is_complete(AT + timedelta(days=1))
    jobs.ran(job, "SUCCEEDED", DUE + timedelta(days=1), start=DUE - timedelta(hours=1))
    assert not jobs.is_complete(), "it has a part of that interval only"
    jobs.ran(job, "SUCCEEDED", DUE + timedelta(days=1), start=DUE - timedelta(days=9))
    assert jobs.is_complete(), "a longer interval has it in it"


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_run_for_days_to_come_does_not_complete_them(jobs: Jobs, mode: str) -> None:
    jobs.reader("SELECT * FROM dd.orders")
    job = jobs.add("orders_job", "dd.orders", schedule=SCHEDULE, mode=mode)
    jobs.ran(job, "SUCCEEDED", DUE + timedelta(days=365), DUE + timedelta(seconds=1), start=DUE - timedelta(days=1))
    assert jobs.is_complete()
    assert not jobs.is_complete(AT + timedelta(days=1))


def test_of_executions_those_are_read_that_can_tell(jobs: Jobs) -> None:
    jobs.reader("SELECT * FROM dd.orders")
    job = jobs.add("orders_job", "dd.orders", schedule=SCHEDULE)
    for days in range(9):
        jobs.ran(job, "SUCCEEDED", DUE - timedelta(days=days), DUE - timedelta(days=days, minutes=-1))
        jobs.ran(job, "FAILED", DUE - timedelta(days=days))
    (found,) = jobs.registry.succeeded(job, "production", DUE)
    assert found.params["data_interval_end"] == DUE.isoformat()
    assert jobs.is_complete()


def test_a_run_without_dates_counts_by_when_it_began(jobs: Jobs) -> None:
    jobs.reader("SELECT * FROM dd.orders")
    job = jobs.add("orders_job", "dd.orders", schedule=SCHEDULE)
    jobs.ran(job, "SUCCEEDED", began_at=DUE - timedelta(minutes=1))
    assert not jobs.is_complete()
    jobs.ran(job, "RUNNING", began_at=DUE + timedelta(minutes=1))
    assert not jobs.is_complete()
    jobs.ran(job, "SUCCEEDED", began_at=DUE + timedelta(seconds=1))
    assert jobs.is_complete()


def test_a_success_is_found_behind_any_number_of_later_failures(jobs: Jobs) -> None:
    jobs.reader("SELECT * FROM dd.orders")
    job = jobs.add("orders_job", "dd.orders", schedule=SCHEDULE)
    jobs.ran(job, "SUCCEEDED", DUE, began_at=DUE)
    for _ in range(30):
        jobs.ran(job, "FAILED", DUE)
    assert jobs.is_complete()


@pytest.mark.parametrize("mode", ["append", "merge", "overwrite_partitions", "overwrite"])
@pytest.mark.parametrize("days", [0, 1050, 3000], ids=["in time", "late", "last of all"])
def test_a_success_is_found_among_any_number_of_later_ones(jobs: Jobs, mode: str, days: int) -> None:
    """The sensor of a DAG that catches up asks for moments long past."""
    jobs.reader("SELECT * FROM dd.orders")
    job = jobs.add("orders_job", "dd.orders", schedule=SCHEDULE, mode=mode)
    jobs.ran_daily(job, range(2, 2102))
    assert jobs.is_complete() is (mode == "overwrite"), "none of these has the interval in it"
    jobs.ran(job, "SUCCEEDED", DUE, DUE + timedelta(days=days, minutes=1))
    assert jobs.is_complete()


def test_of_many_successes_that_began_at_once_none_is_passed_over(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_registry, "_PAGE", 3)
    jobs.reader("SELECT * FROM dd.orders")
    job = jobs.add("orders_job", "dd.orders", schedule=SCHEDULE, mode="append")
    for day in (*range(2, 9), 0):  # by their ids the one that is looked for is the last
        jobs.ran(job, "SUCCEEDED", DUE + timedelta(days=day), DUE + timedelta(days=9))
    assert jobs.is_complete()


def test_without_a_schedule_the_newest_run_says_it(jobs: Jobs) -> None:
    jobs.reader("SELECT * FROM dd.orders")
    job = jobs.add("orders_job", "dd.orders")
    assert not jobs.is_complete()
    jobs.ran(job, "SUCCEEDED", began_at=AT)
    assert jobs.is_complete()
    jobs.ran(job, "FAILED")
    assert not jobs.is_complete()


def test_what_nobody_fills_and_what_is_filled_all_the_time_hold_nothing_up(jobs: Jobs) -> None:
    jobs.reader("SELECT * FROM raw.orders JOIN dd.events USING (order_id)")
    job = jobs.add("events_job", "dd.events", sql="", kind="stream", schedule=SCHEDULE)
    jobs.ran(job, "SUCCEEDED", began_at=DUE - timedelta(days=9))
    assert [table.is_complete for table in jobs.upstream()] == [True, False], "a stream that ends is as any other"
    jobs.ran(job, "RUNNING", continuous="true")
    orders, events = jobs.upstream()
    assert (orders.table, orders.is_filled, orders.is_complete, orders.job_id) == ("raw.orders", False, True, None)
    assert (events.table, events.is_filled, events.is_complete) == ("dd.events", True, True)
    assert "no job fills it" in orders.reason


def test_each_job_that_fills_a_table_counts(jobs: Jobs) -> None:
    jobs.reader("SELECT * FROM dd.orders")
    jobs.add("orders_job", "dd.orders")
    jobs.add("more_orders_job", "dd.orders")
    jobs.ran("orders_job", "SUCCEEDED")
    assert {table.job_id: table.is_complete for table in jobs.upstream()} == {
        "orders_job": True,
        "more_orders_job": False,
    }


def test_names_are_read_as_spark_reads_them_and_the_own_table_is_not_upstream(jobs: Jobs) -> None:
    jobs.reader(f"SELECT * FROM DD.Orders, {PRODUCTION}.dd.items, `{PLAYGROUND}`.dd.daily")
    jobs.add("orders_job", "dd.orders")
    jobs.add("items_job", "dd.items")
    jobs.add("orders_of_alice_job", "dd.orders", PLAYGROUND)
    assert [(table.table, table.job_id) for table in jobs.upstream()] == [
        ("DD.Orders", "orders_job"),
        ("dd.items", "items_job"),
    ]


def test_a_playground_waits_for_production_but_for_copies_of_its_own(jobs: Jobs) -> None:
    jobs.reader("SELECT * FROM dd.orders", read_overlay=(PLAYGROUND,))
    jobs.add("orders_job", "dd.orders")
    jobs.add("orders_of_alice_job", "dd.orders", PLAYGROUND)
    assert [table.job_id for table in jobs.upstream()] == ["orders_job"], "there is no copy yet"
    make_table(jobs.project, "dd.orders")
    assert [(table.job_id, table.catalog) for table in jobs.upstream()] == [("orders_of_alice_job", PLAYGROUND)]


def test_a_job_that_is_no_query_reads_no_table(jobs: Jobs) -> None:
    jobs.reader("", kind="extract")
    assert jobs.upstream() == ()


def test_a_job_that_is_not_there_is_said_so(jobs: Jobs) -> None:
    with pytest.raises(NotFoundError):
        jobs.upstream()


@pytest.fixture
def served(jobs: Jobs) -> Iterator[tuple[Jobs, DriverServer]]:
    """Read by a caller of the playground, and by one of both environments."""
    both = {"token": PRODUCTIONS_TOKEN, "environments": ["playground_alice", "production"], "allows": ["read"]}
    values = jobs.project.settings.values
    tokens = {**values["coreetl_tokens"], "both": both}
    server = DriverServer(evolve(jobs.project.settings, values={**values, "coreetl_tokens": tokens}))
    yield jobs, server
    server.stop()


def asked(server: DriverServer, token: str, **query: str) -> Mapping[str, Any]:
    url = f"{server.http_url}/v1/jobs/{READER}/upstream?{urlencode({'environment': ENVIRONMENT, **query})}"
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: Mapping[str, Any] = json.load(answer)
    return found


def test_a_playgrounds_token_learns_whether_productions_table_is_complete_and_not_who_fills_it(
    served: tuple[Jobs, DriverServer],
) -> None:
    jobs, server = served
    jobs.reader("SELECT * FROM dd.orders, raw.orders")
    jobs.add("orders_job", "dd.orders", schedule=SCHEDULE)
    known = {"catalog": PRODUCTION, "table": "dd.orders", "is_filled": True, "is_complete": False}
    for token, job_id in ((TOKEN, None), (PRODUCTIONS_TOKEN, "orders_job")):
        orders, raw = asked(server, token, at=AT.isoformat())["tables"]
        reason = orders.pop("reason")
        assert orders == {**known, "job_id": job_id, "environment": "production", "due": DUE.isoformat()}
        assert "orders_job" not in reason
        assert (raw["is_filled"], raw["is_complete"], raw["due"]) == (False, True, None)


def test_grpc_tells_the_same_as_the_driver_in_process(served: tuple[Jobs, DriverServer]) -> None:
    jobs, server = served
    jobs.reader("SELECT * FROM dd.orders, raw.orders")
    jobs.add("orders_job", "dd.orders", schedule=SCHEDULE)
    client = DriverClient(server.grpc_url, Secret(PRODUCTIONS_TOKEN))
    assert client.get_upstream(READER, ENVIRONMENT, AT) == jobs.upstream()
    asked_at = datetime.now(UTC)
    (orders, _) = client.get_upstream(READER, ENVIRONMENT)
    assert orders.due is not None
    assert asked_at - orders.due < timedelta(days=1), "now, when nobody says when"
    client.close()


def test_a_moment_that_is_none_is_refused(served: tuple[Jobs, DriverServer]) -> None:
    jobs, server = served
    jobs.reader("SELECT * FROM raw.orders")
    jobs.add("raw_job", "raw.orders", schedule=SCHEDULE)
    for at in ("yesterday", "0001-01-01"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(server, TOKEN, at=at)
        assert refused.value.code == 400
    channel = grpc.insecure_channel(server.grpc_url.removeprefix("grpc://"))
    stub = coreetl_pb2_grpc.CoreETLDriverStub(channel)  # type: ignore[no-untyped-call]
    for seconds in (10**15, -(10**15)):
        request = pb.UpstreamRequest(job_id=READER, environment=ENVIRONMENT, at=Timestamp(seconds=seconds))
        with pytest.raises(grpc.RpcError) as refusal:
            stub.GetUpstream(request, metadata=(("authorization", f"Bearer {TOKEN}"),))
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    channel.close()


def test_of_a_thousand_jobs_only_those_that_may_fill_the_table_are_read(jobs: Jobs) -> None:
    for number in range(30):
        jobs.add(f"job_{number}", f"dd.table_{number}")
    named = {job.job_id for job in jobs.registry.list_jobs("production", None, "DD.Table_7")}
    assert named == {"job_7"}
