"""The interval of a run: as its caller says, else the last complete one of the job's schedule.

Source: Airflow documentation, "DAG Runs", data interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from dcp_core.errors import InvalidSpecError
from dcp_core.intervals import END, RESERVED, START, Interval, parse_moment, shifted

_DAY = timedelta(days=1)
_NONE = ("@once", "@continuous")  # Airflow's presets without an interval
_PRESETS = {  # croniter does not know all of Airflow's
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}


def run_interval(given: Mapping[str, str], schedule: str | None, now: datetime) -> Interval:
    """The interval of a run.

    Args:
        given: The run's parameters, of which two say it. Both ends: that interval. The end alone: the last interval
            that was complete by then. The start alone: the interval that begins there. Neither: the last complete
            one, or today when there is no schedule.
        schedule: Cron of five fields or a preset, in UTC; None for a period of one day.
        now: Aware.

    Raises:
        InvalidSpecError: An end is no moment, they are the wrong way round, or the schedule never fires.
    """
    start, end = (parse_moment(given[name]) if name in given else None for name in RESERVED)
    if start is not None and end is not None:
        return Interval(start, end)
    period = None if schedule in _NONE else schedule
    if start is not None:
        return Interval(start, shifted(start, _DAY) if period is None else _fires(period, start, after=True))
    if period is None:
        return Interval.of_day(now.astimezone(UTC).date()) if end is None else Interval(shifted(end, -_DAY), end)
    # The moment itself counts: an interval that ends now is complete.
    by = (end or now.astimezone(UTC)).replace(microsecond=0)
    last = _fires(period, shifted(by, timedelta(seconds=1)))
    return Interval(_fires(period, last), last)


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
    return _PRESETS.get(schedule, schedule)
