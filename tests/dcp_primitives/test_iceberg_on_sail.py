"""What the embedded engine reads after tables evolved: by field id, as pyiceberg does. One engine for all of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from dcp_primitives.iceberg_table import PartitionField, SortField, TableColumn

C = TableColumn
ID = C("id", "string")
DAY = (PartitionField("v"),)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Any, dict[str, Any]]] = {
    "widened_int": ({"columns": (ID, C("v", "int"))}, {"columns": (ID, C("v", "bigint"))}, 7, {"v": 7}),
    "widened_decimal": (
        {"columns": (ID, C("v", "decimal(9,2)")), "partition_by": DAY},
        {"columns": (ID, C("v", "decimal(20,2)")), "partition_by": DAY},
        Decimal("1.23"),
        {"v": Decimal("1.23")},
    ),
    "narrowed": ({"columns": (ID, C("v", "bigint"))}, {"columns": (ID, C("v", "int"))}, 7, {"v": None}),
    "retyped": ({"columns": (ID, C("v", "string"))}, {"columns": (ID, C("v", "date"))}, "x", {"v": None}),
    "renamed": (
        {"columns": (ID, C("v", "string")), "partition_by": DAY},
        {"columns": (C("w", "string", renamed_from=("v",)), ID), "partition_by": (PartitionField("w"),)},
        "x",
        {"w": "x"},
    ),
    "name_given_away": (
        {"columns": (ID, C("v", "string"))},
        {"columns": (ID, C("w", "string", renamed_from=("v",)), C("v", "string"))},
        "x",
        {"w": "x", "v": None},
    ),
    "nested": (
        {"columns": (ID, C("v", "struct<a: int, b: string, c: string>"))},
        {"columns": (ID, C("v", "struct<c: int, n: string, a: bigint>"))},
        {"a": 1, "b": "q", "c": "r"},
        {"v": {"c": None, "n": None, "a": 1}},
    ),
    "nested_in_a_list": (
        {"columns": (ID, C("v", "array<struct<a: int, b: string>>"))},
        {"columns": (ID, C("v", "array<struct<b: string, n: int>>"))},
        [{"a": 1, "b": "q"}],
        {"v": [{"b": "q", "n": None}]},
    ),
    "partitioned_later": (
        {"columns": (ID, C("v", "string"))},
        {"columns": (ID, C("v", "string")), "partition_by": DAY, "sort_by": (SortField("id", "desc"),)},
        "x",
        {"v": "x"},
    ),
}


@pytest.fixture
def evolved(tables: Any) -> Any:
    for name, (before, after, value, _) in CASES.items():
        table = f"derived_datasets.{name}"
        tables.apply(tables.resource(*before["columns"], table=table, **rest(before)))
        tables.write({"id": "old", "v": value}, table=table)
        tables.apply(tables.resource(*after["columns"], table=table, **rest(after)))
    return tables


def rest(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if name != "columns"}


def test_sail_reads_old_rows_of_evolved_tables_as_pyiceberg_does(evolved: Any) -> None:
    from coreetl_driver.engine import Engine

    settings = evolved.ctx.settings
    catalogs = {"pedregal": settings.catalog_properties("pedregal", resolve=False)}
    expected = {name: [{"id": "old", **row}] for name, (_, _, _, row) in CASES.items()}
    assert {name: evolved.rows(f"derived_datasets.{name}") for name in CASES} == expected
    found: dict[str, Any] = {}
    with Engine(catalogs, "pedregal", settings=settings) as engine:
        for name in CASES:
            columns, rows = engine.rows(f"SELECT * FROM derived_datasets.{name}")
            found[name] = [dict(zip((column.name for column in columns), row, strict=True)) for row in rows]
    assert found == expected
