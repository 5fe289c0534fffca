"""A training set: the labels as they are, and beside each its features; as rows, or as a Parquet file.

Source: issue "Two more plugins", point-in-time joins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from dcp_core.errors import PermanentError
from dcp_core.files import replacing
from dcp_plugins_feature_platform.point_in_time.joining import JoinedView, Workspace, join_views
from dcp_plugins_feature_platform.point_in_time.labels import Labels, spooled
from dcp_plugins_feature_platform.point_in_time.selecting import Selection, check_clashes

_ROW_GROUP_ROWS = 131_072
_ROW_GROUP_BYTES = 60_000_000


@attrs.frozen
class TrainingSet:
    """Labels with features; readable as long as the workspace it was made in.

    Args:
        labels: Read again for every pass over the rows.
        views: What was joined.
        outputs: The features' columns in order.
    """

    labels: Labels
    views: tuple[JoinedView, ...]
    outputs: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The labels' columns, untouched, then the features."""
        fields = {field.name: field for view in self.views for field in view.schema}
        return pa.schema([*self.labels.schema, *(fields[name] for name in self.outputs)], self.labels.schema.metadata)

    @property
    def found(self) -> dict[str, int]:
        """By feature's column, how many labels have a value of their own and no default."""
        counts = {name: count for view in self.views for name, count in view.found.items()}
        return {name: counts[name] for name in self.outputs}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """One row for each label, in the labels' order."""
        readers = [_Rows(spooled(view.file), view.schema) for view in self.views]
        schema = self.schema
        for batch in self.labels.batches():
            if batch.num_rows == 0:
                continue
            taken = {
                name: column
                for reader, view in zip(readers, self.views, strict=True)
                for name, column in zip(view.schema.names, reader.take(batch.num_rows), strict=True)
            }
            yield pa.record_batch([*batch.columns, *(taken[name] for name in self.outputs)], schema=schema)

    def write(self, path: Path) -> int:
        """Write a Parquet file; it is there when it is whole, and what was there before stays until then.

        Returns:
            The number of rows.

        Raises:
            PermanentError: The file cannot be written.
        """
        try:
            return self._write(path)
        except OSError as error:
            raise PermanentError(
                f"cannot write {path}: {error.strerror or error}", code="training_set.output"
            ) from None

    def _write(self, path: Path) -> int:
        rows = 0
        with replacing(path) as file, pq.ParquetWriter(file, self.schema, compression="zstd") as writer:
            for group in _groups(self.batches()):
                writer.write_table(group, row_group_size=_ROW_GROUP_ROWS)
                rows += group.num_rows
        return rows


def make_training_set(labels: Labels, timestamp_column: str, selection: Selection, workspace: Workspace) -> TrainingSet:
    """Join the selected features to the labels.

    Args:
        labels: Their rows decide the result's: one for one, in their order, all their columns as they are.
        timestamp_column: The labels' moment; a row whose moment or join key is NULL gets no values but defaults.
        selection: Of ``selecting.select``.
        workspace: Holds the result until it is read.

    Raises:
        InvalidSpecError: Labels and features do not fit together. Never retried.
        PermanentError: There is not enough memory or disk.
    """
    check_clashes(selection, labels.schema.names)
    views = join_views(labels, timestamp_column, selection.views, workspace)
    return TrainingSet(labels, views, selection.outputs)


class _Rows:
    """Takes rows from a stream, however its batches are cut."""

    def __init__(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        self._batches = batches
        self._rest = pa.RecordBatch.from_pylist([], schema)

    def take(self, rows: int) -> Sequence[pa.Array]:
        """The next so many rows, column by column."""
        parts = []
        while rows > 0:
            if self._rest.num_rows == 0:
                self._rest = next(self._batches)
            part = self._rest.slice(0, rows)
            self._rest = self._rest.slice(part.num_rows)
            parts.append(part)
            rows -= part.num_rows
        together = parts[0] if len(parts) == 1 else pa.concat_batches(parts)
        columns: Sequence[pa.Array] = together.columns
        return columns


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches together, as many as make a good row group and fit into memory."""
    waiting: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        size_bytes += batch.nbytes
        if rows >= _ROW_GROUP_ROWS or size_bytes >= _ROW_GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size_bytes = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)
