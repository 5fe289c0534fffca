"""The queries of a feature view: of a source table, and of the job, which computes no more than its window."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence

from coreetl_driver.column_types import ScalarType
from coreetl_driver.sql import without_comments
from dcp_core.errors import UsageError
from dcp_plugins_base.durations import whole_seconds
from dcp_plugins_feature_platform.view import FeatureView

SINCE = "since"
"""The run parameter that takes the window's place: a date or a timestamp; "" for the window."""

_HINT = f"--param {SINCE}=2026-01-31, or --param {SINCE}=2026-01-31T06:00:00Z; without a zone it is UTC"


def table_query(table: str, columns: Mapping[str, str], names: Sequence[str]) -> str:
    """The query that takes the columns of ``names`` from ``table`` as they are."""
    selected = [_quoted(columns[name]) + f" AS {_quoted(name)}" if name in columns else _quoted(name) for name in names]
    listed = ",\n  ".join(selected)
    source = ".".join(map(_quoted, table.split(".")))
    return f"SELECT\n  {listed}\nFROM {source}"  # names of the schema's pattern, quoted


def job_query(view: FeatureView) -> str:
    """What a run computes: the view's query, of the last ``backfill_window`` only where it has one.

    A row without an event timestamp stays in, so that the run fails on it as it does without a window.
    """
    if view.backfill_window is None:
        return view.sql
    seconds = whole_seconds(view.backfill_window)
    name = _quoted(view.event_timestamp)
    type_ = "TIMESTAMP_NTZ" if _has_no_zone(view) else "TIMESTAMP"
    columns = ", ".join(map(_quoted, view.field_names))
    # NULLIF: an engine may evaluate both branches, and '' is no timestamp.
    return f"""SELECT {columns} FROM (
{without_comments(view.sql)}
) WHERE {name} IS NULL OR {name} >= CASE
  WHEN :{SINCE} = '' THEN CAST(CURRENT_TIMESTAMP() - INTERVAL '{seconds}' SECOND AS {type_})
  ELSE CAST(NULLIF(:{SINCE}, '') AS {type_})
END"""  # noqa: S608


def job_params(view: FeatureView) -> dict[str, str]:
    """The parameters of ``job_query`` with their defaults."""
    return dict(view.params) if view.backfill_window is None else {**view.params, SINCE: ""}


def run_params(view: FeatureView, params: Mapping[str, str]) -> dict[str, str]:
    """What a user gave for a run, as every engine reads it: ``since`` as a whole timestamp in UTC.

    Raises:
        UsageError: ``since`` is none, or the view has no window. Never retried.
    """
    since = params.get(SINCE)
    if since is None or SINCE in view.params:
        return dict(params)
    if view.backfill_window is None:
        raise UsageError(f"{view.table} has no backfill window, so every run computes everything: leave out {SINCE}")
    return {**params, SINCE: _in_utc(since, with_zone=not _has_no_zone(view)) if since else ""}


def _in_utc(text: str, *, with_zone: bool) -> str:
    try:
        # Python reads 2026-W05-6 and 20260131 too, which nobody means.
        if not re.match(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError
        moment = datetime.datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):  # a zone may lead out of the calendar
        raise UsageError(f"{SINCE}={text} is not a date or a timestamp", hint=_HINT) from None
    return (moment if with_zone else moment.replace(tzinfo=None)).isoformat()


def _has_no_zone(view: FeatureView) -> bool:
    field = view.field_named(view.event_timestamp)
    return field is not None and field.parsed_type() == ScalarType("timestamp_ntz")


def _quoted(name: str) -> str:
    return f"`{name}`"
