"""Jobs of kind extract on real SQLite and real Sail, what they wrote read back by pyiceberg."""

from __future__ import annotations

import datetime
import json
import sqlite3
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

from coreetl_driver import Column, Execution, ExecutionStatus, SourceTable
from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.driver import Driver
from coreetl_driver.job.extract import _earlier
from coreetl_driver.sources.converting import arrow_type
from tests.coreetl_driver.conftest import ENVIRONMENT, Project
from tests.coreetl_driver.extracting import Shop, open_shop, orders
from tests.coreetl_driver.test_recovery import worker_of

UTC = datetime.UTC
NAIVE_MIN = datetime.datetime.fromisoformat("0001-01-01")
SUCCEEDED, FAILED = ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED


@pytest.fixture
def shop(project: Project) -> Iterator[Shop]:
    opened = open_shop(project)
    yield opened
    opened.driver.close()


def done(execution: Execution, rows: int | None) -> None:
    assert (execution.status, execution.error, execution.rows_written) == (SUCCEEDED, None, rows)


def test_a_snapshot_replaces_the_table_and_an_empty_source_empties_it(shop: Shop) -> None:
    shop.sell(*orders(range(250)))
    done(shop.run(shop.spec("overwrite", cursor=None, chunk_rows=100)), 250)
    assert shop.rows() == shop.source_rows()
    shop.forget(*range(250))
    done(shop.run(), 0)
    assert shop.rows() == []
    assert len(shop.snapshots()) == 2
    assert shop.snapshots()[0]["coreetl.source"] == "shop/orders"


def test_appending_reads_on_from_the_last_cursor(shop: Shop) -> None:
    shop.sell(*orders([1, 2], "10:00"))
    done(shop.run(shop.spec("append")), 2)
    shop.sell(*orders([3], "10:01"), *orders([4, 5], "11:00"))
    done(shop.run(), 3)
    assert shop.rows() == shop.source_rows()
    marks = shop.snapshots()[-1]
    assert marks["coreetl.cursor-column"] == "at"
    assert json.loads(marks["coreetl.cursor"]) == {"type": "timestamptz", "value": "2026-01-01T11:00:00+00:00"}
    idle = shop.run()
    done(idle, 0)
    assert len(shop.snapshots()) == 2  # nothing new, nothing committed
    log = shop.driver.get_logs(idle.execution_id)
    assert "rows with at > 2026-01-01T11:00:00+00:00" in log
    assert "nothing is committed" in log


def test_merging_reads_ties_and_late_rows_again(shop: Shop) -> None:
    shop.sell(*orders([1, 2], "10:00"), *orders([3], "11:00"))
    done(shop.run(shop.spec("merge")), 3)
    shop.sell(*orders([4], "11:00"), (1, "99.00", "11:30"))  # a tie with the cursor, and a change
    done(shop.run(), 3)
    assert shop.rows() == shop.source_rows()
    done(shop.run(), 0)  # the tie alone is read, and is there
    shop.sell((5, "5.00", "11:10"))  # late: before the cursor
    done(shop.run(), 0)
    assert shop.rows() != shop.source_rows()
    done(shop.run(shop.spec("merge", lookback=20 * 60)), 2)
    assert shop.rows() == shop.source_rows()
    assert json.loads(shop.snapshots()[-1]["coreetl.cursor"])["value"] == "2026-01-01T11:30:00+00:00"


def test_an_empty_source_writes_nothing_and_its_first_rows_come_later(shop: Shop) -> None:
    for mode in ("append", "merge"):
        done(shop.run(shop.spec(mode)), 0)
        assert shop.snapshots() == []
    shop.sell(*orders([1]))
    done(shop.run(), 1)
    assert shop.rows() == [(1, "1.25")]


