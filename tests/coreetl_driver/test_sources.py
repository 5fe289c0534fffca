"""Opening sources: what they tell of themselves, and that reading leaves no trace. SQLite, DuckDB, real files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver.column_types import ScalarType, parse_engine_type
from coreetl_driver.sources import (
    Connection,
    ReadColumn,
    Source,
    SourceColumnInfo,
    ValueProblemError,
    open_connection,
    problem_extracting,
)
from dcp_core.errors import NotFoundError, PermanentError, SettingsError, TransientError

ID = ReadColumn("id", "id", parse_engine_type("long"))
CRASH = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO orders (id) VALUES (99)")
connection.commit()
os._exit(1)
"""
LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "shop" / "shop.db"
    made.parent.mkdir()
    with sqlite3.connect(made) as connection:
        connection.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount DECIMAL(10, 2) NOT NULL DEFAULT 0, at TIMESTAMP)"
        )
        connection.execute('CREATE VIEW "Big ""Orders" AS SELECT id, amount * 2 AS doubled FROM orders')
        connection.executemany("INSERT INTO orders (id) VALUES (?)", [(number,) for number in range(1, 11)])
    connection.close()
    return made


def connection_to(file: Path, **rest: Any) -> Connection:
    return Connection("shop", f"sqlite:///{file}", **rest)


@pytest.fixture
def source(file: Path) -> Iterator[Source]:
    with open_connection(connection_to(file)) as opened:
        yield opened


def ids(source: Source, **rest: Any) -> list[int]:
    return [value for batch in source.stream("orders", [ID], **rest) for value in batch.column(0).to_pylist()]


