"""Every plugin that the project ships keeps the public contract, by the same one class that a stranger writes."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from typing import ClassVar

from dcp_core import Plugin
from dcp_core.testing import PluginContract
from dcp_plugins_derived_dataset import DerivedDataset

SHIPPED = "dcp-"  # every distribution of the project starts so


class TestDerivedDataset(PluginContract):
    plugin = DerivedDataset
    kinds_apart = ("iceberg_table",)  # each environment has a catalog of its own
    manifest: ClassVar[str | Mapping[str, str]] = {
        "daily_revenue.yaml": """\
manifest_type: derived_dataset
metadata:
  technical_owner: finance-data
  tier: 1
  labels: {domain: sales}
dataset:
  name: daily_revenue
  description: Revenue of one region on one day.
  fields:
    - {name: order_date, type: date, nullable: false, description: Day of the order}
    - {name: region, type: string, nullable: false, renamed_from: area}
    - {name: revenue, type: 'decimal(28, 2)'}
  partition_by: ["month(order_date)"]
  sort_by: [order_date desc, region]
  primary_key: [order_date, region]
  protect: true
  properties: {write.target-file-size-bytes: 134217728}
workflow:
  schedule: "30 6 * * *"
  start_date: "2026-01-01"
  sql: daily_revenue.sql
  mode: merge
  catchup: false
  retries: 3
  params: {since: "2020-01-01"}
  compute: {size: small}
tests:
  - name: lines are added up
    inputs:
      raw.lines:
        columns: {ordered_at: date, region: string, amount: 'decimal(18, 2)'}
        rows:
          - {ordered_at: '2026-01-01', region: EU, amount: 10.00}
    params: {since: "2020-01-01"}
    expected:
      - {order_date: '2026-01-01', region: EU, revenue: 10.00}
    ordered: true
checks:
  - {name: one row per day and region, unique: [order_date, region]}
  - {not_null: [revenue]}
  - {expression: revenue >= 0}
  - accepted_values: {field: region, values: [EU, US]}
lint:
  ignore:
    - {code: sql.unknown_table, reason: the source is loaded by hand}
""",
        "daily_revenue.sql": """\
SELECT ordered_at AS order_date, region, SUM(amount) AS revenue
FROM raw.lines
WHERE ordered_at >= CAST(:since AS DATE)
GROUP BY ordered_at, region
""",
    }


def test_every_shipped_plugin_is_here() -> None:
    tested = {
        each.plugin.manifest_type
        for each in vars(sys.modules[__name__]).values()
        if isinstance(each, type) and issubclass(each, PluginContract) and each is not PluginContract
    }
    points = importlib.metadata.entry_points(group="dcp.plugins")
    shipped = {each.name for each in points if each.dist is not None and each.dist.name.startswith(SHIPPED)}
    assert shipped
    assert tested == shipped
    assert all(issubclass(each.load(), Plugin) for each in points if each.name in shipped)
