"""Where the embedded engine (Sail) and Spark differ about dates, timestamps and intervals. Like ``engine``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dcp_core.diagnostics import Diagnostic, Severity
from dcp_plugins_base.lints.engine import Difference, differences
from dcp_plugins_base.lints.subject import QuerySubject

_UNKNOWN_PARTS = ("DAYOFWEEK", "DAYOFWEEK_ISO", "DOW_ISO", "YEAROFWEEK")
_SHORT_UNITS = ("HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND")


def times(subject: QuerySubject) -> Iterator[Diagnostic]:
    """What the text of an expression alone tells."""
    yield from differences(subject, _RULES)


def _function(node: Any) -> Difference | None:
    name = node.name.lower()
    if name == "weekday":
        return Difference("weekday", "gives -1 for a Sunday in WEEKDAY, Spark 6", "(DAYOFWEEK(day) + 5) % 7")
    if name in ("date_part", "datepart") and node.expressions and node.expressions[0].is_string:
        return _part(node.expressions[0].name)
    return None


def _extract(node: Any) -> Difference | None:
    return _part(node.this.name)


def _part(name: str) -> Difference | None:
    if name.upper() == "DOW":
        message = "counts the days of the week from 0 in EXTRACT(DOW …), Spark from 1"
        return Difference("extract_dow", message, "DAYOFWEEK(day)")
    if name.upper() in _UNKNOWN_PARTS:
        return Difference("extract_part", f"does not know the part {name.upper()}", "DAYOFWEEK(day)")
    return None


def _difference_in_days(node: Any) -> Difference | None:
    unit = node.args.get("unit")
    if unit is None or unit.name.upper() != "DAY":
        return None
    operands = [each.this if type(each).__name__ == "TsOrDsToDate" else each for each in (node.this, node.expression)]
    if any(operand.is_type("date") for operand in operands):
        return None  # between dates both count the same
    message = "counts midnights between two timestamps, Spark whole days"
    return Difference("days_between", message, "DATEDIFF(end, start) for midnights, or whole hours divided by 24")


def _sum(node: Any) -> Difference | None:
    left, right = node.left, node.right
    if not any(side.is_type("date") for side in (left, right)):
        return None
    if type(node).__name__ == "Sub" and left.is_type("date") and right.is_type("date"):
        if type(node.parent).__name__ in ("Cast", "TryCast"):
            return None
        message = "gives a number for a date minus a date, Spark an interval"
        return Difference("date_minus_date", message, "DATEDIFF(end, start)")
    from sqlglot import exp

    other = right if left.is_type("date") else left
    interval = other.find(exp.Interval)
    if interval is None:
        return None
    unit = interval.args.get("unit")
    is_short = unit is not None and unit.name.upper().rstrip("S") in _SHORT_UNITS
    if is_short or isinstance(other, exp.Mul):
        message = "keeps a date plus such an interval a date, Spark makes it a timestamp"
        return Difference("date_plus_interval", message, "CAST the date to a TIMESTAMP first, or use DATE_ADD")
    return None


def _truncated(node: Any) -> Difference | None:
    if not node.this.is_type("date", "timestampntz") or type(node.parent).__name__ in ("Cast", "TryCast"):
        return None
    message = "gives a timestamp_ntz for DATE_TRUNC of this, Spark a timestamp"
    return Difference("date_trunc_type", message, "CAST the argument to TIMESTAMP, or use TRUNC(day, 'MM')")


def _cast_to_date(node: Any) -> Difference | None:
    if not node.args.get("safe") or not node.is_type("date") or node.this.is_type("date", "timestamp", "timestamptz"):
        return None
    message = "gives NULL for TRY_CAST of a text such as 2026-01-01T10:00:00 to a date, Spark its day"
    return Difference("date_with_time", message, "TRY_CAST to TIMESTAMP, and that to DATE", Severity.INFO)


_RULES = {
    "Anonymous": _function,
    "Extract": _extract,
    "TimestampDiff": _difference_in_days,
    "DateDiff": _difference_in_days,
    "Add": _sum,
    "Sub": _sum,
    "TimestampTrunc": _truncated,
    "TryCast": _cast_to_date,
}
