"""What every source is to whoever reads it: its tables, their columns, and rows that fit what was declared."""

from __future__ import annotations

import difflib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from attrs import field, frozen

from coreetl_driver.api import Column
from coreetl_driver.column_types import ColumnType, ScalarType, parse_engine_type
from coreetl_driver.job_sources import DEFAULT_CHUNK_ROWS, SourceTable
from coreetl_driver.writing import problem_writing
from dcp_core.errors import InvalidSpecError, NotFoundError, PermanentError

if TYPE_CHECKING:
    import pyarrow as pa

    from coreetl_driver.sources.connections import Connection

OTHER = "coreetl_other"  # the column with the values that have another type than their column


class ValueProblemError(PermanentError):
    """A value of the source cannot become what is declared without a loss."""

    code = "source.value"


def _set(value: Sequence[str] | frozenset[str]) -> frozenset[str]:
    return frozenset(value)


@frozen
class SourceColumnInfo:
    """A column as its database describes it.

    Args:
        type_text: In the database's own words.
        type: What its values are for sure; None when the database does not say, or we have no such type.
        nullable: False when the database refuses NULL.
        accepts: Names of further scalar types that its values may go into, each checked when it is read.
    """

    name: str
    type_text: str
    type: ColumnType | None
    nullable: bool = True
    accepts: frozenset[str] = field(default=frozenset(), converter=_set)


@frozen
class ReadColumn:
    """A column to read.

    Args:
        name: Of the sink.
        source: Of the source.
        type: What its values become.
        required: Whether NULL is refused.
    """

    name: str
    source: str
    type: ColumnType
    required: bool = False


@frozen
class Since:
    """Only rows from here on, and those with NULL in the column, which nobody can place.

    Args:
        column: The column's name in the sink.
        value: int, Decimal, date, or datetime: aware for ``timestamp``, naive for ``timestamp_ntz``.
        inclusive: Whether rows with this very value are read too.
    """

    column: str
    value: Any
    inclusive: bool


def read_columns(columns: Sequence[Column], source: SourceTable) -> tuple[ReadColumn, ...]:
    """What to read for the declared columns, in their order."""
    names = {column.name: column.source for column in source.columns}
    return tuple(
        ReadColumn(column.name, names[column.name], parse_engine_type(column.type), column.required)
        for column in columns
        if column.name in names
    )


def problem_extracting(info: SourceColumnInfo, wanted: ColumnType) -> str | None:
    """Why values of a source's column cannot go into a declared type; None when they can.

    None does not promise that every value fits: of a column whose type leaves that open (``TEXT`` for a date in SQLite,
    ``numeric`` without a precision) each value is checked when it is read.
    """
    if isinstance(wanted, ScalarType) and wanted.name in info.accepts:
        return None
    if info.type is None:
        return f"{info.type_text or 'a column without a type'} cannot become {wanted.spark}"
    problem = problem_writing(info.type, wanted)
    return f"{info.type_text}: {problem}" if problem else None


