"""PostgreSQL: one ``COPY`` in a read-only session, which is one consistent snapshot and streams.

``numeric`` comes as text, exact. What the driver has no Arrow type for (enumerations, ``inet``, ranges …) is cast to
``text`` by the server. Infinite dates and times come as nonsense numbers; the conversion refuses what lies outside the
years 1 to 9999.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from coreetl_driver.column_types import ArrayType, ColumnType, ScalarType
from coreetl_driver.sources import postgresql_types
from coreetl_driver.sources.adbc import AdbcSource
from coreetl_driver.sources.catalogue import Catalogue
from coreetl_driver.sources.source import OTHER, ReadColumn, Since, SourceColumnInfo, quoted
from dcp_core.errors import SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

_SESSION = "options=-c%20default_transaction_read_only%3Don%20-c%20TimeZone%3DUTC"
_DEFAULTS = {"application_name": "coreetl", "connect_timeout": "10"}
_BATCH_BYTES = 8 * 1024 * 1024
_MAX_BATCH_BYTES = 64 * 1024 * 1024
_MAX_TEXT = 100  # characters of an array that is refused
_COLUMNS = """
SELECT n.nspname, c.relname, pg_table_is_visible(c.oid), a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       coalesce(b.typname, t.typname), t.typtype, coalesce(e.typname, '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
LEFT JOIN pg_type e ON t.typelem = e.oid AND t.typcategory = 'A'
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg~_%' ESCAPE '~'
ORDER BY n.nspname, c.relname, a.attnum
"""
# What a server says that may say something else in a minute; every other FATAL is about who asks, and for what.
_MAY_PASS = (
    "starting up", "shutting down", "recovery mode", "too many", "remaining connection slots", "terminating connection",
    "conflict with recovery", "deadlock", "lock timeout", "statement timeout", "connection not open", "no connection",
    "server closed the connection", "could not receive data", "SSL SYSCALL", "out of memory",
)  # fmt: skip


class PostgresqlSource(AdbcSource):
    """One database. A table without a schema is the one that the search path finds."""

    dialect: ClassVar[str] = "postgresql"
    _catalogue: Catalogue | None = None

    def tables(self) -> tuple[str, ...]:
        return self._read_catalogue().names

    def _read_columns(self, table: str) -> tuple[SourceColumnInfo, ...] | None:
        return self._read_catalogue().tables.get(self._read_catalogue().full(table) or "")

    def _read_catalogue(self) -> Catalogue:
        if self._catalogue is None:
            self._catalogue = Catalogue.of(
                (schema, table, is_visible, postgresql_types.column_info(*column))
                for schema, table, is_visible, *column in self._rows(_COLUMNS)
            )
        return self._catalogue

    def _batches(
        self,
        table: str,
        columns: Sequence[tuple[ReadColumn, SourceColumnInfo]],
        chunk_rows: int,
        since: Since | None,
        limit: int | None,
    ) -> Iterator[pa.RecordBatch]:
        selected = ", ".join(_selected([info for _, info in columns]))
        full = self._read_catalogue().full(table)
        assert full is not None, "its columns were found"
        sql = f"SELECT {selected} FROM {quoted(*full.split('.', 1))}"  # noqa: S608
        if since is not None:
            sql += f" WHERE {_newer(since, columns)}"
        if limit is not None:
            sql += f" LIMIT {int(limit)}"
        hint = min(_MAX_BATCH_BYTES, max(_BATCH_BYTES, chunk_rows * 64))
        return self._query(sql, {"adbc.postgresql.batch_size_hint_bytes": str(hint)})

    def _address(self) -> tuple[str, Mapping[str, str]]:
        uri = self._connection.uri_with_user
        base, _, query = uri.partition("?")
        given = query.split("&") if query else []
        if any(each.startswith("options=") for each in given):
            raise SettingsError(f"[connections.{self.name}] uri may not set options: the session is made read-only")
        names = {each.partition("=")[0] for each in given}
        given += [f"{name}={value}" for name, value in _DEFAULTS.items() if name not in names]
        scheme, separator, rest = base.partition("://")
        return f"{scheme.partition('+')[0]}{separator}{rest}?{'&'.join([*given, _SESSION])}", self._connection.options

    def _is_transient(self, message: str, connecting: bool) -> bool:
        if any(words in message for words in _MAY_PASS):
            return True
        return connecting and "FATAL" not in message and "invalid" not in message


def _selected(infos: Sequence[SourceColumnInfo]) -> list[str]:
    """The columns; where there are arrays, then one more with the text of those that are no list, for its refusal.

    The driver flattens an array of more than one dimension, and stops at one that does not begin at 1; a slice does.
    """
    found, refused = [], []
    for info in infos:
        name, value = quoted(info.name), _value(info)
        if not isinstance(info.type, ArrayType):
            found.append(f"{value} AS {name}")
            refused.append("NULL")
            continue
        is_list = f"coalesce(array_ndims({value}), 1) = 1"
        found.append(f"CASE WHEN {is_list} THEN ({value})[:] END AS {name}")
        text = f"'t' || encode(convert_to(left({value}::text, {_MAX_TEXT}), 'UTF8'), 'hex')"
        refused.append(f"CASE WHEN NOT {is_list} THEN {text} END")
    if any(each != "NULL" for each in refused):
        any_refused = " OR ".join(f"{each} IS NOT NULL" for each in refused if each != "NULL")
        text = f"to_json(ARRAY[{', '.join(refused)}]::text[])::text"
        found.append(f"CASE WHEN {any_refused} THEN {text} ELSE '' END AS {OTHER}")
    return found


def _value(info: SourceColumnInfo) -> str:
    cast = postgresql_types.server_cast(info)
    return f"{quoted(info.name)}::{cast}" if cast else quoted(info.name)


def _newer(since: Since, columns: Sequence[tuple[ReadColumn, SourceColumnInfo]]) -> str:
    info = next(info for column, info in columns if column.name == since.column)
    name = quoted(info.name)
    value = _value(info)  # an oid itself would take -5 for 4294967291
    return f"({value} {'>=' if since.inclusive else '>'} {_literal(since, info.type)} OR {name} IS NULL)"


def _literal(since: Since, of: ColumnType | None) -> str:
    value = since.value
    if not isinstance(value, datetime.date):
        return str(value)  # int or Decimal: digits, a sign, a point, an exponent
    if not isinstance(value, datetime.datetime):
        return f"DATE '{value.isoformat()}'"
    if isinstance(of, ScalarType) and of.name == "timestamp_ntz":  # its naive values are read as UTC
        naive = value if value.tzinfo is None else value.astimezone(datetime.UTC).replace(tzinfo=None)
        return f"TIMESTAMP '{naive.isoformat(sep=' ')}'"
    return f"TIMESTAMPTZ '{value.isoformat(sep=' ')}'"
