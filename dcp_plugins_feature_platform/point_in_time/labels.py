"""Labels: the rows that a training set has, each with the keys of its entities and the moment it is about.

They are read twice, once for keys and timestamps and once to be copied into the training set untouched, so what can
be read only once is spooled to a file first.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from dcp_core.errors import InvalidSpecError, NotFoundError
from dcp_plugins_feature_platform.point_in_time.columns import is_instant

BATCH_ROWS = 65_536
_FEWEST_ROWS = 64
_BATCH_BYTES = 32 * 2**20


class Labels(Protocol):
    """Rows that can be read again: the same, in the same order."""

    @property
    def name(self) -> str:
        """What errors call them: a file or a table."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        ...

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows, from the first on; of these columns, in any order, where not all are wanted."""
        ...


@attrs.frozen
class ParquetLabels:
    """A Parquet file, kept open: what replaces it meanwhile does not change what is read."""

    name: str
    file: pq.ParquetFile

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[ParquetLabels]:
        """The labels in ``path``.

        Raises:
            NotFoundError: There is no such file.
            InvalidSpecError: It is not Parquet. Never retried.
        """
        try:
            file = pq.ParquetFile(path)
        except FileNotFoundError:
            raise NotFoundError(f"there is no file {path}", code="labels.not_found") from None
        except (pa.ArrowInvalid, OSError) as error:
            detail = str(error).splitlines()[0]
            raise InvalidSpecError(f"{path} is not a Parquet file: {detail}", code="labels.unreadable") from None
        with file:
            yield cls(str(path), file)

    @property
    def schema(self) -> pa.Schema:
        """The file's columns as Arrow sees them."""
        return self.file.schema_arrow

    @property
    def rows(self) -> int:
        """How many there are, as the file says."""
        count: int = self.file.metadata.num_rows
        return count

    @property
    def batch_rows(self) -> int:
        """As many as make a batch of a size that fits into memory, however long the rows are."""
        metadata = self.file.metadata
        size_bytes: int = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
        return max(_FEWEST_ROWS, min(BATCH_ROWS, _BATCH_BYTES * max(self.rows, 1) // max(size_bytes, 1)))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """From the first row on.

        Raises:
            InvalidSpecError: The file is damaged. Never retried.
        """
        try:
            yield from self.file.iter_batches(self.batch_rows, columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            detail = str(error).splitlines()[0]
            raise InvalidSpecError(f"{self.name} cannot be read: {detail}", code="labels.unreadable") from None


@attrs.frozen
class SpooledLabels:
    """What came from a stream, in a file of its own."""

    name: str
    schema: pa.Schema
    file: Path
    rows: int

    @classmethod
    def of(cls, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], file: Path) -> SpooledLabels:
        """Read the whole stream into ``file``; never more than a batch in memory."""
        return cls(name, schema, file, spool(schema, batches, file))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """In the order in which they came."""
        for batch in spooled(self.file):
            yield batch if columns is None else batch.select(list(columns))


@attrs.frozen
class FirstLabels:
    """Only the first so many of other labels."""

    labels: Labels
    limit: int

    @property
    def name(self) -> str:
        """That of the whole."""
        return self.labels.name

    @property
    def schema(self) -> pa.Schema:
        """That of the whole."""
        return self.labels.schema

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Until there are enough."""
        return first_rows(self.labels.batches(columns), self.limit)


def first_rows(batches: Iterator[pa.RecordBatch], limit: int) -> Iterator[pa.RecordBatch]:
    """Batches until there are ``limit`` rows, at least one; nothing after them is read."""
    for batch in batches:
        yield batch.slice(0, limit)
        limit -= batch.num_rows
        if limit <= 0:
            return


def spool(schema: pa.Schema, batches: Iterable[pa.RecordBatch], file: Path) -> int:
    """Write a stream to a file for ``spooled``; gives the number of rows."""
    rows = 0
    with pa.ipc.new_stream(file, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def spooled(file: Path) -> Iterator[pa.RecordBatch]:
    """The stream that ``spool`` wrote."""
    with pa.OSFile(str(file)) as opened, pa.ipc.open_stream(opened) as reader:
        yield from reader


def check_labels(labels: Labels, timestamp_column: str) -> None:
    """The labels' columns have names of their own, and one of them is a timestamp of that name.

    Raises:
        InvalidSpecError: They have not; says which column. Never retried.
    """
    seen: set[str] = set()
    for name in labels.schema.names:
        if name in seen:
            raise InvalidSpecError(f'{labels.name} has two columns named "{name}"', code="labels.duplicate_column")
        seen.add(name)
    of = column_type(labels, timestamp_column, "the timestamp", "--timestamp-column names another one")
    if not is_instant(of):
        raise InvalidSpecError(
            f'column "{timestamp_column}" of {labels.name} is {of}, not a timestamp',
            hint="write it as a timestamp; a text or a number is not taken for one",
            code="labels.timestamp_type",
        )


def column_type(labels: Labels, name: str, role: str, advice: str | None = None) -> pa.DataType:
    """The type of a column that the labels must have.

    Raises:
        InvalidSpecError: They have not. Never retried.
    """
    if name in labels.schema.names:
        return labels.schema.field(name).type
    raise InvalidSpecError(
        f'{labels.name} has no column "{name}", {role}',
        hint=_nearest(name, labels.schema.names) or advice or "its columns: " + _listed(labels.schema.names),
        code="labels.no_column",
    )


def _nearest(name: str, known: Sequence[str]) -> str | None:
    lowered = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f'did you mean "{lowered[close[0]]}"?' if close else None


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(itertools.islice(names, most)) + (", …" if len(names) > most else "")
