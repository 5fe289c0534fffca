"""Records of what is done to a playground or a manifest by other means than its plan: one for each deed.

As a run's, a record is written ahead when the deed begins: whatever ends the process leaves one. In a server's request
it stands until whoever takes the request over has done the deed, or the request ends without that.

Source: design.md sections 8 and 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from dcp_core.applying import announced
from dcp_core.errors import ConflictError, DcpError, NotFoundError, UnauthorizedError, UsageError
from dcp_core.model import PRODUCTION, Environment
from dcp_core.operating import new_id
from dcp_core.records import AuditRecord, OperationStatus
from dcp_core.settings import masked
from dcp_graph_runner.holder import current_holder

if TYPE_CHECKING:
    from dcp_core.control_plane import ControlPlane

LEFT = "its process ended before it could record the end: it may have been done, or a part of it"


@attrs.frozen
class Subject:
    """What is done, and to what.

    Args:
        kind: Of the record: ``pause``, ``playground_create`` …
        environment: Its name.
        label: The record's action in words, ``PAUSE`` and a manifest's id; the outcome follows it.
        manifest_id: "" when it is about the environment itself.
        plan_digest: Of the version in force; "" when it is about none.
    """

    kind: str
    environment: str
    label: str
    manifest_id: str = ""
    plan_digest: str = ""


@attrs.define
class Deed:
    """One of them: whether it has begun, and how it ended, as far as no error says it.

    Args:
        dcp: Where.
        subject: What is done.
        operation_id: Of the record.
        is_taken_over: Whether a process that has ended had begun it, in the same request of the server.
        has_begun: Whether anything may have changed.
        outcome: SUCCEEDED once the block ends, unless it says otherwise.
        message: Why not.
        actions: What was done, a line each; () for the subject's own line.
    """

    _dcp: ControlPlane
    subject: Subject
    operation_id: str
    is_taken_over: bool = False
    _announcement: ExitStack = attrs.field(factory=ExitStack, init=False)
    has_begun: bool = attrs.field(default=attrs.Factory(lambda self: self.is_taken_over, takes_self=True), init=False)
    outcome: OperationStatus = attrs.field(default=OperationStatus.SUCCEEDED, init=False)
    message: str = attrs.field(default="", init=False)
    actions: tuple[str, ...] = attrs.field(default=(), init=False)

    def begin(self) -> None:
        """To be called once everything was checked, before the first change; what comes then is in the log."""
        self.has_begun = True
        ahead = self._record(OperationStatus.FAILED, LEFT)
        self._announcement.enter_context(announced(ahead, current_holder(self._dcp.identity), self._dcp.store))

    def end(self, outcome: OperationStatus, message: str) -> None:
        """Append the record."""
        self._announcement.close()
        record = self._record(outcome, message)
        self._dcp.store.append_audit(record)
        self._dcp.registry.broadcast("audit", record=record)

    def _record(self, outcome: OperationStatus, message: str) -> AuditRecord:
        return AuditRecord(
            operation_id=self.operation_id,
            kind=self.subject.kind,
            manifest_id=self.subject.manifest_id,
            environment=self.subject.environment,
            user=self._dcp.identity,
            outcome=outcome,
            plan_digest=self.subject.plan_digest,
            actions=self.actions or (f"{self.subject.label} {outcome}",),
            at=_now(self._dcp),
            message=message,
        )


@contextmanager
def recorded(dcp: ControlPlane, subject: Subject, *, is_dry: bool = False) -> Iterator[Deed]:
    """Record what the block does, whatever ends it.

    Before ``Deed.begin`` only refusals and failures are recorded: what changed nothing, names nothing that is there, or
    names nothing that could be, leaves no record; of a dry run only a denial does.
    """
    id = id_of(dcp, subject.kind, subject.manifest_id or subject.environment)
    deed = Deed(dcp, subject, id, is_taken_over=_is_announced(dcp, id))
    # What holds until something better is known: a second Ctrl-C may come between any two lines.
    outcome, message = OperationStatus.FAILED, LEFT
    is_to_be_told = not is_dry
    try:
        yield deed
        outcome, message = deed.outcome, deed.message
        is_to_be_told = deed.has_begun
    except DcpError as error:
        outcome = _outcome(error, deed.has_begun)
        message = left_before(str(error)) if deed.is_taken_over else str(error)
        names_nothing = isinstance(error, (NotFoundError, UsageError))
        is_to_be_told = deed.has_begun or isinstance(error, UnauthorizedError) or not (is_dry or names_nothing)
        raise
    except KeyboardInterrupt:
        outcome, message = OperationStatus.CANCELLED, "interrupted: it may have been done, or a part of it"
        is_to_be_told = deed.has_begun
        raise
    except BaseException as error:
        message = masked("", f"{type(error).__name__}: {error}")
        raise
    finally:
        if is_to_be_told:
            deed.end(outcome, message)


@contextmanager
def recording_denial(dcp: ControlPlane, subject: Subject) -> Iterator[None]:
    """Record that the caller may not do what the block does; what ends it otherwise is no deed of its own."""
    try:
        yield
    except UnauthorizedError:
        with recorded(dcp, subject):
            raise


def left_before(why: str) -> str:
    """The message of what a process that is gone had begun, and whoever took it over could not do again."""
    return f"{LEFT}; when it was taken over: {why}"


def _outcome(error: DcpError, has_begun: bool) -> OperationStatus:
    is_refusal = not has_begun and isinstance(error, (UnauthorizedError, ConflictError))
    return OperationStatus.REFUSED if is_refusal else OperationStatus.FAILED


def id_of(dcp: ControlPlane, kind: str, about: str) -> str:
    """Of a deed; in a server's request the same one again, so that whoever takes it over adds no second record.

    Args:
        dcp: Where the caller works.
        kind: Of its record.
        about: The manifest's id; the environment of what is about none.
    """
    if not dcp.caller.request_id:
        return new_id(_now(dcp))
    from dcp_graph_runner.audit import deed_id

    return deed_id(dcp.caller.request_id, kind, about)


def _is_announced(dcp: ControlPlane, id: str) -> bool:
    if not dcp.caller.request_id:
        return False
    from dcp_graph_runner.audit import AuditLog

    log = getattr(dcp.store, "audit_log", None)
    return isinstance(log, AuditLog) and log.is_announced(id)


def _now(dcp: ControlPlane) -> datetime:
    return dcp.context(Environment.named(PRODUCTION)).clock()
