"""Layouts of DAGs in a folder: what is where, what moves, what is seen of edits, what is undone."""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcp_core.errors import InvalidSpecError, PermanentError
from dcp_core.model import Owner, Resource
from dcp_primitives.airflow.layouts import Layout
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow.rendering import happened_to, render, state_of, version_of
from dcp_primitives.airflow.templates import shipped
from dcp_primitives.airflow_dag import AirflowDag, AirflowDagPrimitive
from tests.dcp_primitives.airflow_places import OWNER, TEMPLATE, context, files, text, values

PRIMITIVE = AirflowDagPrimitive()
SHARDED: dict[str, Any] = {"layout": "sharded", "shards": 4}


@pytest.fixture
def dag(logical_plan: Callable[..., Any]) -> Callable[..., Resource]:
    def make(**changes: Any) -> Resource:
        wanted: dict[str, Any] = {"dag_id": "orders_dag", "job_id": "orders_job", "schedule": "@hourly", "owner": "de"}
        return AirflowDag(**{**wanted, **changes}).resource(logical_plan())

    return make


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    return tmp_path / ".dcp" / "dags"


def apply(resource: Resource, ctx: Any) -> list[tuple[str, Any]]:
    """The changes, made; afterwards there are none."""
    desired, actual = PRIMITIVE.get_desired_state(resource, ctx), PRIMITIVE.get_actual_state(resource, ctx)
    changes = PRIMITIVE.compare(resource, desired, actual)
    if actual is None:
        PRIMITIVE.create(resource, desired, ctx)
    elif desired != actual:
        PRIMITIVE.update(resource, desired, actual, ctx)
    again = PRIMITIVE.get_actual_state(resource, ctx)
    assert again == desired
    assert PRIMITIVE.compare(resource, desired, again) == ()
    return [(change.field, change.actual) for change in changes]


