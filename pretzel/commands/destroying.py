"""``destroy``: delete everything that manifests have created, after a yes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.commands.applying import carry_out, recover
from pretzel.commands.planning import environment_words, recorded, require_manifests
from pretzel.options import command

if TYPE_CHECKING:
    from dcp_core.model import Plan
    from pretzel.session import Session


def destroy(manifest_type: str | None) -> click.Command:
    """The command for one manifest type, or for all."""

    def _destroy(session: Session, paths: tuple[str, ...], yes: bool) -> int:
        """Delete everything that manifests have created, data included.

        PATH is a manifest, a folder of them, or the id of one that is gone (TYPE/NAME, as plan shows it). Asks
        before it does, unless --yes; protected resources stay.
        """
        with recorded(session, "destroy", ()):  # with a server, this asks it already
            ids = _manifest_ids(session, paths, manifest_type)
            if not ids:
                _point_to_orphans(session, paths)
            require_manifests(paths, ids)
            recovered = recover(session, ids)
        known = session.control_plane.store.logical_plans(session.environment.name, ids)
        there = [id for id in ids if id in known]
        for id in ids:
            if id not in known:
                session.notes.line(f"{id} has nothing in {session.environment.name}")
        with recorded(session, "destroy", [known[id] for id in there]):
            planned = session.control_plane.plan_destruction(session.environment, there)
        if planned.manifests and not yes and not confirm_destruction(session, planned.environment, _show(planned)):
            session.notes.line("nothing was destroyed")
            return exits.FAILED
        return carry_out(session, planned, "destroy", recovered)

    return command(
        _destroy,
        [
            click.Argument(["paths"], nargs=-1, required=True, metavar="PATH..."),
            click.Option(["--yes", "-y"], is_flag=True, help="Do not ask."),
        ],
    )


def _point_to_orphans(session: Session, paths: Sequence[str]) -> None:
    """Say how to destroy what manifests that were in these folders have left.

    Raises:
        NotFoundError: They left something.
    """
    from dcp_core.errors import NotFoundError

    folders = [Path(os.path.abspath(each)) for each in paths if os.path.isdir(each)]
    left = session.control_plane.plan([], folders=folders, environment=session.environment).orphaned
    if left:
        words = environment_words(session)
        raise NotFoundError(
            f"no manifests in {', '.join(paths)}; there were, and what they created is still there: {', '.join(left)}",
            hint=f"`{shlex.join(['pretzel', 'destroy', *left, *words])}` destroys it; "
            f"`{shlex.join(['pretzel', 'plan', *paths, *words, '--prune'])}` shows it with everything else",
            code="manifest.none",
        )


def confirm_destruction(session: Session, environment: str, what: Sequence[str]) -> bool:
    """Ask on the terminal.

    Raises:
        UsageError: There is no terminal to ask on.
    """
    from dcp_core.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError(
            f"destroying {len(what)} resource{'' if len(what) == 1 else 's'} in {environment} needs a yes",
            hint="nobody can be asked here: give --yes",
            code="destroy.unconfirmed",
        )
    for line in what:
        session.notes.line(("- ", "red"), line, indent=2)
    return click.confirm(f"Destroy these in {environment}?", default=False, err=True)


def _show(planned: Plan) -> list[str]:
    return [f"{action.label} {action.resource.name}  {action.message}".rstrip() for action in planned.actions]


def _manifest_ids(session: Session, paths: Sequence[str], manifest_type: str | None) -> list[str]:
    """Of the manifests at ``paths``, readers last; and the ids given as such."""
    missing = [each for each in paths if not os.path.exists(each)]
    known = session.control_plane.store.logical_plans(session.environment.name, missing) if missing else {}
    named = [each for each in missing if each in known]
    files = [each for each in paths if each not in named]
    loaded = session.load(files, manifest_type).loaded if files else ()
    return list(dict.fromkeys([*named, *(each.logical_plan.id for each in loaded)]))
