"""Unlock: end an operation that holds a manifest and whose process is dead or hangs.

The fence is raised first, so that a process that wakes up again writes nothing to the journal any more. What it does on
a platform in that very moment nobody can undo: hence the refusal while it looks alive.

Source: design.md section 7.
"""

from __future__ import annotations

import attrs
from sqlalchemy import select

from dcp_core.applying import complete
from dcp_core.control_plane import ControlPlane
from dcp_core.documents import from_json
from dcp_core.errors import ConflictError, NotFoundError, NotSupportedError, OperationInProgressError, PermanentError
from dcp_core.model import Environment, ResourceKey
from dcp_core.records import ActionResult, Operation, OperationStatus, ResultStatus
from dcp_core.store import Holder, Lease, Step, StepStatus
from dcp_graph_runner.deeds import Subject, recorded
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.journal import SqlJournal
from dcp_graph_runner.journal_rows import holder_of, read_operation
from dcp_graph_runner.ops.manifests import check_allowed, nearest
from dcp_graph_runner.ops.messages import UnlockAnswer, UnlockRequest
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import operations

UNLOCK = "unlock"
_ACTION = "action:"


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
        OperationInProgressError: Its process seems alive and well, and ``force`` is not given; or it has just ended.
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
        ended = _end(dcp, store, operation, f"unlocked by {dcp.identity}; it was held by {held.holder}")
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
    if row is None:
        hint = nearest(manifest_id, list(rows)) if rows else "no operation runs there"
        raise NotFoundError(f"nothing holds {manifest_id} in {environment.name}", hint=hint)
    # By the database's clock, and by looking at the process where it is one of this machine.
    dead = {each.id for each in store.interrupted(environment.name, [manifest_id])}
    return Held(read_operation(row), holder_of(row), row.id not in dead)


def _end(dcp: ControlPlane, store: SqlStore, operation: Operation, words: str) -> Operation:
    # Whoever holds it counts as gone here: that was decided before.
    journal = SqlJournal(store.database, dcp.operator.clock, is_gone=lambda holder: True)
    try:
        lease = journal.take_over(operation.id, current_holder(dcp.identity))
    except PermanentError as error:
        if error.code != "operation.given_up":  # taken over too often: that ends it too
            raise
        return next(each for each in store.operations(operation.environment) if each.id == operation.id)
    results = complete(operation, _results(journal, lease), words)
    audit = dcp.operator.audit_record(operation, OperationStatus.FAILED, results, words)
    return journal.finish(lease, OperationStatus.FAILED, results, words, audit)


def _results(journal: SqlJournal, lease: Lease) -> dict[ResourceKey, ActionResult]:
    """What the journal has of each action; one in the middle may have happened or not."""
    steps = journal.steps(lease)
    found = {}
    for action in lease.operation.plan.actions:
        step: Step | None = steps.get(f"{_ACTION}{action.resource.key}")
        if step is None:
            continue
        key = action.resource.key
        if step.status is StepStatus.STARTED:
            words = "it was interrupted: it may have happened or not"
            found[key] = ActionResult(key, action.label, ResultStatus.FAILED, words)
        else:
            found[key] = _recorded(step, ActionResult(key, action.label, ResultStatus.FAILED, "it failed"))
    return found


def _recorded(step: Step, otherwise: ActionResult) -> ActionResult:
    try:
        return from_json(step.result, ActionResult)
    except ConflictError:  # another version wrote it
        return otherwise
