"""Runs of a DAG by ``pretzel``: begun, looked at, stopped, read; by a real Airflow, on a real driver."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from tests.end_to_end.projects import MANIFEST, PLAYGROUND, Answer, Project
from tests.services import airflow_server, servers
from tests.services.airflow_server import FAR_MONTH, USER, AirflowServer
from tests.services.conftest import require
from tests.services.driven import TOKEN, Driven, driven

NAME, SLOW = "derived_dataset/daily_orders", "derived_dataset/slow_orders"
DAG, SLOW_DAG = f"{PLAYGROUND}__daily_orders_dag", f"{PLAYGROUND}__slow_orders_dag"
OF_DAG = ("--primitive", "airflow_dag")
SQL = "SELECT order_id, amount FROM raw.orders WHERE CAST(:day AS DATE) = DATE '2026-01-31'"
DATED = "derived_dataset/dated_orders"
DATED_SQL = "SELECT CONCAT(:since, '/', :upto) AS order_id, amount FROM raw.orders WHERE order_id = 'a'"
DATED_MANIFEST = (
    MANIFEST.replace("0 * * * *", "0 0 * * *")
    + """\
  mode: append
  params:
    since: "{{{{ data_interval_start | ds }}}}"
    upto: "{{{{ data_interval_end | ds }}}}"
