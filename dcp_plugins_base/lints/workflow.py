"""Schedule, start date, times, upstream tables and owner.

Source: design.md section 12; ``coreetl_driver.cron`` for schedules.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from coreetl_driver.cron import check_cron
from dcp_core.diagnostics import Diagnostic
from dcp_core.errors import InvalidSpecError
from dcp_core.model import Environment
from dcp_plugins_base.durations import whole_seconds
from dcp_plugins_base.lints.subject import QuerySubject, Subject, error, nearest, warning
from dcp_plugins_base.upstream import FILLED, NONE, SENSORS, TIMEOUT, assets_of, is_certainly_filled, waited_for

_OWNER = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def schedule(subject: Subject) -> Iterator[Diagnostic]:
    """The schedule is a cron expression that fires."""
    if subject.dataset.schedule is None:
        return
    problem = check_cron(subject.dataset.schedule)
    if problem is None:
        return
    path = subject.dataset.schedule_path
    if problem.never_fires:
        yield warning("schedule.never_fires", f"the schedule never fires: {problem.message}", path, hint=problem.hint)
    else:
        message = f'"{subject.dataset.schedule}" is not a cron expression: {problem.message}'
        yield error("schedule.cron", message, path, hint=problem.hint)


def start_date(subject: Subject) -> Iterator[Diagnostic]:
    """The start date is a day of the calendar."""
    if subject.dataset.start_date is None:
        return
    try:
        datetime.date.fromisoformat(subject.dataset.start_date)
    except ValueError as refused:
        message = f'"{subject.dataset.start_date}" is not a date: {refused}'
        yield error("schedule.start_date", message, ("workflow", "start_date"), hint="YYYY-MM-DD: 2026-01-31")


def catchup(subject: Subject) -> Iterator[Diagnostic]:
    """Catching up has a schedule and a start."""
    dataset = subject.dataset
    if dataset.catchup and (dataset.schedule is None or dataset.start_date is None):
        lacking = "schedule" if dataset.schedule is None else "start_date"
        yield warning(
            "schedule.catchup",
            f"catchup does nothing without a {lacking}",
            ("workflow", "catchup"),
            hint=f"add workflow.{lacking}, or remove catchup",
        )


def timeout(subject: Subject) -> Iterator[Diagnostic]:
    """The time that a try may take is whole seconds."""
    yield from _span(subject.dataset.timeout, "timeout")


def upstream_timeout(subject: QuerySubject) -> Iterator[Diagnostic]:
    """So is the time that a run waits for what it reads, and a run that waits so there is with sensors only."""
    dataset = subject.dataset
    yield from _span(dataset.upstream_timeout, "upstream_timeout")
    if dataset.upstream != SENSORS and dataset.upstream_timeout != TIMEOUT:
        yield warning(
            "upstream.unused",
            f"upstream_timeout says nothing with upstream: {dataset.upstream}",
            ("workflow", "upstream_timeout"),
            hint="with upstream: sensors a run waits, and no longer than that",
        )


def _span(text: str | None, name: str) -> Iterator[Diagnostic]:
    if text is None:
        return
    try:
        whole_seconds(text)
    except InvalidSpecError as refused:
        yield error("workflow.duration", refused.message, ("workflow", name), hint=refused.hint)


def upstream(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A run that waits has something to wait for, and a moment that it waits for it."""
    dataset, path = subject.dataset, ("workflow", "upstream")
    if dataset.upstream == NONE:
        if dataset.upstream_tables:
            path = ("workflow", "upstream_tables")
            yield warning("upstream.unused", "upstream_tables say nothing without upstream", path, hint="add upstream")
        return
    if dataset.upstream == SENSORS and dataset.schedule is None:
        message = "with sensors the DAG runs by its schedule, and it has none"
        yield error("upstream.no_schedule", message, path, hint="add workflow.schedule, or write upstream: assets")
    if subject.query.tree is None:
        return
    awaited = waited_for(dataset.upstream, dataset.upstream_tables, _reads(subject))
    if not awaited:
        message = f"with upstream: {dataset.upstream} the query has to read a table that another dataset fills"
        hint = f"only tables in {' and '.join(FILLED)} certainly are: name others in workflow.upstream_tables"
        yield error("upstream.nothing", message, path, hint=None if dataset.upstream == SENSORS else hint)
    elif dataset.upstream == SENSORS and not dataset.upstream_tables and not any(map(is_certainly_filled, awaited)):
        yield warning(
            "upstream.plain",
            f"sensors wait for no table that no job fills, and all that is read may be such: {', '.join(awaited)}",
            path,
            hint="name those that a job fills in workflow.upstream_tables, or leave upstream out",
        )


def upstream_tables(subject: QuerySubject) -> Iterator[Diagnostic]:
    """What a run depends on is what the query reads."""
    if subject.query.tree is None:
        return
    known = _reads(subject)
    for index, table in enumerate(subject.dataset.upstream_tables):
        if table.lower() not in {each.lower() for each in known}:
            hint = nearest(table, known) or (f"it reads: {', '.join(known)}" if known else "it reads nothing")
            path = ("workflow", "upstream_tables", index)
            yield error("upstream.not_read", f"the query does not read {table}", path, hint=hint)


def _reads(subject: QuerySubject) -> tuple[str, ...]:
    """The tables that can be depended on: those of others, that have a name without quotes."""
    environment = Environment.named(subject.environment)
    names = (name for name in subject.query.source_names if name.lower() != subject.dataset.table)
    return tuple(name for name in names if assets_of(name, environment))


def owner_name(subject: Subject) -> Iterator[Diagnostic]:
    """The owner is written as teams are."""
    owner = subject.dataset.owner_team
    if not _OWNER.fullmatch(owner):
        better = re.sub(r"[^a-z0-9]+", "-", owner.lower()).strip("-")
        yield warning(
            "owner.naming",
            f'"{owner}" is not a team\'s name in kebab case',
            ("metadata", "technical_owner"),
            hint=f'write "{better}"' if _OWNER.fullmatch(better) else "a team's name: logistics-de",
        )
