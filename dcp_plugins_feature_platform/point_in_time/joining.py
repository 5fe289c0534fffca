"""The point-in-time join of labels with one view after the other, in DuckDB: out of core where memory is short.

A label gets the row of its entity with the greatest event timestamp that is not after its own, unless that row is
older than the view's time to live; an older row never stands in for an expired one, being older still. Where a table
that DCP does not fill has several rows of one entity and timestamp, the greatest of them counts: feature by feature in
the view's order, those that were asked for, NULL last.

DuckDB sees numbered labels' keys and timestamps only, and timestamps as integers, so it can change nothing of the
labels and knows of no zones.

Source: DuckDB, "AsOf Join".
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dcp_core.errors import InvalidSpecError, PermanentError
from dcp_plugins_feature_platform.point_in_time.columns import instants, key_kind, key_type, keys, microseconds
from dcp_plugins_feature_platform.point_in_time.labels import BATCH_ROWS, Labels, check_labels, column_type, spool
from dcp_plugins_feature_platform.point_in_time.selecting import FeatureHistory, SelectedView

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NUMBER, _INSTANT = "number", "instant"


@attrs.frozen
class Workspace:
    """Where a join may put what does not fit into memory.

    Args:
        folder: Empty; whoever made it deletes it.
        memory_mb: What DuckDB may use; what is streamed through comes on top.
    """

    folder: Path
    memory_mb: int = 1024

    @classmethod
    @contextmanager
    def temporary(cls, parent: Path | None = None, memory_mb: int = 1024) -> Iterator[Workspace]:
        """A workspace that is gone afterwards."""
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="training-set-", dir=parent) as folder:
            yield cls(Path(folder), memory_mb)


@attrs.frozen
class JoinedView:
    """One view's features for every label, in the labels' order, in a file that ``labels.spooled`` reads.

    Args:
        found: By output column, how many labels have a value of their own: not NULL before any default.
    """

    schema: pa.Schema
    file: Path
    found: dict[str, int]


@attrs.frozen
class _LabelKeys:
    """Where each key is in the table of labels, and the time that they span."""

    columns: dict[str, str]
    rows: int
    first_us: int | None
    last_us: int | None


def check_keys(labels: Labels, view: FeatureHistory) -> None:
    """The labels have the view's join keys, of the same kinds, and the history has all that the view names.

    Raises:
        InvalidSpecError: They have not. Never retried.
    """
    named = (*view.join_keys, view.event_timestamp, *view.features)
    absent = [name for name in named if name not in view.history.schema.names]
    if absent:
        raise InvalidSpecError(
            f'{view.history.name} has no column "{absent[0]}"',
            hint="the manifest is newer than the table: apply and run it first",
            code="features.not_applied",
        )
    for name in view.join_keys:
        given = column_type(labels, name, f"a join key of {view.name}")
        wanted = view.history.schema.field(name).type
        if key_kind(given) is None or key_kind(given) != key_kind(wanted):
            raise InvalidSpecError(
                f'join key "{name}" is {given} in {labels.name} and {wanted} in {view.history.name}',
                hint="nothing is cast in silence: write the labels with the table's type",
                code="labels.key_type",
            )


def join_views(
    labels: Labels, timestamp_column: str, views: Sequence[SelectedView], workspace: Workspace
) -> tuple[JoinedView, ...]:
    """Join one view after the other; each result has exactly as many rows as there are labels.

    Raises:
        InvalidSpecError: Labels and views do not fit together. Never retried.
    """
    check_labels(labels, timestamp_column)
    for selected in views:
        check_keys(labels, selected.view)
    names = dict.fromkeys(name for selected in views for name in selected.view.join_keys)
    with _connection(workspace) as connection:
        label_keys = _load(connection, labels, timestamp_column, tuple(names))
        return tuple(
            _join(connection, label_keys, selected, workspace.folder / f"view-{number}.arrows")
            for number, selected in enumerate(views)
        )


@contextmanager
def _connection(workspace: Workspace) -> Iterator[DuckDBPyConnection]:
    settings: dict[str, Any] = {
        "memory_limit": f"{workspace.memory_mb}MB",
        "temp_directory": str(workspace.folder / "spilled"),
        "autoload_known_extensions": False,
        "autoinstall_known_extensions": False,
        "python_enable_replacements": False,
        # A few labels would take another way to the same answer. One way is enough, and that is the one that is tested.
        "asof_loop_join_threshold": 0,
    }
    with duckdb.connect(config=settings) as connection:
        yield connection


def _load(connection: DuckDBPyConnection, labels: Labels, timestamp_column: str, names: Sequence[str]) -> _LabelKeys:
    """The table ``labels``: number, timestamp and keys."""
    columns = {name: f"k{number}" for number, name in enumerate(names)}
    types = {columns[name]: key_type(labels.schema.field(name).type) for name in names}
    schema = pa.schema([(_NUMBER, pa.int64()), (_INSTANT, pa.int64()), *types.items()])
    rows = 0
    spans: list[int] = []

    def numbered() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in labels.batches(list(dict.fromkeys([timestamp_column, *names]))):
            at = instants(batch.column(timestamp_column))
            ends = pc.min_max(at).as_py()
            spans[:] = [end for end in (*spans, ends["min"], ends["max"]) if end is not None]
            spans[:] = [min(spans), max(spans)] if spans else []
            number = pa.array(range(rows, rows + batch.num_rows), pa.int64())
            rows += batch.num_rows
            yield pa.record_batch([number, at, *(keys(batch.column(name)) for name in names)], schema=schema)

    with _reading(connection, "incoming", schema, numbered()):
        connection.execute("CREATE TEMP TABLE labels AS SELECT * FROM incoming")
    return _LabelKeys(columns, rows, spans[0] if spans else None, spans[-1] if spans else None)


def _join(connection: DuckDBPyConnection, label_keys: _LabelKeys, selected: SelectedView, file: Path) -> JoinedView:
    view = selected.view
    features = [view.history.schema.field(feature.column) for feature in selected.features]
    schema = pa.schema([(feature.output, of.type) for feature, of in zip(selected.features, features, strict=True)])
    columns = [label_keys.columns[name] for name in view.join_keys]
    key_types = [key_type(view.history.schema.field(name).type) for name in view.join_keys]
    values = [f"v{number}" for number in range(len(features))]
    incoming = pa.schema(
        [
            *zip(columns, key_types, strict=True),
            (_INSTANT, pa.int64()),
            *((v, f.type) for v, f in zip(values, features, strict=True)),
        ]
    )
    found = dict.fromkeys(schema.names, 0)

    defaults = {
        feature.output: _scalar(feature.default, of.type)
        for feature, of in zip(selected.features, features, strict=True)
        if feature.default is not None
    }

    def finished(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            arrays = []
            for feature, array in zip(selected.features, batch.columns, strict=True):
                of = schema.field(feature.output).type
                value = array if array.type == of else array.cast(of)
                found[feature.output] += len(value) - value.null_count
                default = defaults.get(feature.output)
                arrays.append(value if default is None else pc.coalesce(value, default))
            yield pa.record_batch(arrays, schema=schema)

    with _reading(connection, "history", incoming, _history(label_keys, selected, incoming)):
        joined = connection.sql(_query(columns, values, view)).to_arrow_reader(BATCH_ROWS)
        rows = spool(schema, finished(joined), file)
    assert rows == label_keys.rows, f"{rows} rows for {label_keys.rows} labels"
    return JoinedView(schema, file, found)


def _history(label_keys: _LabelKeys, selected: SelectedView, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows that any label can have, keys and timestamps in their one form."""
    view = selected.view
    if label_keys.first_us is None or label_keys.last_us is None:
        return
    since = None if view.ttl is None else label_keys.first_us - microseconds(view.ttl)
    columns = list(dict.fromkeys([*view.join_keys, view.event_timestamp, *(each.column for each in selected.features)]))
    for batch in view.history.batches(columns, view.event_timestamp, since, label_keys.last_us):
        arrays = [keys(batch.column(name)) for name in view.join_keys]
        arrays.append(instants(batch.column(view.event_timestamp)))
        arrays.extend(batch.column(each.column) for each in selected.features)
        yield pa.record_batch(arrays, schema=schema)


