"""A training set from a real Iceberg table, partitioned by day, as the plugin makes it."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import DayTransform
from pyiceberg.types import DecimalType, LongType, NestedField, StringType, TimestampType, TimestamptzType

from dcp_plugins_feature_platform.point_in_time.history import IcebergHistory
from dcp_plugins_feature_platform.point_in_time.joining import Workspace
from dcp_plugins_feature_platform.point_in_time.labels import ParquetLabels
from dcp_plugins_feature_platform.point_in_time.selecting import FeatureHistory, select
from dcp_plugins_feature_platform.point_in_time.training_set import make_training_set

from .oracle import MemoryHistory, expected

FIRST = datetime.datetime(1969, 12, 28, tzinfo=datetime.UTC)
DAYS = 8


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = load_catalog(
        "pedregal", type="sql", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse"
    )
    catalog.create_namespace("features")
    return catalog


def history_table(catalog: Catalog, *, is_zoned: bool = True) -> Table:
    schema = Schema(
        NestedField(1, "customer_id", StringType(), required=True),
        NestedField(2, "event_ts", TimestamptzType() if is_zoned else TimestampType(), required=True),
        NestedField(3, "orders_total", DecimalType(18, 2)),
        NestedField(4, "orders", LongType()),
    )
    by_day = PartitionSpec(PartitionField(2, 1000, DayTransform(), "event_ts_day"))
    return catalog.create_table("features.customer_orders", schema, partition_spec=by_day)


def rows_of(table: Table, *, seed: int, count: int = 400) -> pa.Table:
    """Events to the microsecond over days before and after 1970, many of them at midnight."""
    chance = random.Random(seed)
    schema = table.schema().as_arrow()
    moments = [
        FIRST + datetime.timedelta(days=chance.randrange(DAYS), microseconds=chance.choice([0, 1, 86_399_999_999, 7]))
        for _ in range(count)
    ]
    keys = list(dict.fromkeys((f"c{chance.randrange(20)}", at) for at in moments))
    columns: list[list[Any]] = [
        [customer for customer, _ in keys],
        [at if schema.field("event_ts").type.tz else at.replace(tzinfo=None) for _, at in keys],
        [chance.choice([None, index]) for index in range(len(keys))],
        [chance.choice([None, index]) for index in range(len(keys))],
    ]
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )


def append(table: Table, rows: pa.Table, folder: Path) -> None:
    """A data file a day, as an engine writes them; pyiceberg alone cannot divide rows by day."""
    days = [moment.date() for moment in rows.column("event_ts").to_pylist()]
    paths = []
    for day in dict.fromkeys(days):
        paths.append(str(folder / f"{day}-{rows.num_rows}.parquet"))
        pq.write_table(rows.filter(pa.array([each == day for each in days])), paths[-1])
    table.add_files(paths)


def label_file(path: Path) -> pa.Table:
    chance = random.Random(5)
    labels = pa.table(
        {
            "customer_id": [chance.choice([None, *(f"c{number}" for number in range(22))]) for _ in range(300)],
            "happened_at": pa.array(
                [
                    FIRST
                    + datetime.timedelta(days=chance.randrange(-1, DAYS + 2), microseconds=chance.choice([0, 1, 6]))
                    for _ in range(300)
                ],
                pa.timestamp("us", "+05:30"),
            ),
        }
    )
    pq.write_table(labels, path, row_group_size=64)
    return labels


@pytest.mark.parametrize("is_zoned", [True, False])
@pytest.mark.parametrize("ttl", [None, datetime.timedelta(days=2), datetime.timedelta(0)])
def test_a_table_partitioned_by_day_gives_what_the_oracle_says(
    catalog: Catalog, tmp_path: Path, is_zoned: bool, ttl: datetime.timedelta | None
) -> None:
    table = history_table(catalog, is_zoned=is_zoned)
    rows = rows_of(table, seed=1)
    append(table, rows.slice(0, 150), tmp_path)
    append(table, rows.slice(150), tmp_path)
    labels = label_file(tmp_path / "labels.parquet")
    features = ("orders_total", "orders")
    view = FeatureHistory(
        "customer_orders",
        IcebergHistory("features.customer_orders", table),
        ("customer_id",),
        "event_ts",
        ttl,
        features,
    )
    with ParquetLabels.open(tmp_path / "labels.parquet") as given, Workspace.temporary(tmp_path) as workspace:
        made = make_training_set(given, "happened_at", select([view], None, full_names=False), workspace)
        found = pa.Table.from_batches(made.batches())
    assert found.select(labels.column_names).equals(labels)
    in_memory = FeatureHistory("customer_orders", MemoryHistory(rows), ("customer_id",), "event_ts", ttl, features)
    assert found.select(features).to_pylist() == expected(labels, "happened_at", in_memory, features)
    assert any(found.column("orders").to_pylist())


def test_only_the_columns_and_days_that_labels_need_are_read(catalog: Catalog, tmp_path: Path) -> None:
    table = history_table(catalog)
    rows = rows_of(table, seed=2)
    append(table, rows, tmp_path)
    history = IcebergHistory("features.customer_orders", table)
    since = FIRST + datetime.timedelta(days=2)
    until = since + datetime.timedelta(days=1, microseconds=1)
    at = [
        (each - datetime.datetime.fromtimestamp(0, datetime.UTC)) // datetime.timedelta(microseconds=1)
        for each in (since, until)
    ]
    read = pa.Table.from_batches(history.batches(("orders", "event_ts"), "event_ts", *at))
    assert read.column_names == ["orders", "event_ts"]
    wanted = sorted(moment for moment in rows.column("event_ts").to_pylist() if since <= moment <= until)
    assert sorted(read.column("event_ts").to_pylist()) == wanted

    gone = [task.file.file_path for task in table.scan().plan_files() if task.file.partition[0] not in (-2, -1)]
    for path in gone:
        Path(path.removeprefix("file://")).unlink()
    again = pa.Table.from_batches(history.batches(("orders", "event_ts"), "event_ts", *at))
    assert again.num_rows == read.num_rows


def test_a_range_beyond_the_calendar_bounds_nothing(catalog: Catalog, tmp_path: Path) -> None:
    table = history_table(catalog)
    rows = rows_of(table, seed=3)
    append(table, rows, tmp_path)
    history = IcebergHistory("features.customer_orders", table)
    read = list(history.batches(("orders",), "event_ts", -(2**62), 2**62))
    assert sum(batch.num_rows for batch in read) == rows.num_rows


def test_a_table_without_a_snapshot_is_empty(catalog: Catalog) -> None:
    history = IcebergHistory("features.customer_orders", history_table(catalog))
    assert list(history.batches(("orders",), "event_ts", None, 0)) == []
