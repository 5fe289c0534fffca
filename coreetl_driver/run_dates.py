"""Which interval of time a run is for: as its caller says, else the last complete one of the job's schedule.

An interval has a start, which belongs to it, and an end, which does not; both in UTC. A caller says it with two
parameters of the run, whose names no job's own parameters may have.

Source: Airflow documentation, "DAG Runs", data interval.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

from attrs import frozen

from dcp_core.errors import InvalidSpecError

START, END = "data_interval_start", "data_interval_end"
RESERVED = (START, END)
"""Names of the run's parameters that say its interval."""

EXPECTED = "a date or a timestamp, 2026-01-31 or 2026-01-31T06:00:00Z; without a zone it is UTC"
_DAY = timedelta(days=1)
_BEGINS = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")
_QUARTERLY = "0 0 1 */3 *"  # the one preset of Airflow that croniter does not know
_NONE = ("@once", "@continuous")  # Airflow's presets without an interval


@frozen
class Interval:
    """What one run is for.

    Args:
        start: Aware, UTC; belongs to it.
        end: Aware, UTC; later than ``start``, and does not belong to it.
    """

    start: datetime
    end: datetime

    @classmethod
    def of_day(cls, day: date) -> Self:
        """The whole day.

        Raises:
            InvalidSpecError: The calendar ends with it.
        """
        start = datetime.combine(day, time(), UTC)
        return cls(start, _shifted(start, _DAY))

    def to_params(self) -> dict[str, str]:
        """The parameters that say it to the driver."""
        return {START: self.start.isoformat(), END: self.end.isoformat()}


def parse_moment(text: str) -> datetime:
    """A date or timestamp, in UTC.

    Raises:
        InvalidSpecError: It is none.
    """
    try:
        if not _BEGINS.match(text):  # Python reads 2026-W05-6 and 20260131 too, which nobody means
            raise ValueError
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # a zone may lead out of the calendar
        raise InvalidSpecError(f"{text!r} is not a date or a timestamp", hint=EXPECTED) from None


def run_interval(given: Mapping[str, str], schedule: str | None, now: datetime) -> Interval:
    """The interval of a run.

    Args:
        given: The run's parameters. Both ends: that interval. The end alone: the last interval that was complete by
            then. The start alone: the interval that begins there. Neither: the last complete one, or today when
            there is no schedule.
        schedule: Cron of five fields or a preset, in UTC; None for a period of one day.
        now: Aware.

    Raises:
        InvalidSpecError: An end is no moment, they are the wrong way round, or the schedule never fires.
    """
    start, end = (parse_moment(given[name]) if name in given else None for name in (START, END))
    if start is not None and end is not None:
        if start >= end:
            raise InvalidSpecError(
                f"the run's interval ends at {end.isoformat()}, not after its start, {start.isoformat()}"
            )
        return Interval(start, end)
    period = None if schedule in _NONE else schedule
    if period is None:
        if start is None and end is None:
            return Interval.of_day(now.astimezone(UTC).date())
        if start is None:
            assert end is not None
            return Interval(_shifted(end, -_DAY), end)
        return Interval(start, _shifted(start, _DAY))
    if start is not None:
        return Interval(start, _fires(period, start, after=True))
    # The moment itself counts: an interval that ends now is complete.
    by = (end or now.astimezone(UTC)).replace(microsecond=0)
    last = _fires(period, _shifted(by, timedelta(seconds=1)))
    return Interval(_fires(period, last), last)


def told_interval(params: Mapping[str, str]) -> Interval | None:
    """The interval that an execution's parameters tell; None when they tell none."""
    if START not in params or END not in params:
        return None
    return Interval(parse_moment(params[START]), parse_moment(params[END]))


def check_schedule(schedule: str) -> None:
    """Refuse what is no schedule; one that never fires is one.

    Raises:
        InvalidSpecError: Never retried.
    """
    from croniter import croniter

    expression = _cron(schedule)
    if schedule not in _NONE and (len(expression.split()) != 5 or not croniter.is_valid(expression)):
        raise InvalidSpecError(f"schedule {schedule!r} is not a cron expression of five fields, nor a preset")


def _fires(schedule: str, moment: datetime, *, after: bool = False) -> datetime:
    """When it fires last before the moment, or first after it."""
    from croniter import CroniterError, croniter

    try:
        times = croniter(_cron(schedule), moment)
        found: datetime = times.get_next(datetime) if after else times.get_prev(datetime)
    except (CroniterError, OverflowError) as error:
        raise InvalidSpecError(
            f"schedule {schedule!r} has no interval {'after' if after else 'before'} {moment.isoformat()}: {error}",
            hint=f"give both {START} and {END}",
        ) from None
    return found


def _cron(schedule: str) -> str:
    presets = {
        "@hourly": "0 * * * *",
        "@daily": "0 0 * * *",
        "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *",
        "@quarterly": _QUARTERLY,
        "@yearly": "0 0 1 1 *",
    }
    return presets.get(schedule, schedule)


def _shifted(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        raise InvalidSpecError(f"{moment.isoformat()} is too near the end of the calendar") from None