def _query(columns: Sequence[str], values: Sequence[str], view: FeatureHistory) -> str:
    """Every name in it is one of ours: nothing of a manifest or of a file gets into the text."""
    age = "CAST(labels.instant AS HUGEINT) - matching.instant"
    shown = ", ".join(
        f"CASE WHEN {age} <= {microseconds(view.ttl)} THEN matching.{value} END"
        if view.ttl is not None
        else f"matching.{value}"
        for value in values
    )
    same_history = " AND ".join(f"history.{column} = wanted.{column}" for column in columns)
    same_label = " AND ".join(f"labels.{column} = matching.{column}" for column in columns)
    greatest = ", ".join(f"{value} DESC NULLS LAST" for value in values)
    return f"""
        WITH wanted AS (SELECT DISTINCT {", ".join(columns)} FROM labels),
        matching AS (
            SELECT * FROM history SEMI JOIN wanted ON {same_history}
            WHERE history.instant IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY {", ".join(columns)}, instant ORDER BY {greatest}) = 1
        )
        SELECT {shown}
        FROM labels ASOF LEFT JOIN matching ON {same_label} AND labels.instant >= matching.instant
        ORDER BY labels.number
    """  # noqa: S608


@contextmanager
def _reading(
    connection: DuckDBPyConnection, name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[None]:
    """The stream as a table that can be read once; what goes wrong in the stream is raised as it was.

    Raises:
        PermanentError: DuckDB cannot do it, for want of memory or disk.
    """
    failure: list[Exception] = []

    def watched() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            failure.append(error)
            raise

    connection.register(name, pa.RecordBatchReader.from_batches(schema, watched()))
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        if failure:
            raise failure[0] from None
        detail = str(error).splitlines()[0]
        raise PermanentError(f"the point-in-time join failed: {detail}", code="training_set.failed") from error
    finally:
        connection.unregister(name)


def _scalar(value: Any, of: pa.DataType) -> pa.Scalar:
    """A default in the table's own type, which may not be the manifest's yet."""
    try:
        return pa.scalar(value, of)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        raise InvalidSpecError(
            f"the default {value!r} is not a value of type {of}, which the table has",
            hint="the manifest is newer than the table: apply and run it first",
            code="features.not_applied",
        ) from None
