"""The generated DAG on a real Airflow: parsed, scheduled, and run against a real driver that writes real rows."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from attrs import define

from coreetl_driver.server import DriverServer
from dcp_core.settings import Settings
from tests.end_to_end.projects import Project, order, orders_schema
from tests.services import servers
from tests.services.conftest import require

TOKEN = "a-token-of-the-services"
PASSWORD = "a-password-of-the-services"
RUN_TIMEOUT_S = 90.0
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


@define
class Airflow:
    """REST API v2 of a running Airflow."""

    url: str
    token: str = ""

    def sign_in(self) -> bool:
        answer = self.call("POST", "/auth/token", {"username": "admin", "password": PASSWORD})
        self.token = answer["access_token"]
        return True

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def dags(self) -> dict[str, Any]:
        return {dag["dag_id"]: dag for dag in self.call("GET", "/api/v2/dags")["dags"]}

    def trigger(self, dag_id: str, run_id: str, logical_date: str | None = None) -> Any:
        body = {"dag_run_id": run_id, "logical_date": logical_date}
        return self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)

    def finished(self, dag_id: str, run_id: str) -> str:
        """The state in which the run ends."""
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while True:
            state: str = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}")["state"]
            if state in ("success", "failed") or time.monotonic() > deadline:
                return state
            time.sleep(0.5)

    def log(self, dag_id: str, run_id: str) -> str:
        """What the first try of the one task said."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/run_job/logs/1?full_content=true"
        return json.dumps(self.call("GET", path)["content"])