def test_a_full_refresh_replaces_all_rows_in_one_commit_and_the_next_run_goes_on_from_it(shop: Shop) -> None:
    shop.sell(*orders([1, 2, 3]))
    done(shop.run(shop.spec("append")), 3)
    shop.forget(1)
    shop.sell((2, "7.00", "09:00"))
    done(shop.run(full_refresh="true"), 2)
    assert shop.rows() == [(2, "7.00"), (3, "3.25")]
    assert len(shop.snapshots()) == 2
    shop.sell(*orders([4], "10:30"))
    done(shop.run(full_refresh="false"), 1)
    shop.forget(2, 3, 4)
    done(shop.run(full_refresh="true"), 0)
    assert shop.rows() == []
    shop.sell(*orders([5], "08:00"))  # earlier than any cursor before the table was emptied
    done(shop.run(), 1)
    assert shop.rows() == [(5, "5.25")]


def test_a_table_with_rows_and_without_a_cursor_is_merged_whole_and_never_appended_to(shop: Shop) -> None:
    shop.sell(*orders([1, 2]))
    done(shop.run(shop.spec("overwrite", cursor=None)), 2)
    refused = shop.run(shop.spec("append"))
    assert refused.status is FAILED
    assert "full_refresh=true" in str(refused.error)
    assert "its last run had no cursor, not at" in str(refused.error)
    shop.sell(*orders([3]))
    done(shop.run(shop.spec("merge")), 3)
    shop.sell(*orders([4], "10:01"))
    done(shop.run(shop.spec("append")), 1)  # a merge has left a cursor
    other_cursor = shop.run(shop.spec("append", cursor="id"))
    assert "its last run had cursor at, not id" in str(other_cursor.error)
    assert shop.rows() == shop.source_rows()


def test_the_cursor_goes_back_with_a_rollback_and_outlives_other_peoples_commits(shop: Shop) -> None:
    shop.sell(*orders([1, 2]))
    done(shop.run(shop.spec("append")), 2)
    table = shop.project.playground.load_table("dd.orders")
    first = table.metadata.current_snapshot_id
    shop.sell(*orders([3], "11:00"))
    done(shop.run(), 1)
    table.refresh()
    table.manage_snapshots().set_current_snapshot(snapshot_id=first).commit()
    assert len(shop.rows()) == 2
    done(shop.run(), 1)
    table.refresh()
    table.delete("id = 1")  # somebody else's commit, which says nothing of a cursor
    shop.sell(*orders([4], "12:00"))
    done(shop.run(), 1)
    assert [id_ for id_, _ in shop.rows()] == [2, 3, 4]


def test_null_in_the_cursor_fails_the_run_and_says_where(shop: Shop) -> None:
    shop.sell(*orders([1]))
    done(shop.run(shop.spec("append")), 1)
    shop.sell((2, "1.00", None))
    failed = shop.run()
    assert failed.status is FAILED
    assert "column 'at': is NULL, which is refused here: row " in str(failed.error)
    assert "of table 'orders' of connection 'shop'" in str(failed.error)
    assert shop.rows() == [(1, "1.25")]


def test_keys_that_repeat_in_the_source_fail_the_run(shop: Shop) -> None:
    with sqlite3.connect(shop.file) as connection:
        connection.execute("CREATE VIEW doubled AS SELECT * FROM orders UNION ALL SELECT * FROM orders")
    connection.close()
    shop.sell(*orders([1]))
    done(shop.run(shop.spec("merge")), 1)
    spec = shop.spec("merge")
    assert isinstance(spec.source, SourceTable)
    failed = shop.run(attrs.evolve(spec, source=attrs.evolve(spec.source, table="doubled")))
    assert failed.status is FAILED
    assert "id=1; the key must be unique and not NULL in source table 'doubled'" in str(failed.error)


