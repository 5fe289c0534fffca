"""``ops``: pause, resume, stop, start, retry, backfill, adopt, protect, unprotect, rollback, unlock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, primitive_option, shared_options

if TYPE_CHECKING:
    from datetime import datetime

    from dcp_core.records import Execution
    from dcp_graph_runner.ops.messages import StartAnswer
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

_HERE = "pretzel.commands.ops"
_REPROCESS = ("none", "failed", "completed")


def _pause(session: Session, manifest: str, reason: str) -> int:
    """Let a manifest's schedule stand still until `resume`, whatever is applied meanwhile.

    What runs goes on: `stop` stops it. The controller tells the drift of a paused manifest and does not mend it.
    """
    from dcp_graph_runner.api.ops import PAUSE
    from dcp_graph_runner.ops.messages import PauseRequest
    from pretzel.rendering.ops import render_pause

    answer = session.call(PAUSE, PauseRequest(*_target(session, manifest), reason))
    return _tell(session, answer, lambda screen: render_pause(screen, answer))


def _resume(session: Session, manifest: str) -> int:
    """Let a paused manifest's schedule go on."""
    from dcp_graph_runner.api.ops import RESUME
    from dcp_graph_runner.ops.messages import ResumeRequest
    from pretzel.rendering.ops import render_resume

    answer = session.call(RESUME, ResumeRequest(*_target(session, manifest)))
    return _tell(session, answer, lambda screen: render_resume(screen, answer))


def _stop(session: Session, manifest: str, primitive: str) -> int:
    """Stop what runs of a manifest, and wait until it has stopped; its tables are as before or as after."""
    from dcp_graph_runner.api.ops import STOP
    from dcp_graph_runner.ops.messages import StopRequest
    from pretzel.rendering.ops import render_executions

    answer = session.call(STOP, StopRequest(*_target(session, manifest), primitive))
    return _tell(
        session, answer, lambda screen: render_executions(screen, answer.manifest_id, answer.stopped, "nothing runs")
    )


def _start(session: Session, manifest: str, param: tuple[str, ...], wait: bool, key: str, primitive: str) -> int:
    """Run a manifest's jobs as they were last applied.

    Without --wait it ends as soon as they are accepted; where the driver lives in this process, it waits all the same.
    With --primitive its resources of that kind are started instead: a DAG, which runs the job with its retries.
    """
    from dcp_graph_runner.api.ops import START
    from dcp_graph_runner.ops.messages import StartRequest
    from pretzel.commands.running import parameters

    environment, id = _target(session, manifest)
    waits = wait if _is_elsewhere(session, environment, id, primitive) else _waits(session, wait)
    request = StartRequest(environment, id, parameters(param), waits, key, primitive)
    with session.progress:
        answer = session.call(START, request)
    return _tell_started(session, answer, answer.executions)


def _retry(session: Session, manifest: str, wait: bool) -> int:
    """Run again what failed or was stopped last, with the same parameters."""
    from dcp_graph_runner.api.ops import RETRY
    from dcp_graph_runner.ops.messages import RetryRequest

    request = RetryRequest(*_target(session, manifest), _waits(session, wait))
    with session.progress:
        answer = session.call(RETRY, request)
    return _tell_started(session, answer, answer.executions)


def _backfill(
    session: Session,
    manifest: str,
    start: str,
    end: str,
    reprocess: str,
    dry_run: bool,
    max_parallel: int,
    keep_going: bool,
    primitive: str,
) -> int:
    """Run every interval of a manifest's schedule that lies between two moments, the earliest first.

    What has been run is left out, unless --reprocess says otherwise. The first failure ends it. Interrupted and
    repeated, it goes on where it was, and no interval is run twice. With --primitive its resources of that kind run
    instead: a DAG, which runs the job with its retries.
    """
    from dcp_graph_runner.api.ops import BACKFILL
    from dcp_graph_runner.ops.messages import BackfillRequest, Reprocess
    from pretzel.rendering.ops import render_backfill

    environment, id = _target(session, manifest)
    first, last = _moment("--from", start), _moment("--to", end)
    if first >= last:
        raise click.BadParameter("it is not after --from", click.get_current_context(), param_hint="--to")
    how = Reprocess(reprocess), dry_run, max_parallel, keep_going, primitive
    request = BackfillRequest(environment, id, first, last, *how)
    with session.progress:
        answer = session.call(BACKFILL, request)
    is_done = answer.status in ("", "SUCCEEDED")
    _tell(session, answer, lambda screen: render_backfill(screen, answer, dry_run=dry_run))
    return exits.DONE if is_done else exits.FAILED


