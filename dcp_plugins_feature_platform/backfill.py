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
    field = view.field_named(view.event_timestamp)
    of = field.parsed_type() if field else None
    type_ = of.spark.upper() if isinstance(of, ScalarType) else "TIMESTAMP"
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


def check_params(view: FeatureView, params: Mapping[str, str]) -> None:
    """What a user gave for a run can be what it is taken for.

    Raises:
        UsageError: It cannot. Never retried.
    """
    since = params.get(SINCE)
    if since is None or SINCE in view.params:
        return
    if view.backfill_window is None:
        raise UsageError(f"{view.table} has no backfill window, so every run computes everything: leave out {SINCE}")
    try:
        # Python reads more than Spark does (2026-W05-6, 20260131): only what both read alike.
        if since and not re.match(r"\d{4}-\d{2}-\d{2}", since):
            raise ValueError
        if since:
            datetime.datetime.fromisoformat(since)
    except ValueError:
        raise UsageError(f"{SINCE}={since} is not a date or a timestamp", hint=_HINT) from None


def _quoted(name: str) -> str:
    return f"`{name}`"
