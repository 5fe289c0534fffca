"""Incremental runs over an interval, by the command line: repeated, for late rows, for older intervals, and for none.

Three days of orders are in production; a run computes one of them. Rows are read back by pyiceberg.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.projects import Answer, Project, order, orders_schema
from tests.end_to_end.workspaces import Row, manifest_text

TABLE = "derived_datasets.daily"
FIELDS = ("name: order_id, type: string, nullable: false", "amount: long", "ordered_on: date")
SQL = """\
SELECT order_id, amount, ordered_on FROM raw.orders
WHERE ordered_on >= CAST(:start AS DATE) AND ordered_on < CAST(:end AS DATE)
"""
PARAMS = """\
  params:
    start: "{{{{ data_interval_start | ds }}}}"
    end: "{{{{ data_interval_end | ds }}}}"
"""
FIRST, SECOND, LATE = order("a", 1), order("b", 2, day=2), order("late", 9)


@pytest.fixture
def project(empty_project: Project) -> Project:
    refill(empty_project, FIRST, SECOND, order("c", 3, day=3))
    return empty_project


def refill(project: Project, *orders: Row) -> None:
    project.source("raw.orders", orders, orders_schema())


def applied(project: Project, mode: str, **dataset: str) -> str:
    if mode == "merge":
        dataset["primary_key"] = "[order_id]"
    manifest = manifest_text(*FIELDS, mode=mode, schedule="0 0 * * *", **dataset) + PARAMS
    path = str(project.dataset("daily", manifest, SQL))
    assert project.pretzel("apply", path).status == 0
    return path


def run(project: Project, path: str, *options: str) -> Answer:
    answer = project.pretzel("run", path, *options, "-o", "json")
    assert answer.status == 0, answer
    return answer


def run_day(project: Project, path: str, day: int) -> int:
    """Rows written by the run of one day of January 2026."""
    document = run(project, path, "--date", f"2026-01-{day:02}").document
    assert document["params"] == {
        "start": f"2026-01-{day:02}",
        "end": f"2026-01-{day + 1:02}",
        "data_interval_start": f"2026-01-{day:02}T00:00:00+00:00",
        "data_interval_end": f"2026-01-{day + 1:02}T00:00:00+00:00",
    }
    return int(document["rows_written"])


def read(project: Project) -> list[Row]:
    return sorted(project.rows(TABLE), key=lambda row: (row["ordered_on"], row["order_id"]))


def files_by_day(project: Project) -> dict[int, set[str]]:
    """The table's data files, by the day of January that their partition is."""
    found: dict[int, set[str]] = {}
    for task in project.catalog().load_table(TABLE).scan().plan_files():
        partition = date(1970, 1, 1) + timedelta(days=task.file.partition[0])
        found.setdefault(partition.day, set()).add(task.file.file_path)
    return found


def snapshots(project: Project) -> int:
    return len(project.catalog().load_table(TABLE).snapshots())


def test_overwrite_partitions_repeats_and_backfills_one_interval_and_touches_no_other(project: Project) -> None:
    path = applied(project, "overwrite_partitions", partition_by="[day(ordered_on)]")
    assert [run_day(project, path, day) for day in (1, 2)] == [1, 1]
    assert read(project) == [FIRST, SECOND]

    assert run_day(project, path, 2) == 1
    assert read(project) == [FIRST, SECOND], "the same interval again gives the same rows"

    refill(project, FIRST, LATE, order("b", 20, day=2), order("c", 3, day=3))
    before = files_by_day(project)
    assert run_day(project, path, 1) == 2
    assert read(project) == [FIRST, LATE, SECOND], "what changed on another day waits for the run of that day"
    after = files_by_day(project)
    assert after[2] == before[2]
    assert after[1].isdisjoint(before[1])

    refill(project, FIRST, order("c", 3, day=3))
    assert run_day(project, path, 2) == 0
    assert read(project) == [FIRST, LATE, SECOND], "no rows are no partitions to replace: the table stays as it was"
    assert run_day(project, path, 9) == 0
    assert files_by_day(project) == after


def test_merge_repeats_and_backfills_one_interval_by_key(project: Project) -> None:
    path = applied(project, "merge", partition_by="[day(ordered_on)]")
    assert [run_day(project, path, day) for day in (1, 2)] == [1, 1]
    count = snapshots(project)
    assert run_day(project, path, 9) == 0
    assert snapshots(project) == count, "an empty interval commits nothing"

    refill(project, order("a", 10), LATE, order("b", 20, day=2))
    before = files_by_day(project)
    assert run_day(project, path, 1) == 2
    assert run_day(project, path, 1) == 2
    assert read(project) == [order("a", 10), LATE, SECOND]
    assert files_by_day(project)[2] == before[2]


