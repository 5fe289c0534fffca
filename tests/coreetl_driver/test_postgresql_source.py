"""Extraction from a real PostgreSQL server, through ADBC and through ConnectorX."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from coreetl_driver import Column, ExecutionStatus, SourceTable
from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.driver import Driver
from coreetl_driver.sources import Connection, ReadColumn, Since, Source, ValueProblemError, open_connection
from dcp_core.errors import NotFoundError, PermanentError, SettingsError, TransientError
from dcp_core.settings import Secret
from tests.coreetl_driver.conftest import ENVIRONMENT, Project
from tests.coreetl_driver.dying_workers import (
    IN_THE_ENDPOINT,
    IN_THE_WORKER,
    POINTS,
    WRITTEN,
    Nursery,
    dying_at_the_commit,
)
from tests.coreetl_driver.test_recovery import worker_of
from tests.services.conftest import postgresql as postgresql  # the fixture that starts the server

pytestmark = pytest.mark.services
UTC = datetime.UTC
TYPES = """
id bigint PRIMARY KEY, n numeric(12,2), anything numeric, wide numeric(38,9), s text, v varchar(5), day date,
wall timestamp, at timestamptz, b boolean, r real, d double precision, x bytea, u uuid, j json, jb jsonb, ints int[],
texts text[], m shop.mood, i inet, si smallint, "Odd ""Name" int
"""
VALUES = """
1, 1.25, 0.000000001, 12345678901234567890123456789.123456789, 'a', 'b', '2026-01-01', '2026-01-01 10:00:00.123456',
'2026-01-01 10:00:00.123456+02', true, 1.5, 0.1, '\\x01ff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a":1}',
'{"a": 1}', '{1,2,null}', '{a,null}', 'good', '10.0.0.1', 2, 3
"""
EXPECTED = {
    "id": 1, "n": Decimal("1.25"), "anything": Decimal("0.000000001"),
    "wide": Decimal("12345678901234567890123456789.123456789"), "s": "a", "v": "b", "day": datetime.date(2026, 1, 1),
    "wall": datetime.datetime(2026, 1, 1, 10, 0, 0, 123456),
    "at": datetime.datetime(2026, 1, 1, 8, 0, 0, 123456, tzinfo=UTC),
    "b": True, "r": 1.5, "d": 0.1, "x": b"\x01\xff", "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "j": '{"a":1}',
    "jb": '{"a": 1}', "ints": [1, 2, None], "texts": ["a", None], "m": "good", "i": "10.0.0.1/32", "si": 2,
    'Odd "Name': 3,
}  # fmt: skip
INSERT = """
INSERT INTO shop.orders
SELECT n, n + 0.25, TIMESTAMP '2026-01-01' + n / 10 * INTERVAL '1 minute' FROM generate_series({}, {}) n
"""


@pytest.fixture
def sql(postgresql: str) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Runs statements as the owner of the database ``postgres``, which has schema ``shop`` to itself."""
    import psycopg

    with psycopg.connect(_uri(postgresql), autocommit=True) as connection:

        def run(statement: str) -> list[tuple[Any, ...]]:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

        run("DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop; CREATE TYPE shop.mood AS ENUM ('good', 'bad')")
        yield run
        run("DROP SCHEMA IF EXISTS shop CASCADE")


def _uri(postgresql: str) -> str:
    return f"postgresql://{postgresql.partition('://')[2]}/postgres"


@pytest.fixture
def source(postgresql: str, sql: Any) -> Iterator[Source]:
    with open_connection(Connection("shop", _uri(postgresql))) as opened:
        yield opened


def read(name: str, type_text: str) -> ReadColumn:
    return ReadColumn(name, name, parse_engine_type(type_text))


