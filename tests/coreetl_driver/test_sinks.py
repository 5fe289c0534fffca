"""The job program on real Sail, what it wrote read back by pyiceberg."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform, TruncateTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)

from coreetl_driver import Column, Execution, ExecutionStatus, JobSpec
from coreetl_driver.driver import Driver
from tests.coreetl_driver.conftest import ENVIRONMENT, PLAYGROUND, Project, make_table

SUCCEEDED = ExecutionStatus.SUCCEEDED


def run(driver: Driver, spec: JobSpec, params: dict[str, str] | None = None) -> Execution:
    if driver.list_jobs(ENVIRONMENT, ["a_job"]):
        driver.update_job("a_job", ENVIRONMENT, spec, {})
    else:
        driver.create_job("a_job", ENVIRONMENT, "a job", spec, {})
    return driver.wait(driver.run_job("a_job", ENVIRONMENT, params=params).execution_id, 120)


def values(project: Project, table: str = "dd.daily") -> list[tuple[str, int]]:
    return [(row["order_id"], row["qty"]) for row in project.rows(table)]


def test_append_adds_rows(driver: Driver, project: Project) -> None:
    spec = project.spec("SELECT qty, order_id FROM raw.orders WHERE qty > :least", mode="append", params={"least": "1"})
    assert run(driver, spec).rows_written == 2
    assert run(driver, spec, {"least": "2"}).rows_written == 1
    assert values(project) == [("b", 2), ("c", 3), ("c", 3)]


@pytest.mark.parametrize("required", [False, True], ids=["nullable", "required"])
def test_overwrite_replaces_the_table_and_an_empty_result_empties_it(
    driver: Driver, project: Project, required: bool
) -> None:
    make_table(project, "dd.t", required=required)
    assert run(driver, project.spec("SELECT order_id, qty FROM raw.orders", "dd.t")).rows_written == 3
    done = run(driver, project.spec("SELECT order_id, qty FROM raw.orders WHERE qty = 2", "dd.t"))
    assert (done.status, done.rows_written) == (SUCCEEDED, 1)
    assert values(project, "dd.t") == [("b", 2)]
    done = run(driver, project.spec("SELECT order_id, qty FROM raw.orders WHERE qty > 9", "dd.t"))
    assert (done.status, done.rows_written) == (SUCCEEDED, 0)
    assert values(project, "dd.t") == []


def test_overwrite_partitions_replaces_only_the_partitions_of_the_result(driver: Driver, project: Project) -> None:
    schema = Schema(NestedField(1, "order_id", StringType()), NestedField(2, "qty", LongType()))
    spec = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "order_id"))
    project.playground.create_table("dd.t", schema=schema, partition_spec=spec)
    run(driver, project.spec("SELECT order_id, qty FROM raw.orders", "dd.t", "overwrite_partitions"))
    done = run(driver, project.spec("SELECT 'b' AS order_id, 20 AS qty", "dd.t", "overwrite_partitions"))
    assert done.rows_written == 1
    assert values(project, "dd.t") == [("a", 1), ("b", 20), ("c", 3)]
    done = run(driver, project.spec("SELECT 'b' AS order_id, 20 AS qty WHERE false", "dd.t", "overwrite_partitions"))
    assert (done.status, done.rows_written) == (SUCCEEDED, 0)
    assert len(values(project, "dd.t")) == 3
    assert "an empty result changes nothing" in driver.get_logs(done.execution_id)


def test_merge_updates_by_key_and_inserts_the_rest(driver: Driver, project: Project) -> None:
    run(driver, project.spec("SELECT order_id, qty FROM raw.orders WHERE qty < 3", mode="merge"))
    sql = "SELECT order_id, qty * 10 AS qty FROM raw.orders WHERE qty > 1"
    done = run(driver, project.spec(sql, mode="merge"))
    assert (done.status, done.rows_written) == (SUCCEEDED, 2)
    assert values(project) == [("a", 1), ("b", 20), ("c", 30)]
    done = run(driver, project.spec(sql + " AND qty > 9", mode="merge"))
    assert (done.status, done.rows_written) == (SUCCEEDED, 0)


def test_merge_refuses_keys_that_repeat_or_are_null_before_it_writes(driver: Driver, project: Project) -> None:
    twice = run(driver, project.spec("SELECT 'x' AS order_id, qty FROM raw.orders", mode="merge"))
    assert twice.status is ExecutionStatus.FAILED
    assert "order_id='x'" in str(twice.error)
    sql = "SELECT CAST(NULL AS string) AS order_id, qty FROM raw.orders WHERE qty = 1"
    null = run(driver, project.spec(sql, mode="merge"))
    assert "NULL in a key (order_id)" in str(null.error)
    assert project.playground.load_table("dd.daily").metadata.snapshots == []


def test_a_required_column_refuses_null_and_nothing_is_written(driver: Driver, project: Project) -> None:
    make_table(project, "dd.t", required=True)
    for mode in ("append", "overwrite"):
        failed = run(driver, project.spec("SELECT CAST(NULL AS string) AS order_id, 1 AS qty", "dd.t", mode))
        assert failed.status is ExecutionStatus.FAILED
        assert "order_id" in str(failed.error)
    assert values(project, "dd.t") == []


def test_an_output_that_does_not_fit_is_refused_naming_every_column(driver: Driver, project: Project) -> None:
    failed = run(driver, project.spec("SELECT qty AS order_id, 1 AS extra FROM raw.orders"))
    assert failed.status is ExecutionStatus.FAILED
    for part in (
        "'qty' is declared, but the query does not return it",
        "'extra' is returned",
        "'order_id': int cannot",
    ):
        assert part in str(failed.error)
    narrow = run(driver, project.spec("SELECT order_id, CAST(qty AS double) AS qty FROM raw.orders"))
    assert "'qty': double cannot become bigint" in str(narrow.error)
    twice = run(driver, project.spec("SELECT order_id, qty, qty FROM raw.orders"))
    assert "'qty' comes twice" in str(twice.error)
    assert values(project) == []


def test_an_engine_error_is_told_in_its_words_and_without_its_stack(driver: Driver, project: Project) -> None:
    failed = run(driver, project.spec("SELECT order_id, nope AS qty FROM raw.orders"))
    assert failed.error == "there is no column 'nope'"
    failed = run(driver, project.spec("SELECT order_id, qty FROM raw.nope"))
    assert "raw.nope" in str(failed.error)
    assert "Traceback" not in str(failed.error)


WIDE = Schema(
    NestedField(1, "order_id", StringType(), required=True),
    NestedField(2, "amount", DecimalType(38, 9)),
    NestedField(3, "ts", TimestamptzType()),
    NestedField(4, "day", DateType()),
    NestedField(5, "paid", BooleanType()),
    NestedField(
        6,
        "items",
        ListType(10, StructType(NestedField(11, "sku", StringType()), NestedField(12, "qty", IntegerType())), False),
    ),
    NestedField(7, "extra", MapType(20, StringType(), 21, LongType())),
)
WIDE_TYPES = {
    "order_id": "string",
    "amount": "decimal",
    "ts": "timestamptz",
    "day": "date",
    "paid": "boolean",
    "items": "array<struct<sku: string, qty: int>>",
    "extra": "map<string, long>",
}
WIDE_SQL = """
SELECT order_id, CAST(qty AS decimal(12,2)) AS amount,
       timestamp'2026-01-01 10:00:00' + make_dt_interval(qty) AS ts, date'2026-01-01' AS day, qty > 1 AS paid,
       array(named_struct('sku', order_id, 'qty', qty)) AS items, map('k', qty) AS extra
