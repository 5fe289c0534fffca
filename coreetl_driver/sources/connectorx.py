"""Databases that ConnectorX knows and ADBC has no packaged driver for: MySQL, SQL Server, Oracle, Trino and others.

ConnectorX streams Arrow in bounded memory when it reads in one partition. Decimals it would round to ten places, so
the server casts them to text. Tried here with PostgreSQL alone, for want of the other servers: their SQL follows their
manuals. Read-only is up to the user that the settings name.

Source: ConnectorX 0.4, https://sfu-db.github.io/connector-x/.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen

from coreetl_driver.column_types import ColumnType, ScalarType
from coreetl_driver.sources.catalogue import Catalogue
from coreetl_driver.sources.driver_errors import told
from coreetl_driver.sources.source import ReadColumn, Since, Source, SourceColumnInfo, quoted
from coreetl_driver.sources.standard_sql import newer, standard_literal
from dcp_core.errors import DcpError, PermanentError, SettingsError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa

_MAY_PASS = (
    "timed out",
    "timeout",
    "connection refused",
    "could not connect",
    "connection reset",
    "too many connections",
)
_WRONG_USER = ("authentication failed", "access denied", "login failed", "invalid username/password")
_TYPES: Mapping[str, str] = {
    "bit": "boolean",
    "bool": "boolean",
    "boolean": "boolean",
    "tinyint": "smallint",  # some have it without a sign
    "smallint": "smallint",
    "int2": "smallint",
    "mediumint": "int",
    "int": "int",
    "integer": "int",
    "int4": "int",
    "bigint": "long",
    "int8": "long",
    "real": "float",
    "float": "double",
    "double": "double",
    "double precision": "double",
    "date": "date",
    "timestamp with time zone": "timestamptz",
    "datetimeoffset": "timestamptz",
    "timestamp": "timestamp_ntz",
    "timestamp without time zone": "timestamp_ntz",
    "datetime": "timestamp_ntz",
    "datetime2": "timestamp_ntz",
    "smalldatetime": "timestamp_ntz",
    "bytea": "binary",
    "blob": "binary",
    "varbinary": "binary",
    "binary": "binary",
}
_TEXTS = ("char", "text", "clob", "string", "enum", "json", "uuid", "uniqueidentifier", "name")
_DECIMALS = ("decimal", "numeric", "number")


def _in_backticks(*names: str) -> str:
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


def _in_brackets(*names: str) -> str:
    return ".".join("[" + name.replace("]", "]]") + "]" for name in names)


def _plain_literal(value: object) -> str:
    """As text in one form that SQL Server reads whatever its language is set to."""
    if isinstance(value, datetime.datetime):
        naive = value if value.tzinfo is None else value.astimezone(datetime.UTC).replace(tzinfo=None)
        return f"'{naive.isoformat(timespec='microseconds')}'"
    return f"'{value.isoformat()}'" if isinstance(value, datetime.date) else str(value)


@frozen
class _Dialect:
    """How one database says the few things that are asked of it.

    Args:
        text: The type that a decimal is cast to.
        first: Whether a limit is ``TOP`` before the columns; else ``LIMIT`` at the end.
        catalogue: Of the columns: schema, table, column, type, precision, scale, whether NULL is allowed (``YES``).
    """

    quote: Callable[..., str] = quoted
    text: str = "varchar(100)"
    literal: Callable[[object], str] = standard_literal
    limit: str = "LIMIT {}"
    top: str = ""
    catalogue: str = (
        "SELECT table_schema AS a, table_name AS b, column_name AS c, data_type AS d, numeric_precision AS e, "
        "numeric_scale AS f, is_nullable AS g FROM information_schema.columns "
        "WHERE lower(table_schema) NOT IN ('information_schema', 'pg_catalog', 'mysql', 'performance_schema', 'sys') "
        "ORDER BY table_schema, table_name, ordinal_position"
    )


_MYSQL = _Dialect(quote=_in_backticks, text="char")
_DIALECTS: Mapping[str, _Dialect] = {
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "mssql": _Dialect(quote=_in_brackets, literal=_plain_literal, limit="", top="TOP {} "),
    "clickhouse": _Dialect(text="String"),
    "oracle": _Dialect(
        text="varchar2(100)",
        limit="FETCH FIRST {} ROWS ONLY",
        catalogue=(
            "SELECT owner AS a, table_name AS b, column_name AS c, data_type AS d, data_precision AS e, "
            "data_scale AS f, CASE nullable WHEN 'Y' THEN 'YES' ELSE 'NO' END AS g FROM all_tab_columns "
            "WHERE owner NOT IN ('SYS', 'SYSTEM') ORDER BY owner, table_name, column_id"
        ),
    ),
}


class ConnectorxSource(Source):
    """One database through ConnectorX, which connects anew for each statement."""

    dialect: ClassVar[str] = "sql"
    _catalogue: Catalogue | None = None

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._sql = _DIALECTS.get(connection.scheme, _Dialect())
        if connection.options:
            raise SettingsError(f"[connections.{self.name}]: options are for ADBC drivers; put them into the uri")

    def close(self) -> None:
        self._catalogue = None

    def tables(self) -> tuple[str, ...]:
        return self._read_catalogue().names

    def _read_columns(self, table: str) -> tuple[SourceColumnInfo, ...] | None:
        return self._read_catalogue().tables.get(self._full(table) or "")

    def _full(self, table: str) -> str | None:
        """The name with its schema: the one table that has it."""
        found = self._read_catalogue().ending_in(table)
        if len(found) > 1:
            raise PermanentError(
                f"connection {self.name!r} has table {table!r} in more than one schema: {', '.join(found)}"
            )
        return found[0] if found else None

    def _read_catalogue(self) -> Catalogue:
        if self._catalogue is None:
            self._catalogue = Catalogue.of(
                (
                    str(schema), str(table), False,
                    _column_info(str(name), str(text), precision, scale, str(nullable).upper() in ("YES", "1")),
                )
                for batch in self._query(self._sql.catalogue, 10_000)
                for schema, table, name, text, precision, scale, nullable in zip(
                    *(column.to_pylist() for column in batch.columns), strict=True
                )
            )  # fmt: skip
        return self._catalogue

    def _batches(
        self,
        table: str,
        columns: Sequence[tuple[ReadColumn, SourceColumnInfo]],
        chunk_rows: int,
        since: Since | None,
        limit: int | None,
    ) -> Iterator[pa.RecordBatch]:
        full = self._full(table)
        assert full is not None, "its columns were found"
        selected = ", ".join(self._selected(info) for _, info in columns)
        top = self._sql.top.format(int(limit)) if limit is not None else ""
        sql = f"SELECT {top}{selected} FROM {self._sql.quote(*full.split('.', 1))}"  # noqa: S608
        if since is not None:
            sql += f" WHERE {newer(since, columns, self._sql.quote, self._sql.literal)}"
        if limit is not None and self._sql.limit:
            sql += f" {self._sql.limit.format(int(limit))}"
        return self._query(sql, chunk_rows)

    def _selected(self, info: SourceColumnInfo) -> str:
        name = self._sql.quote(info.name)
        if "decimal" in info.accepts or (isinstance(info.type, ScalarType) and info.type.name == "decimal"):
            return f"CAST({name} AS {self._sql.text}) AS {name}"
        return name

    def _query(self, sql: str, batch_rows: int) -> Iterator[pa.RecordBatch]:
        import connectorx

        try:
            uri = self._connection.uri_with_user
            yield from connectorx.read_sql(uri, sql, return_type="arrow_stream", batch_size=batch_rows)
        except (GeneratorExit, DcpError):
            raise
        except BaseException as error:  # its panics are no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise self._error(error) from None

    def _error(self, error: BaseException) -> DcpError:
        message = told(self._connection, error)
        text, said = f"connection {self.name!r}: {message}", message.lower()
        # Its pool tries for half a minute with a wrong password too, and calls that a timeout.
        if any(words in said for words in _MAY_PASS) and not any(words in said for words in _WRONG_USER):
            return TransientError(text, code="source.unavailable")
        return PermanentError(text, code="source.refused")


def _column_info(name: str, text: str, precision: Any, scale: Any, nullable: bool) -> SourceColumnInfo:
    plain = text.lower().partition("(")[0].strip()
    if any(plain.startswith(word) for word in _DECIMALS):
        return SourceColumnInfo(name, text, _decimal(precision, scale), nullable, ("decimal",))
    if any(word in plain for word in _TEXTS):
        return SourceColumnInfo(name, text, ScalarType("string"), nullable)
    found = _TYPES.get(plain)
    if found is None:
        return SourceColumnInfo(name, text, None, nullable)
    # A time without a zone is read as UTC where an instant is declared.
    accepts = ("timestamptz",) if found == "timestamp_ntz" else ()
    return SourceColumnInfo(name, text, ScalarType(found), nullable, accepts)


def _decimal(precision: Any, scale: Any) -> ColumnType | None:
    try:
        digits, places = int(precision), int(scale or 0)
    except (TypeError, ValueError):
        return None
    return ScalarType("decimal", digits, places) if 0 <= places <= digits <= 38 else None