def _adopt(session: Session, manifest: str, dry_run: bool) -> int:
    """Take back what of a manifest has lost its mark: the version in force is planned with --adopt, and applied."""
    from dcp_graph_runner.api.ops import ADOPT
    from dcp_graph_runner.ops.messages import AdoptRequest

    request = AdoptRequest(*_target(session, manifest), dry_run)
    with session.progress:
        answer = session.call(ADOPT, request)
    return _tell_applied(session, answer, dry_run)


def _protect(session: Session, manifest: str, resource: tuple[str, ...]) -> int:
    """Keep a manifest's resources from being deleted, or changed so that data is lost.

    Nothing but `unprotect` lifts it: neither `protect: false` in the manifest nor taking the manifest away.
    """
    from dcp_graph_runner.api.ops import PROTECT
    from dcp_graph_runner.ops.messages import ProtectRequest
    from pretzel.rendering.ops import render_protections

    answer = session.call(PROTECT, ProtectRequest(*_target(session, manifest), resource))
    return _tell(session, answer, lambda screen: render_protections(screen, answer.manifest_id, answer.resources))


def _unprotect(session: Session, manifest: str, resource: tuple[str, ...]) -> int:
    """Lift the protection of a manifest's resources, but for what the manifest in force protects itself."""
    from dcp_graph_runner.api.ops import UNPROTECT
    from dcp_graph_runner.ops.messages import UnprotectRequest
    from pretzel.rendering.ops import render_protections

    answer = session.call(UNPROTECT, UnprotectRequest(*_target(session, manifest), resource))
    return _tell(session, answer, lambda screen: render_protections(screen, answer.manifest_id, answer.resources))


def _rollback(session: Session, manifest: str, version: int | None, dry_run: bool, allow_destructive: bool) -> int:
    """Apply an earlier version of a manifest, by default the one before the version in force.

    It becomes the newest version. The manifest's file is not touched: the next apply of it undoes the rollback.
    """
    from dcp_graph_runner.api.ops import ROLLBACK
    from dcp_graph_runner.ops.messages import RollbackRequest
    from pretzel.rendering.ops import render_rollback_end

    request = RollbackRequest(*_target(session, manifest), version, dry_run, allow_destructive)
    with session.progress:
        answer = session.call(ROLLBACK, request)
    return _tell_applied(session, answer, dry_run, lambda screen: render_rollback_end(screen, answer))


def _unlock(session: Session, manifest: str, force: bool) -> int:
    """End an operation that holds a manifest and whose process is dead or hangs; it is FAILED then.

    A process that wakes up again can write nothing any more. Refused while it seems alive and well, unless --force.
    """
    from dcp_graph_runner.api.ops import UNLOCK
    from dcp_graph_runner.ops.messages import UnlockRequest
    from pretzel.rendering.ops import render_unlock

    answer = session.call(UNLOCK, UnlockRequest(*_target(session, manifest), force))
    return _tell(session, answer, lambda screen: render_unlock(screen, answer))


def _target(session: Session, manifest: str) -> tuple[str, str]:
    """The environment, and the manifest's id."""
    return session.environment.name, session.manifest_id(manifest)


def _is_elsewhere(session: Session, environment: str, id: str, primitive: str) -> bool:
    """Whether what is started is none of the driver's in this process: what a run does not start, as a DAG."""
    if not primitive or not session.has_driver:
        return False
    resources = [entry.resource for entry in session.local.store.inventory(environment, [id])]
    return not any(each.runnable for each in resources if each.kind == primitive)


def _waits(session: Session, wait: bool) -> bool:
    """Where the driver ends with this command, what it was told to run would end with it."""
    if not wait and session.has_driver:
        session.notes.line("note: the driver lives in this process, which waits until it has ended")
        return True
    return wait


def _moment(option: str, text: str) -> datetime:
    from dcp_core.errors import InvalidSpecError
    from dcp_core.intervals import EXPECTED, parse_moment

    try:
        return parse_moment(text)
    except InvalidSpecError:
        raise click.BadParameter(
            f"{text!r} is not {EXPECTED}", click.get_current_context(), param_hint=option
        ) from None


def _tell(session: Session, answer: Any, render: Any) -> int:
    from dcp_core.documents import to_json

    session.output.result(to_json(answer), render)
    return exits.DONE


def _tell_started(session: Session, answer: StartAnswer | Any, executions: tuple[Execution, ...]) -> int:
    from pretzel.rendering.operations import render_endless
    from pretzel.rendering.ops import render_executions

    for each in executions:
        from pretzel.documents import execution_document

        session.output.event("execution", execution_document(each, answer.manifest_id))

    def render(screen: Screen) -> None:
        render_executions(screen, answer.manifest_id, executions, "nothing runs")
        render_endless(screen, executions, has_driver=session.has_driver)

    _tell(session, answer, render)
    return exits.FAILED if any(each.status in ("FAILED", "CANCELLED") for each in executions) else exits.DONE


