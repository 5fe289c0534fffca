"""A feature view's history: rows of entity, event timestamp and features, streamed with only what is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import pyarrow as pa

from dcp_core.errors import PermanentError

if TYPE_CHECKING:
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import FileScanTask, Table

_READ_AT_ONCE_BYTES = 64 * 2**20
# What a datetime can say, in microseconds since 1970: a bound beyond it bounds nothing.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999


class History(Protocol):
    """The rows of one view."""

    @property
    def name(self) -> str:
        """What errors call it."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """All its columns."""
        ...

    def batches(
        self, columns: Sequence[str], event_timestamp: str, since_us: int | None, until_us: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a range of time, in any order.

        Args:
            columns: The only ones wanted, in this order.
            event_timestamp: The column that the range is about.
            since_us: Microseconds since 1970 in UTC, inclusive; None from the beginning.
            until_us: The same, inclusive.
        """
        ...


@attrs.frozen
class IcebergHistory:
    """An Iceberg table, as of its snapshot when it was loaded."""

    name: str
    table: Table

    @property
    def schema(self) -> pa.Schema:
        """The table's columns as Arrow has them."""
        return schema_of(self.table)

    def batches(
        self, columns: Sequence[str], event_timestamp: str, since_us: int | None, until_us: int
    ) -> Iterator[pa.RecordBatch]:
        """A few files at a time, those that the range cannot touch not at all.

        Raises:
            PermanentError: A file is gone.
        """
        return rows_of(self.name, self.table, columns, _range(event_timestamp, since_us, until_us))


def schema_of(table: Table) -> pa.Schema:
    """A table's columns as Arrow has them, without Iceberg's metadata, which means nothing in a training set."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    return pa.schema([pa.field(field.name, field.type) for field in schema_to_pyarrow(table.schema())])


def rows_of(
    name: str, table: Table, columns: Sequence[str], row_filter: BooleanExpression | None = None
) -> Iterator[pa.RecordBatch]:
    """These columns of a table, a few files at a time.

    pyiceberg's own reader fetches all files at once and keeps what nobody has asked for yet in memory.

    Args:
        name: What errors call the table.

    Raises:
        PermanentError: A file is gone.
    """
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan

    wanted = pa.schema([schema_of(table).field(column) for column in columns])
    scan = table.scan(row_filter or AlwaysTrue(), selected_fields=tuple(columns))
    reading = ArrowScan(scan.table_metadata, scan.io, scan.projection(), scan.row_filter, scan.case_sensitive)
    try:
        for tasks in _bunches(scan.plan_files()):
            for batch in reading.to_record_batches(tasks):
                yield batch.select(list(columns)).cast(wanted)
    except FileNotFoundError as error:
        raise PermanentError(
            f"a file of table {name} is gone: {error}",
            hint="it was deleted outside the catalog; a run that writes the table anew brings it back",
            code="iceberg.files_lost",
        ) from None


def _bunches(tasks: Iterable[FileScanTask]) -> Iterator[list[FileScanTask]]:
    """Files to read at once: many small ones, or a large one alone."""
    bunch: list[FileScanTask] = []
    size_bytes = 0
    for task in tasks:
        if bunch and size_bytes + task.file.file_size_in_bytes > _READ_AT_ONCE_BYTES:
            yield bunch
            bunch, size_bytes = [], 0
        bunch.append(task)
        size_bytes += task.file.file_size_in_bytes
    if bunch:
        yield bunch


def _range(column: str, since_us: int | None, until_us: int) -> BooleanExpression:
    from pyiceberg.expressions import AlwaysTrue, And, GreaterThanOrEqual, LessThanOrEqual

    at_most: Any = LessThanOrEqual  # their signatures are those of their JSON form
    at_least: Any = GreaterThanOrEqual
    bounds: list[BooleanExpression] = [AlwaysTrue()]
    if _FIRST <= until_us <= _LAST:
        bounds.append(at_most(column, until_us))
    if since_us is not None and _FIRST <= since_us <= _LAST:
        bounds.append(at_least(column, since_us))
    return bounds[0] if len(bounds) == 1 else And(*bounds)
