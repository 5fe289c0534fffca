"""Loaders and templates: which DAGs Airflow finds in what was deployed, and what broken documents do."""

from __future__ import annotations

import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from dcp_core.errors import InvalidSpecError, SettingsError
from dcp_primitives.airflow.layouts import loader_file
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow.rendering import happened_to, owner_in, state_of
from dcp_primitives.airflow.templates import LAST_LINE, SPEC_LINE, VERSION_LINE, Template, shipped
from tests.dcp_primitives.airflow_places import OWNER, TEMPLATE, context, files, text

SHARDED: dict[str, Any] = {"layout": "sharded", "shards": 4}
LAYOUTS = pytest.mark.parametrize("layout", [{}, SHARDED], ids=["files", "sharded"])


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    return tmp_path / ".dcp" / "dags"


def load(file: Path, monkeypatch: pytest.MonkeyPatch, running: str | None = None) -> dict[str, Any]:
    """Run a file as Airflow does and give the DAGs that it would find: those in globals, and those that register."""
    found: list[Any] = []

    class Dag:
        def __init__(self, **options: Any) -> None:
            self.options = options

        def __enter__(self) -> Dag:
            return self

        def __exit__(self, *_error: object) -> None:
            if self.options.get("auto_register", True):
                found.append(self)

    sdk = types.ModuleType("airflow.sdk")
    vars(sdk).update(DAG=Dag, get_parsing_context=lambda: types.SimpleNamespace(dag_id=running))
    monkeypatch.setitem(sys.modules, "airflow", types.ModuleType("airflow"))
    monkeypatch.setitem(sys.modules, "airflow.sdk", sdk)
    namespace: dict[str, Any] = {"__name__": "dag_file", "__file__": str(file)}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    found += [each for each in namespace.values() if isinstance(each, Dag)]
    return {each.options["dag_id"]: each.options for each in found}


def sharded(tmp_path: Path, **changes: Any) -> Any:
    """A context with the little template."""
    (tmp_path / "template.py").write_text(TEMPLATE)
    return context(tmp_path, template="template.py", **(SHARDED | changes))


def test_a_sharded_dag_is_a_document_that_a_loader_reads_with_others(
    tmp_path: Path, dags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = sharded(tmp_path, shards=2)
    names = [f"dag_{number}" for number in range(12)]
    for name in names:
        done = place_of(ctx).write(name, text(ctx, name))
        assert done.document is not None
        assert done.file == loader_file(done.document)
    loaders = sorted(dags.glob("dcp/loader_*.py"))
    assert len(loaders) == 2
    loaded = [load(loader, monkeypatch) for loader in loaders]
    assert sorted(name for each in loaded for name in each) == sorted(names)
    assert all(loaded), "both have some"
    assert load(next(dags.glob("dcp/checker_*.py")), monkeypatch) == {}
    one = loaded[0][min(loaded[0])]
    assert (one["schedule"], len(one["tags"][0])) == ("@daily", 12)


def test_what_runs_in_a_worker_is_made_alone(tmp_path: Path, dags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = sharded(tmp_path, shards=1)
    for name in ("a", "b", "c"):
        place_of(ctx).write(name, text(ctx, name))
    (dags / place_of(ctx).read("c").file).write_text("{")  # type: ignore[union-attr]
    (loader,) = dags.glob("dcp/loader_*.py")
    assert set(load(loader, monkeypatch, running="b")) == {"b"}
    with pytest.raises(json.JSONDecodeError):
        load(loader, monkeypatch, running="c")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("{", "JSONDecodeError"),
        ('{"spec": {}}', "KeyError"),
        (None, "ZeroDivisionError: division by zero (line "),
    ],
    ids=["no JSON", "no DAG", "the template fails half-way"],
)
def test_a_broken_document_is_named_and_takes_no_other_with_it(
    tmp_path: Path, dags: Path, monkeypatch: pytest.MonkeyPatch, damage: str | None, told: str
) -> None:
    ctx = sharded(tmp_path, shards=1)
    place = place_of(ctx)
    place.write("good", text(ctx, "good"))
    done = place.write("bad", text(ctx, "bad", retries=0 if damage is None else 1))
    if damage is not None:
        (dags / str(done.document)).write_text(damage)
    assert set(load(dags / done.file, monkeypatch)) == {"good"}
    with pytest.raises(ValueError, match=r"bad\.json: ") as problem:
        load(dags / str(done.checker), monkeypatch)
    assert told in str(problem.value)
    assert "good" not in str(problem.value)
    assert done.concerns(str(done.checker), str(problem.value))
    good = place.write("good", text(ctx, "good", retries=1))
    assert not good.concerns(str(good.checker), str(problem.value))
    assert good.concerns(good.file, "SyntaxError")


