"""A day's commands in process and through a server: the same output, on both streams, in every mode."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end import through
from tests.end_to_end.projects import Answer, Project, order, orders_schema
from tests.end_to_end.workspaces import manifest_text

# What is another one each time: ids, times, hashes, sizes, and where the project lies.
_MOVING = (
    (re.compile(r"op_\d{8}T\d{6}_[0-9a-f]{12}"), "OPERATION"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "EXECUTION"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "HASH"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "MOMENT"),
    (re.compile(r"\(\d+\.\d s\)"), "(SPENT)"),
    (re.compile(r"[\d,]+ bytes|(?<=\"size_bytes\": )\d+"), "SIZE"),
)
_DAY = (
    ("lint", "manifests"),
    ("lint", "broken", "-o", "json"),
    ("test", "manifests"),
    ("test", "manifests", "-o", "json"),
    ("plan", "manifests"),
    ("plan", "manifests", "-o", "json", "--detailed-exitcode"),
    ("plan", "broken"),
    ("apply", "broken", "-o", "json"),
    ("run", "manifests"),
    ("apply", "manifests"),
    ("apply", "manifests", "-o", "json"),
    ("run", "manifests", "--explain"),
    ("run", "manifests", "--date", "2026-01-02", "-o", "jsonl"),
    ("preview", "manifests/derived_dataset/daily.yaml", "--limit", "2"),
    ("preview", "manifests/derived_dataset/daily.yaml", "-o", "json"),
    ("preview", "manifests/derived_dataset/never.yaml"),
    ("playground", "list"),
    ("playground", "show"),
    ("playground", "show", "-o", "json"),
    ("playground", "show", "nobody"),
    ("playground", "create", "Not-Allowed"),
    ("playground", "create", "second"),
    ("playground", "use", "second"),
    ("plan", "manifests"),
    ("playground", "use", "--own"),
    ("playground", "extend", "--days", "3"),
    ("playground", "extend", "--days", "1000"),
    ("destroy", "derived_dataset/nothing", "--yes"),
    ("destroy", "manifests"),
    ("destroy", "manifests", "--yes"),
    ("playground", "destroy", "--yes", "-o", "json"),
    ("audit", "list"),
    ("audit", "list", "--all", "-o", "json"),
    ("audit", "verify"),
    ("audit", "deliver"),
    ("plan", "manifests", "-e", "nowhere"),
    ("derived-dataset", "plan", "manifests"),
)


def written(root: Path) -> Project:
    root.mkdir()
    (root / "dcp.toml").write_text("")
    made = Project(root)
    made.source("raw.orders", [order("a", 1), order("b", 2), order("c", 3, day=2)], orders_schema())
    fields = ("order_id: string", "ordered_on: date", "half: decimal(12, 2)", "weight: double", "at: timestamp")
    made.dataset(
        "daily",
        manifest_text(*fields),
        "SELECT order_id, ordered_on, CAST(amount / 2 AS DECIMAL(12, 2)) AS half, CAST(1 AS DOUBLE) AS weight, "
        "TIMESTAMP '2026-01-01 00:00:00' AS at FROM raw.orders",
    )
    made.dataset("weekly", manifest_text("order_id: string"), "SELECT order_id FROM derived_datasets.daily")
    made.write("broken/derived_dataset/a.yaml", manifest_text("order_id: strin").replace("{name}", "a"))
    made.write("broken/derived_dataset/a.sql", "SELECT 1")
    made.write("broken/derived_dataset/b.yaml", manifest_text("order_id: string").replace("{name}", "b"))
    made.write("broken/derived_dataset/b.sql", "SELECT order_id FROM raw.nothing")
    made.write("broken/derived_dataset/c.yaml", manifest_text("order_id: string").replace("{name}", "c"))
    made.write("broken/derived_dataset/c.sql", "DROP TABLE raw.orders")
    return made


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Project, Project]]:
    yield written(tmp_path / "in_process"), written(tmp_path / "through")
    through.servers().close()


@pytest.mark.timeout(600)
def test_a_day_in_process_and_through_a_server_reads_the_same(two: tuple[Project, Project]) -> None:
    here, there = two
    address = through.servers().address(there.root, there.own_environ())
    remote = Project(there.root, {"DCP_REMOTE_SERVER": address})
    local = Project(here.root, {"DCP_REMOTE_SERVER": "off"})
    for words in _DAY:
        expected, found = local.pretzel(*words), remote.pretzel(*words)
        differences = [*difflib.unified_diff(told(expected, here.root), told(found, there.root), lineterm="")]
        assert not differences, "\n".join([" ".join(words), *differences])


def told(answer: Answer, root: Path) -> list[str]:
    return [f"exit {answer.status}", *_steady(answer.out, root), "on stderr:", *_steady(answer.err, root)]


def _steady(text: str, root: Path) -> list[str]:
    text = text.replace(os.fspath(root), "ROOT")
    for pattern, word in _MOVING:
        text = pattern.sub(word, text)
    return text.splitlines()
