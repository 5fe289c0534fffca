"""One of the two tables that a stream adds to, and how far the table itself says that it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from coreetl_driver import cursors
from coreetl_driver.api import SinkMode
from coreetl_driver.column_types import ScalarType
from coreetl_driver.job.engine_errors import JobError, readable
from coreetl_driver.job.output import conform
from coreetl_driver.job.session import Session, quoted
from coreetl_driver.job.sink import write
from coreetl_driver.job.sink_table import has_rows, table_metadata
from coreetl_driver.offsets import Offsets, last_offsets, offsets_by_topic
from coreetl_driver.sources import ReadColumn

if TYPE_CHECKING:
    import pyarrow as pa

Log = Callable[[str], None]
Note = Callable[[Mapping[str, Any]], None]
FOLDER = "streamed"
_PAUSES_S = (0.5, 2.0, 5.0)  # another program commits to the table at the same moment
# Dead letters: what the table for them is made with.
DEAD_LETTER_COLUMNS = tuple(
    ReadColumn(name, name, ScalarType(type_), required)
    for name, type_, required in (
        ("topic", "string", True), ("partition", "int", True), ("offset", "long", True),
        ("timestamp", "timestamptz", False), ("key", "binary", False), ("value", "binary", False),
        ("error_code", "string", True), ("error", "string", True), ("failed_at", "timestamptz", True),
    )
)  # fmt: skip


@define
class StreamTable:
    """Rows are added in one commit each, with the offsets in it.

    Args:
        sink: ``catalog`` and ``table``.
        topic: Whose offsets count.
        columns: Of the rows.
        following: By partition, the first offset whose message is not in it yet, as far as it is known.
        offsets: Of this topic, as the table had them when it was looked at.
        others: Of other topics that it was filled from, likewise; each commit has to carry them along.
        has_unknown_rows: Whether it had rows then, and offsets of no topic at all.
    """

    session: Session
    sink: Mapping[str, str]
    catalogs: Mapping[str, Mapping[str, str]] = field(repr=False)
    topic: str
    columns: Sequence[ReadColumn]
    note: Note
    log: Log
    offsets: Offsets | None = None
    others: Sequence[Offsets] = ()
    has_unknown_rows: bool = False
    _newest: Offsets | None = None
    _commits: int = 0

    @property
    def name(self) -> str:
        """``namespace.name``."""
        return self.sink["table"]

    def look(self) -> None:
        """Read from the table how far it has come.

        Raises:
            JobError: It is not there.
        """
        metadata = table_metadata(self.sink, self.catalogs)
        if metadata is None:
            raise JobError(f"table {self.name} does not exist (apply first)")
        self._newest, by_topic = last_offsets(metadata), offsets_by_topic(metadata)
        self.offsets = by_topic.pop(self.topic, None)
        self.others = tuple(by_topic.values())
        self.has_unknown_rows = self._newest is None and has_rows(metadata)

    def check_columns(self) -> None:
        """Fail before anything is read when the table has not what the rows need.

        Raises:
            JobError: A column is missing, or of another type.
        """
        ddl = ", ".join(f"{quoted(column.name)} {column.type.spark}" for column in self.columns)
        self._conformed(self.session.spark.createDataFrame([], ddl))

    def add(self, rows: Sequence[Sequence[Any]], marks: Mapping[str, str]) -> None:
        """Commit rows and marks; no rows are a commit too, for the marks.

        Raises:
            JobError: Another run has moved the offsets; the table cannot be written. Nothing of this was committed.
        """
        self._commits += 1
        file = Path.cwd() / FOLDER / f"{self.name}-{self._commits}.parquet"
        self._stage(rows, file)
        try:
            self._commit(file, marks)
        finally:
            file.unlink(missing_ok=True)

    def _commit(self, file: Path, marks: Mapping[str, str]) -> None:
        taken_from = cursors.NOWHERE if self._newest is None else str(self._newest.snapshot_id)
        target = quoted(self.sink["catalog"], *self.name.split("."))
        for pause_s in (*_PAUSES_S, None):
            self.note({"table": self.name, "marks": dict(marks), cursors.TAKEN_FROM: taken_from})
            try:
                output = self._conformed(self.session.spark.read.parquet(str(file)))
                write(self.session, output, target, SinkMode.APPEND, (), self.log, lambda _rows: None)
            except Exception as error:
                if self._is_made(marks, taken_from):  # the answer was lost
                    return
                if pause_s is None or isinstance(error, JobError):
                    raise JobError(readable(error)) from None
                self.log(f"the commit to {self.name} was refused, and is tried again: {readable(error)}")
                time.sleep(pause_s)
            else:
                self.look()
                return

    def _is_made(self, marks: Mapping[str, str], taken_from: str) -> bool:
        """Whether the table has come as far as this commit was to bring it, whoever did that.

        Raises:
            JobError: It has come somewhere else.
        """
        self.look()
        if self._newest is None or str(self._newest.snapshot_id) == taken_from:
            return False
        if self._newest.is_of(marks):
            return True
        raise JobError(
            f"another run has moved the offsets of {self.name} while this one was reading: nothing of this batch was "
            "written; let one run end before the next begins"
        )

    def _conformed(self, output: Any) -> Any:
        target = quoted(self.sink["catalog"], *self.name.split("."))
        declared = [column.name for column in self.columns]
        return conform(output, declared, self.session.spark.table(target).schema, self.name)

    def _stage(self, rows: Sequence[Sequence[Any]], file: Path) -> None:
        import pyarrow.parquet as pq

        file.parent.mkdir(exist_ok=True)
        pq.write_table(_table(rows, self.columns), file)


def _table(rows: Sequence[Sequence[Any]], columns: Sequence[ReadColumn]) -> pa.Table:
    import pyarrow as pa

    from coreetl_driver.sources.converting import schema_of

    schema = schema_of(columns)
    arrays = [pa.array([row[index] for row in rows], each.type) for index, each in enumerate(schema)]
    return pa.Table.from_arrays(arrays, schema=schema)
