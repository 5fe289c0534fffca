"""Backfills through a dataset's DAG: a run a date, each once; of an Airflow that answers as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from attrs import Factory, define

from tests.dcp_graph_runner.ops.sites import ID, Site
from tests.dcp_primitives.airflow_playing import PASSWORD, Call, Playing, Said, playing, row

JANUARY = ("--from", "2026-01-01", "--to", "2026-01-04", "--primitive", "airflow_dag")
CONFIG = f'[airflow]\nurl = "{{url}}"\nusername = "dcp"\npassword = "{PASSWORD}"\n'


@define
class Dag:
    """The DAG's runs, the first that was begun first; each ends as ``ends`` says of its day, else well."""

    runs: list[dict[str, Any]] = Factory(list)
    ends: dict[str, str] = Factory(dict)

    def answer(self, call: Call) -> Said | None:
        rest = call.path.partition("/dags/")[2].split("/")
        if len(rest) == 1:
            return Said(body=row(rest[0]))
        if call.path.endswith("/taskInstances"):
            return Said(body={"task_instances": [], "total_entries": 0})
        if call.method == "POST":
            day = str(call.body["conf"].get("data_interval_start"))[:10]
            self.add(**call.body, state=self.ends.get(day, "success"))
            return Said(body=self.runs[-1])
        if len(rest) == 2:
            assert call.query["order_by"] == ["-id"]
            return Said(body={"dag_runs": self.runs[::-1], "total_entries": len(self.runs)})
        return next((Said(body=each) for each in self.runs if each["dag_run_id"] == unquote(rest[2])), None)

    def add(self, **run: Any) -> None:
        self.runs.append({"queued_at": f"2026-02-01T00:00:{len(self.runs):02}Z", **run})

    @property
    def days(self) -> list[str]:
        """Of the runs that a backfill has begun."""
        return [run["conf"]["data_interval_start"][:10] for run in self.runs if run.get("conf")]


@pytest.fixture
def dag(site: Callable[..., Site]) -> Iterator[tuple[Site, Dag]]:
    made, dag = site(), Dag()
    with playing(Playing(dag.answer)) as airflow:
        made.project.write("dcp.toml", CONFIG.format(url=airflow.url))
        yield made, dag


def test_each_date_is_a_run_of_the_dag_due_at_its_end_and_is_run_once(dag: tuple[Site, Dag]) -> None:
    made, airflow = dag
    dry = made.ops("backfill", ID, *JANUARY, "--dry-run").document
    assert ([each["wanted"] for each in dry["rows"]], airflow.runs) == ([True] * 3, [])
    done = made.ops("backfill", ID, *JANUARY)
    assert (done.status, done.document["status"]) == (0, "SUCCEEDED"), done
    assert done.document["resource"] == "playground_alice__daily_dag"
    assert airflow.days == ["2026-01-01", "2026-01-02", "2026-01-03"]
    first = airflow.runs[0]
    start, end = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"
    assert first["conf"] == {"data_interval_start": start, "data_interval_end": end}
    assert (first["logical_date"], first["run_after"]) == (None, end)
    assert made.rows() == [], "the job is Airflow's to run"
    assert made.audit("backfill") == [("SUCCEEDED", f"RUN {start}/{end} SUCCEEDED")]
    assert len(made.audit("run")) == 3
    again = made.ops("backfill", ID, *JANUARY).document
    assert ([each["wanted"] for each in again["rows"]], len(airflow.runs)) == ([False] * 3, 3)
    of_job = made.ops("backfill", ID, *JANUARY[:4], "--dry-run").document
    assert [each["wanted"] for each in of_job["rows"]] == [True] * 3


def test_what_failed_is_run_again_where_that_is_wanted_and_everything_too(dag: tuple[Site, Dag]) -> None:
    made, airflow = dag
    airflow.ends = {"2026-01-02": "failed"}
    failed = made.ops("backfill", ID, *JANUARY)
    assert (failed.status, airflow.days) == (1, ["2026-01-01", "2026-01-02"])
    assert [each["status"] for each in failed.document["rows"]] == ["SUCCEEDED", "FAILED", None]
    airflow.ends = {}
    assert made.ops("backfill", ID, *JANUARY).status == 0
    assert airflow.days[2:] == ["2026-01-03"], "what failed is left out"
    assert made.ops("backfill", ID, *JANUARY, "--reprocess", "failed").status == 0
    assert airflow.days[3:] == ["2026-01-02"]
    assert made.ops("backfill", ID, *JANUARY, "--reprocess", "completed").status == 0
    assert airflow.days[4:] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert len({run["dag_run_id"] for run in airflow.runs}) == 7


def test_one_that_was_killed_waits_for_its_run_and_everything_goes_on_where_it_was(dag: tuple[Site, Dag]) -> None:
    made, airflow = dag
    assert made.ops("backfill", ID, *JANUARY, "--reprocess", "completed").status == 0
    # As two kills leave it: the run of the second day goes on, that of the third was never begun.
    airflow.runs.pop()
    airflow.runs[1]["state"] = "running"
    dry = made.ops("backfill", ID, *JANUARY, "--dry-run").document
    assert [(each["wanted"], each["why"]) for each in dry["rows"][1:]] == [(True, ""), (True, "")], "it is ours"
    airflow.runs[1]["state"] = "success"
    assert made.ops("backfill", ID, *JANUARY, "--reprocess", "completed").status == 0
    assert airflow.days == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_what_the_schedule_has_run_counts_and_what_somebody_runs_is_left_to_them(dag: tuple[Site, Dag]) -> None:
    made, airflow = dag
    # As Airflow 3 tells a run of a schedule: both ends are the moment it is due; one by hand or by assets has none.
    moment = "2026-01-02T00:00:00Z"
    airflow.add(
        dag_run_id="s", state="success", conf={}, run_after=moment, data_interval_start=moment, data_interval_end=moment
    )
    airflow.add(dag_run_id="m", state="running", conf=None, run_after="2026-01-03T05:06:07.89Z")
    rows = made.ops("backfill", ID, *JANUARY, "--dry-run").document["rows"]
    assert [(each["wanted"], each["execution_id"]) for each in rows] == [(False, "s"), (False, "m"), (True, None)]
    assert rows[1]["why"] == "it runs now"
    assert made.ops("backfill", ID, *JANUARY).status == 0
    assert airflow.days == ["2026-01-03"]


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_without_an_airflow_to_ask_and_for_what_runs_for_no_date_it_says_so(
    site: Callable[..., Site], dry: tuple[str, ...]
) -> None:
    made = site()
    nobody = made.ops("backfill", ID, *JANUARY, *dry)
    assert (nobody.status, nobody.document["error"]["hint"]) == (1, "set url in [airflow]")
    start = made.ops("start", ID, *JANUARY[4:]).document["error"]
    assert nobody.document["error"]["message"] == start["message"]
    table = made.ops("backfill", ID, *JANUARY[:5], "iceberg_table", *dry)
    assert table.status == 1
    assert "runs for no interval" in table.document["error"]["message"]
    unknown = made.ops("backfill", ID, *JANUARY[:5], "airflow_dog", *dry)
    assert "nothing of the primitive 'airflow_dog'" in unknown.document["error"]["message"]
