"""Comparisons with a cursor in the SQL that most databases read."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

from coreetl_driver.sources.source import ReadColumn, Since, SourceColumnInfo

_SLACK = datetime.timedelta(days=1)  # in whatever time zone the session compares


def newer(
    since: Since,
    columns: Sequence[tuple[ReadColumn, SourceColumnInfo]],
    quote: Callable[[str], str],
    literal: Callable[[object], str],
) -> str:
    """At least the rows that are wanted; the converter leaves out what is too old."""
    info = next(info for column, info in columns if column.name == since.column)
    name = quote(info.name)
    value = since.value
    if isinstance(value, datetime.date):
        try:
            value -= _SLACK
        except OverflowError:
            return "1 = 1"
    return f"({name} >= {literal(value)} OR {name} IS NULL)"


def standard_literal(value: object) -> str:
    """A number, date or time; a time without a zone, in UTC."""
    if isinstance(value, datetime.datetime):
        naive = value if value.tzinfo is None else value.astimezone(datetime.UTC).replace(tzinfo=None)
        return f"TIMESTAMP '{naive.isoformat(sep=' ', timespec='microseconds')}'"
    if isinstance(value, datetime.date):
        return f"DATE '{value.isoformat()}'"
    return str(value)
