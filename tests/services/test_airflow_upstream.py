"""Datasets that read each other on a real Airflow: its graph, runs that updates start, runs that wait deferred."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import pytest
from attrs import define

from tests.end_to_end.projects import Project
from tests.services import airflow_server, servers
from tests.services.airflow_server import FAR_MONTH, AirflowServer
from tests.services.conftest import require
from tests.services.driven import Driven, driven

CLEAN, STARTED, WAITING = "clean_orders_dag", "started_totals_dag", "waiting_totals_dag"
LONG, LIMITED, FAILING = "long_orders_dag", "limited_orders_dag", "failing_orders_dag"
BOTH, COPY = "both_totals_dag", "playground_alice__waiting_totals_dag"
PRODUCTION, MINE = "pedregal.derived_datasets", "pedregal-playground-alice.derived_datasets"
MANIFEST = """\
metadata:
  technical_owner: logistics-de
  tier: 1
dataset:
  name: {name}
  fields:
    - {{name: order_id, type: string, nullable: {nullable}}}
    - {{name: amount, type: long}}
workflow:
  sql: {name}.sql
"""
SCHEDULED = MANIFEST + f'  schedule: "0 4 1 {FAR_MONTH} *"\n  start_date: "{datetime.now(UTC):%Y-%m-%d}"\n'
ORDERS = "SELECT order_id, amount FROM raw.orders"
TOTALS = "SELECT order_id, amount FROM derived_datasets.clean_orders"
# Some seconds of the engine, and as many rows as there are orders.
SLOW = " WHERE (SELECT sum(a.n * b.n % 7) FROM raw.numbers a, raw.numbers b) >= 0"
NUMBERS = 45_000
# Nobody waits for its end.
ENDLESS = " WHERE (SELECT sum(a.id * b.id % 7) FROM range(4000000) AS a CROSS JOIN range(4000000) AS b) >= 0"
# What a platform team would write into a template of its own. Not quicker still: a worker that a task has given back
# takes up to five seconds to end, and Airflow fails a task that comes back before.
QUICK = {"POLL_S = 10": "POLL_S = 1", "DEFERRED_S = 20": "DEFERRED_S = 10", "UPSTREAM_S = 30": "UPSTREAM_S = 10"}


@define
class Platform:
    """Production, filled through a driver that is a service, and an Airflow that reads its DAGs."""

    driven: Driven
    airflow: AirflowServer

    @property
    def project(self) -> Project:
        return self.driven.project

    def executions(self, job_id: str) -> list[Any]:
        """The oldest first."""
        return self.driven.executions(job_id)[::-1]

    def task(self, dag_id: str, run_id: str, task_id: str = "run_job") -> Any:
        return self.airflow.call("GET", f"{self._task(dag_id, run_id)}/{task_id}")

    def wait_for_state(self, dag_id: str, run_id: str, state: str, task_id: str = "run_job") -> None:
        def has_come() -> bool:
            return bool(self.task(dag_id, run_id, task_id)["state"] == state)

        servers.wait_until(has_come, f"{task_id} of {dag_id} to be {state}", self.airflow.log)

    def mark(self, dag_id: str, run_id: str, state: str) -> None:
        """As a user does in Airflow's pages."""
        self.airflow.call("PATCH", f"{self._task(dag_id, run_id)}/run_job", {"new_state": state})

    def clear(self, dag_id: str, run_id: str) -> None:
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["run_job"], "only_failed": False}
        self.airflow.call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)

    def assets(self) -> dict[str, dict[str, set[str]]]:
        """By name: the DAGs that are started by an asset, that fill it and that read it."""
        found = self.airflow.call("GET", "/api/v2/assets?limit=100")["assets"]
        parts = ("scheduled_dags", "producing_tasks", "consuming_tasks")
        return {one["name"]: {part: {each["dag_id"] for each in one[part]} for part in parts} for one in found}

    def begun(self, dag_id: str) -> list[Any]:
        """Its runs, as soon as there are any."""

        def found() -> list[Any]:
            runs: list[Any] = self.airflow.call("GET", f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
            return runs

        servers.wait_until(lambda: bool(found()), f"a run of {dag_id}", self.airflow.log)
        return found()

    def _task(self, dag_id: str, run_id: str) -> str:
        return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    require("airflow")
    import pyarrow as pa

    root = tmp_path_factory.mktemp("project")
    template = files("dcp_primitives.airflow").joinpath("dag.py.txt").read_text()
    for shipped, quick in QUICK.items():
        assert template.count(f"\n{shipped} ") == 1
        template = template.replace(shipped, quick)
    with driven(root) as made:
        project = made.project
        project.write("dag_template.py", template)
        numbers = pa.table({"n": pa.array(range(NUMBERS), pa.int64())})
        project.catalog("pedregal").create_table("raw.numbers", schema=numbers.schema).append(numbers)
        project.dataset("clean_orders", with_(SCHEDULED), ORDERS)
        project.dataset("started_totals", with_(MANIFEST + "  upstream: assets\n"), TOTALS)
        project.dataset("both_totals", with_(SCHEDULED + "  upstream: assets\n"), TOTALS)
        project.dataset("waiting_totals", with_(SCHEDULED + "  upstream: sensors\n"), TOTALS)
        project.dataset("long_orders", with_(SCHEDULED + "  retries: 0\n"), ORDERS + SLOW)
        project.dataset("limited_orders", with_(SCHEDULED + "  retries: 0\n  timeout: 4s\n"), ORDERS + ENDLESS)
        nothing = ORDERS.replace("order_id", "nullif(order_id, order_id) AS order_id") + SLOW
        project.dataset("failing_orders", with_(SCHEDULED, nullable=False), nothing)
        copied = ["manifests/derived_dataset/waiting_totals.yaml"]
        for arguments, deferrable in ((["manifests", "-e", "production"], "true"), (copied, "false")):
            airflow_section = f'[airflow]\ntemplate = "dag_template.py"\ndeferrable = {deferrable}\n'
            project.write("dcp.toml", made.config + airflow_section)
            answer = project.pretzel("apply", *arguments, timeout_s=200)
            assert answer.status == 0, answer.out + answer.err
        home = tmp_path_factory.mktemp("airflow")
        with airflow_server.started(home, dags=root / ".dcp" / "dags", environ=made.environ) as airflow:
            airflow.wait_for_dag(CLEAN, STARTED, WAITING, LONG, LIMITED, FAILING, BOTH, COPY)
            yield Platform(made, airflow)


def with_(manifest: str, *, nullable: bool = True) -> str:
    return manifest.replace("{nullable}", str(nullable).lower())


def test_the_files_are_loaded_without_errors_and_warnings(platform: Platform) -> None:
    assert platform.airflow.import_errors() == {}
    assert platform.airflow.call("GET", "/api/v2/dagWarnings")["dag_warnings"] == []
    said = platform.airflow.call("GET", f"/api/v2/dags/{CLEAN}/details")["doc_md"]
    assert "derived_dataset/clean_orders" in said
    assert f"`{PRODUCTION}.clean_orders`" in said


def test_airflows_graph_shows_who_fills_and_who_reads_a_table(platform: Platform) -> None:
    assets = platform.assets()
    orders = assets[f"{PRODUCTION}.clean_orders"]
    assert orders["producing_tasks"] == {CLEAN}
    assert orders["consuming_tasks"] == {STARTED, WAITING, BOTH, COPY}, "a playground reads production's table"
    assert orders["scheduled_dags"] == {STARTED, BOTH}
    assert assets[f"{MINE}.waiting_totals"]["producing_tasks"] == {COPY}
    assert assets["pedregal.raw.orders"]["consuming_tasks"] == {CLEAN, LONG, LIMITED, FAILING}


def test_a_run_waits_without_a_worker_until_what_it_reads_is_complete(platform: Platform) -> None:
    airflow = platform.airflow
    airflow.unpause(COPY)
    for dag_id, state in ((WAITING, "deferred"), (COPY, "up_for_reschedule")):  # with a triggerer, and without
        airflow.trigger(dag_id, "waits")
        platform.wait_for_state(dag_id, "waits", state, "wait_for_upstream")
    assert platform.executions("waiting_totals_job") == []
    airflow.trigger(CLEAN, "by_hand")
    assert airflow.finished(CLEAN, "by_hand") == "success", airflow.task_log(CLEAN, "by_hand")
    for dag_id in (WAITING, COPY):
        assert airflow.finished(dag_id, "waits") == "success", airflow.task_log(dag_id, "waits")
    waited = airflow.task_log(WAITING, "waits", "wait_for_upstream")
    assert f"{PRODUCTION}.clean_orders: not complete up to" in waited
    assert f"{PRODUCTION}.clean_orders: complete up to" in waited
    (filled,), (ran,) = platform.executions("clean_orders_job"), platform.executions("waiting_totals_job")
    assert filled["finished_at"] < ran["created_at"]
    rows = platform.project.rows("derived_datasets.waiting_totals", "pedregal")
    assert {row["order_id"] for row in rows} == {"a", "b"}


def test_the_update_of_a_table_starts_the_run_of_who_reads_it(platform: Platform) -> None:
    for dag_id in (STARTED, BOTH):  # the second one has a schedule too
        (run,) = platform.begun(dag_id)
        assert run["run_type"] == "asset_triggered"
        assert platform.airflow.finished(dag_id, run["dag_run_id"]) == "success"
    rows = platform.project.rows("derived_datasets.started_totals", "pedregal")
    assert sorted((row["order_id"], row["amount"]) for row in rows) == [("a", 1), ("b", 2)]


def test_a_job_that_takes_longer_is_waited_for_without_a_worker(platform: Platform) -> None:
    platform.airflow.trigger(LONG, "long")
    platform.wait_for_state(LONG, "long", "deferred")
    assert platform.airflow.finished(LONG, "long") == "success", platform.airflow.task_log(LONG, "long")
    (ran,) = platform.executions("long_orders_job")
    assert (ran["status"], ran["idempotency_key"]) == ("SUCCEEDED", f"{LONG}/long/0.0")
    assert "rows written: 2" in platform.airflow.task_log(LONG, "long")


def test_a_job_that_takes_longer_than_it_may_is_stopped(platform: Platform) -> None:
    platform.airflow.trigger(LIMITED, "limited")
    assert platform.airflow.finished(LIMITED, "limited") == "failed"
    (ran,) = platform.executions("limited_orders_job")
    assert ran["status"] == "CANCELLED"
    assert "took longer than 4 s" in platform.airflow.task_log(LIMITED, "limited")


def test_a_job_that_fails_while_nobody_watches_is_tried_again(platform: Platform) -> None:
    platform.airflow.trigger(FAILING, "fails")
    platform.wait_for_state(FAILING, "fails", "deferred")
    platform.wait_for_state(FAILING, "fails", "up_for_retry")
    (ran,) = platform.executions("failing_orders_job")
    assert ran["status"] == "FAILED"
    platform.mark(FAILING, "fails", "failed")


def test_a_deferred_task_that_a_user_ends_leaves_its_job_which_clearing_stops(platform: Platform) -> None:
    platform.airflow.trigger(LONG, "ended")
    platform.wait_for_state(LONG, "ended", "deferred")
    platform.mark(LONG, "ended", "failed")
    assert platform.airflow.finished(LONG, "ended") == "failed"
    left = platform.executions("long_orders_job")[-1]
    assert left["status"] == "RUNNING", "Airflow tells nobody"
    platform.clear(LONG, "ended")
    assert platform.airflow.finished(LONG, "ended") == "success"
    *_, left, ran = platform.executions("long_orders_job")
    assert (left["idempotency_key"], left["status"]) == (f"{LONG}/ended/0.0", "CANCELLED")
    assert (ran["idempotency_key"], ran["status"]) == (f"{LONG}/ended/1.1", "SUCCEEDED")


def test_a_triggerer_that_dies_holds_up_nothing_that_has_been_started(platform: Platform) -> None:
    airflow = platform.airflow
    airflow.trigger(LONG, "outlives")
    platform.wait_for_state(LONG, "outlives", "deferred")
    airflow.stop(airflow_server.TRIGGERER)
    time.sleep(2)
    airflow.start(airflow_server.TRIGGERER)
    assert airflow.finished(LONG, "outlives") == "success", airflow.task_log(LONG, "outlives")
    keys = [one["idempotency_key"] for one in platform.executions("long_orders_job")]
    assert keys.count(f"{LONG}/outlives/0.0") == 1
