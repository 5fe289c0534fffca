"""Plans that are saved, stale, refused, adopted or pruned; and what is taken away, in which order.

Source: design.md sections 6 and 8.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core import LogicalPlan, OperationStatus, PlanOptions, Plugin, Resource
from dcp_core.registry import PLUGINS
from tests.end_to_end.projects import PLAYGROUND, Answer, Project
from tests.end_to_end.workspaces import Workspace, manifest_text

TABLE = "derived_datasets.daily"
JOB = "playground_alice__daily_job"
DAG = "playground_alice__daily_dag"
FIELDS = ("order_id: string", "amount: long")
CREATED = ["CREATE_TABLE", "CREATE_JOB", "CREATE_DAG"]
UNCHANGED = ["NOOP_TABLE", "NOOP_JOB", "NOOP_DAG"]


@pytest.fixture
def workspace(project: Project) -> Iterator[Workspace]:
    opened = Workspace.open(project)
    yield opened
    opened.close()


@pytest.fixture
def daily(workspace: Workspace) -> Path:
    """An applied dataset with a partition, a sort order, a property and two rows."""
    path = workspace.project.dataset("daily", daily_text())
    workspace.apply(path)
    fill(workspace, {"order_id": "x", "amount": 1}, {"order_id": "y", "amount": 2})
    return path


def daily_text(*fields: str, **more: str) -> str:
    layout = {"partition_by": "[order_id]", "sort_by": "[amount]", "properties": "{team.note: a}"}
    return manifest_text(*(fields or FIELDS), **layout, **more)


def fill(workspace: Workspace, *rows: dict[str, Any]) -> None:
    """As another program writes."""
    import pyarrow as pa

    table = workspace.table(TABLE)
    table.append(pa.Table.from_pylist(list(rows), schema=table.schema().as_arrow()))


def edit(workspace: Workspace, schedule: str = "5 * * * *") -> Path:
    """A wider table with one more column, and a DAG at another time."""
    return workspace.project.dataset(
        "daily", daily_text(*FIELDS, "country: string", schedule=schedule),
        "SELECT order_id, amount, 'FI' AS country FROM raw.orders",
    )  # fmt: skip


def save(workspace: Workspace, path: Path, *options: str) -> str:
    file = str(workspace.project.root / "saved.plan")
    answer = workspace.project.pretzel("plan", str(path), "--out", file, *options)
    assert answer.status == 0, answer
    return file


def labels_of(answer: Answer) -> list[str]:
    return [result["label"] for result in answer.document["results"]]


def is_refused(workspace: Workspace, file: str, *words: str) -> None:
    """Exit status 1, the words in text and in JSON, a REFUSED record each time, and no other trace."""
    before = workspace.traces()
    text = workspace.project.pretzel("apply", "--plan", file)
    answer = workspace.project.pretzel("apply", "--plan", file, "-o", "json")
    assert (text.status, answer.status) == (1, 1)
    message = answer.document["error"]["message"]
    for word in words:
        assert word in message
        assert word in text.err
    assert answer.document["error"]["hint"] == "plan again"
    after = workspace.traces()
    newest = after["audit"][:2]
    assert [(each.outcome, each.user, each.environment) for each in newest] == [
        (OperationStatus.REFUSED, "alice", PLAYGROUND)
    ] * 2
    assert message in newest[0].message
    listed = workspace.project.pretzel("audit", "list", "-o", "json")
    assert "REFUSED" in listed.out
    assert {**after, "audit": after["audit"][2:]} == before


# Freshness


def add_column(table: Any) -> None:
    from pyiceberg.types import StringType

    with table.update_schema() as update:
        update.add_column("sneaked_in", StringType())


def describe_column(table: Any) -> None:
    with table.update_schema() as update:
        update.update_column("amount", doc="changed by hand")


def repartition(table: Any) -> None:
    with table.update_spec() as update:
        update.add_identity("amount")


def sort_otherwise(table: Any) -> None:
    from pyiceberg.transforms import IdentityTransform

    with table.update_sort_order() as update:
        update.desc("amount", IdentityTransform())


def set_property(table: Any) -> None:
    with table.transaction() as transaction:
        transaction.set_properties({"team.note": "changed by hand"})


def take_the_mark(table: Any) -> None:
    with table.transaction() as transaction:
        transaction.remove_properties("dcp.manifest")


def drop(table: Any) -> None:
    table.catalog.drop_table(TABLE)


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (add_column, "has changed"), (describe_column, "has changed"), (repartition, "has changed"),
        (sort_otherwise, "has changed"), (set_property, "has changed"), (take_the_mark, "has changed"),
        (drop, "was deleted"),
    ],
)  # fmt: skip
def test_a_saved_plan_is_refused_when_another_program_has_altered_the_table(
    workspace: Workspace, daily: Path, alter: Callable[[Any], None], words: str
) -> None:
    file = save(workspace, edit(workspace))
    alter(workspace.table(TABLE))
    is_refused(workspace, file, f"the table {TABLE} {words} after the plan was made")


def test_a_saved_plan_is_refused_when_a_table_that_it_left_alone_was_altered(workspace: Workspace, daily: Path) -> None:
    untouched = save(workspace, daily)
    add_column(workspace.table(TABLE))
    is_refused(workspace, untouched, f"the table {TABLE} has changed")


def test_a_saved_creation_is_refused_when_somebody_has_created_the_table(workspace: Workspace) -> None:
    file = save(workspace, workspace.project.dataset("daily", daily_text()))
    foreign_table(workspace)
    is_refused(workspace, file, f"the table {TABLE} was created")
    assert workspace.traces()["inventory"] == ()


def test_a_saved_plan_is_refused_when_the_dag_file_was_edited(workspace: Workspace, daily: Path) -> None:
    file = save(workspace, edit(workspace))
    deployed = workspace.project.root / ".dcp" / "dags" / f"{DAG}.py"
    deployed.write_text(deployed.read_text().replace("0 * * * *", "1 * * * *"))
    is_refused(workspace, file, f"the dag {DAG} has changed")


def test_rows_written_by_another_program_do_not_make_a_plan_stale(workspace: Workspace, daily: Path) -> None:
    path = edit(workspace)
    file = save(workspace, path)
    fill(workspace, {"order_id": "z", "amount": 3})
    workspace.table(TABLE).delete("order_id = 'x'")
    answer = workspace.project.pretzel("apply", "--plan", file, "-o", "json")
    assert (answer.status, labels_of(answer)) == (0, ["UPDATE_TABLE", "UPDATE_JOB", "UPDATE_DAG"])
    assert workspace.rows(TABLE) == [
        {"order_id": "y", "amount": 2, "country": None}, {"order_id": "z", "amount": 3, "country": None},
    ]  # fmt: skip
    assert workspace.labels(path) == UNCHANGED


def test_a_saved_plan_does_what_was_shown_whatever_became_of_the_manifest_and_only_once(
    workspace: Workspace, daily: Path
) -> None:
    workspace.apply(edit(workspace))
    without_country = workspace.project.dataset("daily", daily_text(), "SELECT order_id, amount FROM raw.orders")
    file = save(workspace, without_country, "--allow-destructive")
    daily.unlink()
    answer = workspace.project.pretzel("apply", "--plan", file, "-o", "json")
    assert (answer.status, labels_of(answer)) == (0, ["UPDATE_TABLE", "UPDATE_JOB", "UPDATE_DAG"])
    assert workspace.columns(TABLE) == {"order_id": "string", "amount": "long"}
    is_refused(workspace, file, f"the table {TABLE} has changed")


@pytest.mark.parametrize("name", ["derived_dataset", "iceberg_table"])
def test_a_plan_made_with_another_version_of_a_plugin_or_primitive_is_refused(
    workspace: Workspace, daily: Path, name: str
) -> None:
    file = save(workspace, edit(workspace))
    document = json.loads(Path(file).read_text())
    made_with = document["plan"]["plugins"][name]
    distribution = made_with.partition("==")[0]
    document["plan"]["plugins"][name] = f"{distribution}==99.0"
    Path(file).write_text(json.dumps(document))
    is_refused(workspace, file, f"{distribution}==99.0", made_with)


# Ownership


def foreign_table(workspace: Workspace, *more: Any) -> None:
    """The dataset's table, made by another program, with a row."""
    import pyarrow as pa

    catalog = workspace.project.catalog()
    catalog.create_namespace_if_not_exists("derived_datasets")
    fields = [("order_id", pa.string()), ("amount", pa.int64()), *more]
    table = catalog.create_table(TABLE, pa.schema(fields))
    table.append(pa.Table.from_pylist([{"order_id": "theirs", "amount": 7}], schema=pa.schema(fields)))


