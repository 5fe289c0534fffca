"""What a CoreETL job, and the DAG that runs it, has to run for: the intervals of its schedule.

Source: Airflow documentation, "DAG Runs", data interval; design.md section 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from coreetl_driver.cron import check_cron, five_fields
from coreetl_driver.macros import has_macros
from dcp_core.errors import InvalidSpecError
from dcp_core.intervals import Interval, shifted

AT_MOST = 1000
"""How many intervals one question may be about; the driver lists no more executions either."""


def intervals(params: Mapping[str, str], schedule: str | None, start: datetime, end: datetime) -> tuple[Interval, ...]:
    """Those that lie wholly between two moments, the earliest first; () when no parameter has dates of the run.

    Args:
        params: The job's own.
        schedule: As ``coreetl_driver.cron`` takes it, in UTC; None for whole days.
        start: Aware.
        end: Aware.

    Raises:
        InvalidSpecError: The schedule is none, never fires, or fires more than ``AT_MOST`` times in between.
    """
    return intervals_of(schedule, start, end) if any(map(has_macros, params.values())) else ()


def intervals_of(schedule: str | None, start: datetime, end: datetime) -> tuple[Interval, ...]:
    """Those of a schedule, whatever runs by it; see ``intervals``.

    Raises:
        InvalidSpecError: The same.
    """
    fires = _times("@daily" if schedule is None else schedule, start)
    found: list[Interval] = []
    last = next(fires, None)
    while last is not None and last < end and (following := next(fires, None)) is not None and following <= end:
        if len(found) == AT_MOST:
            raise InvalidSpecError(
                f"there are more than {AT_MOST} intervals between {start.isoformat()} and {end.isoformat()}",
                hint=f"choose a shorter time: the first {AT_MOST} end at {last.isoformat()}",
            )
        found.append(Interval(last, following))
        last = following
    return tuple(found)


def _times(schedule: str, start: datetime) -> Iterator[datetime]:
    """When it fires, from ``start`` on, which counts."""
    from croniter import CroniterError, croniter

    problem = check_cron(schedule)
    if problem is not None:
        raise InvalidSpecError(f"schedule {schedule!r} has no intervals: {problem.message}", hint=problem.hint)
    try:
        # croniter looks behind the moment it is given, and counts it as a float: a second is never rounded away.
        times = croniter(five_fields(schedule), shifted(start, timedelta(seconds=-1)))
        while True:
            found = times.get_next(datetime)
            if found >= start:
                yield found
    except (CroniterError, OverflowError):  # the calendar ends
        return
