"""Any other database with an ADBC driver: standard SQL, and what the driver tells of the tables.

Tried here with DuckDB's driver. Read-only is asked for by ADBC's own option, which not every driver knows: give it a
user that may only read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from coreetl_driver.sources.adbc import AdbcSource
from coreetl_driver.sources.arrow_types import column_info
from coreetl_driver.sources.source import ReadColumn, Since, SourceColumnInfo, quoted
from coreetl_driver.sources.standard_sql import newer, standard_literal

if TYPE_CHECKING:
    import pyarrow as pa

_INNER_SCHEMAS = ("information_schema", "pg_catalog")


class GenericSource(AdbcSource):
    """One database behind an ADBC driver that is named in the settings."""

    dialect: ClassVar[str] = "sql"
    _tables: tuple[str, ...] | None = None

    def tables(self) -> tuple[str, ...]:
        if self._tables is None:
            opened = self._open()
            try:
                found = opened.adbc_get_objects(depth="tables").read_all().to_pylist()
            except Exception as error:
                raise self._error(error) from None
            self._tables = tuple(
                f"{schema['db_schema_name']}.{table['table_name']}" if schema["db_schema_name"] else table["table_name"]
                for catalog in found
                for schema in catalog["catalog_db_schemas"] or ()
                if schema["db_schema_name"] not in _INNER_SCHEMAS
                for table in schema["db_schema_tables"] or ()
            )
        return self._tables

    def _read_columns(self, table: str) -> tuple[SourceColumnInfo, ...] | None:
        *schemas, name = table.split(".")
        names: dict[str, Any] = {"db_schema_filter": schemas[-1]} if schemas else {}
        if len(schemas) > 1:
            names["catalog_filter"] = schemas[0]
        if table not in self.tables() and not any(each.endswith(f".{table}") for each in self.tables()):
            return None
        opened = self._open()
        try:
            schema = opened.adbc_get_table_schema(name, **names)
        except Exception as error:
            raise self._error(error) from None
        return tuple(column_info(field) for field in schema)

    def _batches(
        self,
        table: str,
        columns: Sequence[tuple[ReadColumn, SourceColumnInfo]],
        chunk_rows: int,
        since: Since | None,
        limit: int | None,
    ) -> Iterator[pa.RecordBatch]:
        selected = ", ".join(quoted(info.name) for _, info in columns)
        sql = f"SELECT {selected} FROM {quoted(*table.split('.'))}"  # noqa: S608
        if since is not None:
            sql += f" WHERE {newer(since, columns, quoted, standard_literal)}"
        if limit is not None:
            sql += f" LIMIT {int(limit)}"
        return self._query(sql)

    def _address(self) -> tuple[str, Mapping[str, str]]:
        return self._connection.uri_with_user, self._connection.options