"""
)
# Nobody waits for its end.
SLOW_SQL = """\
SELECT CAST(SUM(a.id * b.id) AS STRING) AS order_id, COUNT(*) AS amount
FROM range(4000000) AS a CROSS JOIN range(4000000) AS b"""
CONFIG = """\
[airflow]
url = "{url}"
username = "{user}"
password = "${{AIRFLOW_PASSWORD}}"
template = "{template}"
"""


@define
class Platform:
    """A playground whose jobs a driver service runs, when Airflow tells it to."""

    driven: Driven
    airflow: AirflowServer

    @property
    def project(self) -> Project:
        return self.driven.project

    def configure(self, template: str = "") -> None:
        text = CONFIG.format(url=self.airflow.url, user=USER, template=template)
        self.project.write("dcp.toml", self.driven.config + text)

    def pretzel(self, *arguments: str) -> Answer:
        return self.project.pretzel(*arguments, timeout_s=600)

    def document(self, *arguments: str) -> Any:
        answer = self.pretzel(*arguments, "-o", "json")
        assert answer.status == 0, answer.out + answer.err
        return answer.document


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    require("airflow")
    root = tmp_path_factory.mktemp("project")
    with driven(root, {"AIRFLOW_PASSWORD": airflow_server.PASSWORD}) as made:
        home, dags = tmp_path_factory.mktemp("airflow"), root / ".dcp" / "dags"
        with airflow_server.started(home, dags=dags, environ=made.environ) as airflow:
            it = Platform(made, airflow)
            it.configure()
            it.project.dataset("daily_orders", f"{MANIFEST}  params: {{{{day: '2026-01-01'}}}}\n", SQL)
            it.project.dataset("slow_orders", MANIFEST.replace("0 * * * *", f"0 4 1 {FAR_MONTH} *"), SLOW_SQL)
            it.project.dataset("dated_orders", DATED_MANIFEST, DATED_SQL)
            answer = it.pretzel("apply", "manifests")
            assert answer.status == 0, answer.out + answer.err
            yield it


def test_a_paused_dag_is_not_started_and_what_to_do_is_said(platform: Platform) -> None:
    answer = platform.pretzel("ops", "start", NAME, *OF_DAG)
    assert answer.status == 1
    assert "is paused in Airflow" in answer.err
    assert f"`pretzel ops resume {NAME}`" in " ".join(answer.err.split())


def test_a_start_through_the_dag_fills_the_table_once_for_its_key(platform: Platform) -> None:
    assert platform.pretzel("ops", "resume", NAME).status == 0
    wanted = ("ops", "start", NAME, *OF_DAG, "--wait", "--key", "monday", "--param", "day=2026-01-31")
    (execution,) = platform.document(*wanted)["executions"]
    assert (execution["status"], execution["backend"]) == ("SUCCEEDED", "airflow")
    assert execution["resource"] == {"kind": "airflow_dag", "name": DAG}
    assert execution["params"] == {"day": "2026-01-31"}
    rows = platform.project.rows("derived_datasets.daily_orders")
    assert sorted((row["order_id"], row["amount"]) for row in rows) == [("a", 1), ("b", 2)]
    (again,) = platform.document(*wanted)["executions"]
    assert again["id"] == execution["id"]
    started = [
        one
        for one in platform.driven.executions(f"{PLAYGROUND}__daily_orders_job")
        if execution["id"] in one["idempotency_key"]
    ]
    assert [one["status"] for one in started] == ["SUCCEEDED"]


def test_runs_and_what_they_said_are_shown(platform: Platform) -> None:
    runs = platform.document("metadata", "executions", NAME, *OF_DAG)["executions"]
    (ours,) = [run for run in runs if "monday" in run["id"]]
    assert (ours["status"], ours["resource"]) == ("SUCCEEDED", DAG)
    said = platform.document("metadata", "logs", NAME, *OF_DAG, "--execution", ours["id"])["text"]
    assert "--- run_job, try 1\n" in said
    assert TOKEN not in said
    nothing = platform.pretzel("metadata", "logs", NAME, *OF_DAG, "--execution", "no_such_run")
    assert nothing.status == 1
    assert "no_such_run" in nothing.err
    unknown = platform.pretzel("metadata", "executions", NAME, "--primitive", "airflow_dog")
    assert "airflow_dag" in unknown.err, "it suggests what there is"


def test_a_backfill_through_the_dag_runs_each_date_once_and_again_where_that_is_wanted(platform: Platform) -> None:
    january = ("ops", "backfill", DATED, *OF_DAG, "--from", "2026-01-01", "--to")
    assert platform.pretzel("ops", "resume", DATED).status == 0
    done = platform.document(*january, "2026-01-03")
    assert [(row["wanted"], row["status"]) for row in done["rows"]] == 2 * [(True, "SUCCEEDED")]
    assert all(row["execution_id"].startswith("backfill:2026-01-0") for row in done["rows"])
    dry = platform.document(*january, "2026-01-04", "--dry-run")
    assert [(row["wanted"], row["before"]) for row in dry["rows"]] == [*(2 * [(False, "SUCCEEDED")]), (True, None)]
    (again,) = platform.document(*january, "2026-01-02", "--reprocess", "completed")["rows"]
    assert (again["status"], again["execution_id"] != done["rows"][0]["execution_id"]) == ("SUCCEEDED", True)
    rows = [row["order_id"] for row in platform.project.rows("derived_datasets.dated_orders")]
    # Switched on, the DAG may have had its turn for the last day that is over.
    ours = sorted(each for each in rows if each < "2026-02")
    assert ours == ["2026-01-01/2026-01-02", "2026-01-01/2026-01-02", "2026-01-02/2026-01-03"]


def test_a_stopped_run_is_cancelled_and_its_job_ends_though_the_task_waits_deferred(platform: Platform) -> None:
    assert platform.pretzel("ops", "resume", SLOW).status == 0
    (begun,) = platform.document("ops", "start", SLOW, *OF_DAG)["executions"]
    assert begun["status"] == "PENDING"
    job = f"{PLAYGROUND}__slow_orders_job"
    servers.wait_until(
        lambda: any(one["status"] == "RUNNING" for one in platform.driven.executions(job)),
        "the job's start",
        platform.airflow.log,
    )
    path = f"/api/v2/dags/{SLOW_DAG}/dagRuns/{begun['id']}/taskInstances/run_job"
    servers.wait_until(
        lambda: platform.airflow.call("GET", path)["state"] == "deferred", "the task's waiting", platform.airflow.log
    )
    stopped = platform.document("ops", "stop", SLOW, *OF_DAG)["stopped"]
    assert begun["id"] in {each["id"] for each in stopped}
    assert {each["status"] for each in stopped} == {"CANCELLED"}
    servers.wait_until(
        lambda: all(one["status"] == "CANCELLED" for one in platform.driven.executions(job)),
        "the job's end",
        platform.airflow.log,
    )
    runs = platform.document("metadata", "executions", SLOW, *OF_DAG)["executions"]
    assert {run["status"] for run in runs} == {"CANCELLED"}
    assert all("stopped by DCP for alice" in run["error"] for run in runs)


def test_a_dag_that_is_destroyed_while_it_runs_ends_its_job_first(platform: Platform) -> None:
    (begun,) = platform.document("ops", "start", SLOW, *OF_DAG)["executions"]
    job = f"{PLAYGROUND}__slow_orders_job"
    servers.wait_until(
        lambda: any(one["status"] == "RUNNING" for one in platform.driven.executions(job)),
        "the job's start",
        platform.airflow.log,
    )
    answer = platform.pretzel("destroy", SLOW, "--yes")
    assert answer.status == 0, answer.out + answer.err
    assert platform.airflow.dag(SLOW_DAG) is None
    (ours,) = [one for one in platform.driven.executions(job) if begun["id"] in one["idempotency_key"]]
    assert ours["status"] == "CANCELLED"


def test_the_version_before_a_broken_one_still_runs(platform: Platform) -> None:
    text = Path(__file__).parents[2].joinpath("dcp_primitives", "airflow", "dag.py.txt").read_text()
    broken = text.replace("import json\n", "import json\nimport a_library_of_the_team\n", 1)
    platform.project.write("team.py.txt", broken)
    platform.configure("team.py.txt")
    answer = platform.pretzel("apply", "manifests/derived_dataset/daily_orders.yaml")
    assert answer.status == 1
    assert "a_library_of_the_team" in answer.out + answer.err
    platform.configure()
    (execution,) = platform.document("ops", "start", NAME, *OF_DAG, "--wait")["executions"]
    assert (execution["status"], execution["params"]) == ("SUCCEEDED", {})


def test_a_token_that_has_expired_is_no_trouble(platform: Platform) -> None:
    """One control plane lives for longer than Airflow's tokens."""
    from dcp_core.settings import Secret
    from dcp_primitives.airflow.service.airflow import AirflowService
    from dcp_primitives.airflow.service.calling import Access, Api

    brief = {
        **platform.airflow.environ,
        "AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME": "6",
        "AIRFLOW__API_AUTH__JWT_LEEWAY": "0",
    }
    platform.airflow.stop(airflow_server.API)
    platform.airflow.environ = brief
    platform.airflow.start()
    service = AirflowService(Api(Access(platform.airflow.url, USER, Secret(airflow_server.PASSWORD))))
    assert service.dags([DAG])[DAG].is_ours
    first = service.api._token
    time.sleep(7.5)
    assert service.dags([DAG])[DAG].is_ours
    assert service.api._token != first