def _tell_applied(session: Session, answer: Any, dry_run: bool, end: Any = None) -> int:
    """A plan, or what came of it."""
    from pretzel.rendering.operations import render_operations, render_resumed
    from pretzel.rendering.plans import render_plan

    def render(screen: Screen) -> None:
        if dry_run:
            render_plan(screen, answer.plan)
        else:
            render_operations(screen, answer.operations)
            render_resumed(screen, answer.resumed, has_driver=session.has_driver)
        if end is not None:
            end(screen)

    _tell(session, answer, render)
    return exits.DONE if all(each.status == "SUCCEEDED" for each in answer.operations) else exits.FAILED


def _manifest() -> click.Argument:
    return click.Argument(["manifest"], metavar="MANIFEST")


def _wait() -> click.Option:
    return click.Option(["--wait"], is_flag=True, help="Until it has ended; the exit status says how.")


def _dry_run(help: str) -> click.Option:
    return click.Option(["--dry-run"], is_flag=True, help=help)


def _resource() -> click.Option:
    return click.Option(
        ["--resource"], multiple=True, metavar="NAME", help="Only this one (KIND:NAME, or a name); repeatable."
    )


pause_command = command(
    _pause, [_manifest(), click.Option(["--reason"], default="", metavar="WORDS", help="For whoever wonders why.")]
)
resume_command = command(_resume, [_manifest()])
stop_command = command(_stop, [_manifest(), primitive_option()])
start_command = command(
    _start,
    [
        _manifest(),
        click.Option(["--param"], multiple=True, metavar="KEY=VALUE", help="A value for a parameter; repeatable."),
        _wait(),
        click.Option(["--key"], default="", metavar="TEXT", help="The same key again gives the same execution."),
        primitive_option(),
    ],
)
retry_command = command(_retry, [_manifest(), _wait()])
backfill_command = command(
    _backfill,
    [
        _manifest(),
        click.Option(["--from", "start"], required=True, metavar="MOMENT", help="Where it begins: 2026-01-31, UTC."),
        click.Option(["--to", "end"], required=True, metavar="MOMENT", help="Where it ends; does not belong to it."),
        click.Option(
            ["--reprocess"],
            type=click.Choice(_REPROCESS),
            default="none",
            show_default=True,
            help="What is run again: nothing, what failed or was stopped, or everything.",
        ),
        _dry_run("List the intervals, how they stand, and which would be run."),
        click.Option(
            ["--max-parallel"],
            type=click.IntRange(1, 16),
            default=1,
            show_default=True,
            metavar="N",
            help="How many at once.",
        ),
        click.Option(["--keep-going"], is_flag=True, help="Run what comes after one that failed, too."),
        primitive_option(),
    ],
)
adopt_command = command(_adopt, [_manifest(), _dry_run("Only show the plan.")])
protect_command = command(_protect, [_manifest(), _resource()])
unprotect_command = command(_unprotect, [_manifest(), _resource()])
rollback_command = command(
    _rollback,
    [
        _manifest(),
        click.Option(["--to", "version"], type=click.IntRange(1), metavar="VERSION", help="Its number."),
        _dry_run("Only show the plan."),
        click.Option(["--allow-destructive"], is_flag=True, help="Do what loses data, too."),
    ],
)
unlock_command = command(
    _unlock, [_manifest(), click.Option(["--force"], is_flag=True, help="Also when its process seems alive.")]
)

ops = LazyGroup(
    "ops",
    {
        "pause": Lazy(f"{_HERE}:pause_command", "Let a schedule stand still"),
        "resume": Lazy(f"{_HERE}:resume_command", "Let it go on"),
        "stop": Lazy(f"{_HERE}:stop_command", "Stop what runs"),
        "start": Lazy(f"{_HERE}:start_command", "Run the version in force"),
        "retry": Lazy(f"{_HERE}:retry_command", "Run again what failed last"),
        "backfill": Lazy(f"{_HERE}:backfill_command", "Run the intervals of a time"),
        "adopt": Lazy(f"{_HERE}:adopt_command", "Take back what has lost its mark"),
        "protect": Lazy(f"{_HERE}:protect_command", "Keep resources from being deleted"),
        "unprotect": Lazy(f"{_HERE}:unprotect_command", "Lift that"),
        "rollback": Lazy(f"{_HERE}:rollback_command", "Apply an earlier version"),
        "unlock": Lazy(f"{_HERE}:unlock_command", "End an operation that hangs"),
    },
    help="What is done to an applied manifest, beside applying a new version. MANIFEST is TYPE/NAME, or a file.",
    params=shared_options(),
)
