"""The interval of a run: as its caller says, else the last complete one of the job's schedule.

Source: Airflow documentation, "DAG Runs", data interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from coreetl_driver.cron import check_cron, five_fields
from dcp_core.errors import InvalidSpecError
from dcp_core.intervals import END, RESERVED, START, Interval, parse_moment, shifted

_DAY = timedelta(days=1)


def run_interval(given: Mapping[str, str], schedule: str | None, now: datetime) -> Interval:
    """The interval of a run.

    Args:
        given: The run's parameters, of which two say it. Both ends: that interval. The end alone: the last interval
            that was complete by then. The start alone: the interval that begins there. Neither: the last complete
            one, or today when there is no schedule.
        schedule: As ``cron`` takes it, in UTC; None for whole days, or one day from a start on.
        now: Aware.

    Raises:
        InvalidSpecError: An end is no moment, they are the wrong way round, or the schedule never fires.
    """
    start, end = (parse_moment(given[name]) if name in given else None for name in RESERVED)
    if start is not None and end is not None:
        return Interval(start, end)
    if start is not None:
        return Interval(start, shifted(start, _DAY) if schedule is None else _fires(schedule, start, after=True))
    if schedule is None:
        if end is None:
            return Interval.of_day(now.astimezone(UTC).date())
        midnight = end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return Interval(shifted(midnight, -_DAY), midnight)
    # The moment itself counts: an interval that ends now is complete.
    by = (end or now.astimezone(UTC)).replace(microsecond=0)
    last = _fires(schedule, shifted(by, timedelta(seconds=1)))
    return Interval(_fires(schedule, last), last)


def check_schedule(schedule: str) -> None:
    """Refuse what is no schedule; one that never fires is one.

    Raises:
        InvalidSpecError: Never retried.
    """
    problem = check_cron(schedule)
    if problem is not None and not problem.never_fires:
        raise InvalidSpecError(f"schedule {schedule!r} is not a cron expression: {problem.message}", hint=problem.hint)


def _fires(schedule: str, moment: datetime, *, after: bool = False) -> datetime:
    """When it fires last before the moment, or first after it."""
    from croniter import CroniterError, croniter

    try:
        times = croniter(five_fields(schedule), moment)
        found: datetime = times.get_next(datetime) if after else times.get_prev(datetime)
    except (CroniterError, OverflowError) as error:
        raise InvalidSpecError(
            f"schedule {schedule!r} has no interval {'after' if after else 'before'} {moment.isoformat()}: {error}",
            hint=f"give both {START} and {END}",
        ) from None
    return found