@pytest.mark.parametrize("params", [{}, {"full_refresh": "true"}])
def test_keys_that_repeat_fail_a_run_that_replaces_everything_too(shop: Shop, params: dict[str, str]) -> None:
    """Else a later merge would update both rows of such a key."""
    with sqlite3.connect(shop.file) as connection:
        connection.execute("CREATE VIEW doubled AS SELECT * FROM orders UNION ALL SELECT * FROM orders")
    connection.close()
    shop.sell(*orders([1, 2]))
    spec = shop.spec("overwrite", cursor=None)
    assert isinstance(spec.source, SourceTable)
    done(shop.run(attrs.evolve(spec, source=attrs.evolve(spec.source, key=("id",)))), 2)
    twice = attrs.evolve(spec, source=attrs.evolve(spec.source, table="doubled", key=("id",)))
    failed = shop.run(twice, **params)
    assert failed.status is FAILED
    assert "2 keys come more than once in the output, for example id=1" in str(failed.error)
    assert len(shop.rows()) == 2


def test_what_the_source_lacks_or_holds_wrongly_is_told_and_nothing_is_written(shop: Shop) -> None:
    shop.sell((1, "1.255", "10:00"))
    failed = shop.run(shop.spec("overwrite", cursor=None))
    assert "column 'amount': 1.255 cannot become decimal(10,2) without a loss: row 1 of table 'orders'" in str(
        failed.error
    )
    spec = shop.spec("overwrite", cursor=None)
    assert isinstance(spec.source, SourceTable)
    failed = shop.run(attrs.evolve(spec, source=attrs.evolve(spec.source, table="order")))
    assert failed.error == "connection 'shop' has no table 'order' (did you mean \"orders\"?)"
    columns = {"id": "id", "amount": "amuont", "at": "at", "note": "note"}
    failed = shop.run(attrs.evolve(spec, source=SourceTable("shop", "orders", columns)))
    assert "it has no column 'amuont' (did you mean \"amount\"?)" in str(failed.error)
    shop.file.unlink()
    failed = shop.run(spec)
    assert "there is no file" in str(failed.error)
    assert shop.snapshots() == []


def test_partitions_are_replaced_and_merged(project: Project) -> None:
    shop = open_shop(project, PartitionSpec(PartitionField(3, 1000, DayTransform(), "at_day")))
    shop.sell(*orders([1, 2]))
    with sqlite3.connect(shop.file) as connection:
        connection.execute("INSERT INTO orders VALUES (3, 3, '2026-01-02T00:00:00Z', NULL)")
    connection.close()
    done(shop.run(shop.spec("overwrite_partitions", cursor=None)), 3)
    shop.forget(1, 3)
    done(shop.run(), 1)
    assert shop.rows() == [(2, "2.25"), (3, "3.00")]
    shop.sell((2, "5.00", "12:00"))
    done(shop.run(shop.spec("merge")), 1)
    assert shop.rows() == [(2, "5.00"), (3, "3.00")]
    shop.driver.close()


WIDE = {
    "n": (LongType(), "INTEGER", st.integers(-(2**63), 2**63 - 1)),
    "i": (IntegerType(), "INT", st.integers(-(2**31), 2**31 - 1)),
    "d": (DecimalType(38, 9), "TEXT", st.decimals(-(10**28), 10**28, places=9).map(lambda value: format(value, "f"))),
    "m": (DecimalType(10, 2), "DECIMAL(10,2)", st.decimals(-(10**7), 10**7, places=2).map(float)),
    "f": (DoubleType(), "REAL", st.floats(allow_nan=False)),
    "s": (StringType(), "TEXT", st.text(st.characters(exclude_categories=["Cs"]))),
    "b": (BooleanType(), "BOOLEAN", st.integers(0, 1)),
    "x": (BinaryType(), "BLOB", st.binary(max_size=9)),
    "day": (DateType(), "DATE", st.dates().map(str)),
    "at": (TimestamptzType(), "TIMESTAMP", st.datetimes(timezones=st.sampled_from([None, datetime.UTC])).map(str)),
    "wall": (TimestampType(), "TIMESTAMP", st.datetimes().map(str)),
}
EXPECTED: dict[str, Any] = {
    "d": Decimal,
    "m": lambda value: Decimal(repr(value)).quantize(Decimal("0.01")),
    "b": bool,
    "day": datetime.date.fromisoformat,
    "at": lambda value: datetime.datetime.fromisoformat(value).replace(tzinfo=datetime.UTC),
    "wall": datetime.datetime.fromisoformat,
}