def test_every_type_is_described_and_read_exactly(sql: Any, source: Source) -> None:
    sql(f"CREATE TABLE shop.orders ({TYPES})")
    sql(f"INSERT INTO shop.orders VALUES ({VALUES})")
    assert source.tables() == ("shop.orders",)
    infos = source.columns("shop.orders")
    assert infos is not None
    assert [info.name for info in infos] == list(EXPECTED)
    assert [info.nullable for info in infos[:2]] == [False, True]
    assert [(info.type_text, str(info.type)) for info in infos[1:3]] == [
        ("numeric(12,2)", "decimal(12,2)"),
        ("numeric", "None"),
    ]
    columns = [ReadColumn(info.name, info.name, info.type or parse_engine_type("decimal(38,9)")) for info in infos]
    assert source.sample("shop.orders", columns, 10).to_pylist() == [EXPECTED]


@pytest.mark.parametrize(
    ("value", "type_text"),
    [
        ("'NaN'::numeric", "decimal(12,2)"),
        ("'Infinity'::numeric", "decimal(12,2)"), ("1.255::numeric", "decimal(12,2)"),
        ("'infinity'::timestamptz", "timestamp"), ("'-infinity'::date", "date"), ("'4000-01-01 BC'::date", "date"),
        ("'20000-01-01'::timestamp", "timestamp_ntz"), ("1e30::numeric", "decimal(38,9)"),
    ],
)  # fmt: skip
def test_what_has_no_place_in_the_declared_type_is_refused(
    sql: Any, source: Source, value: str, type_text: str
) -> None:
    sql(f"CREATE VIEW shop.odd AS SELECT {value} AS c")
    with pytest.raises(ValueProblemError, match=r"column 'c': .* cannot become"):
        source.sample("shop.odd", [read("c", type_text)], 1)


def test_numbers_without_a_sign_keep_theirs(sql: Any, source: Source) -> None:
    sql("CREATE DOMAIN shop.object AS oid; CREATE TABLE shop.objects (o oid, d shop.object, many oid[], v oidvector)")
    sql(
        "INSERT INTO shop.objects VALUES (4294967295, 2147483648, '{2147483648,null,1}', '3 4294967295'), "
        "(7, null, null, null)"
    )
    columns = [read("o", "long"), read("d", "long"), read("many", "array<long>"), read("v", "array<long>")]
    first = {"o": 2**32 - 1, "d": 2**31, "many": [2**31, None, 1], "v": [3, 2**32 - 1]}
    last = {"o": 7, "d": None, "many": None, "v": None}
    assert source.sample("shop.objects", columns, 9).to_pylist() == [first, last]
    for since, wanted in ((-5, [2**32 - 1, 7]), (2**31, [2**32 - 1])):
        batches = list(source.stream("shop.objects", columns, since=Since("o", since, inclusive=True)))
        assert [value for batch in batches for value in batch.column(0).to_pylist()] == wanted


def test_arrays_are_lists_wherever_they_begin_and_more_dimensions_are_refused_by_row(sql: Any, source: Source) -> None:
    sql("CREATE TABLE shop.lists (id int, ints int[], texts text[], objects oid[], small int2vector)")
    sql(
        "INSERT INTO shop.lists VALUES (1, '{1,2}', '[5:6]={a,null}', '[0:0]={7}', '8 9'), "
        "(2, '[-1:0]={3,4}', '{}', NULL, ''), (3, NULL, '{null}', '{}', NULL)"
    )
    columns = [
        read("id", "int"), read("ints", "array<int>"), read("texts", "array<string>"), read("objects", "array<long>"),
        read("small", "array<smallint>"),
    ]  # fmt: skip
    assert [list(row.values()) for row in source.sample("shop.lists", columns, 9).to_pylist()] == [
        [1, [1, 2], ["a", None], [7], [8, 9]], [2, [3, 4], [], None, []], [3, None, [None], [], None]
    ]  # fmt: skip
    sql("INSERT INTO shop.lists VALUES (4, '{{1,2},{3,4}}', '{{a,b}}', NULL, NULL)")
    shown = r"column 'ints': '\{\{1,2\},\{3,4\}\}' cannot become array<int> without a loss: row 4 of table 'shop.lists'"
    with pytest.raises(ValueProblemError, match=shown):
        source.sample("shop.lists", columns, 9)
    with pytest.raises(ValueProblemError, match=r"column 'texts': '\{\{a,b\}\}' .* row 4"):
        list(source.stream("shop.lists", columns[2:]))
    sql("UPDATE shop.lists SET objects = '[2:2][3:3]={{9}}'")
    with pytest.raises(ValueProblemError, match=r"column 'objects': .* row 1 of"):
        list(source.stream("shop.lists", columns[3:]))


