"""A shop's SQLite database beside a project, and the job that brings its orders into the playground."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import define, evolve

from coreetl_driver import Column, Execution, JobSpec, SourceTable
from coreetl_driver.driver import Driver
from tests.coreetl_driver.conftest import ENVIRONMENT, Project

TYPES = {"id": "long", "amount": "decimal(10,2)", "at": "timestamp", "note": "string"}
COLUMNS = tuple(Column(name, type_) for name, type_ in TYPES.items())
JOB = "orders_job"
Order = tuple[int, str, str | None]


@define
class Shop:
    """Orders are (id, amount, at); a time is ``HH:MM`` of one day."""

    project: Project
    file: Path
    driver: Driver

    def sell(self, *orders: Order) -> None:
        """Insert orders, or change those that are there."""
        with sqlite3.connect(self.file) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.executemany(
                "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?)",
                [(id_, amount, at and f"2026-01-01 {at}:00", f"order {id_}") for id_, amount, at in orders],
            )
        connection.close()

    def forget(self, *ids: int) -> None:
        with sqlite3.connect(self.file) as connection:
            connection.executemany("DELETE FROM orders WHERE id = ?", [(id_,) for id_ in ids])
        connection.close()

    def spec(self, mode: str = "merge", cursor: str | None = "at", table: str = "dd.orders", **source: Any) -> JobSpec:
        keys = ("id",) if mode == "merge" else ()
        wanted = {"connection": "shop", "table": "orders", "columns": {name: name for name in TYPES}, **source}
        return self.project.spec(
            "", table, mode, keys=keys, columns=COLUMNS, kind="extract", source=SourceTable(cursor=cursor, **wanted)
        )

    def run(self, spec: JobSpec | None = None, **params: str) -> Execution:
        """Apply the job when a specification is given, run it, and wait."""
        if spec is not None:
            self.apply(spec)
        return self.driver.wait(self.driver.run_job(JOB, ENVIRONMENT, params=params).execution_id, 120)

    def apply(self, spec: JobSpec) -> None:
        if self.driver.list_jobs(ENVIRONMENT, [JOB]):
            self.driver.update_job(JOB, ENVIRONMENT, spec, {})
        else:
            self.driver.create_job(JOB, ENVIRONMENT, "orders", spec, {})

    def source_rows(self) -> list[tuple[int, str]]:
        with sqlite3.connect(self.file) as connection:
            rows = connection.execute("SELECT id, amount FROM orders ORDER BY id").fetchall()
        connection.close()
        return [(id_, f"{amount:.2f}") for id_, amount in rows]

    def rows(self, table: str = "dd.orders") -> list[tuple[int, str]]:
        """What pyiceberg reads back, sorted; a row that is there twice comes twice."""
        found = self.project.playground.load_table(table).scan().to_arrow().to_pylist()
        return sorted((row["id"], str(row["amount"])) for row in found)

    def snapshots(self, table: str = "dd.orders") -> list[dict[str, str]]:
        found = self.project.playground.load_table(table).metadata.snapshots
        return [each.summary.additional_properties for each in found if each.summary is not None]


def orders(ids: Iterable[int], at: str = "10:00") -> list[Order]:
    return [(id_, f"{id_}.25", at) for id_ in ids]


def open_shop(project: Project, partition_by: Any = None, driver: str = "") -> Shop:
    """The database, empty, the table for it, and a driver that knows the connection."""
    from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
    from pyiceberg.schema import Schema
    from pyiceberg.types import DecimalType, LongType, NestedField, StringType, TimestamptzType

    file = project.settings.root / "shop" / "shop.db"
    file.parent.mkdir()
    with sqlite3.connect(file) as connection:
        connection.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount DECIMAL(10,2), at TIMESTAMP, note TEXT)"
        )
    connection.close()
    schema = Schema(
        NestedField(1, "id", LongType()), NestedField(2, "amount", DecimalType(10, 2)),
        NestedField(3, "at", TimestamptzType()), NestedField(4, "note", StringType()),
    )  # fmt: skip
    spec = partition_by or UNPARTITIONED_PARTITION_SPEC
    project.playground.create_table("dd.orders", schema=schema, partition_spec=spec)
    connections = {"shop": {"uri": f"sqlite:///{file}", "driver": driver}}
    settings = evolve(project.settings, values={**project.settings.values, "connections": connections})
    return Shop(project, file, Driver(settings))
