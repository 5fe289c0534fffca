"""SQLite files: read without a change to them or anything beside them.

SQLite gives every *value* a type, whatever its column says, while an Arrow column has one type, which the driver takes
from the first batch. So each column is asked for values of the one storage class that fits what is declared, and values
of another class come as text in a column of their own, to be converted one by one. A first row with a value of each
class, filtered out again, fixes the driver's types.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from attrs import frozen

from coreetl_driver.sources import sqlite_types
from coreetl_driver.sources.adbc import AdbcSource
from coreetl_driver.sources.source import OTHER, ReadColumn, Since, SourceColumnInfo, quoted
from coreetl_driver.sources.sqlite_sizes import CHUNK_BYTES, balanced, batch_rows
from dcp_core.errors import DcpError, NotFoundError, PermanentError, SettingsError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa

_MAGIC = b"SQLite format 3\x00"
_BUSY_TIMEOUT_MS = 5000
_ARGUMENTS = 100
_EXACT = 2**53  # integers up to here are floats too
_FIRST = {"integer": "0", "number": "0.0", "real": "0.0", "text": "''", "blob": "x''"}
_SLACK = datetime.timedelta(milliseconds=2)  # SQLite's own times are rounded to milliseconds
_LOOKS_LIKE_A_DATE = "'[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'"


@frozen
class _Mark:
    """What a file is told to be unchanged by."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> _Mark:
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns)


