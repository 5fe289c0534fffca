"""Sources are looked up without pyiceberg, in the embedded catalog that is there; nothing is created."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dcp_core.diagnostics import Severity
from dcp_core.model import Environment
from dcp_core.settings import Settings
from dcp_plugins_base.known_tables import known_tables


def make_catalog(root: Path, *tables: tuple[str, str]) -> None:
    """The table that the JDBC catalog standard describes, as pyiceberg makes it."""
    (root / ".dcp").mkdir()
    with sqlite3.connect(root / ".dcp" / "catalog.db") as connection:
        connection.execute("CREATE TABLE iceberg_tables (catalog_name, table_namespace, table_name, metadata_location)")
        for catalog, name in tables:
            namespace, _, table = name.rpartition(".")
            connection.execute("INSERT INTO iceberg_tables VALUES (?, ?, ?, '')", (catalog, namespace, table))


def test_without_a_catalog_no_source_is_called_unknown_and_none_is_made(bench: Any) -> None:
    assert bench.findings() == ()
    assert not (bench.root / ".dcp").exists()


def test_an_unknown_source_is_a_warning_that_names_the_nearest(bench: Any) -> None:
    make_catalog(bench.root, ("pedregal", "raw.order"), ("pedregal-playground-bob", "raw.orders"))
    (finding,) = bench.findings()
    assert (finding.code, finding.severity, finding.line, finding.column) == (
        "sql.unknown_table",
        Severity.WARNING,
        5,
        6,
    )
    assert finding.hint == 'did you mean "raw.order"?'


def test_a_table_in_the_wrong_namespace_is_found(bench: Any) -> None:
    make_catalog(bench.root, ("pedregal", "sales.orders"), ("pedregal", "raw.ordering"))
    (finding,) = bench.findings()
    assert finding.hint == 'did you mean "sales.orders"?'


def test_its_own_output_is_not_among_the_tables_that_it_might_read(bench: Any) -> None:
    make_catalog(bench.root, ("pedregal", "derived_datasets.daily_orders"), ("pedregal", "sales.customers"))
    (finding,) = bench.findings()
    assert finding.hint == "there are: sales.customers"


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("raw.orders.snapshots", "parts of it, such as its snapshots, cannot be read"),
        ("raw.orders.lines", "parts of it, such as its snapshots, cannot be read"),
        ("lake.raw.orders.files", "parts of it, such as its snapshots, cannot be read"),
        ("lake.raw.orders", "write raw.orders: it is read from pedregal"),
        ("lake.raw.files", "write raw.files: it is read from pedregal"),
    ],
)
def test_a_part_of_a_table_is_told_from_a_table_of_another_catalog(bench: Any, source: str, hint: str) -> None:
    make_catalog(bench.root, ("pedregal", "raw.orders"), ("pedregal", "raw.files"))
    bench.sql = f"SELECT order_id, total_amount, order_ts FROM {source}"
    finding = next(each for each in bench.findings() if each.code == "sql.catalog")
    assert hint in finding.hint


def test_a_known_source_and_one_that_another_manifest_provides_are_fine(bench: Any) -> None:
    make_catalog(bench.root, ("pedregal", "raw.orders"))
    assert bench.findings() == ()
    bench.sql = "SELECT order_id, total_amount, order_ts FROM derived_datasets.other"
    assert bench.codes() == ["sql.unknown_table"]
    bench.provided = frozenset({"derived_datasets.other"})
    assert bench.findings() == ()


def test_a_playground_reads_production_and_with_overlay_its_own_copies_too(tmp_path: Path) -> None:
    make_catalog(tmp_path, ("pedregal", "raw.orders"), ("pedregal-playground-alice", "derived_datasets.x"))
    settings = Settings(tmp_path, {}, {})
    assert known_tables(settings, Environment.named("playground_alice")) == frozenset({"raw.orders"})
    overlaid = known_tables(settings, Environment.named("playground_alice", overlay=True))
    assert overlaid == frozenset({"raw.orders", "derived_datasets.x"})


def test_of_a_catalog_that_is_a_service_nobody_can_tell(tmp_path: Path) -> None:
    settings = Settings(tmp_path, {"catalog": {"type": "rest", "uri": "https://catalog.invalid"}}, {})
    assert known_tables(settings, Environment.named("production")) is None


def test_a_damaged_catalog_file_stops_no_lint(bench: Any) -> None:
    (bench.root / ".dcp").mkdir()
    (bench.root / ".dcp" / "catalog.db").write_bytes(b"not a database" * 100)
    assert bench.findings() == ()
