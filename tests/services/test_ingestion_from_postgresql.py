"""A table of a real PostgreSQL, ingested through the command line: rows, types, changes of its schema, its password."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.projects import Project

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")
_NUMBERS = itertools.count()
PASSWORD = "p@ss:w/rd-hunter2"
ORDERS = """
CREATE TABLE sales.orders (
  order_id bigint PRIMARY KEY, amount numeric(10, 2) NOT NULL, placed_at timestamptz NOT NULL, tags text[], note text
)
"""
MANIFEST = """\
manifest_type: taulu_ingestion
metadata: {technical_owner: sales-data, tier: 2}
source:
  connection: shop
  table: sales.orders
  columns: {order_ts: placed_at}
dataset:
  name: orders
  primary_key: [order_id]
  fields:
    - {name: order_id, type: long, nullable: false}
    - {name: amount, type: 'decimal(10, 2)', nullable: false}
    - {name: order_ts, type: timestamp, nullable: false}
    - {name: note, type: string}
workflow:
  mode: incremental
  cursor: order_ts
  lookback: 3600
  schedule: "0 * * * *"
"""
PATH = "manifests/ingestion/orders.yaml"


class Shop:
    """A database of its own with the table ``sales.orders``, and a role that may only read it."""

    def __init__(self, server: str) -> None:
        self._server = server.replace("+psycopg", "")
        self.number = next(_NUMBERS)
        self.database, self.role = f"shop_{self.number}", f"reader_{self.number}"
        self.place = re.sub(r".*@", "", self._server)
        with psycopg.connect(f"{self._server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.database}")
        self.execute(
            "CREATE SCHEMA sales", ORDERS, f"CREATE ROLE {self.role} LOGIN PASSWORD '{PASSWORD}'",
            f"GRANT USAGE ON SCHEMA sales TO {self.role}", f"GRANT SELECT ON sales.orders TO {self.role}",
        )  # fmt: skip

    def execute(self, *statements: str) -> None:
        with psycopg.connect(f"{self._server}/{self.database}", autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(f"{self._server}/{self.database}") as connection:
            query = "SELECT order_id, amount, placed_at, note FROM sales.orders ORDER BY 1"
            rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
            return rows


@pytest.fixture
def shop(postgresql: str) -> Shop:
    return Shop(postgresql)


@pytest.fixture
def project(tmp_path: Path, shop: Shop) -> Iterator[Project]:
    made = Project(tmp_path, {"SHOP_PASSWORD": PASSWORD})
    made.write(
        "dcp.toml",
        f'[connections.shop]\nuri = "postgresql://{shop.place}/{shop.database}"\n'
        f'username = "{shop.role}"\npassword = "${{SHOP_PASSWORD}}"\n',
    )
    made.write(PATH, MANIFEST)
    yield made
    holders = [each for each in tmp_path.rglob("*") if each.is_file() and PASSWORD.encode() in each.read_bytes()]
    assert holders == [], "a secret was kept"


def in_table(project: Project) -> list[tuple[Any, ...]]:
    rows = [(row["order_id"], row["amount"], row["order_ts"], row["note"]) for row in project.rows("raw.orders")]
    return sorted(rows)


def done(project: Project, *words: str) -> Any:
    answer = project.pretzel(*words, "-o", "json")
    assert answer.status == 0, answer.out + answer.err
    assert PASSWORD not in answer.out + answer.err
    return answer.document


def test_rows_of_a_real_server_arrive_and_go_on_arriving(project: Project, shop: Shop) -> None:
    shop.execute(
        "INSERT INTO sales.orders VALUES (1, 1.25, '2026-01-01T10:00:00.123456Z', '{a}', NULL), "
        "(2, 12345678.99, '2026-01-02T12:00:00+02', NULL, 'café')"
    )
    linted = done(project, "lint", "manifests")
    assert [each["code"] for each in linted["diagnostics"]] == ["source.undeclared_columns"]
    tested = done(project, "test", "manifests")
    assert tested["engine"] == "postgresql (connection shop)"
    assert done(project, "plan", "manifests")["summary"]["create"] == 3
    assert done(project, "apply", "manifests")["status"] == "SUCCEEDED"
    assert done(project, "run", "manifests")["rows_written"] == 2
    assert in_table(project) == shop.rows()
    assert in_table(project)[0][1:3] == (Decimal("1.25"), datetime(2026, 1, 1, 10, 0, 0, 123456, UTC))

    shop.execute(
        "UPDATE sales.orders SET amount = 2, placed_at = '2026-01-03T00:00:00Z' WHERE order_id = 1",
        "INSERT INTO sales.orders SELECT n, n, '2026-01-03T00:00:00Z', NULL, 'x' FROM generate_series(3, 100) n",
    )
    done(project, "run", "manifests")
    assert in_table(project) == shop.rows()
    assert project.pretzel("plan", "manifests", "--detailed-exitcode").status == 0


def test_a_changed_schema_blocks_the_job(project: Project, shop: Shop) -> None:
    done(project, "apply", "manifests")
    shop.execute("ALTER TABLE sales.orders ALTER COLUMN amount TYPE text")
    (manifest,) = done(project, "plan", "manifests")["manifests"]
    blocked = [each for each in manifest["actions"] if each["action"] == "blocked"]
    assert [(each["label"], each["reason"]) for each in blocked] == [("BLOCKED_JOB", "source_schema")]
    assert "amount" in blocked[0]["message"]
    linted = project.pretzel("lint", "manifests", "-o", "json")
    assert linted.status == 1
    assert [
        (each["code"], each["line"], each["column"])
        for each in linted.document["diagnostics"]
        if each["severity"] == "error"
    ] == [("source.type", 12, 28)]


def test_keys_that_are_there_twice_are_found_before_anything_is_made(project: Project, shop: Shop) -> None:
    shop.execute(
        "ALTER TABLE sales.orders DROP CONSTRAINT orders_pkey",
        "INSERT INTO sales.orders VALUES (1, 1, '2026-01-01Z', NULL, NULL), (1, 2, '2026-01-01Z', NULL, NULL)",
    )
    tested = project.pretzel("test", "manifests", "-o", "json")
    assert tested.status == 1
    assert "source.duplicate_key" in [each["code"] for each in tested.document["diagnostics"]]


def test_a_reader_without_the_right_to_read_is_told_so(project: Project, shop: Shop) -> None:
    shop.execute(f"REVOKE SELECT ON sales.orders FROM {shop.role}")
    tested = project.pretzel("test", "manifests", "-o", "json")
    assert tested.status == 1
    (found,) = [each for each in tested.document["diagnostics"] if each["severity"] == "error"]
    assert "permission denied" in found["message"]
    assert PASSWORD not in tested.out + tested.err