def in_wal_mode(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO orders (id) VALUES (11)")
    connection.commit()
    return connection


def test_tables_and_columns_are_described_in_the_databases_words(source: Source) -> None:
    assert source.tables() == ('Big "Orders', "orders")
    found = source.columns("orders")
    assert found is not None
    assert [(info.name, info.type_text, str(info.type), info.nullable) for info in found] == [
        ("id", "INTEGER", "long", False), ("amount", "DECIMAL(10, 2)", "decimal(10,2)", False),
        ("at", "TIMESTAMP", "timestamptz", True)
    ]  # fmt: skip
    assert source.columns("main.orders") == found
    assert source.columns("nope") is None
    assert source.columns("other.orders") is None


def test_rows_come_in_chunks_and_a_sample_is_bounded(source: Source) -> None:
    sizes = [batch.num_rows for batch in source.stream("orders", [ID], chunk_rows=4)]
    assert (sum(sizes), max(sizes)) == (10, 4)
    assert source.sample("orders", [ID], 3).num_rows == 3
    assert source.sample("orders", [ID], 0).num_rows == 0
    assert source.sample("orders", [ReadColumn("x", "ID", ID.type)], 1).schema.names == ["x"]


def test_a_read_that_is_given_up_halfway_gives_everything_back(file: Path) -> None:
    with open_connection(connection_to(file)) as source:
        assert next(iter(source.stream("orders", [ID], chunk_rows=1))).num_rows == 1
    with sqlite3.connect(file, timeout=1) as writer:
        writer.execute("DELETE FROM orders")
    writer.close()


def test_a_name_that_is_not_there_is_told_with_the_nearest(source: Source) -> None:
    with pytest.raises(NotFoundError, match="connection 'shop' has no table 'order'") as missing:
        source.sample("order", [ID], 1)
    assert missing.value.hint == 'did you mean "orders"?'
    columns = [ReadColumn("a", "amuont", ID.type), ReadColumn("id", "id", parse_engine_type("date"))]
    with pytest.raises(NotFoundError) as wrong:
        source.sample("orders", columns, 1)
    assert "no column 'amuont' (did you mean \"amount\"?)" in str(wrong.value)
    assert "column 'id' cannot be read into 'id': INTEGER: bigint cannot become date" in str(wrong.value)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with (
        open_connection(connection_to(tmp_path / "none.db")) as source,
        pytest.raises(NotFoundError, match=r"none\.db"),
    ):
        source.tables()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database, it only has its name")
    with (
        open_connection(connection_to(tmp_path / "text.db")) as source,
        pytest.raises(PermanentError, match="not an SQLite"),
    ):
        source.tables()


def test_a_source_cannot_be_written_to(file: Path) -> None:
    source: Any = open_connection(connection_to(file))
    with source, pytest.raises(PermanentError, match="readonly"):
        list(source._query("DELETE FROM orders"))


def test_a_locked_database_may_be_free_later(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coreetl_driver.sources.sqlite._BUSY_TIMEOUT_MS", 50)
    # Another process: locks are a process's own, and this one has two copies of SQLite in it.
    writer = subprocess.Popen([sys.executable, "-c", LOCK, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"locked\n"
    with open_connection(connection_to(file)) as source, pytest.raises(TransientError, match="locked"):
        source.tables()
    writer.communicate()


@pytest.mark.parametrize("state", ["closed", "open", "crashed", "index lost"])
def test_a_database_in_wal_mode_is_read_without_a_file_beside_it_being_made(file: Path, state: str) -> None:
    writer = in_wal_mode(file)
    expected = [*range(1, 12)]
    if state in ("closed", "crashed", "index lost"):
        writer.close()
    if state in ("crashed", "index lost"):
        assert subprocess.run([sys.executable, "-c", CRASH, str(file)], check=False).returncode == 1
        expected.append(99)
    if state == "index lost":
        Path(f"{file}-shm").unlink()
    before = {each.name: each.stat().st_mtime_ns for each in file.parent.iterdir() if not each.name.endswith("-shm")}
    names = sorted(os.listdir(file.parent))
    with open_connection(connection_to(file)) as source:
        if state == "index lost":
            with pytest.raises(TransientError, match="write-ahead log that was left behind") as refused:
                ids(source)
            assert "wal_checkpoint" in str(refused.value.hint)
        else:
            assert ids(source) == expected
    assert sorted(os.listdir(file.parent)) == names
    assert {name: (file.parent / name).stat().st_mtime_ns for name in before} == before
    writer.close()


def test_a_database_that_is_written_to_while_it_is_read_without_locks_is_read_again(file: Path) -> None:
    in_wal_mode(file).close()
    with open_connection(connection_to(file)) as source:
        read = source.stream("orders", [ID], chunk_rows=2)
        next(iter(read))
        _write(file)
        with pytest.raises(TransientError, match="was written to while it was read"):
            list(read)


def _write(file: Path) -> None:
    with sqlite3.connect(file) as writer:
        writer.execute("INSERT INTO orders (id) VALUES (50)")
    writer.close()  # the last to close folds the log in


def test_a_connection_without_a_driver_says_what_to_install_or_to_name() -> None:
    with pytest.raises(SettingsError, match=r"\[connections\.shop\] uri has scheme 'db2'"):
        open_connection(Connection("shop", "db2://host/shop"))
    with pytest.raises(SettingsError, match="needs adbc_driver_nope, which is not installed"):
        open_connection(Connection("shop", "nope://host", driver="adbc_driver_nope"))
    with (
        open_connection(Connection("shop", "x://host", driver="json")) as source,
        pytest.raises(SettingsError, match="not the package"),
    ):
        source.tables()
    with (
        open_connection(Connection("shop", "sqlite:////x?mode=rwc")) as source,
        pytest.raises(SettingsError, match="read-only"),
    ):
        source.tables()


def test_any_other_database_is_read_through_its_adbc_driver(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    file = tmp_path / "shop.duckdb"
    made = duckdb.connect(str(file))
    made.execute(
        "CREATE TABLE orders AS SELECT range::BIGINT AS id, (range / 4)::DECIMAL(12, 2) AS amount FROM range(5)"
    )
    made.close()
    amount = ReadColumn("amount", "amount", parse_engine_type("decimal(12,2)"))
    with open_connection(Connection("shop", str(file), driver="adbc_driver_duckdb")) as source:
        assert source.tables() == ("main.orders",)
        assert source.columns("nope") is None
        assert [str(amount) for amount in source.sample("orders", [amount], 9).column(0).to_pylist()] == [
            "0.00", "0.25", "0.50", "0.75", "1.00"
        ]  # fmt: skip
        assert ids(source) == [0, 1, 2, 3, 4]


def chunk_bytes(file: Path, sizes: list[int], **rest: Any) -> list[int]:
    """The bytes of each chunk of a table with texts of these lengths, in an otherwise empty file."""
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE wide (id INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany("INSERT INTO wide VALUES (?, ?)", ((n, "x" * size) for n, size in enumerate(sizes)))
    connection.close()
    columns = [ID, ReadColumn("note", "note", ScalarType("string"))]
    with open_connection(connection_to(file)) as source:
        chunks = [
            [len(text) for text in batch.column(1).to_pylist()] for batch in source.stream("wide", columns, **rest)
        ]
    assert [size for chunk in chunks for size in chunk] == sizes
    return [sum(chunk) for chunk in chunks]


def test_a_chunk_is_bounded_by_its_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coreetl_driver.sources.sqlite.CHUNK_BYTES", 100_000)
    monkeypatch.setattr("coreetl_driver.sources.sqlite_sizes.CHUNK_BYTES", 100_000)
    long = chunk_bytes(tmp_path / "long.db", [20_000] * 100)
    assert max(long) <= 100_000
    assert len(long) == 21  # the row that fixes the types takes a place in the first
    cluster = chunk_bytes(tmp_path / "cluster.db", [10] * 1000 + [20_000] * 100 + [10] * 1000)
    assert max(cluster) <= 100_000 + 20_000
    one = chunk_bytes(tmp_path / "one.db", [10] * 10_000 + [500_000] + [10] * 10_000)
    assert max(one) <= 100_000 + 500_000
    assert len(one) < 10  # a row that is longer than a chunk makes none of the others slow
    assert len(chunk_bytes(tmp_path / "short.db", [100] * 999)) == 1
    assert len(chunk_bytes(tmp_path / "rows.db", [1] * 999, chunk_rows=100)) == 10


@pytest.mark.parametrize("width", [1, 100, 101, 999, 1001, 1900])
def test_a_table_is_as_wide_as_it_likes(tmp_path: Path, width: int) -> None:
    names = [f"c{number}" for number in range(width)]
    with sqlite3.connect(tmp_path / "wide.db") as connection:
        connection.execute(f"CREATE TABLE wide ({', '.join(f'{name} TEXT' for name in names)})")
        connection.execute(f"INSERT INTO wide VALUES ({', '.join(repr(name) for name in names)})")
        connection.execute(f"INSERT INTO wide ({names[-1]}) VALUES (x'ff')")
    connection.close()
    columns = [ReadColumn(name, name, ScalarType("string")) for name in names]
    with open_connection(connection_to(tmp_path / "wide.db")) as source:
        assert source.sample("wide", columns, 1).to_pylist() == [{name: name for name in names}]
        with pytest.raises(ValueProblemError, match=rf"column 'c{width - 1}': b'\\xff' cannot .* row 2 of"):
            source.sample("wide", columns, 9)


def test_no_error_holds_the_statement(file: Path) -> None:
    source: Any = open_connection(connection_to(file))
    with source, pytest.raises(PermanentError) as refused:
        list(source._query("SELECT 'of the statement' FROM orders WHERE nope = 1"))
    assert str(refused.value).endswith("Failed to prepare query: no such column: nope")


def test_what_may_go_where_is_told_before_anything_is_read() -> None:
    def info(text: str, type_: str | None, *accepts: str) -> SourceColumnInfo:
        return SourceColumnInfo("c", text, None if type_ is None else parse_engine_type(type_), True, accepts)

    assert problem_extracting(info("int4", "int"), ScalarType("long")) is None
    assert problem_extracting(info("TEXT", "string", "date"), ScalarType("date")) is None
    problem = problem_extracting(info("int8", "long"), ScalarType("int"))
    assert problem == "int8: bigint cannot become int without a possible loss"
    assert problem_extracting(info("xml", None), ScalarType("string")) == "xml cannot become string"
    assert problem_extracting(info("", None), ScalarType("int")) == "a column without a type cannot become int"
