"""The generated DAG on a real Airflow: parsed, scheduled, and run against a real driver that writes real rows."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tests.services import airflow_server, servers
from tests.services.airflow_server import AirflowServer
from tests.services.conftest import require
from tests.services.driven import TOKEN, Driven, driven

GOOD = "playground_alice__daily_orders_dag"
BAD = "playground_alice__broken_orders_dag"
MANIFEST = """\
metadata:
  technical_owner: logistics-de
  tier: 1
dataset:
  name: {name}
  description: Says "hello" \\ and é
  fields:
    - {{name: order_id, type: string}}
    - {{name: amount, type: long}}
workflow:
  schedule: "30 4 * * *"
  start_date: "2026-01-01"
  retries: {retries}
  sql: {name}.sql
"""
DATED = MANIFEST + """  params: {{day: "{{{{ ds }}}}", until: "{{{{ data_interval_end }}}}"}}\n"""
DATED_SQL = "SELECT order_id, amount FROM raw.orders WHERE CAST(:day AS DATE) < CAST(:until AS TIMESTAMP)"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """One dataset that works and one whose job fails, applied through the driver service."""
    require("airflow")
    with driven(tmp_path_factory.mktemp("project")) as made:
        project = made.project
        project.dataset("daily_orders", DATED.replace("{retries}", "2"), DATED_SQL)
        project.dataset(
            "broken_orders", MANIFEST.replace("{retries}", "0"), "SELECT order_id, amount FROM raw.not_there_yet"
        )
        project.write("dcp.toml", made.config)
        answer = project.pretzel("apply", "manifests", timeout_s=200)
        assert answer.status == 0, answer.out + answer.err
        yield made


@pytest.fixture(scope="module")
def airflow(platform: Driven, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowServer]:
    """It reads the folder that DCP deploys to."""
    folder = platform.project.root / ".dcp" / "dags"
    home = tmp_path_factory.mktemp("airflow")
    with airflow_server.started(home, dags=folder, environ=platform.environ) as running:
        running.wait_for_dag(GOOD, BAD)
        yield running


def test_the_dag_files_are_loaded_without_an_error(airflow: AirflowServer) -> None:
    assert airflow.import_errors() == {}
    assert set(airflow.dags()) == {GOOD, BAD}


def test_a_dag_is_what_the_manifest_says(airflow: AirflowServer) -> None:
    dag = airflow.call("GET", f"/api/v2/dags/{GOOD}/details")
    assert dag["timetable_summary"] == "30 4 * * *"
    assert {tag["name"] for tag in dag["tags"]} >= {
        "dcp", "derived_dataset", "environment:playground_alice", "owner:logistics-de", "tier:1",
    }  # fmt: skip
    assert dag["owners"] == ["logistics-de"]
    assert dag["description"] == 'Says "hello" \\ and é'
    assert dag["start_date"].startswith("2026-01-01T00:00:00")
    assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
    assert dag["is_paused"] is True, "in a playground nothing runs before somebody wants it"
    (task,) = airflow.call("GET", f"/api/v2/dags/{GOOD}/tasks")["tasks"]
    assert (task["task_id"], task["owner"], task["retries"]) == ("run_job", "logistics-de", 2)


def test_a_run_fills_the_table_and_its_id_is_taken_once(airflow: AirflowServer, platform: Driven) -> None:
    airflow.unpause(GOOD)
    airflow.trigger(GOOD, "by_hand")
    with pytest.raises(urllib.error.HTTPError) as taken:
        airflow.trigger(GOOD, "by_hand")
    assert taken.value.code == 409
    assert airflow.finished(GOOD, "by_hand") == "success", airflow.task_log(GOOD, "by_hand")
    rows = platform.project.rows("derived_datasets.daily_orders")
    assert sorted((row["order_id"], row["amount"]) for row in rows) == [("a", 1), ("b", 2)]
    executions = platform.executions("playground_alice__daily_orders_job")
    ours = [one for one in executions if one["idempotency_key"] == f"{GOOD}/by_hand/0.2"]
    assert [one["status"] for one in ours] == ["SUCCEEDED"]
    assert ours[0]["user"] == "airflow"
    assert "rows written: 2" in airflow.task_log(GOOD, "by_hand")


def test_a_run_is_for_the_interval_of_its_date_or_the_last_one_before_it_was_due(
    airflow: AirflowServer, platform: Driven
) -> None:
    airflow.unpause(GOOD)
    airflow.trigger(GOOD, "dated", "2026-01-31T04:30:00Z")
    airflow.trigger(GOOD, "undated")
    for run_id in ("dated", "undated"):
        assert airflow.finished(GOOD, run_id) == "success", airflow.task_log(GOOD, run_id)
    executions = platform.executions("playground_alice__daily_orders_job")
    params = {one["idempotency_key"]: one["params"] for one in executions}
    assert params[f"{GOOD}/dated/0.2"] == {
        "day": "2026-01-30",
        "until": "2026-01-31T04:30:00+00:00",
        "data_interval_start": "2026-01-30T04:30:00+00:00",
        "data_interval_end": "2026-01-31T04:30:00+00:00",
    }
    last = params[f"{GOOD}/undated/0.2"]
    due = datetime.fromisoformat(airflow.call("GET", f"/api/v2/dags/{GOOD}/dagRuns/undated")["run_after"])
    end = datetime.fromisoformat(last["data_interval_end"])
    assert (end.hour, end.minute) == (4, 30)
    assert timedelta(0) <= due - end < timedelta(days=1)
    assert last["until"] == last["data_interval_end"]


def test_a_failed_job_fails_the_task_with_the_jobs_error(airflow: AirflowServer, platform: Driven) -> None:
    airflow.unpause(BAD)
    airflow.trigger(BAD, "by_hand")
    assert airflow.finished(BAD, "by_hand") == "failed"
    executions = platform.executions("playground_alice__broken_orders_job")
    (ours,) = [one for one in executions if one["idempotency_key"] == f"{BAD}/by_hand/0.0"]
    assert (ours["status"], "not_there_yet" in ours["error"]) == ("FAILED", True)
    said = airflow.task_log(BAD, "by_hand")
    assert ours["execution_id"] in said
    assert "not_there_yet" in said
    assert TOKEN not in said


def test_a_changed_manifest_reaches_airflow_and_a_destroyed_one_goes(airflow: AirflowServer, platform: Driven) -> None:
    manifest = platform.project.dataset(
        "daily_orders", DATED.replace("{retries}", "2").replace("30 4 * * *", "15 6 * * *"), DATED_SQL
    )
    assert platform.project.pretzel("apply", str(manifest)).status == 0
    log = platform.project.root / "no.log"
    servers.wait_until(
        lambda: airflow.call("GET", f"/api/v2/dags/{GOOD}")["timetable_summary"] == "15 6 * * *",
        "the new schedule",
        log,
    )
    assert platform.project.pretzel("destroy", str(manifest), "--yes").status == 0
    servers.wait_until(lambda: GOOD not in airflow.dags(), "the DAG's end", log)
