"""Start, stop, executions and logs of a manifest's resources of one primitive."""

from __future__ import annotations

from collections.abc import Callable

from tests.dcp_graph_runner.ops.sites import ID, Site

DAY = ("--param", "data_interval_start=2026-01-01", "--param", "data_interval_end=2026-01-02")
JOBS = ("--primitive", "coreetl_job")


def test_resources_of_a_primitive_are_started_once_for_a_key_looked_at_and_stopped(site: Callable[..., Site]) -> None:
    made = site()
    started = made.ops("start", ID, *DAY, *JOBS, "--key", "once")
    (first,) = started.document["executions"]
    assert (first["status"], first["resource"]["kind"]) == ("SUCCEEDED", "coreetl_job"), "the driver ends with it"
    assert "lives in this process" in started.err
    assert made.rows() == ["day1"]
    (again,) = made.ops("start", ID, *DAY, *JOBS, "--wait", "--key", "once").document["executions"]
    assert again["id"] == first["id"]
    listed = made.project.pretzel("metadata", "executions", ID, *JOBS, "-o", "json").document["executions"]
    assert [each["id"] for each in listed] == [first["id"]]
    assert made.project.pretzel("metadata", "logs", ID, *JOBS).status == 0
    assert made.ops("stop", ID, *JOBS).document["stopped"] == []
    assert [outcome for outcome, _ in made.audit("start")] == ["SUCCEEDED", "SUCCEEDED"]


def test_a_primitive_that_starts_nothing_says_so_and_one_that_is_not_there_is_told_the_nearest(
    site: Callable[..., Site],
) -> None:
    made = site()
    table = made.ops("start", ID, "--primitive", "iceberg_table")
    assert (table.status, table.document["error"]["message"]) == (1, "a table cannot be started")
    assert "lives in this process" not in table.err, "no run starts it in the driver"
    assert made.audit("start")[-1][0] == "FAILED"
    unknown = made.ops("start", ID, "--primitive", "coreetl_jobs")
    assert unknown.status == 1
    assert "nothing of the primitive 'coreetl_jobs'" in unknown.document["error"]["message"]
    assert '"coreetl_job"' in unknown.document["error"]["hint"]
    for command in ("executions", "logs"):
        answer = made.project.pretzel("metadata", command, ID, "--primitive", "airflow_dog", "-o", "json")
        assert "nothing of the primitive 'airflow_dog'" in answer.document["error"]["message"]
