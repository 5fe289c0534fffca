"""``controller``: looks after everything that was applied, in every environment."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options

if TYPE_CHECKING:
    from dcp_graph_runner.controller.controller import Once
    from dcp_graph_runner.controller.healing import Healed
    from dcp_graph_runner.controller.housekeeping import Chores
    from dcp_graph_runner.controller.reconciling import Pass
    from dcp_graph_runner.controller.recording import Transition
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def _run(session: Session, once: bool, interval_s: float | None) -> int:
    """Reconcile everything that was applied: look, set conditions, mend what its policy lets be mended.

    Any number of them may run on one state database; they share the work. Each environment is looked at every
    [controller] interval_s seconds, until the command is told to stop (Ctrl-C, SIGTERM), which waits for what was
    begun. With -e only that environment is looked at, and the housekeeping is left to others.

    With --once everything is looked at once; the exit status is 2 when something is not as it should be.
    """
    import attrs

    from dcp_graph_runner.controller.controller import Controller, Listener
    from dcp_graph_runner.controller.settings import ControllerSettings

    dcp = session.local
    session.tell_local("this is the controller")
    settings = dcp.settings.section("controller", ControllerSettings)
    if interval_s is not None:
        settings = attrs.evolve(settings, interval_s=interval_s)
    name = session.environment_name
    environment = None if name is None else dcp.environment(name).name
    listener = Listener(
        passed=lambda each: session.output.event("pass", pass_document(each)),
        healed=lambda each: session.output.event("healing", healed_document(each)),
        kept=lambda each: session.output.event("housekeeping", chores_document(each)),
        failed=lambda what, why: session.output.event("failure", {"what": what, "why": why}),
    )
    controller = Controller(dcp, settings, listener, environment)
    if once:
        done = controller.once()
        document = once_document(done)
        session.output.result(document, lambda screen: _render(screen, done))
        return _status(done)
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    session.notes.line(f"{controller.replica} looks every {settings.interval_s:g} s; Ctrl-C stops it")
    try:
        drained = controller.run(stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    def render(screen: Screen) -> None:
        words = "stopped" if drained else f"stopped, and what took more than {settings.drain_s:g} s was cut off"
        screen.line(f"{controller.replica} {words}")

    session.output.result({"replica": controller.replica, "drained": drained}, render)
    return exits.DONE if drained else exits.FAILED


def once_document(done: Once) -> dict[str, Any]:
    """Everything that ``--once`` has found and done."""
    return {
        "passes": [pass_document(each) for each in done.passes],
        "conditions": [
            {
                "environment": each.unit.environment,
                "resource": str(key),
                "manifest": found.manifest_id,
                "condition": found.verdict.status.value,
                "reason": found.verdict.reason,
                "message": found.verdict.message,
            }
            for each in done.passes
            for key, found in each.apart.items()
        ],
        "healed": [healed_document(each) for each in done.healed],
        "housekeeping": None if done.chores is None else chores_document(done.chores),
        "elsewhere": {str(unit): replica for unit, replica in sorted(done.elsewhere.items())},
        "failures": [{"what": what, "why": why} for what, why in done.failed],
    }


def pass_document(found: Pass) -> dict[str, Any]:
    """One pass over one environment, or a part of it."""
    return {
        "environment": found.unit.environment,
        "shard": found.unit.shard,
        "manifests": found.manifests,
        "conditions": {status.value: count for status, count in sorted(found.counts.items()) if count},
        "changed": [
            {
                "resource": str(each.key),
                "manifest": each.manifest_id,
                "before": each.before,
                "condition": each.verdict.status.value,
                "reason": each.verdict.reason,
                "message": each.verdict.message,
            }
            for each in found.transitions
            if _is_news(each)
        ],
        "down": dict(found.down),
        "seconds": round(found.seconds, 3),
    }


def healed_document(healed: Healed) -> dict[str, Any]:
    """One healing."""
    return {
        "environment": healed.key[0],
        "manifest": healed.key[1],
        "operation": None if healed.operation is None else healed.operation.id,
        "error": healed.error or None,
        "later": healed.later or None,
    }


def chores_document(chores: Chores) -> dict[str, Any]:
    """What was done beside."""
    return {
        "recovered": [each.id for each in chores.recovered],
        "destroyed": list(chores.destroyed),
        "delivered": chores.delivered,
        "problems": [{"what": what, "why": why} for what, why in chores.problems],
    }


def _is_news(change: Transition) -> bool:
    """That all is well with what is seen for the first time is none."""
    return change.before is not None or change.verdict.status != "InSync"


def _status(done: Once) -> int:
    if done.failed or any(each.error for each in done.healed) or (done.chores and done.chores.problems):
        return exits.FAILED
    fine = {"InSync", "Paused"}
    return exits.DONE if all({*each.counts} <= fine for each in done.passes) else exits.CHANGES


def _render(screen: Screen, done: Once) -> None:
    for each in done.passes:
        counts = ", ".join(f"{count} {status.value}" for status, count in sorted(each.counts.items()) if count)
        screen.line(f"{each.unit}: {each.manifests} manifests, {counts or 'no resources'}")
        mended = {change.key: change.verdict for change in each.transitions if _is_news(change)}
        for key, verdict in {**mended, **{key: found.verdict for key, found in each.apart.items()}}.items():
            words = f": {verdict.message}" if verdict.message else ""
            screen.line(f"{key}  {verdict.status.value} ({verdict.reason}){words}", indent=2)
        for kind, why in each.down.items():
            screen.line((f"{kind} does not answer: {why}", "bold red"), indent=2)
    for healed in done.healed:
        words = healed.error or healed.later or ("healed" if healed.operation else "nothing was left to heal")
        screen.line(f"{healed.key[1]} in {healed.key[0]}: {words}")
    if done.chores is not None:
        for operation in done.chores.recovered:
            screen.line(f"finished {operation.id} of {operation.manifest_id}, which a dead process had left")
        for sandbox in done.chores.destroyed:
            screen.line(f"destroyed {sandbox}, which had expired")
        for what, why in done.chores.problems:
            screen.line((f"{what}: {why}", "bold red"))
    for what, why in done.failed:
        screen.line((f"{what}: {why}", "bold red"))
    for unit, replica in sorted(done.elsewhere.items()):
        screen.line(f"{unit} is looked after by {replica}")
    if not done.passes and not done.elsewhere:
        screen.line("Nothing is applied yet.")
    for each in done.passes:
        for found in each.apart.values():
            screen.line(f"Next: pretzel metadata show {found.manifest_id} -e {each.unit.environment}")
            return


run_command = command(
    _run,
    [
        click.Option(["--once"], is_flag=True, help="Look at everything once, and end."),
        click.Option(
            ["--interval-s"], type=click.FloatRange(min=0, min_open=True), help="Seconds between looks."
        ),
    ],
)  # fmt: skip

controller = LazyGroup(
    "controller",
    {"run": Lazy("pretzel.commands.controller:run_command", "Look after everything that was applied")},
    help="Keeps what was applied as it was applied: finds drift, tells of it, and mends what may be mended.",
    params=shared_options(),
)
