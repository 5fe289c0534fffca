"""What ops did, as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pretzel.rendering.operations import STYLES

if TYPE_CHECKING:
    from dcp_core.records import Execution
    from dcp_graph_runner.ops.messages import (
        BackfillAnswer,
        PauseAnswer,
        Protection,
        ResumeAnswer,
        RollbackAnswer,
        UnlockAnswer,
    )
    from pretzel.rendering.screen import Screen


def render_pause(screen: Screen, answer: PauseAnswer) -> None:
    """Since when, and what stands still."""
    since = f" since {_text(answer.at)}, by {answer.user}" if answer.was_paused else ""
    screen.line((answer.manifest_id, "bold"), f" in {answer.environment} is paused{since}")
    if answer.reason:
        screen.line(answer.reason, indent=2)
    _schedules(screen, answer.schedules, "stands still")
    if not answer.schedules:
        screen.line("nothing of it has a schedule; the controller leaves its drift alone", indent=2)


def render_resume(screen: Screen, answer: ResumeAnswer) -> None:
    """What goes on."""
    # A DAG that nobody paused here may have been switched off where it is scheduled, or was born so.
    beside = "; what schedules it is switched on" if answer.schedules else ""
    words = "goes on" if answer.was_paused else f"was not paused{beside}"
    screen.line((answer.manifest_id, "bold"), f" in {answer.environment} {words}")
    _schedules(screen, answer.schedules, "has its schedule")


def render_executions(screen: Screen, manifest_id: str, executions: Sequence[Execution], nothing: str) -> None:
    """A line for each, and why it failed."""
    if not executions:
        screen.line((manifest_id, "bold"), f": {nothing}")
    for each in executions:
        rows = f"  {each.rows_written:,} rows" if each.rows_written is not None else ""
        status = (each.status.value, STYLES.get(each.status.value, ""))
        screen.line((manifest_id, "bold"), ": ", status, f"  {each.resource.name}  {each.id}{rows}")
        if each.error:
            screen.line(each.error, indent=2)


def render_backfill(screen: Screen, answer: BackfillAnswer, *, dry_run: bool) -> None:
    """The intervals, what of them is run, and how that went."""
    screen.line((answer.manifest_id, "bold"), f" in {answer.environment}: {answer.resource}")
    names = ["from", "to", "before", "run" if dry_run else "now"]
    table = []
    for each in answer.rows:
        now = ("yes" if each.wanted else "no") if dry_run else _now(each.wanted, each.status)
        table.append([_text(each.start), _text(each.end), each.before or "-", now])
    screen.table(names, table)
    for each in answer.rows:
        if each.wanted and each.error and not dry_run:
            screen.line(f"{_text(each.start)}: {each.error}", indent=2)
    wanted = [each for each in answer.rows if each.wanted]
    left: dict[str, int] = {}
    for each in answer.rows:
        if each.why:
            left[each.why] = left.get(each.why, 0) + 1
    for why, count in left.items():
        screen.line(f"{count} left out: {why}", indent=2)
    if dry_run:
        screen.line(f"{len(wanted)} of {len(answer.rows)} would be run")
        return
    done = sum(1 for each in wanted if each.status == "SUCCEEDED")
    words = f"  {done} of {len(wanted)} run" if wanted else "  nothing to run"
    screen.line((answer.status, STYLES.get(answer.status, "")), words)


def render_protections(screen: Screen, manifest_id: str, rows: Sequence[Protection]) -> None:
    """Resource by resource."""
    screen.line((manifest_id, "bold"))
    for each in rows:
        words = "is protected" if each.is_protected else "is not protected"
        who = f" by {each.by}" if each.by else " by its manifest" if each.is_protected else ""
        screen.line(f"{each.resource} {words}{who}{'' if each.changed else ' (as before)'}", indent=2)


def render_rollback_end(screen: Screen, answer: RollbackAnswer) -> None:
    """Which version is in force now, and that the manifest's file is another."""
    if answer.recorded is not None:
        screen.line(f"Version {answer.version} is in force again, as version {answer.recorded}.")
    screen.line(
        (
            f"note: {answer.file} was not touched and says otherwise: the next apply of it does away with the rollback",
            "yellow",
        )
    )


def render_unlock(screen: Screen, answer: UnlockAnswer) -> None:
    """What was ended, and what to do next."""
    each = answer.operation
    screen.line((answer.manifest_id, "bold"), f" in {answer.environment} is free: {each.kind} {each.id} is FAILED")
    screen.line(f"it was held by {answer.holder}, {'alive' if answer.was_alive else 'which is gone'}", indent=2)
    for result in each.results:
        screen.line(f"{result.label} {result.key.name} {result.status}", indent=2)
    screen.line("`pretzel plan` shows what is left to do; what it had stopped was not started again")


def _schedules(screen: Screen, schedules: Sequence[str], words: str) -> None:
    for each in schedules:
        screen.line(f"{each} {words}", indent=2)


def _now(is_wanted: bool, status: str | None) -> str:
    return status or "-" if is_wanted else ""


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%MZ")
