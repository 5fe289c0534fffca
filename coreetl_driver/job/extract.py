"""The extract job: a table of a SQL database, read in chunks, checked, staged, and written in one commit.

The chunks are staged as Parquet in the execution's scratch folder, which the engine then reads: memory holds a chunk,
not the table. The cursor goes into the same commit as the rows; until then nothing of a run exists but scratch files,
so that a run that is killed anywhere is a run that was never made, or one that is done.

Must not keep a connection's address or password anywhere.
"""

from __future__ import annotations

import datetime
import decimal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from coreetl_driver import cursors
from coreetl_driver.api import Column, SinkMode
from coreetl_driver.column_types import ColumnType, ScalarType
from coreetl_driver.extract_specs import FULL_REFRESH
from coreetl_driver.job.engine_errors import JobError
from coreetl_driver.job.output import conform
from coreetl_driver.job.session import Session, quoted
from coreetl_driver.job.sink import check_keys, is_there, write
from coreetl_driver.job.sink_table import has_rows, last_extraction, table_metadata
from coreetl_driver.job_sources import SourceTable, source_from_json
from coreetl_driver.sources import Connection, ReadColumn, Since, open_connection, read_columns
from dcp_core.errors import DcpError

if TYPE_CHECKING:
    import pyarrow as pa

_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "long": 64}
_DIGITS = 100  # more than a decimal and any lookback have
_FILE_ROWS = 1_000_000
_LOG_EVERY_S = 5.0
_FOLDER = "extracted"
Log = Callable[[str], None]
Note = Callable[[Mapping[str, Any]], None]


@frozen
class _Start:
    """Where a run begins.

    Args:
        since: Only newer rows; None reads everything.
        replaces: Whether the rows take the place of all that the table has.
        last: The last cursor, which a run never falls behind; None for none.
        taken_from: The snapshot that says so.
        why: For the log.
    """

    since: Since | None
    replaces: bool
    last: Any
    taken_from: str
    why: str


@frozen
class _Staged:
    """Rows in the scratch folder."""

    folder: Path
    rows: int
    newest: Any


def extract(
    session: Session, request: Mapping[str, Any], catalogs: Mapping[str, Mapping[str, str]], note: Note, log: Log
) -> dict[str, Any]:
    """Do one extract job.

    Args:
        request: ``source``, ``connection``, ``columns``, ``sink`` and ``params``.
        catalogs: ``uri`` and ``token`` of the endpoint's catalogs, by name.
        note: Takes what belongs into the commit's summary, before the commit.

    Returns:
        ``rows``: how many were written.

    Raises:
        JobError: It cannot be done; nothing was written.
    """
    connection = Connection.from_json(request["connection"])
    try:
        return _extract(session, request, connection, catalogs, note, log)
    except JobError as error:
        raise JobError(connection.scrubbed(str(error))) from None
    except DcpError as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise JobError(connection.scrubbed(f"{error}{hint}")) from None
    except Exception as error:
        from coreetl_driver.job.engine_errors import readable

        print(connection.scrubbed(traceback.format_exc()), file=sys.stderr, flush=True)
        raise JobError(connection.scrubbed(readable(error))) from None


def _extract(
    session: Session,
    request: Mapping[str, Any],
    connection: Connection,
    catalogs: Mapping[str, Mapping[str, str]],
    note: Note,
    log: Log,
) -> dict[str, Any]:
    began = time.monotonic()
    source = source_from_json(request["source"])
    assert isinstance(source, SourceTable), "the driver checks it"
    sink = request["sink"]
    columns = [Column(**column) for column in request["columns"]]
    read = _to_read(columns, source)
    metadata = table_metadata(sink, catalogs)
    if metadata is None:
        raise JobError(f"table {sink['table']} does not exist (apply first)")
    mode = SinkMode(sink["mode"])
    start = _start(source, read, mode, metadata, full_refresh=request["params"].get(FULL_REFRESH) == "true")
    target = quoted(sink["catalog"], *sink["table"].split("."))
    names = [column.name for column in columns]
    table = session.spark.table(target).schema
    ddl = ", ".join(f"{quoted(column.name)} {column.type.spark}" for column in read)
    conform(session.spark.createDataFrame([], ddl), names, table, sink["table"])  # before an hour of reading
    log(f"reading table {source.table} of connection {source.connection}: {start.why}")
    staged = _stage(connection, source, read, start, log)
    if staged.rows == 0 and not start.replaces and mode is not SinkMode.OVERWRITE:
        log("the source has no row to write: nothing is committed")
        return {"rows": 0}
    note(_marks(source, read, start, staged))
    output = conform(session.spark.read.parquet(str(staged.folder)), names, table, sink["table"])
    if start.since is not None and start.since.inclusive and is_there(session, output, target, sink["keys"]):
        log(f"the table has these {staged.rows} rows already: nothing is committed")
        return {"rows": 0}
    mode = SinkMode.OVERWRITE if start.replaces else mode
    log(f"writing {staged.rows} rows to {sink['catalog']}.{sink['table']}, mode {mode.value}")
    try:
        if mode is not SinkMode.MERGE and source.key:
            check_keys(session, output, source.key)
        write(session, output, target, mode, sink["keys"], log, lambda _rows: None)
    except JobError as error:
        raise JobError(f"{error}; the key must be unique and not NULL in source table {source.table!r}") from None
    log(f"done in {time.monotonic() - began:.2f} s")
    return {"rows": staged.rows}


def _to_read(columns: Sequence[Column], source: SourceTable) -> tuple[ReadColumn, ...]:
    """The columns of the source; a cursor is never NULL, for such a row would never be read again when it changes."""
    return tuple(
        evolve(column, required=True) if column.name == source.cursor else column
        for column in read_columns(columns, source)
    )


