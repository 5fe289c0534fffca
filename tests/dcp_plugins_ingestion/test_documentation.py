"""The examples work, and the documentation shows them and names every key."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dcp_core import Plugin
from dcp_plugins_ingestion import GrIngestion, TauluIngestion
from tests.end_to_end.projects import Project

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "manifests" / "ingestion"
KAFKA = ROOT / "examples" / "kafka"
PAGE = (ROOT / "docs" / "ingestion.md").read_text()


def keys(schema: Mapping[str, Any]) -> Iterator[str]:
    """``source.connection`` …: the keys of every section but the metadata, which is the same for all."""
    for section, inner in schema["properties"].items():
        if section not in ("manifest_type", "metadata"):
            yield from (f"{section}.{key}" for key in inner["properties"])


@pytest.mark.parametrize("plugin", [TauluIngestion(), GrIngestion()], ids=lambda plugin: plugin.manifest_type)
def test_every_key_is_in_the_page(plugin: Plugin) -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.M)
    named = set()
    for row in rows:
        words = re.findall(r"`([a-z_.]+)`", row)
        section = words[0].partition(".")[0] if words else ""
        named |= {word if "." in word else f"{section}.{word}" for word in words}
    assert set(keys(plugin.get_manifest_schema())) - named == set()


def test_the_page_shows_the_examples() -> None:
    shown = re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.S)
    assert sorted(file for file, _ in shown) == sorted(
        str(each.relative_to(ROOT)) for each in (*EXAMPLES.glob("*.yaml"), *KAFKA.glob("*.yaml"))
    )
    for file, text in shown:
        assert (ROOT / file).read_text() == text


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The examples of ingestion in a project of their own, with the examples' settings."""
    shutil.copytree(EXAMPLES, tmp_path / "manifests" / "ingestion")
    shutil.copytree(KAFKA, tmp_path / "manifests" / "kafka")
    shutil.copy(ROOT / "examples" / "dcp.toml", tmp_path)
    return Project(tmp_path)


def make_shop(project: Project, rows: int) -> int:
    spec = importlib.util.spec_from_file_location("make_shop", ROOT / "examples" / "make_shop.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: int = module.write(project.root / ".dcp" / "shop.db", rows)
    return made


def test_the_examples_lint_without_their_source(project: Project) -> None:
    linted = project.pretzel("lint", "manifests", "-o", "json")
    assert linted.status == 0
    assert [each["code"] for each in linted.document["diagnostics"]] == ["source.not_compared"]


def test_the_example_of_a_table_ingests_what_its_script_makes_and_changes(project: Project) -> None:
    assert make_shop(project, 50) == 50
    manifest = "manifests/ingestion/customers.yaml"
    linted = project.pretzel("lint", "manifests", "-o", "json")
    assert linted.document["diagnostics"] == []
    assert project.pretzel("test", manifest).status == 0
    assert project.pretzel("apply", manifest).status == 0
    assert project.pretzel("run", manifest, "-o", "json").document["rows_written"] == 50
    assert make_shop(project, 10) == 60
    assert project.pretzel("run", manifest).status == 0
    rows = project.rows("raw.customers")
    assert sorted(row["customer_id"] for row in rows) == list(range(60))
