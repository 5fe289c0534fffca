"""A workbench: one manifest in a temporary project with a real source, taken through schema, parse and lint."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dcp_core import Diagnostic, InvalidManifestError, LogicalPlan, Manifest, Plugin, TestReport
from dcp_core.context import Context, SharedObjects
from dcp_core.model import Environment
from dcp_core.settings import Settings
from dcp_core.validation import validate, with_manifest_type

TAULU = """\
metadata:
  technical_owner: sales-data
  tier: 2
source:
  connection: shop
  table: orders
  columns: {order_ts: created_at}
dataset:
  name: orders
  primary_key: [order_id]
  fields:
    - {name: order_id, type: long, nullable: false}
    - {name: amount, type: 'decimal(10, 2)'}
    - {name: order_ts, type: timestamp}
workflow:
  mode: incremental
  cursor: order_ts
  lookback: 3600
  schedule: "0 * * * *"
"""
EVENTS = """\
metadata:
  technical_owner: web-data
  tier: 2
topic:
  name: shop.page-views
  partitions: 6
  replication: 3
  retention: 7d
  config: {min.insync.replicas: 2}
dataset:
  name: page_views
  fields:
    - {name: view_id, type: string, nullable: false}
    - {name: viewed_at, type: timestamp, nullable: false}
workflow:
  checkpoint_interval: 60s
  maintenance: "0 3 * * *"
"""
ORDERS = "CREATE TABLE orders (order_id INTEGER NOT NULL, amount DECIMAL(10, 2) NOT NULL, created_at TEXT NOT NULL)"


class Shop:
    """A source: an SQLite file that the tests write to as an application would."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def execute(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.file)) as database, database:
            for statement in statements:
                database.execute(statement)

    def insert(self, table: str, *rows: Sequence[Any]) -> None:
        with closing(sqlite3.connect(self.file)) as database, database:
            database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.file)) as database:
            return database.execute(sql).fetchall()


class Workbench:
    """``manifest`` is a text to edit; ``findings`` is what a user would be told."""

    def __init__(self, root: Path, plugin: Plugin, manifest: str) -> None:
        self.root = root
        self.plugin = plugin
        self.manifest = manifest
        self.file = root / "manifests" / "ingestion" / "sample.yaml"
        self.file.parent.mkdir(parents=True)
        self.shop = Shop(root / "shop.db")
        self.connections: dict[str, Any] = {"shop": {"uri": f"sqlite:///{self.shop.file}"}}
        self.environ: dict[str, str] = {}
        self.shared = SharedObjects()
        self.others: tuple[LogicalPlan, ...] = ()

    def replace(self, old: str, new: str) -> Workbench:
        """Edit the manifest; the old text must be there once."""
        assert self.manifest.count(old) == 1, old
        self.manifest = self.manifest.replace(old, new)
        return self

    def plan(self, environment: str = "production") -> LogicalPlan:
        """Compile; raises InvalidManifestError."""
        self.file.write_text(self.manifest, encoding="utf-8")
        manifest = Manifest.load(self.file, self.root)
        schema = with_manifest_type(self.plugin.get_manifest_schema(), self.plugin.manifest_type)
        findings = validate(manifest.data, schema)
        if findings:
            raise InvalidManifestError([manifest.locate(finding) for finding in findings])
        try:
            return self.plugin.parse_manifest(manifest, Environment.named(environment))
        except InvalidManifestError as error:
            raise InvalidManifestError([manifest.locate(finding) for finding in error.diagnostics]) from None

    def context(self, environment: str = "production") -> Context:
        settings = Settings(self.root, {"connections": self.connections}, self.environ)
        return Context(
            Environment.named(environment), "alice", settings, shared_objects=self.shared, logical_plans=self.others
        )

    def findings(self) -> tuple[Diagnostic, ...]:
        """All findings, located."""
        try:
            logical_plan = self.plan()
        except InvalidManifestError as error:
            return error.diagnostics
        manifest = Manifest.load(self.file, self.root)
        return tuple(manifest.locate(each) for each in self.plugin.lint(logical_plan, self.context()))

    def told(self) -> dict[str, Diagnostic]:
        """The findings by code, one of each."""
        return {each.code: each for each in self.findings()}

    def test(self) -> TestReport:
        return self.plugin.test(self.plan(), self.context())
