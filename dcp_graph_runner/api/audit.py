"""The service ``Audit``: what was done, whether the log of it is whole, and its delivery to the audit table.

Source: design.md section 9.
"""

from __future__ import annotations

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import DcpError, UsageError
from dcp_core.model import PRODUCTION, Environment
from dcp_core.records import AuditRecord
from dcp_graph_runner.api.handlers import READ, AnyHandler, Handler
from dcp_graph_runner.audit_settings import AuditSettings
from dcp_graph_runner.deeds import Subject, recording_denial

MOST_RECORDS = 10_000


@attrs.frozen
class ListAuditRequest:
    """Newest first.

    Args:
        environment: Only of this one; None for the caller's playground in use.
        everywhere: Of all environments.
        manifest_id: Only of this manifest.
        limit: How many at most, 1 to 10,000.
    """

    environment: str | None = None
    everywhere: bool = False
    manifest_id: str | None = None
    limit: int = 20


@attrs.frozen
class UnreadableRecord:
    """What is in the log and is no record of this version.

    Args:
        sequence: Its number.
        operation_id: As kept beside it; likewise the environment and the manifest.
        environment: Where.
        manifest_id: What it concerned.
        problem: Why it cannot be read.
    """

    sequence: int
    operation_id: str
    environment: str
    manifest_id: str
    problem: str


@attrs.frozen
class AuditRow:
    """One of the two."""

    record: AuditRecord | None = None
    unreadable: UnreadableRecord | None = None


@attrs.frozen
class ListAuditAnswer:
    """Newest first."""

    rows: tuple[AuditRow, ...]


@attrs.frozen
class VerifyAuditRequest:
    """Follow the hash chain from its first record to its last.

    Args:
        head: A hash that was noted elsewhere, ``sha256:…``: it must be there still.
        compares: Whether the delivered copy is compared, where there is one.
    """

    head: str | None = None
    compares: bool = True


@attrs.frozen
class AuditBreak:
    """What does not fit.

    Args:
        damage: What kind it is.
        sequence: The record's number, where it has one.
        operation_id: The operation's, where it is known.
        message: In words.
    """

    damage: str
    sequence: int | None
    operation_id: str | None
    message: str


@attrs.frozen
class VerifyAuditAnswer:
    """What was found.

    Args:
        records: How many fit, from the first on.
        head: The hash of the last of them; None when there is none.
        noted_at: Which record has the hash that was noted elsewhere.
        broken: None when everything fits.
        compared_with: The table that the log was compared with.
        delivered: How many records are in that table; None when the log goes nowhere.
        announced: Operations under way, or cut off and not settled yet.
    """

    records: int
    head: str | None
    noted_at: int | None
    broken: AuditBreak | None
    compared_with: str | None
    delivered: int | None
    announced: int


@attrs.frozen
class DeliverAuditRequest:
    """Bring to the table what is not there yet."""


@attrs.frozen
class DeliverAuditAnswer:
    """How far it is.

    Args:
        table: Where the log goes.
        delivered: How many records this brought there.
        sequence: The newest one that is there now.
    """

    table: str
    delivered: int
    sequence: int


def _list(dcp: ControlPlane, request: ListAuditRequest) -> ListAuditAnswer:
    from dcp_graph_runner.audit import Unreadable, listed

    if not 1 <= request.limit <= MOST_RECORDS:
        raise UsageError(f"1 to {MOST_RECORDS:,} records can be listed, not {request.limit}")
    dcp.settle_audit()
    where = _readable(dcp) if request.everywhere else dcp.environment(request.environment).name
    rows = []
    for each in listed(dcp.store, where, request.manifest_id, request.limit):
        if isinstance(each, Unreadable):
            rows.append(
                AuditRow(
                    unreadable=UnreadableRecord(
                        each.sequence, each.operation_id, each.environment, each.manifest_id, each.problem
                    )
                )
            )
        else:
            rows.append(AuditRow(each))
    return ListAuditAnswer(tuple(rows))


def _readable(dcp: ControlPlane) -> tuple[str, ...] | None:
    """The environments with records that the caller may read; None for all there are."""
    from dcp_graph_runner.audit import AuditLog
    from dcp_graph_runner.metadata.applied import readable

    log = getattr(dcp.store, "audit_log", None)
    if not isinstance(log, AuditLog):
        return None
    names = log.environments()
    found = readable(dcp, [each for each in names if each])
    # What was refused before it was about any environment is for whoever may read whatever there is.
    return None if len(found) == len([each for each in names if each]) and dcp.caller.tenants is None else found


def _verify(dcp: ControlPlane, request: VerifyAuditRequest) -> VerifyAuditAnswer:
    from dcp_graph_runner.audit import log_of
    from dcp_graph_runner.audit_chain import ALGORITHM
    from dcp_graph_runner.audit_outbox import Outbox

    log = log_of(dcp.store)
    noted = request.head
    if noted is not None:
        noted = noted.strip().lower()
        noted = noted if noted.startswith(ALGORITHM) else ALGORITHM + noted
    verdict = log.verify(noted)
    named = dcp.settings.section("audit", AuditSettings).table
    compared = named if request.compares and named and verdict.broken is None else None
    if compared:
        try:
            verdict = Outbox.of(log, dcp.settings).compare(verdict)
        except DcpError as error:
            error.hint = error.hint or "--no-table verifies the log alone"
            raise
    broken = verdict.broken
    return VerifyAuditAnswer(
        records=verdict.records,
        head=verdict.head.hash or None,
        noted_at=verdict.noted_at,
        broken=AuditBreak(broken.damage.value, broken.sequence, broken.operation_id, broken.message)
        if broken is not None
        else None,
        compared_with=compared,
        delivered=log.outgoing().sequence if named else None,
        announced=log.announced(),
    )


def _deliver(dcp: ControlPlane, _request: DeliverAuditRequest) -> DeliverAuditAnswer:
    from dcp_graph_runner.audit import log_of
    from dcp_graph_runner.audit_outbox import Outbox

    with recording_denial(dcp, Subject("deliver", PRODUCTION, "DELIVER the audit log")):
        dcp.authorize("deliver_audit", Environment.named(PRODUCTION))  # of everybody's records
    dcp.settle_audit()
    delivery = Outbox.of(log_of(dcp.store), dcp.settings).deliver()
    return DeliverAuditAnswer(delivery.where, delivery.delivered, delivery.sequence)


HANDLERS: tuple[AnyHandler, ...] = (
    Handler("Audit", "List", ListAuditRequest, ListAuditAnswer, _list, "/audit/list", READ, verb="GET",
            summary="What was done, newest first"),
    Handler("Audit", "Verify", VerifyAuditRequest, VerifyAuditAnswer, _verify, "/audit/verify", READ, verb="GET",
            summary="Whether anybody has touched the log"),
    Handler("Audit", "Deliver", DeliverAuditRequest, DeliverAuditAnswer, _deliver, "/audit/deliver", None,
            summary="Bring the log to the audit table"),
)  # fmt: skip