def test_a_dag_file_carries_the_version_that_its_digest_begins_with(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    place = place_of(ctx)
    done = place.write("orders", text(ctx, "orders"))
    assert (done.file, done.previous, done.commit, done.document) == ("orders.py", None, None, None)
    found = place.read("orders")
    assert found is not None
    state = state_of(found)
    assert f'\nDAG_VERSION = "{version_of(state.values["content_digest"])}"\n' in found.text
    assert not state.info["edited"]


@pytest.mark.parametrize("settings", [{}, SHARDED], ids=["files", "sharded"])
def test_a_version_changed_by_hand_is_an_edit(tmp_path: Path, settings: dict[str, Any]) -> None:
    ctx = context(tmp_path, **settings)
    place = place_of(ctx)
    file = (
        tmp_path
        / ".dcp"
        / "dags"
        / (lambda done: done.document or done.file)(place.write("orders", text(ctx, "orders")))
    )
    found = place.read("orders")
    assert found is not None
    version = version_of(state_of(found).values["content_digest"])
    file.write_text(file.read_text().replace(f'"{version}"', '"0123456789ab"'))
    edited = place.read("orders")
    assert edited is not None
    assert happened_to(state_of(edited)) == "edited by hand"


def test_a_paused_dag_is_not_started_by_its_upstream_tables_either(
    dag: Any, tmp_path: Path, dags: Path, load_dag: Callable[[Path], tuple[Any, dict[str, Any]]]
) -> None:
    ctx = context(tmp_path)
    reads = {"raw.orders": ("pedregal.raw.orders",)}
    resource = dag(schedule=None, upstream="assets", reads=reads, waits_for=("raw.orders",))
    apply(resource, ctx)
    assert PRIMITIVE.pause(resource, ctx)
    _, namespace = load_dag(dags / "orders_dag.py")
    assert namespace["dag_options"]["schedule"] is None


def test_each_change_of_a_document_is_told_field_by_field_and_undone(dag: Any, tmp_path: Path, dags: Path) -> None:
    ctx = context(tmp_path, **SHARDED)
    apply(dag(), ctx)
    assert apply(dag(retries=5), ctx) == [("retries", 2)]
    (document,) = dags.glob("dcp/*/orders_dag.json")
    original = document.read_text()
    document.write_text(original.replace('"retries": 5', '"retries": 7'))
    assert apply(dag(retries=5), ctx) == [("retries", 7)]
    document.write_text(original.replace('"spec"', '"mine": 1, "spec"'))
    assert apply(dag(retries=5), ctx) == [("content", "edited by hand")]
    document.write_text(original[:-20])
    broken = PRIMITIVE.get_actual_state(dag(), ctx)
    assert broken is not None
    assert broken.owner is not None, "a document that is JSON no more is still known as ours"
    assert apply(dag(retries=5), ctx) == [("content", "edited by hand")]
    assert document.read_text() == original


@pytest.mark.parametrize(("kind", "happened"), [("loader", "edited by hand"), ("checker", "edited by hand")])
def test_a_loader_that_is_edited_or_gone_is_drift_of_its_dags(
    dag: Any, tmp_path: Path, dags: Path, kind: str, happened: str
) -> None:
    ctx = context(tmp_path, **SHARDED)
    apply(dag(), ctx)
    (file,) = dags.glob(f"dcp/{kind}_*.py")
    original, revision = file.read_text(), PRIMITIVE.get_revisions([dag()], ctx)
    file.write_text(original + "# mine\n")
    assert PRIMITIVE.get_revisions([dag()], ctx) != revision
    assert apply(dag(), ctx) == [("content", f"dcp/{file.name}, which reads it, was {happened}")]
    file.unlink()
    assert apply(dag(), ctx) == [("content", f"dcp/{file.name}, which reads it, is gone")]
    assert file.read_text() == original


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, SHARDED),
        (SHARDED, {}),
        (SHARDED, SHARDED | {"shards": 7}),
        (SHARDED, SHARDED | {"template": "template.py"}),
    ],
    ids=["to shards", "to files", "more shards", "another template"],
)
def test_a_changed_layout_moves_a_dag_at_the_next_apply_and_leaves_nothing_behind(
    dag: Any, tmp_path: Path, dags: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    (tmp_path / "template.py").write_text(TEMPLATE)
    first, second = context(tmp_path, **before), context(tmp_path, **after)
    other = dag(dag_id="other_dag")
    for each in (dag(), other):
        apply(each, first)
    (change,) = apply(dag(), second)
    assert change[0] == "content"
    assert "belongs in" in change[1]
    assert len([file for file in files(dags) if "orders_dag" in file]) == 1
    apply(other, second)
    alone = tmp_path / "alone"
    fresh = context(tmp_path, **(after | {"dags_folder": "alone"}))
    for each in (dag(), other):
        apply(each, fresh)
    assert files(dags) == files(alone)


def test_a_dag_that_is_in_two_layouts_is_in_one_after_an_apply(dag: Any, tmp_path: Path, dags: Path) -> None:
    apply(dag(), context(tmp_path))
    text_before = (dags / "orders_dag.py").read_text()
    ctx = context(tmp_path, **SHARDED)
    apply(dag(), ctx)
    (dags / "orders_dag.py").write_text(text_before)
    assert apply(dag(), ctx) == [("content", "is in orders_dag.py too")]
    assert not (dags / "orders_dag.py").exists()


def test_a_file_of_somebody_else_beside_a_document_is_left_alone(dag: Any, tmp_path: Path, dags: Path) -> None:
    ctx = context(tmp_path, **SHARDED)
    apply(dag(), ctx)
    (dags / "orders_dag.py").write_text("print('mine')\n")
    assert apply(dag(), ctx) == []
    apply(dag(retries=4), ctx)
    PRIMITIVE.delete(dag(), ctx)
    assert files(dags) == ["orders_dag.py"]
    found = PRIMITIVE.get_actual_state(dag(), ctx)
    assert found is not None
    assert found.owner is None


def test_the_last_document_takes_its_loader_with_it(tmp_path: Path, dags: Path) -> None:
    ctx = context(tmp_path, **SHARDED)
    place = place_of(ctx)
    for name in ("a", "b", "c", "d", "e", "f"):
        place.write(name, text(ctx, name))
    for name in ("a", "b", "c", "d", "e"):
        place.remove(name)
    (document,) = dags.glob("dcp/*/*.json")
    assert len(files(dags)) == 3
    assert f"dcp/{document.parent.name}.py" in files(dags)
    place.remove("f")
    assert files(dags) == []


@pytest.mark.parametrize("after", [{}, SHARDED], ids=["files", "sharded"])
@pytest.mark.parametrize("before", [None, {}, SHARDED], ids=["nothing", "files", "sharded"])
def test_what_was_written_is_undone_to_the_byte(
    tmp_path: Path, dags: Path, before: dict[str, Any] | None, after: dict[str, Any]
) -> None:
    if before is not None:
        first = context(tmp_path, **before)
        place_of(first).write("orders", text(first, "orders", retries=1))
    contents = {file: (dags / file).read_bytes() for file in files(dags)}
    ctx = context(tmp_path, **after)
    done = place_of(ctx).write("orders", text(ctx, "orders", retries=9))
    assert (done.previous is None) == (before is None)
    place_of(ctx).restore("orders", done)
    assert {file: (dags / file).read_bytes() for file in files(dags)} == contents


def test_undoing_leaves_what_others_have_deployed_to_the_same_loader(tmp_path: Path, dags: Path) -> None:
    ctx = context(tmp_path, layout="sharded", shards=1)
    place = place_of(ctx)
    done = place.write("orders", text(ctx, "orders"))
    place.write("returns", text(ctx, "returns"))
    place.restore("orders", done)
    assert place.read("orders") is None
    found = place.read("returns")
    assert found is not None
    assert found.faults == ()


def test_many_are_read_as_one_is(tmp_path: Path) -> None:
    ctx = context(tmp_path, **SHARDED)
    place = place_of(ctx)
    for name in ("a", "b"):
        place.write(name, text(ctx, name))
    many = place.read_many(["a", "b", "c"])
    assert many == {name: place.read(name) for name in ("a", "b", "c")}
    assert many["c"] is None
    assert place.revisions(["a", "b", "c"]) == {name: many[name].revision for name in ("a", "b")}  # type: ignore[union-attr]


def test_the_revision_of_one_document_does_not_move_with_its_neighbours(tmp_path: Path) -> None:
    ctx = context(tmp_path, layout="sharded", shards=1)
    place = place_of(ctx)
    place.write("a", text(ctx, "a"))
    first = place.revisions(["a"])
    place.write("b", text(ctx, "b"))
    assert place.revisions(["a"]) == first
    place.write("a", text(ctx, "a", retries=9))
    assert place.revisions(["a"]) != first


@pytest.mark.parametrize("dag_id", ["../evil", "a/b", "", ".hidden", "a..b"])
def test_no_place_takes_a_name_that_is_a_path(tmp_path: Path, dag_id: str) -> None:
    place = place_of(context(tmp_path, **SHARDED))
    for deed in (place.read, place.remove, place.is_paused, place.describe):
        with pytest.raises(InvalidSpecError):
            deed(dag_id)
    with pytest.raises(InvalidSpecError):
        place.write(dag_id, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [{}, SHARDED], ids=["files", "sharded"])
def test_a_value_that_is_no_text_is_refused(dag: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpecError):
        PRIMITIVE.get_desired_state(dag(description="\ud800"), context(tmp_path, **settings))


def test_more_files_than_the_threshold_are_told_once(
    tmp_path: Path, dags: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from dcp_primitives.airflow.places.opening import MANY_FILES

    ctx = context(tmp_path)
    dags.mkdir(parents=True)
    for number in range(MANY_FILES):
        (dags / f"dag_{number}.py").touch()
    with caplog.at_level(logging.WARNING, "dcp"):
        place_of(ctx).read("orders")
    assert caplog.messages == []
    (dags / "one_more.py").touch()
    ctx = context(tmp_path)
    with caplog.at_level(logging.WARNING, "dcp"):
        place_of(ctx).read("orders")
        place_of(ctx).write("orders", text(ctx, "orders"))
        place_of(context(tmp_path, **SHARDED)).read("orders")
    assert len(caplog.messages) == 1
    assert f"{MANY_FILES + 1} DAG files are many for Airflow" in caplog.messages[0]


def test_a_folder_that_is_a_file_is_said_so_in_shards_too(tmp_path: Path, dags: Path) -> None:
    dags.mkdir(parents=True)
    (dags / "dcp").write_text("")
    ctx = context(tmp_path, **SHARDED)
    with pytest.raises(PermanentError, match="dcp"):
        place_of(ctx).write("orders", text(ctx, "orders"))


def _deploy_and_remove(root: Path, part: int) -> None:
    ctx = context(root, layout="sharded", shards=2)
    place = place_of(ctx)
    for number in range(25):
        place.write(f"dag_{part}_{number}", text(ctx, f"dag_{part}_{number}"))
        if number % 3:
            place.remove(f"dag_{part}_{number}")


def test_processes_that_deploy_to_the_same_loaders_at_once_lose_nothing(tmp_path: Path, dags: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    children = [spawn.Process(target=_deploy_and_remove, args=(tmp_path, part)) for part in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    names = [f"dag_{part}_{number}" for part in range(3) for number in range(0, 25, 3)]
    found = place_of(context(tmp_path, layout="sharded", shards=2)).read_many(names)
    assert {name: each.faults if each else None for name, each in found.items()} == dict.fromkeys(names, ())
    assert len(files(dags)) == len(names) + 3


def test_the_same_values_are_the_same_text_whatever_the_place(tmp_path: Path) -> None:
    layout = Layout(shipped(), 4)
    first = render(values("orders"), OWNER, layout=layout)
    assert first == render(values("orders"), OWNER, layout=layout)
    assert first != render(values("orders"), Owner("derived_dataset/other", "production"), layout=layout)
    assert json.loads(first)["spec"] == values("orders")
