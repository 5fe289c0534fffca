"""Records of what is done to playgrounds themselves; what is done in them is recorded manifest by manifest.

As a run's, a record is written ahead when the deed begins: whatever ends the process leaves one.

Source: design.md sections 8 and 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import attrs

from dcp_core.applying import announced
from dcp_core.errors import ConflictError, DcpError, NotFoundError, UnauthorizedError, UsageError
from dcp_core.model import PLAYGROUND_PREFIX, PRODUCTION, Environment
from dcp_core.operating import new_id
from dcp_core.records import AuditRecord, OperationStatus
from dcp_core.settings import masked
from dcp_graph_runner.holder import current_holder

if TYPE_CHECKING:
    from dcp_core.control_plane import ControlPlane

Kind = Literal["create", "extend", "destroy"]
LEFT = "its process ended before it could record the end: it may have been done, or a part of it"


@attrs.define
class Deed:
    """One of them: whether it has begun, and how it ended, as far as no error says it.

    Args:
        dcp: Where.
        kind: What is done.
        name: To which playground, with its prefix or without.
        operation_id: Of the record.
        has_begun: Whether anything may have changed.
        outcome: SUCCEEDED once the block ends, unless it says otherwise.
        message: Why not.
    """

    _dcp: ControlPlane
    _kind: Kind
    _name: str
    _operation_id: str
    _announcement: ExitStack = attrs.field(factory=ExitStack, init=False)
    has_begun: bool = attrs.field(default=False, init=False)
    outcome: OperationStatus = attrs.field(default=OperationStatus.SUCCEEDED, init=False)
    message: str = attrs.field(default="", init=False)

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
        sandbox_id = self._name if self._name.startswith(PLAYGROUND_PREFIX) else PLAYGROUND_PREFIX + self._name
        return AuditRecord(
            operation_id=self._operation_id,
            kind=f"playground_{self._kind}",
            manifest_id="",
            environment=sandbox_id,
            user=self._dcp.identity,
            outcome=outcome,
            plan_digest="",
            actions=(f"{self._kind.upper()}_PLAYGROUND {sandbox_id} {outcome}",),
            at=_now(self._dcp),
            message=message,
        )


@contextmanager
def recorded(dcp: ControlPlane, kind: Kind, name: str) -> Iterator[Deed]:
    """Record what the block does to the playground ``name`` (with its prefix or without), whatever ends it.

    Before ``Deed.begin`` only refusals and failures are recorded: what changed nothing, names no playground, or
    names none that could be, leaves no record.
    """
    deed = Deed(dcp, kind, name, new_id(_now(dcp)))
    # What holds until something better is known: a second Ctrl-C may come between any two lines.
    outcome, message = OperationStatus.FAILED, LEFT
    is_to_be_told = True
    try:
        yield deed
        outcome, message = deed.outcome, deed.message
        is_to_be_told = deed.has_begun
    except DcpError as error:
        outcome, message = _outcome(error, deed.has_begun), str(error)
        is_to_be_told = deed.has_begun or not isinstance(error, (NotFoundError, UsageError))
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


def _outcome(error: DcpError, has_begun: bool) -> OperationStatus:
    is_refusal = not has_begun and isinstance(error, (UnauthorizedError, ConflictError))
    return OperationStatus.REFUSED if is_refusal else OperationStatus.FAILED


def _now(dcp: ControlPlane) -> datetime:
    return dcp.context(Environment.named(PRODUCTION)).clock()
