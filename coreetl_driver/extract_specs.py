"""What a job of kind ``extract`` may ask for: a source table, a cursor, and one parameter."""

from __future__ import annotations

import re
from collections.abc import Mapping

from coreetl_driver.api import JobSpec, SinkMode
from coreetl_driver.column_types import ColumnType, ScalarType, parse_engine_type
from coreetl_driver.job_sources import SourceTable
from dcp_core.errors import InvalidSpecError

FULL_REFRESH = "full_refresh"
# Their order is the same in every database. That of text depends on its collation, that of floats on what NaN is.
CURSOR_TYPES = ("tinyint", "smallint", "int", "long", "decimal", "date", "timestamptz", "timestamp_ntz")
INCREMENTAL_MODES = (SinkMode.APPEND, SinkMode.MERGE)
MAX_CHUNK_ROWS = 10_000_000
_CONNECTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_SOURCE_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,127}(\.[A-Za-z_][A-Za-z0-9_$]{0,127}){0,2}")
_MAX_COLUMN_NAME = 255
_MAX_LOOKBACK = 100 * 366 * 24 * 3600


def check_extract(spec: JobSpec) -> None:
    """Refuse what no source could give, or what could lose rows.

    Raises:
        InvalidSpecError: Never retried.
    """
    source = spec.source
    if not isinstance(source, SourceTable):
        raise InvalidSpecError("a job of kind 'extract' needs a source table")
    if spec.sql or spec.params:
        raise InvalidSpecError(f"a job of kind 'extract' has no {'SQL' if spec.sql else 'parameters of its own'}")
    if not _CONNECTION.fullmatch(source.connection):
        raise InvalidSpecError(
            f"connection {source.connection!r} is not a name of letters, digits, '_' and '-'",
            hint="it is NAME of [connections.NAME] in dcp.toml; an address or a password does not belong here",
        )
    if not _SOURCE_TABLE.fullmatch(source.table):
        raise InvalidSpecError(f"source table {source.table!r} is not of the form table or schema.table")
    _check_columns(spec, source)
    _check_cursor(spec, source)
    _check_key(spec, source)
    if not _is_whole(source.chunk_rows) or not 1 <= source.chunk_rows <= MAX_CHUNK_ROWS:
        raise InvalidSpecError(f"chunk_rows is {source.chunk_rows!r}, not a number from 1 to {MAX_CHUNK_ROWS}")


def chosen_extract_parameters(given: Mapping[str, str]) -> dict[str, str]:
    """The parameters of one run.

    Raises:
        InvalidSpecError: There is no such parameter, or its value is not ``true`` or ``false``. Never retried.
    """
    unknown = sorted(set(given) - {FULL_REFRESH})
    if unknown:
        raise InvalidSpecError(
            f"a job that extracts has no parameter {unknown[0]!r}", hint=f"its one parameter: {FULL_REFRESH}"
        )
    if given.get(FULL_REFRESH, "false") not in ("true", "false"):
        raise InvalidSpecError(f"parameter {FULL_REFRESH} is {given[FULL_REFRESH]!r}, expected true or false")
    return dict(given)


def is_cursor_type(of: ColumnType) -> bool:
    """Whether values of this type can say how far a run has read."""
    return isinstance(of, ScalarType) and of.name in CURSOR_TYPES


def _check_columns(spec: JobSpec, source: SourceTable) -> None:
    declared = [column.name for column in spec.columns]
    mapped = [column.name for column in source.columns]
    for name in declared:
        if mapped.count(name) != 1:
            problem = "has no column of the source" if name not in mapped else "has more than one column of the source"
            raise InvalidSpecError(f"declared column {name!r} {problem}")
    for column in source.columns:
        if column.name not in declared:
            raise InvalidSpecError(f"the source gives column {column.name!r}, which is not declared")
        name = column.source
        if not isinstance(name, str) or not name or len(name) > _MAX_COLUMN_NAME or not name.isprintable():
            raise InvalidSpecError(f"column {column.name!r}: {name!r} cannot be the name of a source's column")


def _check_key(spec: JobSpec, source: SourceTable) -> None:
    declared = {column.name for column in spec.columns}
    unknown = [name for name in source.key if name not in declared]
    if unknown:
        raise InvalidSpecError(f"key {unknown[0]!r} is not a declared column")
    if spec.sink.mode is SinkMode.MERGE and source.key and set(source.key) != set(spec.sink.keys):
        raise InvalidSpecError("the key of the source is another than the one that rows are merged by")


def _check_cursor(spec: JobSpec, source: SourceTable) -> None:
    if not _is_whole(source.lookback) or not 0 <= source.lookback <= _MAX_LOOKBACK:
        raise InvalidSpecError(f"lookback is {source.lookback!r}, not a number from 0 to {_MAX_LOOKBACK}")
    if source.lookback and (source.cursor is None or spec.sink.mode is not SinkMode.MERGE):
        raise InvalidSpecError(
            "lookback reads rows again: it needs a cursor and mode merge, or rows would come twice",
        )
    if source.cursor is None:
        return
    types = {column.name: parse_engine_type(column.type) for column in spec.columns}
    if source.cursor not in types:
        raise InvalidSpecError(f"cursor {source.cursor!r} is not a declared column")
    of = types[source.cursor]
    if not is_cursor_type(of):
        raise InvalidSpecError(
            f"cursor {source.cursor!r} is of type {of.spark}, by which rows cannot be told older or newer in every "
            "database alike",
            hint="a cursor is a whole number, a decimal, a date or a timestamp",
        )
    if spec.sink.mode not in INCREMENTAL_MODES:
        raise InvalidSpecError(
            f"mode {spec.sink.mode.value} replaces rows that an incremental run does not read again",
            hint="with a cursor the mode is append or merge",
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
