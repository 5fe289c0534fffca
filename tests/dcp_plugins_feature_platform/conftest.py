"""A workbench: one feature view in a temporary project, to edit, and what a user would be told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcp_core import ControlPlane, Diagnostic, LogicalPlan

MANIFEST = """\
metadata:
  technical_owner: ml-platform
  tier: 2
feature_view:
  name: customer_orders
  entity: customer
  join_keys:
    - {name: customer_id, type: string}
  event_timestamp: event_ts
  ttl: 30d
  features:
    - {name: orders_total, type: 'decimal(18, 2)', default: 0}
    - {name: orders_count, type: long}
source:
  sql: customer_orders.sql
workflow:
  schedule: "30 6 * * *"
  backfill_window: 30d
"""
SQL = """\
SELECT
  customer AS customer_id,
  paid_at AS event_ts,
  total AS orders_total,
  orders AS orders_count
FROM raw.orders
"""
FOLDER = Path("manifests", "feature_platform")
ENVIRONMENT = "playground_alice"


class Workbench:
    """``manifest`` and ``sql`` are texts to edit; other manifests may lie beside them."""

    def __init__(self, root: Path) -> None:
        (root / "dcp.toml").write_text("")
        self.root = root
        self.folder = root / FOLDER
        self.folder.mkdir(parents=True)
        self.manifest = MANIFEST
        self.sql = SQL
        self.control_plane = ControlPlane.from_config(root / "dcp.toml", identity="alice")

    def replace(self, old: str, new: str) -> Workbench:
        """Edit the manifest; the old text must be there once."""
        assert self.manifest.count(old) == 1, old
        self.manifest = self.manifest.replace(old, new)
        return self

    def add(self, text: str) -> Workbench:
        """Append to the manifest."""
        self.manifest += text
        return self

    def write(self) -> None:
        (self.folder / "customer_orders.yaml").write_text(self.manifest, encoding="utf-8")
        (self.folder / "customer_orders.sql").write_text(self.sql, encoding="utf-8")

    def findings(self) -> list[Diagnostic]:
        """What compiling and linting the whole folder tell, with places."""
        self.write()
        environment = self.control_plane.environment(ENVIRONMENT)
        result = self.control_plane.load([self.folder], environment)
        return [*result.diagnostics, *self.control_plane.lint(result.loaded, environment)]

    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings()]

    def plan(self) -> LogicalPlan:
        """Compiled; raises InvalidManifestError."""
        self.write()
        return self.control_plane.parse(self.folder / "customer_orders.yaml", ENVIRONMENT)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    workbench = Workbench(tmp_path)
    yield workbench
    workbench.control_plane.close()
