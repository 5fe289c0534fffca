"""``audit``: what was done, whether the log of it is whole, and its delivery to the audit table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options

if TYPE_CHECKING:
    from dcp_graph_runner.audit_chain import Verdict
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def _list(session: Session, manifest: str | None, limit: int, everywhere: bool) -> int:
    """List what was done in an environment, newest first."""
    from dcp_graph_runner.audit import Unreadable, listed
    from pretzel.documents import audit_document, unreadable_document
    from pretzel.rendering.operations import STYLES

    where = None if everywhere else session.environment.name
    session.control_plane.settle_audit()
    records = listed(session.control_plane.store, where, manifest, limit)
    documents = [
        unreadable_document(each) if isinstance(each, Unreadable) else audit_document(each) for each in records
    ]
    for document in documents:
        session.output.event("record", document)

    def render(screen: Screen) -> None:
        if not records:
            screen.line(f"Nothing was done{f' in {where}' if where else ''} yet.")
        for each in records:
            if isinstance(each, Unreadable):
                words = f"record {each.sequence}  {each.operation_id}  {each.manifest_id}".rstrip()
                place = f" in {each.environment}" if everywhere else ""
                screen.line(("UNREADABLE", "bold red"), f"  {words}{place}")
                screen.line(f"{each.problem} (`pretzel audit verify` tells whether it was altered)", indent=4)
                continue
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
    from dcp_core.errors import DcpError
    from dcp_graph_runner.audit import log_of
    from dcp_graph_runner.audit_chain import ALGORITHM
    from dcp_graph_runner.audit_outbox import Outbox
    from dcp_graph_runner.audit_settings import AuditSettings

    dcp = session.control_plane
    log = log_of(dcp.store)
    if noted is not None:
        noted = noted.strip().lower()
        noted = noted if noted.startswith(ALGORITHM) else ALGORITHM + noted
    verdict = log.verify(noted)
    named = dcp.settings.section("audit", AuditSettings).table
    compared = named if table and named and verdict.broken is None else None
    if compared:
        try:
            verdict = Outbox.of(log, dcp.settings).compare(verdict)
        except DcpError as error:
            error.hint = error.hint or "--no-table verifies the log alone"
            raise
    delivered = log.outgoing().sequence if named else None
    running = log.announced()
    document = {
        "ok": verdict.broken is None,
        "records": verdict.records,
        "head": verdict.head.hash or None,
        "noted_at": verdict.noted_at,
        "broken": _broken(verdict),
        "compared_with": compared,
        "delivered": delivered,
        "announced": running,
    }

    def render(screen: Screen) -> None:
        if verdict.broken is not None:
            screen.line(("BROKEN  ", "bold red"), verdict.broken.message)
            screen.line(f"{_records(verdict.records)} before it fit{'s' if verdict.records == 1 else ''}")
        elif not verdict.records:
            screen.line("Nothing was recorded yet.")
        else:
            also = f", and so does its copy in {compared}" if compared else ""
            screen.line(("OK  ", "green"), f"{_records(verdict.records)}, and the chain holds{also}")
        if verdict.noted_at is not None:
            screen.line(f"the noted head is record {verdict.noted_at} of {verdict.records}")
        if verdict.broken is None and verdict.records:
            screen.line(f"head  {verdict.head.hash}")
        if running:
            screen.line(f"{running} more under way, or cut off and not settled yet (`pretzel audit list` settles)")

    session.output.result(document, render)
    return exits.DONE if verdict.broken is None else exits.FAILED


def _broken(verdict: Verdict) -> dict[str, object] | None:
    if verdict.broken is None:
        return None
    broken = verdict.broken
    return {
        "damage": broken.damage.value,
        "sequence": broken.sequence,
        "operation_id": broken.operation_id,
        "message": broken.message,
    }


def _deliver(session: Session) -> int:
    """Bring what is not there yet of the audit log to the table that [audit] names in dcp.toml.

    Each record comes there once, however often this is repeated or interrupted, and in order.
    """
    from dcp_graph_runner.audit import log_of
    from dcp_graph_runner.audit_outbox import Outbox

    dcp = session.control_plane
    dcp.settle_audit()
    delivery = Outbox.of(log_of(dcp.store), dcp.settings).deliver()
    document = {"table": delivery.where, "delivered": delivery.delivered, "sequence": delivery.sequence}

    def render(screen: Screen) -> None:
        screen.line(f"{_records(delivery.delivered)} delivered to {delivery.where}, which has {delivery.sequence}")

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