def _start(
    source: SourceTable, read: Sequence[ReadColumn], mode: SinkMode, metadata: Mapping[str, Any], *, full_refresh: bool
) -> _Start:
    mark = last_extraction(metadata)
    taken_from = cursors.NOWHERE if mark is None else str(mark.snapshot_id)
    if full_refresh:
        return _Start(None, True, None, taken_from, "everything, to replace the table's rows (full_refresh)")
    if source.cursor is None:
        return _Start(None, False, None, taken_from, "everything (a snapshot)")
    column = next(column for column in read if column.name == source.cursor)
    last, why = _last(source, column, mark)
    if last is None:
        if mode is SinkMode.APPEND and has_rows(metadata):
            raise JobError(
                f"the table has rows, and {why}: appending everything could write rows twice "
                "(run once with full_refresh=true, which replaces the table's rows)"
            )
        return _Start(None, False, None, taken_from, f"everything, for {why}")
    if mode is SinkMode.APPEND:
        since = Since(column.name, last, inclusive=False)
    else:
        since = Since(column.name, _earlier(last, source.lookback, column.type), inclusive=True)
    sign = ">=" if since.inclusive else ">"
    return _Start(since, False, last, taken_from, f"rows with {source.cursor} {sign} {cursors.text_of(since.value)}")


def _last(source: SourceTable, column: ReadColumn, mark: cursors.Mark | None) -> tuple[Any, str]:
    """The last cursor; None and why, when there is none."""
    from coreetl_driver.sources.exact_values import exactly

    if mark is None:
        return None, "no snapshot of it records a cursor"
    if mark.source != _source_name(source):
        return None, f"its last cursor is of {mark.source}, not of {_source_name(source)}"
    if mark.column != source.cursor:
        return None, f"its last run had {f'cursor {mark.column}' if mark.column else 'no cursor'}, not {source.cursor}"
    if mark.value is None:
        return None, "its last run found no row"
    try:
        return exactly(mark.value, column.type), ""
    except (ValueError, ArithmeticError):
        return None, f"its last cursor is no value of type {column.type.spark}"


def _earlier(last: Any, lookback: int, of: ColumnType) -> Any:
    """``last`` minus the lookback: seconds, whole days for a date, units for a number; the type's least at least."""
    least = _least(of)
    try:
        if isinstance(last, datetime.datetime):
            return last - datetime.timedelta(seconds=lookback)
        if isinstance(last, datetime.date):
            return last - datetime.timedelta(days=-(-lookback // 86_400))
    except OverflowError:
        return least
    with decimal.localcontext(prec=_DIGITS):
        return max(last - lookback, least)


def _least(of: ColumnType) -> Any:
    """The least value of a type that a cursor may have."""
    assert isinstance(of, ScalarType), "the driver checks it"
    match of.name:
        case "date":
            return datetime.date.min
        case "timestamp_ntz":
            return datetime.datetime.min  # noqa: DTZ901  # it has no zone
        case "timestamptz":
            return datetime.datetime.min.replace(tzinfo=datetime.UTC)
        case "decimal":
            return decimal.Decimal((1, (9,) * (of.precision or 0), -(of.scale or 0)))
    return -(2 ** (_BITS[of.name] - 1))


def _stage(connection: Connection, source: SourceTable, read: Sequence[ReadColumn], start: _Start, log: Log) -> _Staged:
    """Read the source into Parquet files beneath the working folder, which is the execution's scratch folder."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from coreetl_driver.sources.converting import schema_of

    folder = Path.cwd() / _FOLDER
    folder.mkdir()
    schema = schema_of(read)
    rows, newest, chunks, told_at = 0, None, 0, time.monotonic()
    writer = pq.ParquetWriter(folder / "part-0.parquet", schema)
    in_file, files = 0, 1
    try:
        for chunk in _chunks(connection, source, read, start):
            if in_file >= _FILE_ROWS:
                writer.close()
                writer = pq.ParquetWriter(folder / f"part-{files}.parquet", schema)
                in_file, files = 0, files + 1
            writer.write_batch(chunk, row_group_size=chunk.num_rows)
            in_file += chunk.num_rows
            rows, chunks = rows + chunk.num_rows, chunks + 1
            if source.cursor is not None:
                found = pc.max(chunk.column(source.cursor)).as_py()
                newest = found if newest is None else max(newest, found)
            if time.monotonic() - told_at > _LOG_EVERY_S:
                told_at = time.monotonic()
                log(f"read {rows} rows in {chunks} chunks so far")
    finally:
        writer.close()
    log(f"read {rows} rows in {chunks} chunks")
    return _Staged(folder, rows, newest)


def _chunks(
    connection: Connection, source: SourceTable, read: Sequence[ReadColumn], start: _Start
) -> Iterator[pa.RecordBatch]:
    with open_connection(connection) as opened:
        yield from opened.stream(source.table, read, chunk_rows=source.chunk_rows, since=start.since)


def _marks(source: SourceTable, read: Sequence[ReadColumn], start: _Start, staged: _Staged) -> dict[str, str]:
    """What the commit's summary says, and its condition. One note, so that none of it can be missing."""
    known = [value for value in (start.last, staged.newest) if value is not None]
    types = {column.name: str(column.type) for column in read}
    said = cursors.marks(
        _source_name(source), source.cursor, types.get(source.cursor or "", ""), max(known, default=None)
    )
    return {**said, cursors.ROWS: str(staged.rows), cursors.TAKEN_FROM: start.taken_from}


def _source_name(source: SourceTable) -> str:
    return f"{source.connection}/{source.table}"
