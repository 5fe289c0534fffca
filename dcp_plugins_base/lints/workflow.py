"""Schedule, start date and owner.

Source: design.md section 12; ``coreetl_driver.cron`` for schedules.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from coreetl_driver.cron import check_cron
from dcp_core.diagnostics import Diagnostic
from dcp_plugins_base.lints.subject import Subject, error, warning

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