@define
class Platform:
    """A playground whose job registry a driver service serves."""

    project: Project
    driver: DriverServer

    def executions(self, job_id: str) -> list[Any]:
        request = urllib.request.Request(
            f"{self.driver.http_url}/v1/executions?job_id={job_id}", headers={"authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: list[Any] = json.load(answer)["executions"]
        return found


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One dataset that works and one whose job fails, applied through the driver service."""
    require("airflow")
    root = tmp_path_factory.mktemp("project")
    project = Project(root, {"COREETL_TOKEN": TOKEN})
    project.write("dcp.toml", "")
    project.source("raw.orders", [order("a", 1), order("b", 2)], orders_schema())
    project.dataset("daily_orders", DATED.replace("{retries}", "2"), DATED_SQL)
    project.dataset(
        "broken_orders", MANIFEST.replace("{retries}", "0"), "SELECT order_id, amount FROM raw.not_there_yet"
    )
    callers = {"airflow": {"token": TOKEN, "environments": ["playground_*"]}}
    driver = DriverServer(Settings(root, {"coreetl_tokens": callers}, {}))
    try:
        project.write("dcp.toml", f'[coreetl]\nurl = "{driver.grpc_url}"\ntoken = "${{COREETL_TOKEN}}"\n')
        answer = project.pretzel("apply", "manifests", timeout_s=200)
        assert answer.status == 0, answer.out + answer.err
        yield Platform(project, driver)
    finally:
        driver.stop()


@pytest.fixture(scope="module")
def airflow(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """API server, scheduler and DAG processor, reading the folder that DCP deploys to."""
    program = str(require("airflow") / "airflow")
    home = tmp_path_factory.mktemp("airflow")
    (port,) = servers.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    (home / "passwords.json").write_text(json.dumps({"admin": PASSWORD}))
    settings = {
        "CORE__DAGS_FOLDER": str(platform.project.root / ".dcp" / "dags"),
        "CORE__LOAD_EXAMPLES": "false",
        "CORE__PARALLELISM": "2",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "API__BASE_URL": url,
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": "a-key-of-the-services-that-is-long-enough-for-a-signature",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "1",
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "1",
    }
    environ = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    environ |= {"AIRFLOW_HOME": str(home), "COREETL_URL": platform.driver.http_url, "COREETL_TOKEN": TOKEN}
    # Its workers find `airflow` there; and the packages of the project are not theirs.
    environ |= {"PATH": f"{Path(program).parent}:{os.environ['PATH']}", "PYTHONPATH": ""}
    log = home / "airflow.log"
    with servers.running([program, "db", "migrate"], log, environ) as migration:
        servers.wait_until(lambda: migration.poll() is not None, "Airflow's database", log)
    assert migration.returncode == 0, log.read_text()
    with ExitStack() as stack:
        parts = [["api-server"], ["scheduler", "--skip-serve-logs"], ["dag-processor"]]
        running = [stack.enter_context(servers.running([program, *part], log, environ)) for part in parts]
        opened = Airflow(url)
        servers.wait_until(opened.sign_in, "Airflow's start", log, running)
        servers.wait_until(lambda: len(opened.dags()) == 2, "the DAGs' appearance", log, running)
        yield opened


def test_the_dag_files_are_loaded_without_an_error(airflow: Airflow) -> None:
    assert airflow.call("GET", "/api/v2/importErrors")["import_errors"] == []
    assert set(airflow.dags()) == {GOOD, BAD}


def test_a_dag_is_what_the_manifest_says(airflow: Airflow) -> None:
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


def test_a_run_fills_the_table_and_its_id_is_taken_once(airflow: Airflow, platform: Platform) -> None:
    airflow.call("PATCH", f"/api/v2/dags/{GOOD}", {"is_paused": False})
    airflow.trigger(GOOD, "by_hand")
    with pytest.raises(urllib.error.HTTPError) as taken:
        airflow.trigger(GOOD, "by_hand")
    assert taken.value.code == 409
    assert airflow.finished(GOOD, "by_hand") == "success", airflow.log(GOOD, "by_hand")
    rows = platform.project.rows("derived_datasets.daily_orders")
    assert sorted((row["order_id"], row["amount"]) for row in rows) == [("a", 1), ("b", 2)]
    executions = platform.executions("playground_alice__daily_orders_job")
    ours = [one for one in executions if one["idempotency_key"] == f"{GOOD}/by_hand"]
    assert [one["status"] for one in ours] == ["SUCCEEDED"]
    assert ours[0]["user"] == "airflow"
    assert "rows written: 2" in airflow.log(GOOD, "by_hand")


def test_a_run_is_for_the_interval_of_its_date_or_the_last_one_before_it_was_due(
    airflow: Airflow, platform: Platform
) -> None:
    airflow.call("PATCH", f"/api/v2/dags/{GOOD}", {"is_paused": False})
    airflow.trigger(GOOD, "dated", "2026-01-31T04:30:00Z")
    airflow.trigger(GOOD, "undated")
    for run_id in ("dated", "undated"):
        assert airflow.finished(GOOD, run_id) == "success", airflow.log(GOOD, run_id)
    executions = platform.executions("playground_alice__daily_orders_job")
    params = {one["idempotency_key"]: one["params"] for one in executions}
    assert params[f"{GOOD}/dated"] == {
        "day": "2026-01-30",
        "until": "2026-01-31T04:30:00+00:00",
        "data_interval_start": "2026-01-30T04:30:00+00:00",
        "data_interval_end": "2026-01-31T04:30:00+00:00",
    }
    last = params[f"{GOOD}/undated"]
    due = datetime.fromisoformat(airflow.call("GET", f"/api/v2/dags/{GOOD}/dagRuns/undated")["run_after"])
    end = datetime.fromisoformat(last["data_interval_end"])
    assert (end.hour, end.minute) == (4, 30)
    assert timedelta(0) <= due - end < timedelta(days=1)
    assert last["until"] == last["data_interval_end"]


def test_a_failed_job_fails_the_task_with_the_jobs_error(airflow: Airflow, platform: Platform) -> None:
    airflow.call("PATCH", f"/api/v2/dags/{BAD}", {"is_paused": False})
    airflow.trigger(BAD, "by_hand")
    assert airflow.finished(BAD, "by_hand") == "failed"
    executions = platform.executions("playground_alice__broken_orders_job")
    (ours,) = [one for one in executions if one["idempotency_key"] == f"{BAD}/by_hand"]
    assert (ours["status"], "not_there_yet" in ours["error"]) == ("FAILED", True)
    said = airflow.log(BAD, "by_hand")
    assert ours["execution_id"] in said
    assert "not_there_yet" in said
    assert TOKEN not in said


def test_a_changed_manifest_reaches_airflow_and_a_destroyed_one_goes(airflow: Airflow, platform: Platform) -> None:
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
