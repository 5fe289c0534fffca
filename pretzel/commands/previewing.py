"""``preview``: rows of what a manifest keeps, and how to query it with other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.options import command

if TYPE_CHECKING:
    from dcp_graph_runner.api.messages import PreviewAnswer
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

DEFAULT_LIMIT = 20
LARGEST_LIMIT = 10_000


def preview(manifest_type: str | None) -> click.Command:
    """The command for one manifest type, or for all."""

    def _preview(session: Session, path: str, limit: int) -> int:
        """Show rows of a manifest's data, and ready-to-paste lines for other tools."""
        from dcp_core.errors import NotFoundError, UsageError
        from dcp_graph_runner.api.messages import PreviewRequest
        from dcp_graph_runner.api.table import find
        from pretzel.documents import preview_document
        from pretzel.rendering.previews import render_preview

        loaded = session.load([path], manifest_type).loaded
        if len(loaded) != 1:
            raise UsageError(f"preview takes one manifest; {path} holds {len(loaded)}")
        logical_plan = loaded[0].logical_plan
        request = PreviewRequest(logical_plan.environment, logical_plan, limit)
        answer: PreviewAnswer = session.call(find("Operations.Preview"), request)
        shown = answer.preview
        if shown is None:
            raise NotFoundError(
                f"{logical_plan.id} has no rows to show in {session.environment.name}",
                hint="apply makes its table, run fills it",
                code="preview.nothing",
            )

        def render(screen: Screen) -> None:
            render_preview(screen, shown)

        session.output.result(preview_document(shown, logical_plan.id), render)
        return exits.DONE

    return command(
        _preview,
        [
            click.Argument(["path"], metavar="PATH"),
            click.Option(
                ["--limit"],
                type=click.IntRange(0, LARGEST_LIMIT),
                default=DEFAULT_LIMIT,
                show_default=True,
                help="How many rows at most.",
            ),
        ],
    )
