"""Up to when the tables that a job reads are complete: by who fills them, what is due, and what has succeeded.

A table is complete up to a moment when the job that fills it has succeeded for the last interval of its schedule that
was over by then; where each run replaces the whole table, also when it has for a later one. A table that no job of this
driver fills holds nobody up: nothing is known of it.

Must not run anything, nor read a table.

Source: design.md sections 8 and 10.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from attrs import frozen

from coreetl_driver.api import Execution, ExecutionStatus, Job, JobSpec, SinkMode
from coreetl_driver.run_dates import run_interval
from coreetl_driver.sql import source_tables
from coreetl_driver.stream_specs import is_continuous
from dcp_core.errors import InvalidSpecError
from dcp_core.intervals import END, RESERVED, Interval, parse_moment, shifted
from dcp_core.model import PRODUCTION, Environment

_SKEW = datetime.timedelta(seconds=5)  # between the clocks of whoever starts runs and of this machine
_AHEAD = datetime.timedelta(minutes=5)  # the same, where the dates of a run say what it is for


@frozen(kw_only=True)
class UpstreamTable:
    """A table that a job reads, and a job that fills it; one for each of these.

    Args:
        catalog: Where the job reads it.
        table: ``namespace.name``.
        is_filled: Whether a job of this driver fills it.
        job_id: Which; None where none does, or where the caller may not see the jobs of its environment.
        environment: Of that job.
        due: The end of the last interval of its schedule that was complete at the moment asked for; None where it has
            no schedule, or a stream that does not end fills it.
        is_complete: Whether that has succeeded. True for what nobody fills: there is nothing to wait for.
        reason: For people.
    """

    catalog: str
    table: str
    is_filled: bool = False
    job_id: str | None = None
    environment: str | None = None
    due: datetime.datetime | None = None
    is_complete: bool = True
    reason: str = "no job fills it: it holds nothing up"


class Jobs(Protocol):
    """What is known of jobs and their executions: the registry."""

    def list_jobs(
        self, environment: str | None, job_ids: Sequence[str] | None, table: str | None = None
    ) -> tuple[Job, ...]:
        """Jobs in force; with ``table``, of those at least all that fill it."""
        ...

    def list_executions(self, job_id: str | None, environment: str | None, limit: int) -> tuple[Execution, ...]:
        """Executions, the newest first."""
        ...

    def succeeded(self, job_id: str, environment: str, since: datetime.datetime) -> Iterator[Execution]:
        """Those executions of a job that have succeeded and began at a moment or later, the oldest first."""
        ...


def upstream_of(
    job: Job, at: datetime.datetime, jobs: Jobs, exists: Callable[[str, str], bool]
) -> tuple[UpstreamTable, ...]:
    """The tables that a job reads, in the order of its query, without the one that it fills itself.

    Args:
        at: Aware.
        exists: Whether a catalog has a table; asked only where a playground prefers copies of its own.

    Raises:
        InvalidSpecError: A schedule among them never fires.
    """
    own = (job.spec.sink.catalog, job.spec.sink.table.lower())
    read = dict.fromkeys(_read(job.spec, exists))
    tables = [(catalog, table) for catalog, table in read if (catalog, table.lower()) != own]
    return tuple(each for catalog, table in tables for each in _filled(job.environment, catalog, table, at, jobs))


def _read(spec: JobSpec, exists: Callable[[str, str], bool]) -> Iterator[tuple[str, str]]:
    """Catalog and table of each source of a query; what is no query reads none."""
    for source in source_tables(spec.sql) if spec.sql else ():
        first, *rest = source.parts
        if len(rest) > 1 and first in spec.catalogs:
            yield first, ".".join(rest)
            continue
        preferred = (catalog for catalog in spec.read_overlay if exists(catalog, source.name))
        yield next(preferred, spec.default_catalog), source.name


def _filled(environment: str, catalog: str, table: str, at: datetime.datetime, jobs: Jobs) -> tuple[UpstreamTable, ...]:
    """One for each job that fills the table; where there is none, one that says so."""
    # Each catalog is written by the jobs of one environment.
    filling = environment if Environment.named(environment).catalog == catalog else PRODUCTION
    named = (catalog, table.lower())
    found = [
        job
        for job in jobs.list_jobs(filling, None, table)
        if (job.spec.sink.catalog, job.spec.sink.table.lower()) == named
    ]
    return tuple(_state(job, catalog, table, at, jobs) for job in found) or (
        UpstreamTable(catalog=catalog, table=table),
    )


def _state(job: Job, catalog: str, table: str, at: datetime.datetime, jobs: Jobs) -> UpstreamTable:
    due, is_complete, reason = _completeness(job, at, jobs)
    return UpstreamTable(
        catalog=catalog,
        table=table,
        is_filled=True,
        job_id=job.job_id,
        environment=job.environment,
        due=due,
        is_complete=is_complete,
        reason=reason,
    )


def _completeness(job: Job, at: datetime.datetime, jobs: Jobs) -> tuple[datetime.datetime | None, bool, str]:
    newest = jobs.list_executions(job.job_id, job.environment, 1)
    if newest and newest[0].status is ExecutionStatus.RUNNING and is_continuous(newest[0].params):
        return None, True, "filled all the time: it holds nothing up"
    if job.spec.schedule is None:
        if newest and newest[0].status is ExecutionStatus.SUCCEEDED:
            return None, True, "complete: the newest run of what fills it has succeeded, which has no schedule"
        return None, False, "not complete: the newest run of what fills it has not succeeded, or there is none"
    wanted = run_interval({END: at.isoformat()}, job.spec.schedule, at)
    due = wanted.end
    # What began before the moment was over cannot have filled the table up to it, whatever its dates say. Normally the
    # run for a moment is among the first since then.
    executions = jobs.succeeded(job.job_id, job.environment, shifted(due, -_AHEAD))
    replaces_all = job.spec.sink.mode is SinkMode.OVERWRITE
    if any(_covers(execution, wanted, replaces_all) for execution in executions):
        return due, True, f"complete up to {due.isoformat()}"
    return due, False, f"not complete up to {due.isoformat()}: no run of what fills it has succeeded for that yet"


def _covers(execution: Execution, wanted: Interval, replaces_all: bool) -> bool:
    """Whether one that has succeeded has filled the table up to the end of that interval."""
    try:
        start, end = (parse_moment(execution.params[n]) if n in execution.params else None for n in RESERVED)
    except InvalidSpecError:
        return False
    if end is not None:
        # Of a later run's rows the earlier ones are part only where each run replaces them all.
        return end >= wanted.end and (replaces_all or start is None or start <= wanted.start)
    # It has no dates: it took what there was when it began.
    began_at = execution.started_at or execution.created_at
    return began_at is not None and began_at + _SKEW >= wanted.end
