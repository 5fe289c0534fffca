"""A workbench: one manifest and its SQL in a temporary project, taken through schema, parse and lint as users are."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dcp_core.context import Context, SharedObjects
from dcp_core.diagnostics import Diagnostic
from dcp_core.errors import InvalidManifestError
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan
from dcp_core.records import TestReport
from dcp_core.settings import Settings
from dcp_core.validation import validate, with_manifest_type
from dcp_plugins_derived_dataset import DerivedDataset

MANIFEST = """\
metadata:
  technical_owner: logistics-de
  tier: 1
dataset:
  name: daily_orders
  fields:
    - {name: order_id, type: string}
    - {name: total_amount, type: decimal}
    - {name: order_ts, type: timestamp}
workflow:
  schedule: "0 * * * *"
  sql: daily_orders.sql
"""
SQL = """\
SELECT
  order_id,
  total_amount,
  order_ts
FROM raw.orders
"""


class Workbench:
    """``manifest`` and ``sql`` are texts to edit; ``findings`` is what a user would be told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "manifests" / "derived_dataset" / "daily_orders.yaml"
        self.file.parent.mkdir(parents=True)
        self.manifest = MANIFEST
        self.sql = SQL
        self.plugin = DerivedDataset()
        self.settings = Settings(root, {}, {})
        self.shared = SharedObjects()
        self.provided: frozenset[str] = frozenset()

    def replace(self, old: str, new: str) -> Workbench:
        """Edit the manifest; the old text must be there once."""
        assert self.manifest.count(old) == 1, old
        self.manifest = self.manifest.replace(old, new)
        return self

    def add(self, text: str) -> Workbench:
        """Append to the manifest."""
        self.manifest += text
        return self

    def loaded(self) -> Manifest:
        self.file.write_text(self.manifest, encoding="utf-8")
        self.file.with_suffix(".sql").write_text(self.sql, encoding="utf-8")
        return Manifest.load(self.file, self.root)

    def plan(self, environment: str = "production", *, overlay: bool = False) -> LogicalPlan:
        """Compile; raises InvalidManifestError."""
        manifest = self.loaded()
        findings = validate(manifest.data, with_manifest_type(self.plugin.get_manifest_schema(), "derived_dataset"))
        if findings:
            raise InvalidManifestError([manifest.locate(finding) for finding in findings])
        return self.plugin.parse_manifest(manifest, Environment.named(environment, overlay=overlay))

    def context(self, environment: str = "production", *, overlay: bool = False) -> Context:
        return Context(
            environment=Environment.named(environment, overlay=overlay),
            user="alice",
            settings=self.settings,
            provided=self.provided,
            shared_objects=self.shared,
            log=logging.getLogger("test"),
        )

    def findings(self, environment: str = "production") -> tuple[Diagnostic, ...]:
        """All findings, located."""
        try:
            logical_plan = self.plan(environment)
        except InvalidManifestError as error:
            try:
                manifest = Manifest.load(self.file, self.root)
            except InvalidManifestError:
                return error.diagnostics
            return tuple(manifest.locate(finding) for finding in error.diagnostics)
        manifest = self.loaded()
        found = self.plugin.lint(logical_plan, self.context(environment))
        return tuple(manifest.locate(finding) for finding in found)

    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings()]

    def test(self, environment: str = "production") -> TestReport:
        return self.plugin.test(self.plan(environment), self.context(environment))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    workbench = Workbench(tmp_path)
    yield workbench
    workbench.shared.close()


@pytest.fixture
def with_fields() -> Any:
    """A function that declares these fields and selects them."""

    def declare(workbench: Workbench, fields: Mapping[str, str], sql: str) -> Workbench:
        lines = "".join(f"    - {{name: {name}, type: '{of}'}}\n" for name, of in fields.items())
        head, _, rest = workbench.manifest.partition("    - {name: order_id, type: string}\n")
        tail = rest.partition("workflow:")[2]
        workbench.manifest = f"{head}{lines}workflow:{tail}"
        workbench.sql = sql
        return workbench

    return declare
