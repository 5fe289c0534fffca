"""``audit``: what was done, whether the log of it is whole, and its delivery to the audit table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options

if TYPE_CHECKING:
    from dcp_graph_runner.api.audit import UnreadableRecord, VerifyAuditAnswer
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def _list(session: Session, manifest: str | None, limit: int, everywhere: bool) -> int:
    """List what was done in an environment, newest first."""
    from dcp_graph_runner.api.audit import ListAuditAnswer, ListAuditRequest
    from dcp_graph_runner.api.table import find
    from pretzel.documents import audit_document, unreadable_document
    from pretzel.rendering.operations import STYLES

    where = None if everywhere else session.environment.name
    answer: ListAuditAnswer = session.call(find("Audit.List"), ListAuditRequest(where, everywhere, manifest, limit))
    documents = []
    for row in answer.rows:
        if row.record is not None:
            documents.append(audit_document(row.record))
        elif row.unreadable is not None:
            documents.append(unreadable_document(row.unreadable))
    for document in documents:
        session.output.event("record", document)

    def render(screen: Screen) -> None:
        if not answer.rows:
            screen.line(f"Nothing was done{f' in {where}' if where else ''} yet.")
        for row in answer.rows:
            if row.unreadable is not None:
                _render_unreadable(screen, row.unreadable, everywhere)
            if row.record is None:
                continue
            each = row.record
            at = each.at.strftime("%Y-%m-%d %H:%M:%SZ")
            outcome = each.outcome.value
            place = f" in {each.environment}" if everywhere else ""
            what = f"{each.kind} {each.manifest_id}".rstrip()  # a playground's own records name no manifest
            head = f"{at}  {each.user}  {what}{place}: "
            screen.line(head, (outcome, STYLES.get(outcome, "")), f"  {each.operation_id}")
            for action in each.actions:
                screen.line(action, indent=4)
            if each.message:
                screen.line(each.message, indent=4)

    session.output.result({"records": documents}, render)
    return exits.DONE


def _verify(session: Session, noted: str | None, table: bool) -> int:
    """Follow the hash chain of the audit log from its first record to its last; exit 1 when something does not fit.

    Prints the hash of the newest record. Note it somewhere that nobody who can write to the state database can
    write to, and give it back with --head: a log that was cut off or written anew does not have it any more.

    Where the log is delivered to a table, what is there has to be in the log too.
    """
    from dcp_graph_runner.api.audit import VerifyAuditRequest
    from dcp_graph_runner.api.table import find

    found: VerifyAuditAnswer = session.call(find("Audit.Verify"), VerifyAuditRequest(noted, table))
    document = {
        "ok": found.broken is None,
        "records": found.records,
        "head": found.head,
        "noted_at": found.noted_at,
        "broken": _broken(found),
        "compared_with": found.compared_with,
        "delivered": found.delivered,
        "announced": found.announced,
    }

    def render(screen: Screen) -> None:
        if found.broken is not None:
            screen.line(("BROKEN  ", "bold red"), found.broken.message)
            screen.line(f"{_records(found.records)} before it fit{'s' if found.records == 1 else ''}")
        elif not found.records:
            screen.line("Nothing was recorded yet.")
        else:
            also = f", and so does its copy in {found.compared_with}" if found.compared_with else ""
            screen.line(("OK  ", "green"), f"{_records(found.records)}, and the chain holds{also}")
        if found.noted_at is not None:
            screen.line(f"the noted head is record {found.noted_at} of {found.records}")
        if found.broken is None and found.records:
            screen.line(f"head  {found.head}")
        if found.announced:
            screen.line(
                f"{found.announced} more under way, or cut off and not settled yet (`pretzel audit list` settles)"
            )

    session.output.result(document, render)
    return exits.DONE if found.broken is None else exits.FAILED


def _broken(found: VerifyAuditAnswer) -> dict[str, object] | None:
    if found.broken is None:
        return None
    return {
        "damage": found.broken.damage,
        "sequence": found.broken.sequence,
        "operation_id": found.broken.operation_id,
        "message": found.broken.message,
    }


def _render_unreadable(screen: Screen, found: UnreadableRecord, everywhere: bool) -> None:
    words = f"record {found.sequence}  {found.operation_id}  {found.manifest_id}".rstrip()
    place = f" in {found.environment}" if everywhere else ""
    screen.line(("UNREADABLE", "bold red"), f"  {words}{place}")
    screen.line(f"{found.problem} (`pretzel audit verify` tells whether it was altered)", indent=4)


def _deliver(session: Session) -> int:
    """Bring what is not there yet of the audit log to the table that [audit] names in dcp.toml.

    Each record comes there once, however often this is repeated or interrupted, and in order.
    """
    from dcp_graph_runner.api.audit import DeliverAuditAnswer, DeliverAuditRequest
    from dcp_graph_runner.api.table import find

    done: DeliverAuditAnswer = session.call(find("Audit.Deliver"), DeliverAuditRequest())
    document = {"table": done.table, "delivered": done.delivered, "sequence": done.sequence}

    def render(screen: Screen) -> None:
        screen.line(f"{_records(done.delivered)} delivered to {done.table}, which has {done.sequence}")

    session.output.result(document, render)
    return exits.DONE


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


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

verify_command = command(
    _verify,
    [
        click.Option(
            ["--head", "noted"], metavar="HASH", help="A head that you noted earlier: it must be there still."
        ),
        click.Option(["--table/--no-table"], default=True, help="Whether the delivered copy is compared, too."),
    ],
)

deliver_command = command(_deliver, [])

audit = LazyGroup(
    "audit",
    {
        "list": Lazy("pretzel.commands.audit:list_command", "List what was done, newest first"),
        "verify": Lazy("pretzel.commands.audit:verify_command", "Check that nobody has touched the log"),
        "deliver": Lazy("pretzel.commands.audit:deliver_command", "Bring the log to the audit table"),
    },
    help="Every operation leaves one record, refused ones too.",
    params=shared_options(),
)