def test_a_table_without_its_schema_is_the_one_on_the_search_path(sql: Any, source: Source, postgresql: str) -> None:
    sql("CREATE TABLE shop.orders (id bigint); CREATE TABLE public.coreetl_t (id bigint)")
    try:
        assert source.columns("orders") is None
        assert source.columns("coreetl_t") == source.columns("public.coreetl_t")
        with pytest.raises(NotFoundError) as missing:
            source.sample("shop.order", [read("id", "long")], 1)
        assert missing.value.hint == 'did you mean "shop.orders"?'
    finally:
        sql("DROP TABLE public.coreetl_t")


def test_a_source_is_read_only_whatever_its_user_may(sql: Any, source: Any, postgresql: str) -> None:
    sql("CREATE TABLE shop.orders (id bigint)")
    with pytest.raises(PermanentError, match="read-only transaction"):
        list(source._query("INSERT INTO shop.orders VALUES (1)"))
    with pytest.raises(PermanentError, match=r'relation "shop\.nope" does not exist') as refused:
        list(source._query("SELECT 'of the statement' FROM shop.nope"))
    assert "of the statement" not in str(refused.value)
    with pytest.raises(SettingsError, match="may not set options"):
        open_connection(Connection("shop", f"{_uri(postgresql)}?options=-c%20x%3Dy")).tables()


def test_a_server_that_is_away_may_come_back_and_a_wrong_name_or_password_stays_wrong(
    sql: Any, postgresql: str
) -> None:
    place = urlsplit(_uri(postgresql))
    with pytest.raises(TransientError, match="connection 'shop' cannot be opened"):
        open_connection(Connection("shop", "postgresql://dcp@127.0.0.1:1/postgres")).tables()
    with pytest.raises(PermanentError, match='database "nope" does not exist'):
        open_connection(Connection("shop", place._replace(path="/nope").geturl())).tables()
    ((file,),) = sql("SHOW hba_file")
    lines = [
        "host all coreetl_reader 127.0.0.1/32 scram-sha-256",
        "host all all 127.0.0.1/32 trust",
        "local all all trust",
    ]
    rows = ", ".join(f"('{line}')" for line in lines)
    sql("DROP ROLE IF EXISTS coreetl_reader; CREATE ROLE coreetl_reader LOGIN PASSWORD 'right-right'")
    sql(f"COPY (VALUES {rows}) TO '{file}'")
    sql("SELECT pg_reload_conf(), pg_sleep(0.2)")
    uri = f"postgresql://coreetl_reader@127.0.0.1:{place.port}/postgres"
    assert open_connection(Connection("shop", uri, password=Secret("right-right"))).tables() == ()
    with pytest.raises(PermanentError, match="password authentication failed") as refused:
        open_connection(Connection("shop", uri, password=Secret("wrong-wrong"))).tables()
    assert "wrong-wrong" not in str(refused.value)