ROWS = st.tuples(*(st.one_of(st.none(), values) for _, _, values in WIDE.values()))


@given(rows=st.lists(ROWS, min_size=1, max_size=40))
@settings(max_examples=3, suppress_health_check=list(HealthCheck))
def test_every_value_of_every_type_is_the_same_in_the_table(project: Project, rows: list[tuple[Any, ...]]) -> None:
    file = project.settings.root / "wide.db"
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as connection:
        declared = ", ".join(f"{name} {text}" for name, (_, text, _) in WIDE.items())
        connection.execute(f"CREATE TABLE wide (k INTEGER PRIMARY KEY, {declared})")
        marks = ", ".join("?" * len(WIDE))
        connection.executemany(f"INSERT INTO wide ({', '.join(WIDE)}) VALUES ({marks})", rows)
    connection.close()
    kinds = {"k": LongType(), **{name: of for name, (of, _, _) in WIDE.items()}}
    if not project.playground.table_exists("dd.wide"):
        fields = [NestedField(number, name, of) for number, (name, of) in enumerate(kinds.items(), 1)]
        project.playground.create_table("dd.wide", schema=Schema(*fields))
    types = {**{name: str(of) for name, of in kinds.items()}, "wall": "timestamp_ntz"}
    columns = tuple(Column(name, type_) for name, type_ in types.items())
    source = SourceTable("wide", "wide", {name: name for name in types}, chunk_rows=7)
    spec = project.spec("", "dd.wide", "overwrite", columns=columns, kind="extract", source=source)
    values = {**project.settings.values, "connections": {"wide": {"uri": f"sqlite:///{file}"}}}
    driver = Driver(attrs.evolve(project.settings, values=values))
    driver.create_job("wide_job", ENVIRONMENT, "wide", spec, {})
    done(driver.wait(driver.run_job("wide_job", ENVIRONMENT).execution_id, 120), len(rows))
    driver.close()
    found = sorted(project.playground.load_table("dd.wide").scan().to_arrow().to_pylist(), key=lambda row: row["k"])
    for row, (key, given_row) in zip(found, enumerate(rows, 1), strict=True):
        wanted = {
            name: value if value is None else EXPECTED.get(name, lambda same: same)(value)
            for name, value in zip(WIDE, given_row, strict=True)
        }
        assert row == {"k": key, **wanted}


def test_the_password_of_a_connection_is_in_no_file_and_no_message(shop: Shop) -> None:
    secret = "hunter2-hunter2"
    environ = {"SHOP_PASSWORD": secret}
    connections = {
        "shop": {"uri": f"postgresql://reader:{secret}@127.0.0.1:1/shop"},
        "other": {"uri": "postgresql://reader@127.0.0.1:1/shop?sslpassword=${SHOP_PASSWORD}", "password": secret},
    }
    values = {**shop.project.settings.values, "connections": connections}
    settings = attrs.evolve(shop.project.settings, values=values, environ=environ)
    driver = Driver(settings)
    for connection in connections:
        spec = shop.spec("overwrite", cursor=None, connection=connection)
        driver.create_job(connection, ENVIRONMENT, "orders", spec, {})
        failed = driver.wait(driver.run_job(connection, ENVIRONMENT).execution_id, 60)
        assert failed.status is FAILED
        assert f"connection '{connection}' cannot be opened" in str(failed.error)
        told = (repr(failed), driver.get_logs(failed.execution_id), repr(driver.get_job(connection, ENVIRONMENT)))
        assert not any(secret in text for text in told)
    driver.close()
    for file in settings.state.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file


