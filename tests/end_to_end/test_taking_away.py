"""What is no longer wanted: pruned, protected, destroyed; and the order among datasets that read each other.

Source: design.md sections 6, 7 and 8.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dcp_core import OperationStatus
from tests.end_to_end.projects import Answer, Project
from tests.end_to_end.workspaces import Workspace, manifest_text

TABLE = "derived_datasets.daily"
FIELDS = ("order_id: string", "amount: long")
SQL = "SELECT order_id, amount FROM raw.orders"
UNCHANGED = ["NOOP_TABLE", "NOOP_JOB", "NOOP_DAG"]
ALL = {"prune": True, "allow_destructive": True}
NOTHING: dict[str, Any] = {"tables": {}, "jobs": {}, "dags": {}, "inventory": (), "plans": {}}


@pytest.fixture
def workspace(project: Project) -> Iterator[Workspace]:
    opened = Workspace.open(project)
    yield opened
    opened.close()


@pytest.fixture
def daily(workspace: Workspace) -> Path:
    path = workspace.project.dataset("daily", manifest_text(*FIELDS), SQL)
    workspace.apply(path)
    return path


def results(answer: Answer) -> list[tuple[str, str]]:
    return [(each["label"], each["status"]) for each in answer.document["results"]]


def leftovers(workspace: Workspace) -> dict[str, Any]:
    traces = workspace.traces()
    return {name: traces[name] for name in NOTHING}


def protected(workspace: Workspace, value: str | None) -> Path:
    """The dataset with ``protect`` set so, or not said."""
    said = {} if value is None else {"protect": value}
    return workspace.project.dataset("daily", manifest_text(*FIELDS, **said), SQL)


# Out of the manifest


def test_a_schedule_taken_out_takes_the_dag_and_leaves_the_rest(workspace: Workspace, daily: Path) -> None:
    before = workspace.traces()
    workspace.project.dataset("daily", manifest_text(*FIELDS, schedule=None), SQL)
    answer = workspace.project.pretzel("apply", str(daily), "-o", "json")
    assert answer.status == 0
    assert results(answer) == [("NOOP_TABLE", "NOOP"), ("UPDATE_JOB", "SUCCEEDED"), ("DELETE_DAG", "SUCCEEDED")]
    after = workspace.traces()
    assert after["dags"] == {}
    assert (after["tables"], after["jobs"].keys()) == (before["tables"], before["jobs"].keys())
    assert {entry.resource.kind for entry in after["inventory"]} == {"coreetl_job", "iceberg_table"}
    assert workspace.labels(daily) == ["NOOP_TABLE", "NOOP_JOB"]
    workspace.project.dataset("daily", manifest_text(*FIELDS), SQL)
    assert workspace.labels(daily) == ["NOOP_TABLE", "UPDATE_JOB", "CREATE_DAG"]


def test_a_manifest_that_is_gone_is_listed_and_destroyed_only_with_prune(workspace: Workspace, daily: Path) -> None:
    workspace.project.dataset("other", manifest_text(*FIELDS), SQL)
    workspace.apply(workspace.folder)
    workspace.run(daily)
    daily.unlink()
    before = workspace.traces()
    folder = str(workspace.folder)

    planned = workspace.project.pretzel("plan", folder, "-o", "json")
    assert (planned.status, planned.document["orphaned"]) == (0, ["derived_dataset/daily"])
    assert planned.document["summary"] == {
        "create": 0, "update": 0, "replace": 0, "delete": 0, "adopt": 0, "noop": 3, "blocked": 0,
    }  # fmt: skip
    text = workspace.project.pretzel("plan", folder).out
    assert "derived_dataset/daily" in text
    assert "--prune" in text
    assert workspace.project.pretzel("apply", folder).status == 0
    assert workspace.plan(workspace.folder / "other.yaml").orphaned == ()  # a file says nothing of its neighbours
    assert workspace.traces() == before

    expected = ["DELETE_DAG", "DELETE_JOB", "BLOCKED_TABLE"]
    assert workspace.labels(workspace.folder, prune=True)[3:] == expected
    assert "3 rows" in workspace.plan(workspace.folder, prune=True).actions[-1].message
    assert workspace.traces() == before

    assert workspace.labels(workspace.folder, **ALL) == [*UNCHANGED, "DELETE_DAG", "DELETE_JOB", "DELETE_TABLE"]
    pruned = workspace.project.pretzel("apply", folder, "--prune", "--allow-destructive", "-o", "json")
    assert pruned.status == 0
    (destroyed,) = [each for each in pruned.document["operations"] if each["manifest"] == "derived_dataset/daily"]
    assert [(each["label"], each["status"]) for each in destroyed["results"]] == [
        ("DELETE_DAG", "SUCCEEDED"), ("DELETE_JOB", "SUCCEEDED"), ("DELETE_TABLE", "SUCCEEDED"),
    ]  # fmt: skip
    left = leftovers(workspace)
    assert (list(left["tables"]), list(left["plans"])) == (["derived_datasets.other"], ["derived_dataset/other"])
    assert (len(left["jobs"]), len(left["dags"]), len(left["inventory"])) == (1, 1, 3)
    assert workspace.plan(workspace.folder).orphaned == ()


def test_a_prune_without_leave_keeps_the_table_which_stays_an_orphan(workspace: Workspace, daily: Path) -> None:
    workspace.run(daily)
    daily.unlink()
    answer = workspace.project.pretzel("apply", str(workspace.folder), "--prune", "-o", "json")
    assert answer.status == 1
    assert results(answer) == [("DELETE_DAG", "SUCCEEDED"), ("DELETE_JOB", "SUCCEEDED"), ("BLOCKED_TABLE", "BLOCKED")]
    assert len(workspace.rows(TABLE)) == 3
    plan = workspace.plan(workspace.folder, **ALL)
    assert (plan.orphaned, [action.label for action in plan.actions]) == (("derived_dataset/daily",), ["DELETE_TABLE"])
    workspace.apply(workspace.folder, **ALL)
    assert leftovers(workspace) == NOTHING


def test_a_renamed_dataset_is_a_new_one_and_the_old_one_an_orphan(workspace: Workspace, daily: Path) -> None:
    daily.unlink()
    workspace.project.dataset("hourly", manifest_text(*FIELDS), SQL)
    labels = workspace.labels(workspace.folder, **ALL)
    assert labels == ["CREATE_TABLE", "CREATE_JOB", "CREATE_DAG", "DELETE_DAG", "DELETE_JOB", "DELETE_TABLE"]
    workspace.apply(workspace.folder, **ALL)
    assert list(leftovers(workspace)["tables"]) == ["derived_datasets.hourly"]


# Protection


def test_what_is_protected_is_not_destroyed_until_the_manifest_lifts_it(workspace: Workspace, daily: Path) -> None:
    assert workspace.labels(protected(workspace, "true")) == ["UPDATE_TABLE", "NOOP_JOB", "NOOP_DAG"]
    workspace.apply(daily)
    workspace.apply(protected(workspace, None))  # saying nothing lifts nothing
    workspace.run(daily)

    destroyed = workspace.project.pretzel("destroy", str(daily), "--yes", "-o", "json")
    assert destroyed.status == 1
    statuses = dict(results(destroyed))
    assert statuses["BLOCKED_TABLE"] == "BLOCKED"
    assert "protect: false" in next(each["error"] for each in destroyed.document["results"] if each["error"])
    assert len(workspace.rows(TABLE)) == 3
    assert workspace.apply(daily)[0].status is OperationStatus.SUCCEEDED

    daily.unlink()
    assert workspace.labels(workspace.folder, **ALL)[-1] == "BLOCKED_TABLE"
    pruned = workspace.project.pretzel("apply", str(workspace.folder), "--prune", "--allow-destructive")
    assert pruned.status == 1
    assert "protect: false" in pruned.out
    assert len(workspace.rows(TABLE)) == 3

    workspace.apply(protected(workspace, "false"))
    assert workspace.project.pretzel("destroy", str(daily), "--yes").status == 0
    assert leftovers(workspace) == NOTHING


def test_a_protected_table_refuses_a_destructive_change_and_takes_any_other(workspace: Workspace, daily: Path) -> None:
    workspace.apply(protected(workspace, "true"))
    workspace.project.dataset(
        "daily", manifest_text("order_id: string", protect="true"), "SELECT order_id FROM raw.orders"
    )
    action = workspace.plan(daily, allow_destructive=True).actions[0]
    assert (action.label, action.reason) == ("BLOCKED_TABLE", "protected")
    wider = manifest_text(*FIELDS, "country: string", protect="true")
    workspace.project.dataset("daily", wider, "SELECT order_id, amount, 'FI' AS country FROM raw.orders")
    workspace.apply(daily)
    narrower = manifest_text("order_id: string", protect="false")
    workspace.project.dataset("daily", narrower, "SELECT order_id FROM raw.orders")
    workspace.apply(daily, allow_destructive=True)
    assert list(workspace.columns(TABLE)) == ["order_id"]


# Who reads whom


@pytest.fixture
def chain(workspace: Workspace) -> list[Path]:
    """``a_last`` reads ``m_middle``, which reads ``z_first``: names in the other order than reading."""
    fields = manifest_text(*FIELDS, mode="overwrite")
    sources = {"a_last": ("+ 1", "m_middle"), "m_middle": ("* 10", "z_first")}
    return [
        *(
            workspace.project.dataset(
                name, fields, f"SELECT order_id, amount {change} AS amount FROM derived_datasets.{read}"
            )
            for name, (change, read) in sources.items()
        ),
        workspace.project.dataset("z_first", fields, SQL),
    ]


def test_who_is_read_is_planned_applied_and_run_first_and_destroyed_last(
    workspace: Workspace, chain: list[Path]
) -> None:
    order = ["derived_dataset/z_first", "derived_dataset/m_middle", "derived_dataset/a_last"]
    planned = workspace.project.pretzel("plan", *map(str, chain), "-o", "json")
    assert [each["id"] for each in planned.document["manifests"]] == order
    applied = workspace.project.pretzel("apply", str(workspace.folder), "-o", "json")
    assert [each["manifest"] for each in applied.document["operations"]] == order

    ran = workspace.project.pretzel("run", *map(str, chain), "--reads", "overlay", "-o", "json")
    assert [each["manifest"] for each in ran.document["executions"]] == order, ran
    # The jobs were applied to read production, where none of these tables is.
    assert [each["status"] for each in ran.document["executions"]] == ["SUCCEEDED", "FAILED", "CANCELLED"]
    assert ran.status == 1

    overlaid = workspace.project.pretzel("apply", str(workspace.folder), "--reads", "overlay", "-o", "json")
    assert overlaid.status == 0
    ran = workspace.project.pretzel("run", *map(str, chain), "--reads", "overlay", "-o", "json")
    assert (ran.status, [each["status"] for each in ran.document["executions"]]) == (0, ["SUCCEEDED"] * 3)
    assert [row["amount"] for row in workspace.rows("derived_datasets.a_last")] == [11, 21, 31]

    destroyed = workspace.project.pretzel("destroy", str(workspace.folder), "--yes", "-o", "json")
    assert destroyed.status == 0
    assert [each["manifest"] for each in destroyed.document["operations"]] == order[::-1]
    for each in destroyed.document["operations"]:
        assert [result["label"] for result in each["results"]] == ["DELETE_DAG", "DELETE_JOB", "DELETE_TABLE"]
    assert leftovers(workspace) == NOTHING


def test_a_pruned_chain_goes_reader_first(workspace: Workspace, chain: list[Path]) -> None:
    workspace.apply(workspace.folder)
    for path in chain[1:]:
        path.unlink()
    plan = workspace.plan(workspace.folder, **ALL)
    assert [each.id for each in plan.manifests] == [
        "derived_dataset/a_last", "derived_dataset/m_middle", "derived_dataset/z_first",
    ]  # fmt: skip
    assert [each.destroys for each in plan.manifests] == [False, True, True]


# Destruction


def test_destroying_leaves_nothing_and_a_second_time_does_nothing(workspace: Workspace, daily: Path) -> None:
    workspace.run(daily)
    production = workspace.project.production_files()
    answer = workspace.project.pretzel("destroy", str(daily), "--yes", "-o", "json")
    assert (answer.status, answer.document["status"]) == (0, "SUCCEEDED")
    assert results(answer) == [
        ("DELETE_DAG", "SUCCEEDED"), ("DELETE_JOB", "SUCCEEDED"), ("DELETE_TABLE", "SUCCEEDED"),
    ]  # fmt: skip
    assert leftovers(workspace) == NOTHING
    assert workspace.project.catalog().list_namespaces() == []
    assert workspace.project.production_files() == production
    before = workspace.traces()
    assert workspace.project.pretzel("destroy", str(daily), "--yes").status == 0
    assert workspace.traces() == before
    assert workspace.labels(daily) == ["CREATE_TABLE", "CREATE_JOB", "CREATE_DAG"]
    workspace.apply(daily)
    assert workspace.rows(TABLE) == []
    assert workspace.run(daily) == 3


def test_destroying_without_a_yes_asks_and_where_nobody_answers_does_nothing(workspace: Workspace, daily: Path) -> None:
    before = workspace.traces()
    answer = workspace.project.pretzel("destroy", str(daily))
    assert answer.status != 0
    assert "--yes" in answer.err
    assert workspace.traces() == before


def test_a_manifest_that_is_gone_can_be_destroyed_by_its_id(workspace: Workspace, daily: Path) -> None:
    daily.unlink()
    assert workspace.project.pretzel("destroy", "derived_dataset/daily", "--yes").status == 0
    assert leftovers(workspace) == NOTHING


def test_destroying_a_folder_whose_manifests_are_gone_says_how_to_do_it(workspace: Workspace, daily: Path) -> None:
    daily.unlink()
    answer = workspace.project.pretzel("destroy", "manifests", "--yes")
    assert answer.status == 1
    assert "what they created is still there: derived_dataset/daily" in answer.err
    assert "`pretzel destroy derived_dataset/daily` destroys it" in answer.err
    assert "`pretzel plan manifests --prune`" in answer.err
    assert workspace.project.pretzel("destroy", "derived_dataset/daily", "--yes").status == 0
    answer = workspace.project.pretzel("destroy", "manifests", "--yes")
    assert "no manifests in manifests" in answer.err
    assert "still there" not in answer.err


@pytest.mark.parametrize("command", ["lint", "plan"])
def test_the_sql_given_in_place_of_its_manifest_is_told_apart(workspace: Workspace, daily: Path, command: str) -> None:
    answer = workspace.project.pretzel(command, str(daily.with_suffix(".sql")))
    assert answer.status == 1
    assert "daily.sql is not a manifest" in answer.err
    assert f"give the .yaml beside it: {daily}" in answer.err


def test_what_somebody_has_deleted_already_is_destroyed_all_the_same(workspace: Workspace, daily: Path) -> None:
    workspace.project.catalog().drop_table(TABLE)
    for file in (workspace.project.root / ".dcp" / "dags").glob("*.py"):
        file.unlink()
    assert workspace.labels(daily) == ["CREATE_TABLE", "NOOP_JOB", "CREATE_DAG"]
    assert workspace.project.pretzel("destroy", str(daily), "--yes").status == 0
    assert leftovers(workspace) == NOTHING


# Files that are gone


@pytest.mark.parametrize(
    "command", [["destroy", "manifests"], ["playground", "destroy"]], ids=["destroy", "playground"]
)
def test_a_table_whose_files_are_gone_can_be_taken_away(workspace: Workspace, daily: Path, command: list[str]) -> None:
    shutil.rmtree(workspace.project.root / ".dcp" / "warehouse" / "pedregal-playground-alice")
    previewed = workspace.project.pretzel("preview", str(daily), "-o", "json")
    assert (previewed.status, previewed.document["error"]["code"]) == (1, "iceberg.metadata_lost")
    planned = workspace.project.pretzel("plan", str(daily))
    assert f"the catalog has table {TABLE}, and its metadata file" in planned.out
    assert "Next: pretzel apply" not in planned.out
    answer = workspace.project.pretzel(*command, "--yes")
    assert answer.status == 0, answer
    assert leftovers(workspace) == NOTHING
    assert workspace.project.pretzel("apply", str(daily)).status == 0
    assert workspace.labels(daily) == UNCHANGED
