"""Previews: rows at once, and lines that work when they are pasted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dcp_core.context import Context
from dcp_primitives.iceberg.snippets import TableAddress, snippets
from dcp_primitives.iceberg_table import TableColumn

C = TableColumn
TOOLS = ["pyiceberg", "DuckDB", "Spark", "Databricks", "Snowflake"]


@pytest.fixture
def orders(context: Callable[..., Context], tables_of: Any) -> Any:
    tables = tables_of(context("playground_alice"))
    tables.apply(tables.resource(C("order_id", "string"), C("total", "decimal(9,2)")))
    tables.write(*({"order_id": f"order-{number}"} for number in range(20)))
    return tables


def test_a_preview_has_some_rows_and_counts_all(orders: Any) -> None:
    resource = orders.resource(C("order_id", "string"), C("total", "decimal(9,2)"))
    preview = orders.primitive.preview(resource, 3, orders.ctx)
    assert preview.columns == ("order_id", "total")
    assert len(preview.rows) == 3
    assert preview.rows[0] == ("order-0", None)
    assert preview.total_rows == 20
    assert list(preview.snippets) == TOOLS


def test_an_empty_table_has_a_preview_without_rows(tables: Any) -> None:
    resource = tables.resource(C("order_id", "string"))
    tables.apply(resource)
    preview = tables.primitive.preview(resource, 3, tables.ctx)
    assert (preview.columns, preview.rows, preview.total_rows) == (("order_id",), (), 0)


@pytest.mark.parametrize("tool", ["pyiceberg", "DuckDB"])
def test_the_pasted_lines_print_the_rows(orders: Any, tool: str) -> None:
    resource = orders.resource(C("order_id", "string"), C("total", "decimal(9,2)"))
    snippet = orders.primitive.preview(resource, 5, orders.ctx).snippets[tool]
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "order-4" in done.stdout
    assert "order-5" not in done.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_no_credential_is_ever_shown(tool: str) -> None:
    properties = {
        "type": "rest",
        "uri": "https://me:pass-in-uri@host/iceberg",
        "token": "token-in-clear",
        "credential": "${CREDENTIAL}",
        "s3.secret-access-key": "key-in-clear",
        "warehouse": "main",
    }
    address = TableAddress("pedregal", "ns.orders", properties, "s3://b/ns/orders", "s3://b/ns/orders/metadata/1.json")
    text = snippets(address)[tool]
    assert "in-clear" not in text
    assert "pass-in-uri" not in text
    if tool == "pyiceberg":
        assert 'os.environ["CREDENTIAL"]' in text
        compile(text, "<snippet>", "exec")


def test_unity_catalog_is_named_as_databricks_knows_it() -> None:
    properties = {"type": "rest", "uri": "https://dbc/api/2.1/unity-catalog/iceberg-rest", "warehouse": "main"}
    address = TableAddress("pedregal", "ns.orders", properties, "s3://b/o", "s3://b/o/m.json", 7)
    assert snippets(address)["Databricks"] == "SELECT * FROM `main`.`ns`.`orders` LIMIT 7"
