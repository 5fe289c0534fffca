"""Records of what is done to playgrounds themselves; what is done in them is recorded manifest by manifest.

Source: design.md sections 8 and 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import attrs

from dcp_core.errors import ConflictError, DcpError, NotFoundError, UnauthorizedError, UsageError
from dcp_core.model import PLAYGROUND_PREFIX, PRODUCTION, Environment
from dcp_core.operating import new_id
from dcp_core.records import AuditRecord, OperationStatus

if TYPE_CHECKING:
    from dcp_core.control_plane import ControlPlane

Deed = Literal["create", "extend", "destroy"]


@attrs.define
class Ending:
    """How a deed ended, as far as no error says it.

    Args:
        outcome: SUCCEEDED unless the block says otherwise.
        message: Why not.
    """

    outcome: OperationStatus = OperationStatus.SUCCEEDED
    message: str = ""


@contextmanager
def recorded(dcp: ControlPlane, deed: Deed, name: str) -> Iterator[Ending]:
    """Record what the block does to the playground ``name`` (with its prefix or without), also when it fails.

    What names no playground, or none that could be, did nothing to any and leaves no record.
    """
    ending = Ending()
    try:
        yield ending
    except (NotFoundError, UsageError):
        raise
    except DcpError as error:
        is_refused = isinstance(error, (UnauthorizedError, ConflictError))
        outcome = OperationStatus.REFUSED if is_refused else OperationStatus.FAILED
        _record(dcp, deed, name, Ending(outcome, str(error)))
        raise
    _record(dcp, deed, name, ending)


def _record(dcp: ControlPlane, deed: Deed, name: str, ending: Ending) -> None:
    sandbox_id = name if name.startswith(PLAYGROUND_PREFIX) else PLAYGROUND_PREFIX + name
    at = dcp.context(Environment.named(PRODUCTION)).clock()
    record = AuditRecord(
        operation_id=new_id(at),
        kind=f"playground_{deed}",
        manifest_id="",
        environment=sandbox_id,
        user=dcp.identity,
        outcome=ending.outcome,
        plan_digest="",
        actions=(f"{deed.upper()}_PLAYGROUND {sandbox_id} {ending.outcome}",),
        at=at,
        message=ending.message,
    )
    dcp.store.append_audit(record)
    dcp.registry.broadcast("audit", record=record)