def test_a_table_of_somebody_else_is_blocked_until_it_is_adopted(workspace: Workspace) -> None:
    foreign_table(workspace)
    path = workspace.project.dataset("daily", daily_text(description="One row per order."))
    location = workspace.table(TABLE).metadata_location
    planned = workspace.project.pretzel("plan", str(path), "-o", "json")
    assert planned.status == 0
    blocked = planned.document["manifests"][0]["actions"][0]
    assert (blocked["label"], blocked["reason"], blocked["wants"]) == ("BLOCKED_TABLE", "not_owned", "adopt")
    assert "--adopt" in blocked["message"]
    applied = workspace.project.pretzel("apply", str(path), "-o", "json")
    assert applied.status == 1
    statuses = [(each["label"], each["status"]) for each in applied.document["results"]]
    assert statuses == [("BLOCKED_TABLE", "BLOCKED"), ("CREATE_JOB", "SKIPPED"), ("CREATE_DAG", "SKIPPED")]
    assert workspace.table(TABLE).metadata_location == location
    assert workspace.traces()["inventory"] == ()

    assert workspace.labels(path, adopt=True) == ["ADOPT_TABLE", "CREATE_JOB", "CREATE_DAG"]
    adopted = workspace.project.pretzel("apply", str(path), "--adopt", "-o", "json")
    assert (adopted.status, labels_of(adopted)) == (0, ["ADOPT_TABLE", "CREATE_JOB", "CREATE_DAG"])
    assert workspace.labels(path) == UNCHANGED
    assert workspace.rows(TABLE) == [{"order_id": "theirs", "amount": 7}]
    assert workspace.table(TABLE).properties["comment"] == "One row per order."
    assert workspace.run(path) == 3
    assert len(workspace.rows(TABLE)) == 4


