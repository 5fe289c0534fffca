"""``apply``: plan, then do it. Never prompts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.commands.planning import environment_words, permission_options, plan_loaded, recorded
from pretzel.options import command, paths_argument

if TYPE_CHECKING:
    from dcp_core.model import Plan
    from dcp_core.records import Operation
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def apply(manifest_type: str | None) -> click.Command:
    """The command for one manifest type, or for all."""

    def _apply(
        session: Session,
        paths: tuple[str, ...],
        adopt: bool,
        allow_destructive: bool,
        prune: bool,
        plan_file: str | None,
    ) -> int:
        """Make it so: create, change and delete until the platform is as the manifests say.

        Finishes first what an interrupted apply has begun. Blocked actions are left out, the rest is done, and
        the exit status is then 1.
        """
        from dcp_core.model import PlanOptions

        if bool(paths) == (plan_file is not None):
            raise click.UsageError(
                "give manifests, or --plan FILE" if not paths else "--plan says what to apply: leave out PATH",
                click.get_current_context(),
            )
        if plan_file is not None:
            if adopt or allow_destructive or prune:
                raise click.UsageError(
                    "a saved plan remembers --adopt, --allow-destructive and --prune: give them to `plan`",
                    click.get_current_context(),
                )
            planned, recovered = _saved(session, plan_file)
        else:
            with recorded(session, "apply", ()):  # with a server, this asks it already
                result = session.load(paths, manifest_type)
            with recorded(session, "apply", [each.logical_plan for each in result.loaded]):
                recovered = recover(session, [each.logical_plan.id for each in result.loaded])
            options = PlanOptions(adopt, allow_destructive, prune)
            planned = plan_loaded(session, paths, result, manifest_type, options, record_as="apply")
        step = shlex.join(["pretzel", "run", *paths, *environment_words(session)]) if paths else None
        return carry_out(session, planned, "apply", recovered, step)

    return command(
        _apply,
        [
            paths_argument(required=False),
            *permission_options(),
            click.Option(
                ["--plan", "plan_file"], metavar="FILE", type=click.Path(dir_okay=False),
                help="Do what `plan --out FILE` has shown; refused when something has changed since.",
            ),
        ],
    )  # fmt: skip


def recover(session: Session, manifest_ids: Sequence[str]) -> tuple[Operation, ...]:
    """Finish what crashed processes left of these manifests, showing it as it happens."""
    if not session.control_plane.store.interrupted(session.environment.name, manifest_ids):
        return ()
    with session.progress:
        return session.control_plane.recover(session.environment, manifest_ids)


def carry_out(
    session: Session, planned: Plan, kind: str, recovered: Sequence[Operation], next_step: str | None = None
) -> int:
    """Show the plan, do it, show what came of it; gives the exit status.

    Args:
        session: Of the command.
        planned: What to do.
        kind: ``apply`` or ``destroy``.
        recovered: What was finished before.
        next_step: A command to suggest.
    """
    from dcp_core.records import OperationStatus
    from pretzel.documents import execution_document, operations_document
    from pretzel.output import TEXT
    from pretzel.rendering.operations import render_operations, render_resumed
    from pretzel.rendering.plans import render_plan

    if session.output.mode == TEXT and kind == "apply":
        render_plan(session.output.screen, planned)
        session.output.screen.stream.flush()
    with session.progress:
        operations = session.control_plane.apply(planned, kind=kind)
        session.tell_created_sandboxes()
        resumed = session.control_plane.wait([*recovered, *operations])

    def render(screen: Screen) -> None:
        done = [*recovered, *(each for each in operations if each.id)]
        if done or kind != "apply":  # a plan with nothing to do has said so already
            # Whoever watches has seen every action already.
            watched = screen.is_terminal and session.notes.is_terminal
            render_operations(screen, done, next_step=next_step, brief=watched)
        render_resumed(screen, resumed, has_driver=session.has_driver)

    document = operations_document(operations, recovered)
    document["resumed"] = [execution_document(each) for each in resumed]
    session.output.result(document, render)
    succeeded = all(each.status is OperationStatus.SUCCEEDED for each in operations)
    return exits.DONE if succeeded else exits.FAILED


def _saved(session: Session, plan_file: str) -> tuple[Plan, tuple[Operation, ...]]:
    from pretzel.saved_plans import read

    planned = read(plan_file)
    plans = [each.logical_plan for each in planned.manifests]
    if session.environment_name not in (None, planned.environment):
        raise click.UsageError(
            f"the plan is for {planned.environment}, not for {session.environment_name}: leave out -e",
            click.get_current_context(),
        )
    session.environment = session.control_plane.environment(planned.environment, overlay=planned.overlay)
    # After this the plan is stale if anything of it was done: the freshness check says so.
    with recorded(session, "apply", plans):
        return planned, recover(session, [each.id for each in plans])
