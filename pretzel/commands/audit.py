"""``audit``: what was done, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options

if TYPE_CHECKING:
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def _list(session: Session, manifest: str | None, limit: int, everywhere: bool) -> int:
    """List what was done in an environment, newest first."""
    from pretzel.documents import audit_document
    from pretzel.rendering.operations import STYLES

    where = None if everywhere else session.environment.name
    records = session.control_plane.store.audit_records(where, manifest, limit)
    documents = [audit_document(each) for each in records]
    for document in documents:
        session.output.event("record", document)

    def render(screen: Screen) -> None:
        if not records:
            screen.line(f"Nothing was done{f' in {where}' if where else ''} yet.")
        for each in records:
            at = each.at.strftime("%Y-%m-%d %H:%M:%SZ")
            outcome = each.outcome.value
            place = f" in {each.environment}" if everywhere else ""
            head = f"{at}  {each.user}  {each.kind} {each.manifest_id}{place}: "
            screen.line(head, (outcome, STYLES.get(outcome, "")), f"  {each.operation_id}")
            for action in each.actions:
                screen.line(action, indent=4)
            if each.message:
                screen.line(each.message, indent=4)

    session.output.result({"records": documents}, render)
    return exits.DONE


list_command = command(
    _list,
    [
        click.Option(["--manifest"], metavar="ID", help="Only of this manifest (TYPE/NAME)."),
        click.Option(
            ["--limit"], type=click.IntRange(min=1), default=20, show_default=True, help="How many at most."
        ),
        click.Option(["--all", "everywhere"], is_flag=True, help="Of all environments."),
    ],
)  # fmt: skip

audit = LazyGroup(
    "audit",
    {"list": Lazy("pretzel.commands.audit:list_command", "List what was done, newest first")},
    help="Every operation leaves one record, refused ones too.",
    params=shared_options(),
)
