"""Schedules: cron expressions as Airflow reads them, with errors that say which part is wrong.

Five fields (minute, hour, day of month, month, day of week), names, lists, ranges and steps, ``L`` for the last day
of the month, ``5#2`` for the second Friday, and Airflow's presets that have an interval. Whoever takes a schedule
asks here: what one part of DCP accepts, all can run. croniter, which finds the times and which Airflow uses, has the
last word; what it knows beyond this, such as times by chance, is no schedule.

Source: crontab(5); Airflow documentation, "Cron & Time Intervals".
"""

from __future__ import annotations

import calendar
import difflib
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import attrs

PRESETS = {  # croniter does not know all of them
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}


@attrs.frozen
class CronField:
    """One of the five places."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = attrs.Factory(dict)


FIELDS = (
    CronField("minute", 0, 59),
    CronField("hour", 0, 23),
    CronField("day of month", 1, 31),
    CronField("month", 1, 12, _MONTHS),
    CronField("day of week", 0, 7, _DAYS),
)
_LONGEST = {month: 29 if month == 2 else calendar.monthrange(2023, month)[1] for month in range(1, 13)}


@attrs.frozen
class CronProblem:
    """Why an expression is refused, or why it never fires."""

    message: str
    hint: str | None = None
    never_fires: bool = False


def check_cron(expression: str) -> CronProblem | None:
    """What is wrong with ``expression``; None when it fires now and then."""
    text = expression.strip()
    if text.startswith("@"):
        return _check_preset(text)
    parts = text.split()
    if len(parts) != len(FIELDS):
        hint = "minute hour day-of-month month day-of-week, such as 0 6 * * *"
        if len(parts) in (6, 7):
            hint = "seconds and years are not supported: " + hint
        return CronProblem(f"a schedule has 5 fields, this has {len(parts)}", hint)
    for field, part in zip(FIELDS, parts, strict=True):
        problem = _check_field(field, part)
        if problem:
            return attrs.evolve(problem, message=f'{field.name} "{part}": {problem.message}')
    return _check_fires(parts) or _check_peer(text)


def five_fields(expression: str) -> str:
    """A schedule without space around it, a preset as the fields that it stands for."""
    text = expression.strip()
    return PRESETS.get(text, text)


def _check_preset(text: str) -> CronProblem | None:
    if text in PRESETS:
        return None
    nearest = difflib.get_close_matches(text.lower(), PRESETS, n=1)
    hint = f'did you mean "{nearest[0]}"?' if nearest else None
    return CronProblem(f'"{text}" is not a preset; expected one of: {", ".join(PRESETS)}', hint)


def _check_field(field: CronField, part: str) -> CronProblem | None:
    for item in part.split(","):
        if not item:
            return CronProblem("an empty item in the list", "remove the extra comma")
        problem = _check_item(field, item)
        if problem:
            return problem
    return None


def _check_item(field: CronField, item: str) -> CronProblem | None:
    if field.name == "day of month" and item.upper() == "L":
        return None
    if field.name == "day of week" and "#" in item:
        day, _, nth = item.partition("#")
        if nth not in ("1", "2", "3", "4", "5"):
            return CronProblem(f"{item} asks for week {nth or '?'} of a month", "write 5#2 for the second Friday")
        return _check_value(field, day)
    span, slash, step = item.partition("/")
    if slash and (not _is_number(step) or int(step) == 0):
        return CronProblem(f'step "{step}" is not a positive number')
    if slash and int(step) > field.high - field.low + 1:
        return CronProblem(f"step {step} is larger than the whole range ({field.low}-{field.high})")
    if span == "*":
        return None
    first, dash, last = span.partition("-")
    problem = _check_value(field, first) or (_check_value(field, last) if dash else None)
    if problem is None and dash and _number(field, first) > _number(field, last):
        return CronProblem(f"range {span} runs backwards", f"write {last}-{first}, or two ranges")
    return problem


def _check_value(field: CronField, value: str) -> CronProblem | None:
    if not _is_number(value) and value.lower() not in field.names:
        if field.names and re.fullmatch(r"[A-Za-z]+", value):
            nearest = difflib.get_close_matches(value.lower()[:3], field.names, n=1)
            return CronProblem(f'"{value}" is not a name', f'did you mean "{nearest[0].upper()}"?' if nearest else None)
        return CronProblem(f'"{value}" is not a number from {field.low} to {field.high}')
    if not field.low <= _number(field, value) <= field.high:
        return CronProblem(f"{value} is not between {field.low} and {field.high}")
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(field: CronField, value: str) -> int:
    return int(value) if value.isdigit() else field.names[value.lower()]


def _values(field: CronField, part: str) -> set[int]:
    values: set[int] = set()
    for item in part.split(","):
        span, _, step = item.partition("/")
        first, dash, last = span.partition("-")
        low = field.low if span == "*" else _number(field, first)
        high = _number(field, last) if dash else field.high if span == "*" or step else low
        values.update(range(low, high + 1, int(step or 1)))
    return values


def _check_fires(parts: list[str]) -> CronProblem | None:
    """A date such as 30 February never comes. With a day of week given, cron fires on either of the two."""
    _, _, day, month, weekday = parts
    if weekday != "*" or day == "*" or "L" in day.upper():
        return None
    months = _values(FIELDS[3], month)
    if min(_values(FIELDS[2], day)) > max(_LONGEST[number] for number in months):
        named = ", ".join(calendar.month_name[number] for number in sorted(months))
        return CronProblem(f"day {day} never comes in {named}", "choose a day that the month has", never_fires=True)
    return None


def _check_peer(expression: str) -> CronProblem | None:
    """What croniter makes of it: it mixes no weekdays such as ``5#2`` with others in one list, for example."""
    from croniter import CroniterBadDateError, CroniterError, croniter

    try:
        croniter(expression, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
    except CroniterBadDateError:
        return CronProblem("no date in sight is such a day", "choose a day that the month has", never_fires=True)
    except (CroniterError, OverflowError) as error:
        return CronProblem(str(error).partition(".  ")[0])
    return None
