"""What a second apply and a second run do: nothing, and what the manifest's mode says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.projects import Project, order, orders_schema
from tests.end_to_end.workspaces import Row, Workspace, manifest_text

FIELDS = ("order_id: string", "amount: long", "ordered_on: date")
KEYED = ("name: order_id, type: string, nullable: false", *FIELDS[1:])
SQL = "SELECT order_id, amount, ordered_on FROM raw.orders"
NOBODY: list[Row] = []


@pytest.fixture
def workspace(project: Project) -> Iterator[Workspace]:
    opened = Workspace.open(project)
    yield opened
    opened.close()


def rows(*orders: Row) -> list[Row]:
    return sorted(orders, key=lambda row: (row["order_id"], row["amount"]))


def applied(workspace: Workspace, manifest: str, sql: str = SQL) -> Path:
    path = workspace.project.dataset("daily", manifest, sql)
    workspace.apply(path)
    return path


def refill(workspace: Workspace, *orders: Row) -> None:
    """What ``raw.orders`` in production holds from now on."""
    workspace.project.source("raw.orders", orders, orders_schema())


def read(workspace: Workspace) -> list[Row]:
    return rows(*workspace.rows("derived_datasets.daily"))


def snapshots(workspace: Workspace) -> int:
    return len(workspace.table("derived_datasets.daily").snapshots())


def test_after_an_apply_a_plan_is_all_noop_and_a_second_apply_leaves_no_trace(workspace: Workspace) -> None:
    path = applied(workspace, manifest_text(*FIELDS, mode="overwrite", partition_by="[day(ordered_on)]"))
    before = workspace.traces()
    assert set(before["tables"]) == {"derived_datasets.daily"}
    assert before["jobs"] == {"playground_alice__daily_job": 1}
    assert set(before["dags"]) == {"playground_alice__daily_dag.py"}
    assert workspace.labels(path) == ["NOOP_TABLE", "NOOP_JOB", "NOOP_DAG"]
    (operation,) = workspace.apply(path)
    assert [each.status.value for each in operation.results] == ["NOOP", "NOOP", "NOOP"]
    again = workspace.project.pretzel("apply", str(path), "-o", "json")
    assert (again.status, again.document["status"]) == (0, "SUCCEEDED")
    assert again.document["operation_id"] is None
    assert workspace.traces() == before
    workspace.run(path)
    assert workspace.project.pretzel("plan", str(path), "--detailed-exitcode").status == 0


def test_plan_alone_leaves_no_trace(workspace: Workspace) -> None:
    path = workspace.project.dataset("daily")
    before = workspace.traces()
    answer = workspace.project.pretzel("plan", str(path), "-o", "json")
    assert answer.status == 0
    assert [each["label"] for each in answer.document["manifests"][0]["actions"]] == [
        "CREATE_TABLE", "CREATE_JOB", "CREATE_DAG",
    ]  # fmt: skip
    assert workspace.traces() == before
    assert not workspace.dcp.store.sandboxes()


def test_overwrite_gives_the_same_rows_however_often_it_runs(workspace: Workspace) -> None:
    path = applied(workspace, manifest_text(*FIELDS, mode="overwrite"))
    expected = rows(order("a", 1), order("b", 2), order("c", 3, day=2))
    for _ in range(2):
        assert workspace.run(path) == 3
        assert read(workspace) == expected
    refill(workspace, order("z", 9))
    assert workspace.run(path) == 1
    assert read(workspace) == [order("z", 9)]
    refill(workspace)
    assert workspace.run(path) == 0
    assert read(workspace) == NOBODY


def test_overwrite_replaces_every_partition_of_a_table_with_required_columns(workspace: Workspace) -> None:
    path = applied(workspace, manifest_text(*KEYED, mode="overwrite", partition_by="[day(ordered_on)]"))
    workspace.run(path)
    refill(workspace, order("d", 4, day=3))
    workspace.run(path)
    assert read(workspace) == [order("d", 4, day=3)]


def test_append_adds_the_rows_of_every_run(workspace: Workspace) -> None:
    path = applied(workspace, manifest_text(*FIELDS, mode="append"))
    workspace.run(path)
    refill(workspace, order("a", 1), order("d", 4))
    assert workspace.run(path) == 2
    assert read(workspace) == rows(order("a", 1), order("a", 1), order("b", 2), order("c", 3, day=2), order("d", 4))
    refill(workspace)
    assert workspace.run(path) == 0
    assert len(read(workspace)) == 5


def test_overwrite_partitions_replaces_those_that_the_result_has_rows_for(workspace: Workspace) -> None:
    path = applied(
        workspace, manifest_text(*FIELDS, mode="overwrite_partitions", partition_by="[day(ordered_on)]")
    )  # fmt: skip
    workspace.run(path)
    refill(workspace, order("d", 4, day=1), order("e", 5, day=3))
    assert workspace.run(path) == 2
    expected = rows(order("d", 4, day=1), order("c", 3, day=2), order("e", 5, day=3))
    assert read(workspace) == expected
    assert workspace.run(path) == 2
    assert read(workspace) == expected
    refill(workspace)
    assert workspace.run(path) == 0
    assert read(workspace) == expected


def test_merge_updates_and_inserts_by_key_and_leaves_the_rest(workspace: Workspace) -> None:
    manifest = manifest_text(*KEYED, mode="merge", primary_key="[order_id]", partition_by="[day(ordered_on)]")
    path = applied(workspace, manifest)
    assert workspace.run(path) == 3
    first = rows(order("a", 1), order("b", 2), order("c", 3, day=2))
    assert read(workspace) == first
    workspace.run(path)
    assert read(workspace) == first, "merging the same rows again changes none"

    refill(workspace, order("a", 10), order("c", 30, day=4), order("d", 4, day=5))
    workspace.run(path)
    # a is updated in its partition, c moves to another, d is new, b is untouched
    updated = rows(order("a", 10), order("b", 2), order("c", 30, day=4), order("d", 4, day=5))
    assert read(workspace) == updated

    refill(workspace, order("late", 7, day=1))
    assert workspace.run(path) == 1
    updated = rows(*updated, order("late", 7, day=1))
    assert read(workspace) == updated

    refill(workspace)
    count = snapshots(workspace)
    assert workspace.run(path) == 0
    assert read(workspace) == updated
    assert snapshots(workspace) == count


def test_merge_by_two_keys_updates_what_agrees_in_both(workspace: Workspace) -> None:
    fields = (*KEYED[:2], "name: ordered_on, type: date, nullable: false")
    path = applied(workspace, manifest_text(*fields, mode="merge", primary_key="[order_id, ordered_on]"))
    workspace.run(path)
    refill(workspace, order("a", 10), order("a", 11, day=2))
    workspace.run(path)
    expected = rows(order("a", 10), order("a", 11, day=2), order("b", 2), order("c", 3, day=2))
    assert read(workspace) == expected


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ([order("a", 1), order("a", 2)], "order_id='a'"),
        ([{"order_id": None, "amount": 1, "ordered_on": date(2026, 1, 1)}], "order_id"),
    ],
)
def test_a_merge_without_one_row_for_each_key_fails_and_writes_nothing(
    workspace: Workspace, orders: list[dict[str, Any]], words: str
) -> None:
    path = applied(workspace, manifest_text(*KEYED, mode="merge", primary_key="[order_id]"))
    workspace.run(path)
    before = read(workspace)
    refill(workspace, *orders)
    answer = workspace.project.pretzel("run", str(path), "-o", "json")
    assert (answer.status, answer.document["status"]) == (1, "FAILED")
    assert words in answer.document["error"]
    assert read(workspace) == before


def test_a_change_of_mode_is_a_change_of_the_job_and_keeps_the_rows(workspace: Workspace) -> None:
    path = applied(workspace, manifest_text(*KEYED, mode="overwrite"))
    workspace.run(path)
    applied(workspace, manifest_text(*KEYED, mode="merge", primary_key="[order_id]"))
    refill(workspace, order("a", 10))
    workspace.run(path)
    assert read(workspace) == rows(order("a", 10), order("b", 2), order("c", 3, day=2))


@pytest.mark.parametrize("mode", ["append", "overwrite", "overwrite_partitions", "merge"])
@pytest.mark.parametrize("names", [("a", "b", "c"), ("a", "B", "C")])
def test_every_mode_writes_by_name_whatever_order_and_case_the_engine_gives(
    workspace: Workspace, mode: str, names: tuple[str, str, str]
) -> None:
    # Sail puts partition columns last, and takes what it writes for lower case.
    first, key, last = names
    fields = [f"name: {name}, type: string, nullable: {'true' if name == last else 'false'}" for name in names]
    fields.append("nested: struct<Inner: int>")
    manifest = manifest_text(*fields, mode=mode, primary_key=f"[{key}]", partition_by=f"[{first}, {key}]")
    sql = (
        f"SELECT named_struct('Inner', 1) AS nested, concat('c', order_id) AS {last}, "
        f"concat('b', order_id) AS {key}, 'a' AS {first} FROM raw.orders"
    )
    path = applied(workspace, manifest, sql)
    for _ in range(1 if mode == "append" else 2):
        assert workspace.run(path) == 3
    assert workspace.rows("derived_datasets.daily") == [
        {first: "a", key: f"b{each}", last: f"c{each}", "nested": {"Inner": 1}} for each in "abc"
    ]
