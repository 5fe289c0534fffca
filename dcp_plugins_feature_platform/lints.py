"""The lints that only features need; those of tables and queries are the public base's."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial

from coreetl_driver.column_types import ScalarType
from dcp_core.diagnostics import Diagnostic, FieldPath, Severity
from dcp_core.errors import InvalidSpecError
from dcp_plugins_base.dataset import Field
from dcp_plugins_base.durations import parse_duration, whole_seconds
from dcp_plugins_base.lints import table_layout
from dcp_plugins_base.lints.subject import Lint, QueryLint, QuerySubject, error, nearest, shortened, warning
from dcp_plugins_feature_platform.backfill import SINCE
from dcp_plugins_feature_platform.neighbours import Neighbours
from dcp_plugins_feature_platform.view import FeatureView, TableFeatureView

_TIMESTAMPS = ("timestamptz", "timestamp_ntz")
_INEXACT = ("float", "double")
_LIMITS = {"int": 2**31, "long": 2**63}
_WHOLE_FLOATS = 2.0**53  # from here on a float has no place for what is after the point

UNFIT: tuple[Lint, ...] = (
    table_layout.partitions,
    table_layout.sort_order,
    table_layout.primary_key,
    table_layout.mode,
)
"""Of the base: a feature view's layout and mode follow from its keys and timestamp."""


def _view(subject: QuerySubject) -> FeatureView:
    view = subject.dataset
    assert isinstance(view, FeatureView)
    return view