def test_adopting_drops_nothing_without_leave(workspace: Workspace) -> None:
    import pyarrow as pa

    foreign_table(workspace, ("secret_of_theirs", pa.string()))
    path = workspace.project.dataset("daily", daily_text())
    action = workspace.plan(path, adopt=True).actions[0]
    assert (action.label, action.reason, action.wants) == ("BLOCKED_TABLE", "destructive", "adopt")
    assert workspace.labels(path, adopt=True, allow_destructive=True)[0] == "ADOPT_TABLE"
    declared = workspace.project.dataset(
        "daily", daily_text(*FIELDS, "secret_of_theirs: string"),
        "SELECT order_id, amount, 'mine' AS secret_of_theirs FROM raw.orders",
    )  # fmt: skip
    workspace.apply(declared, adopt=True)
    assert workspace.rows(TABLE) == [{"order_id": "theirs", "amount": 7, "secret_of_theirs": None}]


def test_two_files_that_want_one_table_are_an_error_that_names_both(workspace: Workspace, daily: Path) -> None:
    other = workspace.project.write(str(daily.with_name("again.yaml")), daily.read_bytes())
    before = workspace.traces()
    for command in ("plan", "apply"):
        answer = workspace.project.pretzel(command, str(daily.parent), "-o", "json")
        assert answer.status == 1
        (finding,) = answer.document["diagnostics"]
        assert finding["code"] == "manifest.duplicate"
        named = {Path(finding["file"]).name, Path(finding["message"].split()[-1]).name}
        assert named == {other.name, daily.name}
    assert workspace.traces() == before


def test_a_table_of_another_manifest_is_never_taken_over(workspace: Workspace, daily: Path) -> None:
    (theirs,) = workspace.compile(daily)
    wanted = workspace.plan(daily).actions[0].resource

    class Copycat(Plugin):
        manifest_type = "copycat"

        def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
            return (attrs.evolve(wanted, manifest_id=logical_plan.id),)

    workspace.dcp.registry.register(PLUGINS, "copycat", Copycat, "copycat==1.0")
    copy = attrs.evolve(theirs, plugin_type="copycat", id="copycat/daily")
    for options in ({}, {"adopt": True, "allow_destructive": True}):
        plan = workspace.dcp.plan(copy, options=PlanOptions(**options))
        (action,) = plan.actions
        assert (action.label, action.reason) == ("BLOCKED_TABLE", "owned_by_other")
        assert "derived_dataset/daily" in action.message
        (operation,) = workspace.dcp.apply(plan)
        assert operation.status is OperationStatus.FAILED
    assert workspace.labels(daily) == UNCHANGED