class SqliteSource(AdbcSource):
    """One file. A writer meanwhile is fine in WAL mode; else it waits for the read, as SQLite's locks have it."""

    dialect: ClassVar[str] = "sqlite"
    _mark: _Mark | None = None  # of a file that is read without locks

    def tables(self) -> tuple[str, ...]:
        return tuple(
            str(name)
            for (name,) in self._rows(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite~_%' "
                "ESCAPE '~' ORDER BY name"
            )
        )

    def _read_columns(self, table: str) -> tuple[SourceColumnInfo, ...] | None:
        schema, name = self._named(table)
        if schema != "main":
            return None
        literal = "'" + name.replace("'", "''") + "'"
        rows = self._rows(
            f'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo({literal}) ORDER BY cid'  # noqa: S608
        )
        # Hidden columns of virtual tables are arguments; generated ones (2 and 3) are columns like any other.
        found = [row[:4] for row in rows if row[4] != 1]
        keys = [row for row in found if row[3]]
        infos = []
        for row in found:
            column, text, notnull, _ = row
            is_rowid = keys == [row] and str(text).upper() == "INTEGER"  # any other key may be NULL, for history's sake
            infos.append(sqlite_types.column_info(str(column), str(text or ""), bool(notnull) or is_rowid))
        return tuple(infos) or None

    def _column(self, found: Sequence[SourceColumnInfo], name: str) -> SourceColumnInfo | None:
        return next((info for info in found if info.name.lower() == name.lower()), None)

    def _batches(
        self,
        table: str,
        columns: Sequence[tuple[ReadColumn, SourceColumnInfo]],
        chunk_rows: int,
        since: Since | None,
        limit: int | None,
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow.compute as pc

        rows_from = _rows_from(quoted(*self._named(table)), columns, since)
        sql = _statement(rows_from, columns, limit)
        try:
            if limit is None:
                chunk_rows = self._batch_rows(rows_from, columns, chunk_rows)
            for batch in self._query(sql, {"adbc.sqlite.query.batch_rows": str(chunk_rows)}):
                real = batch.column(0)  # 0 for the row that fixes the types, 1 for every other
                rows = batch.filter(pc.equal(real, 1)) if pc.min(real).as_py() == 0 else batch
                yield rows.select(range(1, rows.num_columns))
        finally:
            self._require_unchanged()

    def _batch_rows(
        self, rows_from: str, columns: Sequence[tuple[ReadColumn, SourceColumnInfo]], chunk_rows: int
    ) -> int:
        long = [
            quoted(info.name)
            for column, info in columns
            if sqlite_types.storage_class(info.type_text, column.type) in ("text", "blob")
            or sqlite_types.affinity(info.type_text) == "BLOB"
        ]
        if not long or self._path().stat().st_size <= CHUNK_BYTES:
            return chunk_rows
        return batch_rows(self._rows, long, rows_from, chunk_rows)

    def _named(self, table: str) -> tuple[str, str]:
        schema, _, name = table.rpartition(".")
        return schema or "main", name

    # The file

    def _address(self) -> tuple[str, Mapping[str, str]]:
        path = self._path()
        self._mark = None
        how = "mode=ro"
        if _is_wal(path):
            log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
            if log.is_file() and index.is_file():
                pass  # SQLite reads what is in the log, and needs to write neither
            elif not log.is_file() or log.stat().st_size == 0:
                # Closed in order: all of it is in the file. SQLite would make the two files anew, and this must not.
                # Without locks, a write meanwhile is noticed afterwards.
                how = "immutable=1"
                self._mark = _Mark.of(path)
            else:
                raise TransientError(
                    f"connection {self.name!r}: {path} has a write-ahead log that was left behind without its index "
                    "(-shm), and reading it would have to write one",
                    hint=f"fold the log in: sqlite3 {path} 'PRAGMA wal_checkpoint(TRUNCATE)'",
                )
        return f"file:{quote(str(path))}?{how}", {}

    def _path(self) -> Path:
        where = f"[connections.{self.name}]"
        _, separator, rest = self._connection.uri.partition(":///")
        path, _, query = rest.partition("?")
        if not separator or not path or path.startswith(":"):
            raise SettingsError(f"{where} uri is not of the form sqlite:///path/to/file.db")
        if query or self._connection.options:
            raise SettingsError(f"{where}: SQLite takes no options; it is always opened read-only")
        real = Path(os.path.realpath(path))  # SQLite looks for the log beside the real file
        if not real.is_file():
            raise NotFoundError(f"connection {self.name!r}: there is no file {real}", code="source.no_database")
        try:
            with real.open("rb") as file:
                head = file.read(len(_MAGIC))
        except OSError as error:
            raise PermanentError(f"connection {self.name!r}: cannot read {real}: {error.strerror}") from None
        if head and head != _MAGIC:
            raise PermanentError(f"connection {self.name!r}: {real} is not an SQLite database")
        return real

    def _prepare(self, opened: Any) -> None:
        with contextlib.closing(opened.cursor()) as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
            cursor.fetchall()

    def _require_unchanged(self) -> None:
        if self._mark is not None and _Mark.of(self._path()) != self._mark:
            raise TransientError(
                f"connection {self.name!r}: the database was written to while it was read; run it again",
                code="source.changed",
            )

    def _error(self, error: Exception, *, connecting: bool = False) -> DcpError:
        try:
            self._require_unchanged()
        except TransientError as changed:  # then whatever SQLite found wrong with the file means nothing
            return changed
        return super()._error(error, connecting=connecting)

    def _is_transient(self, message: str, connecting: bool) -> bool:
        return any(words in message for words in ("locked", "busy", "unable to open", "disk I/O"))


def _is_wal(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(20)
    return len(head) == 20 and 2 in head[18:20]


def _rows_from(table: str, columns: Sequence[tuple[ReadColumn, SourceColumnInfo]], since: Since | None) -> str:
    return f"FROM {table}" if since is None else f"FROM {table} WHERE {_newer(since, columns)}"


def _statement(rows_from: str, columns: Sequence[tuple[ReadColumn, SourceColumnInfo]], limit: int | None) -> str:
    stored = [(quoted(info.name), sqlite_types.storage_class(info.type_text, column.type)) for column, info in columns]
    fits = balanced([_fits(name, of) for name, of in stored], "AND")
    first = ", ".join(f"{_FIRST[of]} AS c{number}" for number, (_, of) in enumerate(stored))
    values = ", ".join(_value(name, of) for name, of in stored)
    rows = f"SELECT 1, {values}, CASE WHEN {fits} THEN '' ELSE {_texts([name for name, _ in stored])} END {rows_from}"
    if limit is not None:
        rows = f"SELECT * FROM ({rows} LIMIT {int(limit)})"  # noqa: S608
    return f"SELECT 0 AS coreetl_real, {first}, '' AS {OTHER} UNION ALL {rows}"


def _texts(names: Sequence[str]) -> str:
    """One JSON array of all, by parts: a function takes a thousand arguments at most, in an older SQLite 127."""
    parts = [", ".join(map(_as_text, names[at : at + _ARGUMENTS])) for at in range(0, len(names), _ARGUMENTS)]
    return "'[' || " + " || ',' || ".join(f"trim(json_array({part}), '[]')" for part in parts) + " || ']'"


def _value(name: str, of: str) -> str:
    if of == "number":
        exact = f"WHEN 'integer' THEN CASE WHEN {name} BETWEEN -{_EXACT} AND {_EXACT} THEN CAST({name} AS REAL) END"
        return f"CASE typeof({name}) WHEN 'real' THEN {name} {exact} END"
    return f"CASE typeof({name}) WHEN '{of}' THEN {name} END"


def _fits(name: str, of: str) -> str:
    if of == "number":
        return (
            f"(typeof({name}) IN ('real', 'null') "
            f"OR typeof({name}) = 'integer' AND {name} BETWEEN -{_EXACT} AND {_EXACT})"
        )
    return f"typeof({name}) IN ('{of}', 'null')"


def _as_text(name: str) -> str:
    return (
        f"CASE typeof({name}) WHEN 'integer' THEN 'i' || {name} WHEN 'real' THEN 'r' || printf('%!.17g', {name}) "
        f"WHEN 'text' THEN 't' || hex({name}) WHEN 'blob' THEN 'b' || hex({name}) END"
    )


def _newer(since: Since, columns: Sequence[tuple[ReadColumn, SourceColumnInfo]]) -> str:
    """At least the rows that are wanted; the converter leaves out what is too old, by exact values.

    Whatever cannot be compared is wanted: it would never be read otherwise, and its conversion says what is wrong.
    """
    name, of, text = next(
        (quoted(info.name), column.type, info.type_text) for column, info in columns if column.name == since.column
    )
    if isinstance(since.value, datetime.date):
        if sqlite_types.storage_class(text, of) != "text":
            return "1"
        bound = _moment_text(since.value)
        if bound is None:
            return "1"
        return (
            f"(typeof({name}) <> 'text' OR {name} NOT GLOB {_LOOKS_LIKE_A_DATE} OR {_moment(name)} IS NULL "
            f"OR {_moment(name)} >= '{bound}')"
        )
    if sqlite_types.storage_class(text, of) == "text":
        return "1"
    # Text and blobs are greater than any number; NULL is not.
    return f"({name} IS NULL OR {name} >= {_number_text(since.value)})"


def _moment(name: str) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f', {name})"


def _moment_text(value: datetime.date) -> str | None:
    try:
        if not isinstance(value, datetime.datetime):
            return (value - datetime.timedelta(days=1)).isoformat()
        moment = value if value.tzinfo is None else value.astimezone(datetime.UTC)
        return (moment.replace(tzinfo=None) - _SLACK).isoformat(sep=" ", timespec="milliseconds")
    except OverflowError:
        return None


def _number_text(value: int | decimal.Decimal) -> str:
    if isinstance(value, int):
        return str(value) if abs(value) < 2**63 else repr(float(value))
    return repr(math.nextafter(float(value), -math.inf))