def key_types(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Join keys have exact values."""
    view = _view(subject)
    for index, field in enumerate(view.fields[: len(view.join_keys)]):
        of = field.parsed_type()
        if of is not None and (not isinstance(of, ScalarType) or of.name in _INEXACT):
            yield error(
                "join_keys.type",
                f'join key "{field.name}" is {of}, which cannot identify an entity',
                (*view.field_path(index), "type"),
                hint="a key is compared for equality: string, long, int, date, decimal …",
            )


def timestamp_type(subject: QuerySubject) -> Iterator[Diagnostic]:
    """The event timestamp is one."""
    view = _view(subject)
    index = len(view.join_keys)
    of = view.fields[index].parsed_type()
    if of is not None and (not isinstance(of, ScalarType) or of.name not in _TIMESTAMPS):
        yield error(
            "event_timestamp.type",
            f'event timestamp "{view.event_timestamp}" is {of}, not a timestamp',
            (*view.field_path(index), "type"),
            hint="timestamp, or timestamp_ntz where the source has no zone",
        )


def defaults(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A default is a value of its feature's type."""
    view = _view(subject)
    first = len(view.join_keys) + 1
    for index, field in enumerate(view.fields[first:]):
        of = field.parsed_type()
        if field.name not in view.defaults or of is None:
            continue
        path: FieldPath = (view.section, "features", index, "default")
        if not isinstance(of, ScalarType):
            yield error(
                "features.default", f'"{field.name}" is {of}, which has no defaults', path, hint="leave it NULL"
            )
            continue
        value = view.defaults[field.name]
        if not _fits(view, field, of):
            message = f'the default of "{field.name}" is {value!r}, which is not a value of type {of.spark}'
            yield error("features.default", message, path, hint=_default_hint(of))
        elif of.name == "decimal" and isinstance(value, float) and not _is_as_written(value):
            message = f'the default of "{field.name}" has more digits than a number of YAML keeps: it became {value!r}'
            yield error("features.default", message, path, hint='quote it: "12345678901234567.89"')


def _fits(view: FeatureView, field: Field, of: ScalarType) -> bool:
    try:
        decoded = view.default_of(field)
    except InvalidSpecError:
        return False
    if decoded is None:
        return False
    if of.name in _INEXACT:
        return _is_kept(decoded, "f" if of.name == "float" else "d")
    limit = _LIMITS.get(of.name)
    return limit is None or -limit <= decoded < limit


def _is_kept(number: float, width: str) -> bool:
    """Whether a float of that width (of ``struct``) holds it, if rounded: neither as infinity nor as nothing."""
    try:
        (kept,) = struct.unpack(width, struct.pack(width, number))
    except OverflowError:
        return False
    return math.isfinite(kept) and (kept != 0) == (number != 0)


def _is_as_written(number: float) -> bool:
    """Whether what became this float was this number: the text is gone, and two texts of more digits can be one."""
    digits = Decimal(repr(number)).normalize().as_tuple().digits
    return len(digits) <= sys.float_info.dig and abs(number) < _WHOLE_FLOATS


def _default_hint(of: ScalarType) -> str | None:
    if of.name == "decimal":
        return f"at most {of.precision} digits, {of.scale} of them after the point"
    if of.name == "string":
        return 'quote it: "0"'
    return {"date": "2026-01-31", "timestamptz": "2026-01-31T06:00:00Z", "timestamp_ntz": "2026-01-31T06:00:00"}.get(
        of.name
    )


def spans(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Time to live and backfill window are spans of time that can be counted with; SQL counts in seconds."""
    view = _view(subject)
    given: list[tuple[str | None, FieldPath, Callable[[str], object]]] = [
        (view.ttl, (view.section, "ttl"), parse_duration),
        (view.backfill_window, ("workflow", "backfill_window"), whole_seconds),
    ]
    for text, path, read in given:
        try:
            if text is not None:
                read(text)
        except InvalidSpecError as refused:
            yield error(refused.code, refused.message, path, hint=refused.hint)


def since_is_taken(subject: QuerySubject) -> Iterator[Diagnostic]:
    """The window's own parameter is nobody else's."""
    view = _view(subject)
    if view.backfill_window is not None and SINCE in view.params:
        yield error(
            "backfill_window.parameter",
            f'"{SINCE}" is the parameter of backfill_window itself',
            ("workflow", "params", SINCE),
            hint="give the SQL's parameter another name, or leave backfill_window out and filter in the SQL",
        )


def source_columns(subject: QuerySubject) -> Iterator[Diagnostic]:
    """``source.columns`` names columns of the view."""
    view = _view(subject)
    if not isinstance(view, TableFeatureView):
        return
    for name in view.columns:
        if name not in view.field_names:
            hint = nearest(name, view.field_names) or "its columns: " + shortened(view.field_names)
            yield error(
                "source.unknown_column", f'"{name}" is not a column of the view', ("source", "columns", name), hint=hint
            )


def pointless_window(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A window is for runs that come again and again."""
    view = _view(subject)
    if view.backfill_window is not None and view.schedule is None:
        yield warning(
            "backfill_window.unscheduled",
            f"without a schedule, runs more than {view.backfill_window} apart leave out the events between them",
            ("workflow", "backfill_window"),
            hint="add workflow.schedule, or leave backfill_window out",
        )


def coarse_timestamp(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A timestamp cut to its day says that the day's values were known before they were."""
    from sqlglot import exp

    view = _view(subject)
    for output in subject.query.outputs or ():
        if output.name.lower() != view.event_timestamp.lower() or output.expression is None:
            continue
        inner = output.expression
        while isinstance(inner, (exp.Cast, exp.Paren)) and not _is_cut(inner):
            inner = inner.this
        if _is_cut(inner):
            yield subject.in_sql(
                Severity.WARNING,
                "event_timestamp.truncated",
                f'"{view.event_timestamp}" is cut to the start of a period: labels in it would see what came later',
                output.place,
                "take the moment from which on the values were known: the end of the period, or MAX of the events",
            )


def _is_cut(node: object) -> bool:
    from sqlglot import exp

    if isinstance(node, exp.Cast):
        return bool(node.is_type("date"))
    return isinstance(node, (exp.TimestampTrunc, exp.DateTrunc, exp.TsOrDsToDate))


def repeated_features(subject: QuerySubject, neighbours: Neighbours) -> Iterator[Diagnostic]:
    """No other manifest of the call has a feature of the same name: training sets could not have both as they are."""
    view = _view(subject)
    first = len(view.join_keys) + 1
    for index, name in enumerate(view.features):
        sharing = neighbours.with_feature(name, view)
        if sharing:
            yield warning(
                "features.repeated",
                f'feature "{name}" is also one of {shortened([other.table for other in sharing])}',
                (*view.field_path(first + index), "name"),
                hint="rename one of them; get-historical needs --full-names to have both",
            )


def entity_keys(subject: QuerySubject, neighbours: Neighbours) -> Iterator[Diagnostic]:
    """One entity is identified in one way."""
    view = _view(subject)
    different = [other for other in neighbours.of_entity(view) if _keys(other) != _keys(view)]
    if different:
        yield warning(
            "entity.keys",
            f'"{view.entity}" is identified by {_spelled(view)} here, and otherwise in '
            f"{shortened([other.table for other in different])}, by {_spelled(different[0])}",
            (view.section, "join_keys"),
            hint="give all of them the same join keys, or another entity",
        )


def _keys(view: FeatureView) -> frozenset[tuple[str, str]]:
    return frozenset((field.name.lower(), field.type) for field in view.fields[: len(view.join_keys)])


def _spelled(view: FeatureView) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in view.fields[: len(view.join_keys)])


STRUCTURAL: tuple[QueryLint, ...] = (key_types, timestamp_type, defaults, spans, since_is_taken, source_columns)
"""What must hold before anything can be made of the manifest."""


def lints_beside(neighbours: Neighbours) -> tuple[QueryLint, ...]:
    """All lints of features, those between this manifest and others of the same call included."""
    return (
        *STRUCTURAL,
        pointless_window,
        coarse_timestamp,
        partial(repeated_features, neighbours=neighbours),
        partial(entity_keys, neighbours=neighbours),
    )
