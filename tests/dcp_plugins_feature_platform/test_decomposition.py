"""Which resources a feature view wants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coreetl_driver.engine import Engine
from dcp_core import Resource
from dcp_core.errors import UsageError
from dcp_core.settings import Settings
from dcp_plugins_feature_platform import FeaturePlatform
from dcp_plugins_feature_platform.backfill import job_params, job_query, run_params
from dcp_plugins_feature_platform.view import FeatureView, TableFeatureView, view_of
from dcp_primitives.iceberg.spec import table_of
from dcp_primitives.iceberg_table import PartitionField

from .conftest import Workbench

NOW = "CURRENT_TIMESTAMP()"


def resources(bench: Workbench) -> tuple[Resource, ...]:
    return FeaturePlatform().decompose(bench.plan())


def test_a_view_is_a_table_a_job_and_a_dag(bench: Workbench) -> None:
    table, job, dag = resources(bench)
    assert [each.name for each in (table, job, dag)] == [
        "features.customer_orders",
        "playground_alice__customer_orders_features_job",
        "playground_alice__customer_orders_features_dag",
    ]
    assert table.provides == ("features.customer_orders",)
    assert job.depends_on == (table.key,)
    assert job.reads == ("raw.orders",)


def test_the_table_has_keys_timestamp_and_features_divided_by_day(bench: Workbench) -> None:
    table = table_of(resources(bench)[0])
    assert [(column.name, column.type, column.required) for column in table.columns] == [
        ("customer_id", "string", True),
        ("event_ts", "timestamptz", True),
        ("orders_total", "decimal(18,2)", False),
        ("orders_count", "long", False),
    ]
    assert table.partition_by == (PartitionField("event_ts", "day"),)
    assert table.primary_key == ("customer_id", "event_ts")


def test_the_job_merges_by_keys_and_timestamp(bench: Workbench) -> None:
    job = resources(bench)[1].spec
    assert job["mode"] == "merge"
    assert list(job["keys"]) == ["customer_id", "event_ts"]
    assert job["params"] == {"since": ""}


def test_the_dag_hands_the_job_the_windows_parameter_too(bench: Workbench) -> None:
    bench.replace("workflow:\n", "workflow:\n  params: {shop: main}\n")
    _, job, dag = resources(bench)
    assert dag.spec["params"] == job.spec["params"] == {"shop": "main", "since": ""}
    assert ":since" in job.spec["sql"]


def test_without_a_window_the_job_runs_the_query_as_it_is(bench: Workbench) -> None:
    bench.replace("  backfill_window: 30d\n", "")
    job = resources(bench)[1].spec
    assert job["sql"] == bench.sql
    assert job.get("params", {}) == {}


def test_a_table_is_read_by_name_with_its_own_columns(bench: Workbench) -> None:
    bench.replace(
        "  sql: customer_orders.sql\n",
        "  table: derived_datasets.daily_orders\n  columns: {event_ts: paid_at, orders_count: orders}\n",
    ).replace("  backfill_window: 30d\n", "")
    job = resources(bench)[1]
    assert job.reads == ("derived_datasets.daily_orders",)
    assert job.spec["sql"] == (
        "SELECT\n  `customer_id`,\n  `paid_at` AS `event_ts`,\n  `orders_total`,\n  `orders` AS `orders_count`\n"
        "FROM `derived_datasets`.`daily_orders`"
    )


def test_a_logical_plan_gives_back_the_view_it_came_from(bench: Workbench) -> None:
    assert type(view_of(bench.plan())) is FeatureView
    bench.replace("  sql: customer_orders.sql\n", "  table: derived_datasets.daily_orders\n")
    view = view_of(bench.plan())
    assert isinstance(view, TableFeatureView)
    assert view.features == ("orders_total", "orders_count")
    assert view.default_of(view.fields[2]) == 0
    assert view.to_plugin_spec()["ttl"] == "30d"


def view(sql: str, *, window: str | None = "5d", type: str = "timestamp", **params: str) -> FeatureView:
    from dcp_plugins_base import Field

    return FeatureView(
        table_name="v", schedule=None, owner_team="ml", sql=sql, entity="e", join_keys=("k",), event_timestamp="at",
        fields=(Field("k", "string", False), Field("at", type, False), Field("f", "long")),
        backfill_window=window, params=params,
    )  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    root = tmp_path_factory.mktemp("engine")
    (root / "dcp.toml").write_text("")
    settings = Settings.load(root / "dcp.toml")
    properties = {"pedregal": settings.catalog_properties("pedregal")}
    with Engine(properties, "pedregal", settings=settings) as engine:
        yield engine


def keys(engine: Engine, of: FeatureView, **params: str) -> list[str]:
    columns, rows = engine.rows(job_query(of), params={**job_params(of), **run_params(of, params)})
    key = [column.name for column in columns].index("k")
    return sorted(row[key] for row in rows)


EVENTS = f"""-- events; some long ago
WITH e AS (
  SELECT 'old' AS k, TIMESTAMP '2020-01-01 00:00:00' AS at, 1 AS f
  UNION ALL SELECT 'new', {NOW}, 2
  UNION ALL SELECT 'four', {NOW} - INTERVAL 4 DAYS, 3
  UNION ALL SELECT 'six', {NOW} - INTERVAL 6 DAYS, 3
  UNION ALL SELECT 'future', {NOW} + INTERVAL 6 DAYS, 3
  UNION ALL SELECT 'none', NULL, 4
)
SELECT f, at, k FROM e ORDER BY k -- the end
;
"""


@pytest.mark.parametrize("type", ["timestamp", "timestamp_ntz"])
def test_a_window_computes_the_last_events_and_hides_no_row_without_a_timestamp(engine: Engine, type: str) -> None:
    sql = EVENTS.replace("SELECT f, at, k", f"SELECT f, CAST(at AS {type}) AS at, k")
    of = view(sql, type=type)
    assert keys(engine, of) == ["four", "future", "new", "none"]
    assert keys(engine, view(sql, type=type, window="7d")) == ["four", "future", "new", "none", "six"]
    assert keys(engine, view(sql, type=type, window=None)) == ["four", "future", "new", "none", "old", "six"]


BEFORE_OLD = ["2020-01-01", "2020-01-01T00:00:00Z", "2020-01-01T05:30:00+05:30", "2020-01-01T000000Z",
              "2019-12-31 19:00-05:00", "2019-12-31T23:59:59.999999", "0001-01-01"]  # fmt: skip
AFTER_OLD = ["2020-01-01T00:00:01Z", "2020-01-01T00:00:00.000001", "2020-01-01 05:31+05:30"]


@pytest.mark.parametrize("type", ["timestamp", "timestamp_ntz"])
def test_since_takes_the_windows_place(engine: Engine, type: str) -> None:
    of = view(EVENTS.replace("SELECT f, at, k", f"SELECT f, CAST(at AS {type}) AS at, k"), type=type)
    for since in BEFORE_OLD:
        assert keys(engine, of, since=since) == ["four", "future", "new", "none", "old", "six"], since
    for since in AFTER_OLD:
        assert keys(engine, of, since=since) == ["four", "future", "new", "none", "six"], since


@pytest.mark.parametrize(
    ("since", "type", "given"),
    [
        ("2026-02-01T060000Z", "timestamp", "2026-02-01T06:00:00+00:00"),
        ("2026-01-31 06:00+05:30", "timestamp", "2026-01-31T00:30:00+00:00"),
        ("2026-01-31 06:00+05:30", "timestamp_ntz", "2026-01-31T00:30:00"),
        ("2026-01-31", "timestamp", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31T06:00:00.25", "timestamp_ntz", "2026-01-31T06:00:00.250000"),
        ("", "timestamp", ""),
    ],
)
def test_the_job_is_given_a_whole_timestamp_in_utc(since: str, type: str, given: str) -> None:
    assert run_params(view("SELECT 1", type=type), {"since": since, "x": "1"}) == {"since": given, "x": "1"}


@pytest.mark.parametrize(
    "since", ["yesterday", "2026-02-30", "20260101", "2026-W01-1", "30d", "0001-01-01T00:00+05:30"]
)
def test_since_is_a_date_or_a_timestamp(since: str) -> None:
    with pytest.raises(UsageError, match="is not a date or a timestamp"):
        run_params(view("SELECT 1"), {"since": since})


def test_since_needs_a_window_or_a_parameter_of_the_query() -> None:
    with pytest.raises(UsageError, match="has no backfill window"):
        run_params(view("SELECT 1", window=None), {"since": "2026-01-01"})
    own = {"since": "whatever the query takes"}
    assert run_params(view("SELECT 1", window=None, since="x"), own) == own
    assert run_params(view("SELECT 1"), {}) == {}