def test_a_secret_never_stands_in_the_arguments_or_variables_of_a_worker(project: Project) -> None:
    shop = open_shop(project, driver="tests.coreetl_driver.killing_driver")
    secret = "hunter2-hunter2"
    connection = {"uri": f"sqlite:///{shop.file}", "driver": "tests.coreetl_driver.killing_driver"}
    values = {**project.settings.values, "connections": {"shop": {**connection, "password": "${SHOP_PASSWORD}"}}}
    driver = Driver(attrs.evolve(project.settings, values=values, environ={"SHOP_PASSWORD": secret}))
    Path(f"{shop.file}.accident").write_text("hold 1")
    shop.sell(*orders([1]))
    driver.create_job("a_job", ENVIRONMENT, "orders", shop.spec("overwrite", cursor=None), {})
    running = driver.run_job("a_job", ENVIRONMENT)
    deadline = time.monotonic() + 60
    while "reading table" not in driver.get_logs(running.execution_id):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process = Path("/proc") / str(worker_of(project, running.execution_id).pid)
    assert secret.encode() not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    driver.stop_job("a_job", ENVIRONMENT)
    driver.close()
    shop.driver.close()


@pytest.mark.parametrize(
    ("type_text", "last", "lookback", "since"),
    [
        ("smallint", 2, 40_000, -(2**15)), ("tinyint", 2, 3, -1), ("int", -(2**31), 1, -(2**31)),
        ("long", 0, 2**80, -(2**63)),
        ("decimal(5,0)", Decimal(5), 10**9, Decimal(-99_999)), ("decimal(5,2)", Decimal("1.25"), 2, Decimal("-0.75")),
        ("decimal(38,9)", Decimal("12345678901234567890123456789.123456789"), 9,
         Decimal("12345678901234567890123456780.123456789")),
        ("date", datetime.date(2026, 1, 2), 1, datetime.date(2026, 1, 1)),
        ("date", datetime.date(1, 1, 2), 10**6, datetime.date.min),
        ("date", datetime.date(2026, 1, 2), 10**30, datetime.date.min),
        ("timestamp", datetime.datetime(1, 1, 1, 1, tzinfo=UTC), 7200, datetime.datetime(1, 1, 1, tzinfo=UTC)),
        ("timestamp_ntz", datetime.datetime(2026, 1, 1), 10**30, NAIVE_MIN),
    ],
)  # fmt: skip
def test_a_lookback_goes_back_to_the_least_value_of_the_cursors_type_at_most(
    type_text: str, last: Any, lookback: int, since: Any
) -> None:
    of = parse_engine_type(type_text)
    assert _earlier(last, lookback, of) == since
    assert pa.scalar(since, arrow_type(of)).as_py() == since  # which the rows are compared with


def test_a_lookback_beyond_the_range_of_a_small_cursor_reads_everything_again(shop: Shop, project: Project) -> None:
    table = Schema(NestedField(1, "id", LongType()), NestedField(2, "version", IntegerType()))
    project.playground.create_table("dd.versions", schema=table)
    with sqlite3.connect(shop.file) as connection:
        connection.execute("CREATE TABLE versions (id INTEGER PRIMARY KEY, version SMALLINT)")
        connection.execute("INSERT INTO versions VALUES (1, 1), (2, 2)")
    connection.close()
    source = SourceTable("shop", "versions", {"id": "id", "version": "version"}, cursor="version", lookback=40_000)
    columns = (Column("id", "long"), Column("version", "smallint"))
    spec = project.spec("", "dd.versions", "merge", columns=columns, keys=("id",), kind="extract", source=source)
    done(shop.run(spec), 2)
    with sqlite3.connect(shop.file) as connection:
        connection.execute("INSERT INTO versions VALUES (3, -32768)")
    connection.close()
    done(shop.run(), 3)
