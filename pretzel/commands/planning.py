"""``plan``: what apply would do. Changes nothing, but for the file that ``--out`` names."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.options import command, paths_argument

if TYPE_CHECKING:
    from dcp_core.loading import Loaded, LoadResult
    from dcp_core.model import LogicalPlan, Plan, PlanOptions
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def plan(manifest_type: str | None) -> click.Command:
    """The command for one manifest type, or for all."""

    def _plan(
        session: Session,
        paths: tuple[str, ...],
        adopt: bool,
        allow_destructive: bool,
        prune: bool,
        out: str | None,
        detailed_exitcode: bool,
        everything: bool,
    ) -> int:
        """Show what apply would do, and change nothing.

        PATH is a manifest or a folder of them. What would lose data, or belongs to somebody else, is BLOCKED.
        """
        from dcp_core.model import ActionKind, PlanOptions
        from pretzel.documents import action_document, plan_document
        from pretzel.rendering.plans import render_plan

        options = PlanOptions(adopt, allow_destructive, prune)
        result = session.load(paths, manifest_type)
        planned = plan_loaded(session, paths, result, manifest_type, options)
        for manifest in planned.manifests:
            for action in manifest.actions:
                session.output.event("action", {"manifest": manifest.id, **action_document(action)})
        if out is not None:
            from pretzel.saved_plans import save

            save(planned, out)
        step = f"pretzel apply --plan {shlex.quote(out)}" if out else _next_step(session, paths, manifest_type, options)

        def render(screen: Screen) -> None:
            render_plan(screen, planned, everything=everything, next_step=step)

        session.output.result(plan_document(planned), render)
        differs = any(action.kind is not ActionKind.NOOP for action in planned.actions)
        return exits.CHANGES if detailed_exitcode and differs else exits.DONE

    return command(
        _plan,
        [
            paths_argument(),
            *permission_options(),
            click.Option(
                ["--out"], metavar="FILE", type=click.Path(dir_okay=False),
                help="Save the plan, so that `apply --plan FILE` does exactly what is shown.",
            ),
            click.Option(
                ["--detailed-exitcode"], is_flag=True,
                help="Exit 0 when there is nothing to do, 1 on an error, 2 when something differs.",
            ),
            click.Option(
                ["--all", "everything"], is_flag=True,
                help="List what is as it should be, too, and every field of what is created.",
            ),
        ],
    )  # fmt: skip


def permission_options() -> list[click.Parameter]:
    """What plan and apply may be allowed."""
    return [
        click.Option(["--adopt"], is_flag=True, help="Take over resources that exist without DCP's mark."),
        click.Option(["--allow-destructive"], is_flag=True, help="Do what loses data: drop columns, tables, topics."),
        click.Option(
            ["--prune"], is_flag=True, help="Destroy what manifests created that are no longer in the given folders."
        ),
    ]


def require_manifests(paths: Sequence[str], *found: Sequence[object]) -> None:
    """Nothing at all to work on is a mistake in the path, not a success.

    Raises:
        NotFoundError: All of ``found`` are empty.
    """
    if any(found):
        return
    from dcp_core.errors import NotFoundError

    raise NotFoundError(
        f"no manifests in {', '.join(paths)}",
        hint="a manifest is a .yaml or .yml file, in a folder named after its type or with manifest_type:",
        code="manifest.none",
    )


def plan_loaded(
    session: Session,
    paths: Sequence[str],
    result: LoadResult,
    manifest_type: str | None,
    options: PlanOptions,
    *,
    record_as: str | None = None,
) -> Plan:
    """The plan of all of them.

    Args:
        session: Of the command.
        paths: As given.
        result: What was loaded from them.
        manifest_type: Of the command's group.
        options: What the user allows.
        record_as: ``apply`` when the plan is made to be done: what keeps it from that is in the audit log then.

    Raises:
        NotFoundError: There is no manifest and no orphan.
        InvalidManifestError: What would change has lint errors. What is unchanged was linted when it was applied.
    """
    with recorded(session, record_as, [each.logical_plan for each in result.loaded]):
        planned = session.control_plane.plan(
            [each.logical_plan for each in result.loaded],
            options=options,
            folders=result.folders,
            manifest_type=manifest_type,
            environment=session.environment,
        )
    require_manifests(paths, result.loaded, planned.orphaned)
    changing = {each.id for each in planned.manifests if each.has_changes and not each.destroys}
    chosen = [each for each in result.loaded if each.logical_plan.id in changing]
    with recorded(session, record_as, [each.logical_plan for each in chosen]):
        _refuse_lint_errors(session, chosen)
    return planned


@contextmanager
def recorded(session: Session, kind: str | None, logical_plans: Sequence[LogicalPlan]) -> Iterator[None]:
    """What fails inside keeps these from an operation of that kind, which is in the audit log then."""
    if kind is None:
        yield
        return
    from dcp_core.model import ManifestPlan

    with session.control_plane.recording_refusal(kind, [ManifestPlan(each, ()) for each in logical_plans]):
        yield


def _refuse_lint_errors(session: Session, chosen: Sequence[Loaded]) -> None:
    if not chosen:
        return
    from dcp_core.diagnostics import Severity
    from dcp_core.errors import InvalidManifestError

    findings = session.control_plane.lint(chosen, session.environment)
    errors = [each for each in findings if each.severity is Severity.ERROR]
    if errors:
        raise InvalidManifestError(errors)


def _next_step(session: Session, paths: Sequence[str], manifest_type: str | None, options: PlanOptions) -> str:
    group = [manifest_type.replace("_", "-")] if manifest_type else []
    flags = [
        flag
        for flag, is_set in (
            ("--adopt", options.adopt),
            ("--allow-destructive", options.allow_destructive),
            ("--prune", options.prune),
        )
        if is_set
    ]
    return shlex.join(["pretzel", *group, "apply", *paths, *environment_words(session), *flags])


def environment_words(session: Session) -> list[str]:
    """``-e NAME`` when it was given, for commands that are suggested."""
    return ["-e", session.environment_name] if session.environment_name else []
