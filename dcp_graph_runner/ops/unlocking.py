"""Unlock: end an operation that holds a manifest and whose process is dead or hangs.

The fence is raised first, so that a process that wakes up again writes nothing to the journal any more. What it does on
a platform in that very moment nobody can undo: hence the refusal while it looks alive.

Source: design.md section 7.
"""

from __future__ import annotations

import attrs
from sqlalchemy import select

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import NotFoundError, NotSupportedError, OperationInProgressError
from dcp_core.model import Environment
from dcp_core.records import Operation, OperationStatus
from dcp_core.store import Holder
from dcp_core.suggesting import nearest
from dcp_graph_runner import holder as processes
from dcp_graph_runner.deeds import Subject, recorded
from dcp_graph_runner.ending import end
from dcp_graph_runner.journal import SqlJournal
from dcp_graph_runner.journal_rows import holder_of, read_operation
from dcp_graph_runner.ops.manifests import check_allowed
from dcp_graph_runner.ops.messages import UnlockAnswer, UnlockRequest
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import operations

UNLOCK = "unlock"
_TOLD = 5
"""So many that are held are named, where none is near what was asked for."""


@attrs.frozen
class Held:
    """A running operation, and how its holder seems to be."""

    operation: Operation
    holder: Holder
    is_alive: bool


def unlock(dcp: ControlPlane, request: UnlockRequest) -> UnlockAnswer:
    """End it as FAILED; what it had done stays done and is in the inventory.

    Raises:
        NotFoundError: Nothing holds the manifest.
        OperationInProgressError: Its process seems alive and well, and ``force`` is not given; or it has just ended, or
            been taken over by another process than it was seen with.
        UnauthorizedError: Denied; recorded.
        NotSupportedError: The store is none on SQL.
    """
    environment = dcp.environment(request.environment)
    store = dcp.store
    if not isinstance(store, SqlStore):
        raise NotSupportedError("operations are kept in a SQL store", hint="[store] url = sqlite:///… or postgresql…")
    held = find(store, environment, request.manifest_id)
    operation = held.operation
    digest = operation.plan.logical_plan.digest
    subject = Subject(UNLOCK, environment.name, f"UNLOCK {operation.id}", operation.manifest_id, digest)
    with recorded(dcp, subject) as deed:
        in_force = store.logical_plans(environment.name, [operation.manifest_id]).get(operation.manifest_id)
        check_allowed(dcp, UNLOCK, environment, operation.plan.logical_plan, in_force)
        if held.is_alive and not request.force:
            raise OperationInProgressError(
                f"{operation.manifest_id} is being changed by {held.holder}, which is alive: "
                f"{operation.kind} {operation.id}",
                holder=str(held.holder),
                where=environment.name,
                hint="let it end; --force ends it all the same: make sure first that its process does nothing any more",
            )
        deed.begin()
        why = f"unlocked by {dcp.identity}; it was held by {held.holder}"
        ended = end(dcp, store, operation.id, why, _forced(store, dcp, held) if request.force else None)
    return UnlockAnswer(environment.name, operation.manifest_id, ended, str(held.holder), held.is_alive)


def find(store: SqlStore, environment: Environment, manifest_id: str) -> Held:
    """The operation that holds a manifest.

    Raises:
        NotFoundError: None does.
    """
    running = select(operations).where(
        operations.c.environment == environment.name, operations.c.status == OperationStatus.RUNNING.value
    )
    rows = {row.manifest_id: row for row in store.database.rows(running)}
    row = rows.get(manifest_id)
    if row is None and store.logical_plans(environment.name, [manifest_id]):
        raise NotFoundError(f"nothing holds {manifest_id} in {environment.name}: there is nothing to unlock")
    if row is None:
        otherwise = f"held are: {', '.join(sorted(rows)[:_TOLD])}" if rows else "no operation runs there"
        hint = nearest(manifest_id, rows, otherwise)
        raise NotFoundError(f"nothing holds {manifest_id} in {environment.name}", hint=hint)
    # By the database's clock, and by looking at the process where it is one of this machine.
    dead = {each.id for each in store.interrupted(environment.name, [manifest_id])}
    return Held(read_operation(row), holder_of(row), row.id not in dead)


def _forced(store: SqlStore, dcp: ControlPlane, held: Held) -> SqlJournal:
    """One that takes the operation from whom it was seen with, alive or not, and from nobody who has got it since."""
    return SqlJournal(
        store.database, dcp.operator.clock, is_gone=lambda holder: holder == held.holder or processes.is_gone(holder)
    )
