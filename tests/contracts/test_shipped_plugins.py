"""Every plugin that the project ships keeps the public contract, by the same one class that a stranger writes."""

from __future__ import annotations

import importlib.metadata
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from dcp_core import Plugin
from dcp_core.testing import PluginContract
from dcp_plugins_derived_dataset import DerivedDataset
from dcp_plugins_feature_platform import FeaturePlatform
from dcp_plugins_ingestion import GrIngestion, TauluIngestion

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


class TestFeaturePlatform(PluginContract):
    plugin = FeaturePlatform
    kinds_apart = ("iceberg_table",)
    manifest: ClassVar[str | Mapping[str, str]] = {
        "customer_orders.yaml": """\
manifest_type: feature_platform
metadata:
  technical_owner: ml-platform
  tier: 2
  labels: {domain: sales}
  description: What customers ordered.
feature_view:
  name: customer_orders
  description: Orders of a customer so far.
  entity: customer
  join_keys:
    - {name: customer_id, type: string, description: The customer}
    - {name: shop_id, type: long}
  event_timestamp: {name: event_ts, type: timestamp, description: When the order was paid}
  ttl: 30d
  features:
    - {name: orders_total, type: 'decimal(18, 2)', description: Their sum, default: 0}
    - {name: last_city, type: string, renamed_from: city, default: unknown}
    - {name: orders_count, type: long}
  protect: true
  properties: {write.target-file-size-bytes: 134217728}
source:
  sql: customer_orders.sql
workflow:
  schedule: "30 6 * * *"
  start_date: "2026-01-01"
  catchup: false
  retries: 3
  params: {country: DE}
  compute: {size: small}
  backfill_window: 30d
tests:
  - name: orders are taken as they are
    inputs:
      raw.orders:
        columns:
          {customer: string, shop: long, paid_at: timestamp, total: 'decimal(18, 2)', city: string, country: string}
        rows:
          - {customer: a, shop: 1, paid_at: '2026-01-01T00:00:00Z', total: 10.00, city: Bonn, country: DE}
    params: {country: DE}
    expected:
      - {customer_id: a, shop_id: 1, orders_total: 10.00, orders_count: 1}
    ordered: true
checks:
  - {name: one row per customer and moment, unique: [customer_id, shop_id, event_ts]}
  - {not_null: [orders_count]}
  - {expression: orders_count > 0}
  - accepted_values: {field: orders_count, values: [1, 2]}
lint:
  ignore:
    - {code: sql.unknown_table, reason: the source is loaded by hand}
""",
        "customer_orders.sql": """\
SELECT
  customer AS customer_id,
  shop AS shop_id,
  paid_at AS event_ts,
  CAST(SUM(total) AS DECIMAL(18, 2)) AS orders_total,
  MAX(city) AS last_city,
  COUNT(*) AS orders_count
FROM raw.orders
WHERE country = :country
GROUP BY customer, shop, paid_at
""",
    }


class TestTauluIngestion(PluginContract):
    plugin = TauluIngestion
    kinds_apart = ("iceberg_table",)  # each environment has a catalog of its own
    manifest: ClassVar[str | Mapping[str, str]] = """\
manifest_type: taulu_ingestion
metadata:
  technical_owner: sales-data
  tier: 2
  labels: {domain: sales}
  description: The orders of the shop.
source:
  connection: shop
  table: orders
  columns: {order_ts: created_at}
dataset:
  name: orders
  description: One order.
  primary_key: [order_id]
  fields:
    - {name: order_id, type: long, nullable: false, description: By which the shop knows it}
    - {name: amount, type: 'decimal(18, 2)', renamed_from: price}
    - {name: order_ts, type: timestamp, nullable: false}
  partition_by: ["month(order_ts)"]
  sort_by: [order_ts desc, order_id]
  protect: true
  properties: {write.target-file-size-bytes: 134217728}
workflow:
  mode: incremental
  cursor: order_ts
  lookback: 3600
  schedule: "0 * * * *"
  start_date: "2026-01-01"
  catchup: false
  retries: 3
  compute: {size: small}
lint:
  ignore:
    - {code: source.undeclared_columns, reason: nobody needs the notes}
"""

    def settings(self, tmp_path: Path) -> Mapping[str, Any]:
        file = tmp_path / "shop.db"
        with closing(sqlite3.connect(file)) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS orders "
                "(order_id INTEGER NOT NULL, amount DECIMAL(10, 2), created_at TEXT NOT NULL, note TEXT)"
            )
        return {"connections": {"shop": {"uri": f"sqlite:///{file}"}}}


class TestGrIngestion(PluginContract):
    plugin = GrIngestion
    kinds_apart = ("iceberg_table",)  # each environment has a catalog of its own
    manifest: ClassVar[str | Mapping[str, str]] = """\
manifest_type: gr_ingestion
metadata:
  technical_owner: web-data
  tier: 2
topic:
  name: shop.page-views
  partitions: 6
  replication: 3
  retention: 7d
  config: {min.insync.replicas: 2, compression.type: zstd}
  acls:
    - {principal: "User:web", operations: [write, describe]}
    - {principal: "User:coreetl", operations: [read], host: 10.0.0.1}
dataset:
  name: page_views
  description: One look at one page.
  fields:
    - {name: view_id, type: string, nullable: false, description: Made by the browser}
    - {name: viewed_at, type: timestamp, nullable: false}
    - {name: tags, type: 'map<string, array<string>>', renamed_from: labels}
  partition_by: ["day(viewed_at)"]
  sort_by: [viewed_at]
  protect: true
  properties: {write.target-file-size-bytes: 134217728}
workflow:
  format: json
  checkpoint_interval: 60s
  maintenance: "0 3 * * *"
  retries: 3
  compute: {size: small}
lint:
  ignore: []
"""


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