FROM raw.orders
"""


@pytest.mark.parametrize(
    "spec",
    [
        PartitionSpec(PartitionField(3, 1000, DayTransform(), "ts_day")),
        PartitionSpec(
            PartitionField(1, 1000, BucketTransform(4), "b"), PartitionField(1, 1001, TruncateTransform(1), "t")
        ),
    ],
    ids=["day", "bucket and truncate"],
)
def test_nested_types_partitions_and_sort_orders_round_trip_in_every_mode(
    driver: Driver, project: Project, spec: PartitionSpec
) -> None:
    sort = SortOrder(SortField(source_id=1, transform=IdentityTransform()))
    project.playground.create_table("dd.wide", schema=WIDE, partition_spec=spec, sort_order=sort)
    columns = tuple(Column(name, type_) for name, type_ in WIDE_TYPES.items())
    for mode in ("append", "overwrite", "overwrite_partitions", "merge"):
        done = run(driver, project.spec(WIDE_SQL, "dd.wide", mode, columns=columns))
        assert (mode, done.status, done.error, done.rows_written) == (mode, SUCCEEDED, None, 3)
        rows = project.rows("dd.wide")
        assert len(rows) == 3, mode
        assert rows[1] == {
            "order_id": "b",
            "amount": Decimal("2.000000000"),
            "ts": datetime.datetime(2026, 1, 3, 10, tzinfo=datetime.UTC),
            "day": datetime.date(2026, 1, 1),
            "paid": True,
            "items": [{"sku": "b", "qty": 2}],
            "extra": [("k", 2)],
        }, mode


def test_every_mode_works_after_the_partitioning_changed(driver: Driver, project: Project) -> None:
    run(driver, project.spec("SELECT order_id, qty FROM raw.orders"))
    with project.playground.load_table("dd.daily").update_spec() as update:
        update.add_identity("order_id")
    run(driver, project.spec("SELECT 'd' AS order_id, 4 AS qty", mode="append"))
    assert len(values(project)) == 4
    run(driver, project.spec("SELECT 'a' AS order_id, 10 AS qty", mode="merge"))
    assert values(project) == [("a", 10), ("b", 2), ("c", 3), ("d", 4)]
    run(driver, project.spec("SELECT order_id, qty FROM raw.orders WHERE qty = 1"))
    assert values(project) == [("a", 1)]


def test_a_table_with_files_of_two_partitionings_is_overwritten_whole(driver: Driver, project: Project) -> None:
    sql = "SELECT order_id, qty FROM raw.orders"
    run(driver, project.spec(sql))
    with project.playground.load_table("dd.daily").update_spec() as update:
        update.add_identity("order_id")
    run(driver, project.spec("SELECT 'd' AS order_id, 4 AS qty", mode="append"))
    failed = run(driver, project.spec(sql, mode="overwrite_partitions"))
    assert "mode overwrite rewrites them" in str(failed.error)
    assert len(values(project)) == 4
    run(driver, project.spec(sql))
    assert values(project) == [("a", 1), ("b", 2), ("c", 3)]


def test_reads_prefer_the_overlay_and_fall_back_to_production(driver: Driver, project: Project) -> None:
    import pyarrow as pa

    project.playground.create_namespace("raw")
    mine = pa.table({"order_id": ["mine"], "qty": pa.array([9], pa.int32())})
    project.playground.create_table("raw.orders", schema=mine.schema).append(mine)
    sql = "SELECT order_id, qty FROM raw.orders"
    run(driver, project.spec(sql))
    assert ("mine", 9) not in values(project)
    run(driver, project.spec(sql, read_overlay=(PLAYGROUND,)))
    assert values(project) == [("mine", 9)]


def test_a_parameter_that_is_missing_or_unknown_is_refused_before_anything_starts(
    driver: Driver, project: Project
) -> None:
    from dcp_core.errors import InvalidSpecError

    driver.create_job("a_job", ENVIRONMENT, "a", project.spec("SELECT :x AS order_id, 1 AS qty"), {})
    with pytest.raises(InvalidSpecError, match=":x"):
        driver.run_job("a_job", ENVIRONMENT)
    with pytest.raises(InvalidSpecError, match=":y"):
        driver.run_job("a_job", ENVIRONMENT, params={"x": "1", "y": "2"})
    assert driver.list_executions() == ()
