"""Records of what is done to a playground or a manifest by other means than its plan: one for each deed.

As a run's, a record is written ahead when the deed begins: whatever ends the process leaves one.

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
from dcp_core.operating import id_in_request, new_id
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
        has_begun: Whether anything may have changed.
        outcome: SUCCEEDED once the block ends, unless it says otherwise.
        message: Why not.
        actions: What was done, a line each; () for the subject's own line.
    """

    _dcp: ControlPlane
    subject: Subject
    operation_id: str
    _announcement: ExitStack = attrs.field(factory=ExitStack, init=False)
    has_begun: bool = attrs.field(default=False, init=False)
    outcome: OperationStatus = attrs.field(default=OperationStatus.SUCCEEDED, init=False)
    message: str = attrs.field(default="", init=False)
    actions: tuple[str, ...] = attrs.field(default=(), init=False)

    def begin(self) -> None:
        """To be called once everything was checked, before the first change; what comes then is in the log."""
        self.has_begun = True
        if self._dcp.caller.request_id:
            return  # the request is written ahead itself, and whoever takes it over records the end
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
    deed = Deed(dcp, subject, _id(dcp, subject))
    # What holds until something better is known: a second Ctrl-C may come between any two lines.
    outcome, message = OperationStatus.FAILED, LEFT
    is_to_be_told = not is_dry
    try:
        yield deed
        outcome, message = deed.outcome, deed.message
        is_to_be_told = deed.has_begun
    except DcpError as error:
        outcome, message = _outcome(error, deed.has_begun), str(error)
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


def _outcome(error: DcpError, has_begun: bool) -> OperationStatus:
    is_refusal = not has_begun and isinstance(error, (UnauthorizedError, ConflictError))
    return OperationStatus.REFUSED if is_refusal else OperationStatus.FAILED


def _id(dcp: ControlPlane, subject: Subject) -> str:
    """In a server's request the same one again, so that whoever takes it over adds no second record."""
    if not dcp.caller.request_id:
        return new_id(_now(dcp))
    return id_in_request(dcp.caller.request_id, f"{subject.kind} {subject.manifest_id or subject.environment}")


def _now(dcp: ControlPlane) -> datetime:
    return dcp.context(Environment.named(PRODUCTION)).clock()