class Source(ABC):
    """One open connection, read-only. Connects on first use; a context manager.

    Several threads may ask for columns and samples of one source, one waits for the other; a stream is one thread's.

    Errors of every method:
        TransientError: The database does not answer, or is busy.
        PermanentError: It refuses: the user, the password, the statement. The message holds no secret.
    """

    dialect: ClassVar[str]

    def __init__(self, connection: Connection) -> None:
        self.name = connection.name
        self._connection = connection
        self._columns: dict[str, tuple[SourceColumnInfo, ...] | None] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def tables(self) -> tuple[str, ...]:
        """Tables and views by the names that ``columns`` takes."""

    def columns(self, table: str) -> tuple[SourceColumnInfo, ...] | None:
        """The columns of a table in its own order; None when there is no such table. Asked once."""
        with self._lock:
            if table not in self._columns:
                self._columns[table] = self._read_columns(table)
            return self._columns[table]

    def sample(self, table: str, columns: Sequence[ReadColumn], limit: int) -> pa.Table:
        """At most ``limit`` rows, as ``stream`` gives them.

        Raises:
            ValueProblemError: A value does not fit.
            NotFoundError: The table, or a column of it, is not there.
            InvalidSpecError: A column's type cannot become what is declared.
        """
        import pyarrow as pa

        from coreetl_driver.sources.converting import schema_of

        with self._lock:
            batches = list(self._stream(table, columns, max(1, min(limit, DEFAULT_CHUNK_ROWS)), None, limit))
        return pa.Table.from_batches(batches, schema=schema_of(columns))

    def stream(
        self,
        table: str,
        columns: Sequence[ReadColumn],
        *,
        chunk_rows: int = DEFAULT_CHUNK_ROWS,
        since: Since | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """All rows, in chunks, of one consistent snapshot: one statement reads them.

        Args:
            columns: What to read; the batches have these names and types.
            chunk_rows: At most so many rows in a batch.
            since: Only newer rows.

        Raises:
            ValueProblemError: A value does not fit; names column, value and row.
            NotFoundError: The table, or a column of it, is not there.
        """
        return self._stream(table, columns, chunk_rows, since, None)

    @abstractmethod
    def close(self) -> None:
        """Give the connection back."""

    @abstractmethod
    def _read_columns(self, table: str) -> tuple[SourceColumnInfo, ...] | None: ...

    @abstractmethod
    def _batches(
        self,
        table: str,
        columns: Sequence[tuple[ReadColumn, SourceColumnInfo]],
        chunk_rows: int,
        since: Since | None,
        limit: int | None,
    ) -> Iterator[pa.RecordBatch]:
        """Rows as the database gives them: one column for each of ``columns``, more rows than ``since`` at most.

        A further column named ``OTHER`` may hold values of rows that have another type than their column: JSON
        text for such a row, empty text for any other.
        """

    def _stream(
        self,
        table: str,
        columns: Sequence[ReadColumn],
        chunk_rows: int,
        since: Since | None,
        limit: int | None,
    ) -> Iterator[pa.RecordBatch]:
        from coreetl_driver.sources.converting import Converter

        paired = self._paired(table, columns)
        converter = Converter(columns, since, f"table {table!r} of connection {self.name!r}")
        for batch in self._batches(table, paired, chunk_rows, since, limit):
            for start in range(0, batch.num_rows, chunk_rows):  # some drivers count bytes and not rows
                chunk = converter.convert(batch.slice(start, chunk_rows))
                if chunk.num_rows:
                    yield chunk

    def _paired(self, table: str, columns: Sequence[ReadColumn]) -> list[tuple[ReadColumn, SourceColumnInfo]]:
        """Each column with what the database says of it.

        Raises:
            NotFoundError: The table or a column is not there.
            InvalidSpecError: A column has another type.
        """
        found = self.columns(table)
        if found is None:
            near = difflib.get_close_matches(table, self.tables(), n=1)
            message = f"connection {self.name!r} has no table {table!r}"
            raise NotFoundError(message, hint=f'did you mean "{near[0]}"?' if near else None, code="source.no_table")
        paired = []
        problems = []
        is_missing = False
        for column in columns:
            info = self._column(found, column.source)
            if info is None:
                near = difflib.get_close_matches(column.source, [each.name for each in found], n=1)
                maybe = f' (did you mean "{near[0]}"?)' if near else ""
                problems.append(f"it has no column {column.source!r}{maybe}")
                is_missing = True
                continue
            problem = problem_extracting(info, column.type)
            if problem:
                problems.append(f"column {column.source!r} cannot be read into {column.name!r}: {problem}")
            paired.append((column, info))
        if problems:
            message = f"table {table!r} of connection {self.name!r}: {'; '.join(problems)}"
            raise (NotFoundError if is_missing else InvalidSpecError)(message, code="source.columns")
        return paired

    def _column(self, found: Sequence[SourceColumnInfo], name: str) -> SourceColumnInfo | None:
        return next((info for info in found if info.name == name), None)


def quoted(*names: str) -> str:
    """An identifier for SQL, each part in double quotes."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