def test_a_paused_document_has_no_schedule_and_is_the_same_dag(
    tmp_path: Path, dags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = sharded(tmp_path)
    place = place_of(ctx)
    done = place.write("orders", text(ctx, "orders"))
    before = place.read("orders")
    place.mark_paused("orders", True)
    woken = place.read("orders")
    place.write("orders", text(ctx, "orders", paused=True))
    paused = place.read("orders")
    assert before is not None and woken is not None and paused is not None  # noqa: PT018
    assert happened_to(state_of(woken)) == "edited by hand"
    assert state_of(paused) == state_of(before)
    assert load(dags / done.file, monkeypatch)["orders"]["schedule"] is None
    place.remove("orders")
    assert place.is_paused("orders")
    place.mark_paused("orders", False)
    assert files(dags) == []


def test_airflow_sees_a_loader_as_changed_when_a_document_is(tmp_path: Path, dags: Path) -> None:
    import os

    ctx = context(tmp_path, **SHARDED)
    done = place_of(ctx).write("orders", text(ctx, "orders"))
    os.utime(dags / done.file, (1, 1))
    place_of(ctx).write("orders", text(ctx, "orders", retries=9))
    assert (dags / done.file).stat().st_mtime > 1


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (None, "cannot read"),
        ("def (", "is not Python"),
        ("import airflow\n", "DAG_SPEC"),
        (TEMPLATE.replace(VERSION_LINE, ""), "DAG_VERSION"),
        (TEMPLATE + "print()\n", "must end"),
    ],
)
def test_a_template_that_is_none_is_refused_in_words(tmp_path: Path, template: str | None, told: str) -> None:
    if template is not None:
        (tmp_path / "template.py").write_text(template)
    with pytest.raises(SettingsError, match=told):
        place_of(context(tmp_path, template="template.py"))


def test_the_shipped_template_is_a_template_and_gives_loaders_that_are_python(tmp_path: Path) -> None:
    (tmp_path / "template.py").write_text(shipped().text)
    found = Template.of(context(tmp_path).settings, "template.py")
    assert found == shipped()
    for made in (found.loader, found.checker):
        compile(made, "made", "exec")
        assert LAST_LINE not in made
        assert SPEC_LINE not in made


@LAYOUTS
def test_lines_that_only_end_like_those_of_a_template_are_left(
    tmp_path: Path, dags: Path, monkeypatch: pytest.MonkeyPatch, layout: dict[str, Any]
) -> None:
    template = f"OLD_{SPEC_LINE}OLD_{VERSION_LINE}{TEMPLATE}"
    (tmp_path / "template.py").write_text(template)
    ctx = context(tmp_path, template="template.py", **layout)
    done = place_of(ctx).write("orders", text(ctx, "orders"))
    found = place_of(ctx).read("orders")
    assert found is not None
    assert (state_of(found).info["edited"], found.faults) == (False, ())
    assert f"OLD_{SPEC_LINE}OLD_{VERSION_LINE}" in (dags / done.file).read_text()
    assert set(load(dags / done.file, monkeypatch)) == {"orders"}


@LAYOUTS
@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_number_that_cannot_be_written_is_refused(tmp_path: Path, layout: dict[str, Any], number: float) -> None:
    ctx = context(tmp_path, **layout)
    with pytest.raises(InvalidSpecError, match=r"cannot be written as (Python|JSON)"):
        text(ctx, "orders", options={"ratio": [number]})


def test_a_template_of_ones_own_makes_the_file(tmp_path: Path, dags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "template.py").write_text(TEMPLATE)
    ctx = context(tmp_path, template="template.py")
    place_of(ctx).write("orders", text(ctx, "orders"))
    assert set(load(dags / "orders.py", monkeypatch)) == {"orders"}
    assert owner_in((dags / "orders.py").read_text()) == OWNER
