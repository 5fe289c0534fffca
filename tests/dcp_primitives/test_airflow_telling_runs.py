"""Runs of a DAG as they are told: why one ended, and what it said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from dcp_core.errors import InvalidSpecError
from dcp_core.intervals import Interval
from dcp_core.records import ExecutionStatus
from dcp_graph_runner.metadata.executions import after
from dcp_primitives.airflow.service.runs import Runs
from dcp_primitives.airflow_dag import AirflowDag
from dcp_primitives.job_intervals import intervals_of
from tests.dcp_primitives.airflow_playing import T0, Call, Playing, Said, playing

DAG = "orders_dag"


def of(it: Playing, logical_plan: Callable[..., Any]) -> Runs:
    return Runs(it.service(), AirflowDag(dag_id=DAG, job_id="orders_job", owner="de").resource(logical_plan()))


def test_a_run_that_was_stopped_and_cleared_by_somebody_fails_like_any_other(logical_plan: Callable[..., Any]) -> None:
    run = {"dag_run_id": "r", "state": "running", "queued_at": T0, "note": None}

    def answer(call: Call) -> Said:
        if call.path.endswith("/taskInstances"):
            rows = [{"task_id": "run_job", "state": "failed"}]
            return Said(body={"task_instances": rows, "total_entries": 1})
        if call.method == "PATCH":
            run.update(call.body)
        if call.path.endswith("/dagRuns"):
            return Said(body={"dag_runs": [run], "total_entries": 1})
        return Said(body=run)

    with playing(Playing(answer)) as it:
        runs = of(it, logical_plan)
        (stopped,) = runs.stop("alice")
        assert (stopped.status, stopped.error) == (ExecutionStatus.CANCELLED, "stopped by DCP for alice")
        assert runs.find("r") == stopped
        # As Airflow clears it: the note stays.
        run.update(state="queued", queued_at="2026-01-02T00:00:00Z")
        run.update(state="failed")
        failed = runs.find("r")
        assert failed is not None
        assert failed.status is ExecutionStatus.FAILED
        assert str(failed.error).startswith("task run_job failed; ")
        (again,) = runs.stop("bob")
        assert (again.status, again.error) == (ExecutionStatus.CANCELLED, "stopped by DCP for bob")


def test_whoever_follows_a_log_is_told_nothing_twice_when_a_tasks_state_changes(
    logical_plan: Callable[..., Any],
) -> None:
    tasks = [{"task_id": "wait", "state": "deferred", "try_number": 1, "map_index": -1}]
    said = {"wait": ["poke"], "run_job": ["begun"]}

    def answer(call: Call) -> Said:
        if call.path.endswith("/taskInstances"):
            return Said(body={"task_instances": tasks, "total_entries": len(tasks)})
        if "/logs/" in call.path:
            return Said(body={"content": said[call.path.split("/")[-3]]})
        return Said(body={"dag_run_id": "r", "state": "running"})

    with playing(Playing(answer)) as it:
        runs = of(it, logical_plan)
        first = runs.logs("r")
        tasks[0]["state"] = "success"
        said["wait"].append("poke again")
        tasks.append({"task_id": "run_job", "state": "running", "try_number": 1, "map_index": -1})
        more = after(runs.logs("r"), len(first), first[-200:])
    assert first == "--- wait, try 1\npoke\n"
    assert more == "poke again\n--- run_job, try 1\nbegun\n"


def listed(logical_plan: Callable[..., Any], **run: Any) -> Mapping[str, str]:
    """The parameters of a run of the DAG, which has no schedule."""
    told = {"dag_run_id": "r", "state": "success", "queued_at": T0, **run}
    with playing(Playing(lambda _: Said(body={"dag_runs": [told], "total_entries": 1}))) as it:
        (execution,) = of(it, logical_plan).listed(10, None)
    return execution.params


@pytest.mark.parametrize(("start", "end"), [("2026-02-05", "2026-02-01"), ("today", "tomorrow")])
def test_a_run_begun_by_hand_for_what_is_no_interval_is_told_as_for_none(
    logical_plan: Callable[..., Any], start: str, end: str
) -> None:
    conf = {"data_interval_start": start, "data_interval_end": end, "region": "EU"}
    assert listed(logical_plan, conf=conf, run_after=T0) == {"region": "EU"}


def test_such_a_run_is_not_begun(logical_plan: Callable[..., Any]) -> None:
    params = {"data_interval_start": "2026-02-05", "data_interval_end": "2026-02-01"}
    with playing(Playing(lambda _: Said(500))) as it, pytest.raises(InvalidSpecError, match="not after its start"):
        of(it, logical_plan).begin(params, "a-key")


def test_without_a_schedule_a_run_is_for_the_last_whole_day_as_a_backfill_counts(
    logical_plan: Callable[..., Any],
) -> None:
    found = listed(logical_plan, run_after="2026-01-03T10:23:45Z")
    (day,) = intervals_of(None, datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
    assert Interval.told(found) == day
