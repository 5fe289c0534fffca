from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver import Column
from coreetl_driver.engine import Engine
from dcp_core.errors import InvalidSpecError, PermanentError, TransientError
from dcp_core.settings import Settings
from tests.coreetl_driver.conftest import PRODUCTION

ORDERS = (Column("order_id", "string"), Column("amount", "decimal(12,2)"), Column("at", "timestamp"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    import pyarrow as pa
    from pyiceberg.catalog import load_catalog

    root = tmp_path_factory.mktemp("engine")
    settings = Settings(root, {}, {})
    settings.state.mkdir()
    production = load_catalog(PRODUCTION, **settings.catalog_properties(PRODUCTION))
    production.create_namespace("raw")
    rows = pa.table({"order_id": ["a"], "qty": pa.array([1], pa.int32())})
    production.create_table("raw.orders", schema=rows.schema).append(rows)
    with Engine(
        {PRODUCTION: settings.catalog_properties(PRODUCTION, resolve=False)}, PRODUCTION, (), settings
    ) as opened:
        yield opened


def test_it_says_what_it_is(engine: Engine) -> None:
    assert engine.name.startswith("sail ")
    assert "embedded" in engine.name


def test_analysis_gives_names_and_types_without_running(engine: Engine) -> None:
    columns = engine.analyze(
        "SELECT order_id, sum(CAST(qty AS decimal(12,2))) AS total FROM raw.orders GROUP BY order_id"
    )
    assert [(column.name, column.type) for column in columns] == [("order_id", "string"), ("total", "decimal(22,2)")]


def test_it_explains_and_checks(engine: Engine) -> None:
    assert "orders" in engine.explain("SELECT * FROM raw.orders")
    engine.check("SELECT * FROM raw.orders WHERE qty > :least")
    with pytest.raises(PermanentError):
        engine.check("SELECT nope FROM raw.orders")


def test_given_rows_take_the_place_of_source_tables_that_need_not_exist(engine: Engine) -> None:
    rows: list[list[Any]] = [
        ["a", Decimal("1.50"), datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)],
        ["a", "2.25", "2026-01-01T13:00:00+01:00"],
        ["b", None, None],
    ]
    sql = """
    WITH paid AS (SELECT * FROM raw.orders WHERE amount IS NOT NULL)
    SELECT o.order_id, count(p.amount) AS n, sum(p.amount) AS total, max(o.at) AS last
    FROM raw.orders AS o LEFT JOIN paid p ON o.order_id = p.order_id AND o.at = p.at
    JOIN pedregal.lake.users ON users.id = o.order_id
    GROUP BY o.order_id ORDER BY 1
    """
    columns, found = engine.rows(
        sql, {"raw.orders": (ORDERS, rows), "pedregal.lake.users": ((Column("id", "string"),), [["a"], ["b"]])}
    )
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    assert [column.name for column in columns] == ["order_id", "n", "total", "last"]
    assert found == (("a", 4, Decimal("7.50"), noon), ("b", 0, None, None))


def test_no_rows_are_rows_too_and_a_limit_limits(engine: Engine) -> None:
    columns, found = engine.rows("SELECT * FROM raw.orders", {"raw.orders": (ORDERS, [])})
    assert [column.type for column in columns] == ["string", "decimal(12,2)", "timestamp"]
    assert found == ()
    assert len(engine.rows("SELECT id FROM range(100)", limit=7)[1]) == 7


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("array<struct<sku: string, qty: int>>", [{"sku": "x", "qty": 1}, {"sku": None, "qty": None}]),
        ("map<string, decimal(38,9)>", {"k": Decimal("0.000000001")}),
        ("binary", b"\x00\xff"),
        ("date", datetime.date(1999, 12, 31)),
        ("timestamp_ntz", datetime.datetime(1999, 12, 31, 23, 59, 59, 123456)),
        ("double", 0.1),
        ("long", 2**62),
    ],
)
def test_values_of_every_type_come_back_as_they_went_in(engine: Engine, type_: str, value: Any) -> None:
    _, found = engine.rows("SELECT v FROM lake.t", {"lake.t": ((Column("v", type_),), [[value], [None]])})
    assert set(map(repr, found)) == {repr((value,)), repr((None,))}


def test_a_row_that_does_not_fit_is_named(engine: Engine) -> None:
    with pytest.raises(InvalidSpecError, match=r"input 'raw.orders', row 2, column 'amount'.*'x'"):
        engine.rows("SELECT * FROM raw.orders", {"raw.orders": (ORDERS, [["a", 1, None], ["b", "x", None]])})
    with pytest.raises(PermanentError, match="row 1: 1 values for 3 columns"):
        engine.rows("SELECT * FROM raw.orders", {"raw.orders": (ORDERS, [["a"]])})


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nope FROM raw.orders", "there is no column 'nope'"),
        ("SELECT * FROM raw.nope", "raw.nope does not exist"),
        ("SELECT foo(1)", "unknown function: foo"),
        ("SELECT 1/0 AS x", "divide by zero"),
    ],
)
def test_what_the_engine_refuses_is_said_in_plain_words(engine: Engine, sql: str, message: str) -> None:
    with pytest.raises(PermanentError) as caught:
        engine.rows(sql)
    assert message in str(caught.value)
    for noise in ("DataFusion", "ObjectName", "Traceback", "\n"):
        assert noise not in str(caught.value)


def test_only_one_plain_query_is_asked_and_a_path_is_never_opened(engine: Engine, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for sql in (f"SELECT * FROM text.`{secret}`", "DROP TABLE raw.orders", "SELECT 1; SELECT 2"):
        for ask in (engine.analyze, engine.explain, engine.check, engine.rows):
            with pytest.raises(InvalidSpecError):
                ask(sql)


REMOTE = """
import os, sys
os.environ["SAIL_CATALOG__LIST"] = '[{name="pedregal", type="memory", initial_database=["default"]}]'
os.environ["SAIL_CATALOG__DEFAULT_CATALOG"] = '"pedregal"'
from pysail.spark import SparkConnectServer
server = SparkConnectServer("127.0.0.1", 0)
server.start()
print(server.listening_address[1], flush=True)
sys.stdin.read()
server.stop()
"""


def test_with_a_spark_connect_url_it_asks_that_server(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", REMOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"sc://127.0.0.1:{int(server.stdout.readline())}"
    settings = Settings(tmp_path, {"coreetl": {"spark_connect_url": url}}, {})
    try:
        with Engine({}, PRODUCTION, (), settings) as remote:
            assert remote.name.startswith("spark ")
            given = {"raw.orders": ((Column("order_id", "string"),), [["a"]])}
            assert remote.rows("SELECT * FROM raw.orders", given)[1] == (("a",),)
    finally:
        server.communicate("", timeout=30)


def test_a_server_that_is_not_there_is_an_error_in_plain_words(tmp_path: Path) -> None:
    settings = Settings(tmp_path, {"coreetl": {"spark_connect_url": "sc://127.0.0.1:1"}}, {})
    with (
        Engine({}, PRODUCTION, (), settings) as remote,
        pytest.raises(TransientError, match="no Spark Connect server"),
    ):
        remote.analyze("SELECT 1 AS x")