def test_append_adds_an_interval_as_often_as_it_runs(project: Project) -> None:
    path = applied(project, "append")
    assert [run_day(project, path, day) for day in (1, 2)] == [1, 1]
    assert run_day(project, path, 9) == 0
    assert read(project) == [FIRST, SECOND]
    refill(project, LATE)
    assert run_day(project, path, 1) == 1
    assert run_day(project, path, 1) == 1
    assert read(project) == [FIRST, LATE, LATE, SECOND]


def test_overwrite_keeps_the_rows_of_the_last_interval_alone(project: Project) -> None:
    path = applied(project, "overwrite", partition_by="[day(ordered_on)]")
    assert [run_day(project, path, day) for day in (1, 2)] == [1, 1]
    assert read(project) == [SECOND]
    refill(project, FIRST, LATE)
    assert run_day(project, path, 1) == 2
    assert read(project) == [FIRST, LATE]
    assert run_day(project, path, 9) == 0
    assert read(project) == []


def test_an_interval_is_any_two_moments_and_by_default_the_last_of_the_schedule(project: Project) -> None:
    path = applied(project, "overwrite_partitions", partition_by="[day(ordered_on)]")
    document = run(project, path, "--from", "2026-01-02", "--to", "2026-01-04T00:00:00Z").document
    assert (document["rows_written"], document["params"]["start"], document["params"]["end"]) == (
        2,
        "2026-01-02",
        "2026-01-04",
    )
    text = project.pretzel("run", path, "--date", "2026-01-09").out
    assert "0 rows written" in text
    assert "for 2026-01-09T00:00:00+00:00 to 2026-01-10T00:00:00+00:00" in text
    params = run(project, path).document["params"]
    assert params["data_interval_start"].startswith(params["start"])
    assert params["start"] < params["end"], "a whole day, the last one that is over"
    assert run(project, path, "--param", "start=2026-01-01", "--date", "2026-01-02").document["rows_written"] == 2
    planned = project.pretzel("plan", path, "-o", "json")
    assert planned.document["summary"]["noop"] == 3, "a run leaves the job with the macros that it has"


def test_plan_shows_macros_and_a_run_of_a_manifest_without_any_takes_a_date(project: Project) -> None:
    path = str(project.dataset("daily", manifest_text(*FIELDS, mode="overwrite", schedule="0 0 * * *") + PARAMS, SQL))
    changes: dict[str, Any] = {
        change["field"]: change["desired"]
        for action in project.pretzel("plan", path, "-o", "json").document["manifests"][0]["actions"]
        for change in action["changes"]
        if action["label"] == "CREATE_JOB"
    }
    assert "{{ data_interval_start | ds }}" in str(changes)
    plain = str(project.dataset("plain"))
    assert project.pretzel("apply", plain).status == 0
    assert run(project, plain, "--date", "2026-01-01").document["params"] == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--date", "yesterday"], "'yesterday' is not a day"),
        (["--date", "2026-02-30"], "'2026-02-30' is not a day"),
        (["--date", "2026-01-01", "--to", "2026-01-02"], "leave out --from and --to"),
        (["--from", "2026-01-01"], "--from and --to go together"),
        (["--from", "noon", "--to", "2026-01-02"], "'noon' is not a date or a timestamp, 2026-01-31 or 2026"),
        (["--from", "2026-01-02", "--to", "2026-01-02"], "not after its start"),
    ],
)
def test_an_interval_that_is_none_is_wrong_usage(project: Project, options: list[str], words: str) -> None:
    answer = project.pretzel("run", str(project.dataset("daily")), *options)
    assert answer.status == 64
    assert words in " ".join(answer.err.split())


def test_a_macro_that_does_not_exist_is_a_lint_error_at_its_place(project: Project) -> None:
    manifest = manifest_text(*FIELDS, mode="append") + PARAMS.replace("data_interval_start | ds", "data_interval_strat")
    path = project.dataset("daily", manifest, SQL)
    lines = Path(path).read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "strat" in text)
    answer = project.pretzel("lint", str(path), "-o", "json")
    (found,) = [each for each in answer.document["diagnostics"] if each["severity"] == "error"]
    assert (answer.status, found["code"]) == (1, "params.macro")
    assert (found["file"], found["line"], found["column"]) == ("manifests/derived_dataset/daily.yaml", line, 12)
    assert "data_interval_strat" in found["message"]
    assert found["hint"] == "did you mean 'data_interval_start'?"