@pytest.fixture
def ingested(project: Project, sql: Any, postgresql: str) -> Iterator[Driver]:
    """Knows job ``orders``, which merges ``shop.orders`` into a table by the naive timestamp ``at``."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import DecimalType, LongType, NestedField, TimestamptzType

    fields = (
        ("id", LongType(), "long"),
        ("amount", DecimalType(12, 2), "decimal(12,2)"),
        ("at", TimestamptzType(), "timestamp"),
    )
    schema = Schema(*(NestedField(number, name, of) for number, (name, of, _) in enumerate(fields, 1)))
    project.playground.create_table("dd.orders", schema=schema)
    connections = {"shop": {"uri": _uri(postgresql)}}
    driver = Driver(attrs.evolve(project.settings, values={**project.settings.values, "connections": connections}))
    sql("CREATE TABLE shop.orders (id bigint PRIMARY KEY, amount numeric(12,2), at timestamp)")
    columns = tuple(Column(name, text) for name, _, text in fields)
    source = SourceTable("shop", "shop.orders", {name: name for name, _, _ in fields}, cursor="at", chunk_rows=1000)
    spec = project.spec("", "dd.orders", "merge", columns=columns, keys=("id",), kind="extract", source=source)
    driver.create_job("orders", ENVIRONMENT, "orders", spec, {})
    yield driver
    driver.close()


def in_table(project: Project) -> list[tuple[Any, ...]]:
    found = project.playground.load_table("dd.orders").scan().to_arrow().to_pylist()
    return sorted((row["id"], row["amount"], row["at"]) for row in found)


def in_source(sql: Any) -> list[tuple[Any, ...]]:
    return [(id_, amount, at.replace(tzinfo=UTC)) for id_, amount, at in sql("SELECT * FROM shop.orders ORDER BY id")]


def test_increments_by_a_naive_timestamp_with_ties_end_in_the_source(
    project: Project, ingested: Driver, sql: Any
) -> None:
    for first, last, written in ((1, 2505, 2505), (2506, 2520, 21), (2521, 2521, 2)):
        sql(INSERT.format(first, last))
        done = ingested.wait(ingested.run_job("orders", ENVIRONMENT).execution_id, 120)
        assert (done.status, done.error, done.rows_written) == (ExecutionStatus.SUCCEEDED, None, written)
    assert in_table(project) == in_source(sql)


def test_a_worker_killed_at_any_point_has_written_all_or_nothing_and_the_next_run_does_it_all(
    project: Project, ingested: Driver, sql: Any
) -> None:
    nursery = Nursery()
    with nursery.used():
        for number, point in enumerate(POINTS):
            before = in_table(project)
            sql(INSERT.format(number * 2500 + 1, number * 2500 + 2500))
            nursery.point = point if point in IN_THE_WORKER else ""
            with ExitStack() as stack:
                if point in IN_THE_ENDPOINT:
                    died = stack.enter_context(dying_at_the_commit(point, lambda id_: worker_of(project, id_)))
                killed = ingested.wait(ingested.run_job("orders", ENVIRONMENT).execution_id, 120)
            nursery.point = ""
            if point in IN_THE_ENDPOINT:
                assert died == [killed.execution_id]
            else:
                assert f"killed: {point}" in ingested.get_logs(killed.execution_id)
            assert killed.status is (ExecutionStatus.SUCCEEDED if point in WRITTEN else ExecutionStatus.FAILED)
            assert (in_table(project) == before) is (point not in WRITTEN)
            after = ingested.wait(ingested.run_job("orders", ENVIRONMENT).execution_id, 120)
            assert (after.status, after.error) == (ExecutionStatus.SUCCEEDED, None)
            assert in_table(project) == in_source(sql)
    nursery.close()


def test_connectorx_streams_the_same_values(sql: Any, postgresql: str) -> None:
    pytest.importorskip("connectorx")
    sql("CREATE TABLE shop.orders (id bigint NOT NULL, n numeric(38,12), s text, at timestamptz, day date)")
    sql(
        "INSERT INTO shop.orders SELECT n, n + 0.123456789012, 'o' || n, TIMESTAMPTZ '2026-01-01Z' "
        "+ n * INTERVAL '1 hour', DATE '2026-01-01' FROM generate_series(1, 100) n"
    )
    columns = [
        read("id", "long"),
        read("n", "decimal(38,12)"),
        read("s", "string"),
        read("at", "timestamp"),
        read("day", "date"),
    ]
    with open_connection(Connection("shop", _uri(postgresql), driver="connectorx")) as through:
        assert through.tables() == ("shop.orders",)
        infos = through.columns("orders")
        assert infos is not None
        assert [info.nullable for info in infos[:2]] == [False, True]
        batches = list(through.stream("shop.orders", columns, chunk_rows=30))
        assert max(batch.num_rows for batch in batches) <= 30
        assert through.sample("shop.orders", columns, 7).num_rows == 7
    with open_connection(Connection("shop", _uri(postgresql))) as plain:
        wanted = [row for batch in plain.stream("shop.orders", columns) for row in batch.to_pylist()]
    assert [row for batch in batches for row in batch.to_pylist()] == wanted
