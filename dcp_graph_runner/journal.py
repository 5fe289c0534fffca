"""The journal on SQL: operations, their leases and fences, and the steps written ahead.

The lock of a manifest is the partial unique index over running operations. The right to write is the fence: each
write is an ``UPDATE … WHERE id AND fence AND status = 'RUNNING'``, first in its transaction, and no row means that
somebody else has taken the operation over. That first update also serialises the threads of one operation.

Source: design.md section 7.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import attrs
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from dcp_core.digests import JsonValue
from dcp_core.documents import from_json, to_json
from dcp_core.errors import ConflictError, LeaseLostError, NotFoundError, OperationInProgressError, PermanentError
from dcp_core.model import ActionKind, ManifestPlan
from dcp_core.records import ActionResult, AuditRecord, InventoryEntry, Operation, OperationStatus, ResultStatus
from dcp_core.store import Holder, InventoryChange, Lease, Step, StepStatus
from dcp_graph_runner import audit as audit_log
from dcp_graph_runner import holder as processes
from dcp_graph_runner.database import Database
from dcp_graph_runner.tables import inventory, operations, steps

LEASE = timedelta(seconds=30)
TAKE_OVERS_AT_MOST = 5

AnyRow = Row[tuple[object, ...]]


class SqlJournal:
    """``dcp_core.store.Journal`` on a database whose schema is current.

    Args:
        database: Where.
        clock: UTC now; leases are counted by it.
        is_gone: Whether a holder's process has ended for certain.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        is_gone: Callable[[Holder], bool] = processes.is_gone,
    ) -> None:
        self._database = database
        self._clock = clock
        self._is_gone = is_gone

    def begin(self, operation: Operation, holder: Holder) -> Lease:
        """See ``Journal.begin``. Also raises ConflictError when the operation's id is in use."""
        now, holder = self._clock(), processes.identified(holder)
        opened = attrs.evolve(
            operation,
            status=OperationStatus.RUNNING,
            results=(),
            error=None,
            created_at=operation.created_at or now,
            finished_at=None,
            recovered=False,
        )
        row = {
            "id": opened.id,
            "kind": opened.kind,
            "environment": opened.environment,
            "manifest_id": opened.manifest_id,
            "user": opened.user,
            "status": opened.status.value,
            "plan": dump(opened.plan),
            "results": "[]",
            "created_at": opened.created_at,
            "fence": 1,
            "request_id": opened.request_id,
            **self._held_by(holder, now),
        }

        def insert_or_refuse(connection: Connection) -> None:
            self._refuse_second(connection, opened)
            connection.execute(insert(operations).values(row))

        # Looking first gives the message; the unique index is what lets only one in.
        self._database.settle(insert_or_refuse)
        return Lease(opened, 1, holder)

    def interrupted(self, environment: str, manifest_ids: Sequence[str] | None = None) -> tuple[Operation, ...]:
        """See ``Journal.interrupted``; oldest first."""
        wanted = None if manifest_ids is None else set(manifest_ids)
        running = select(operations).where(
            operations.c.environment == environment, operations.c.status == OperationStatus.RUNNING.value
        )
        with self._database.reading() as connection:
            rows = connection.execute(running.order_by(operations.c.created_at, operations.c.id)).all()
        return tuple(
            read_operation(row)
            for row in rows
            if (wanted is None or row.manifest_id in wanted) and self._is_interrupted(row)
        )

    def take_over(self, operation_id: str, holder: Holder) -> Lease:
        """See ``Journal.take_over``. Also raises NotFoundError for an unknown operation."""
        now, holder = self._clock(), processes.identified(holder)
        with self._database.writing() as connection:
            row = connection.execute(select(operations).where(operations.c.id == operation_id)).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no operation {operation_id}")
            if row.status != OperationStatus.RUNNING.value or not self._is_interrupted(row):
                raise _in_progress(row)
            exhausted = row.fence > TAKE_OVERS_AT_MOST
            # The fence may have moved since the SELECT where writers are not serialised (PostgreSQL).
            taken = connection.execute(
                update(operations)
                .where(_fenced(operation_id, row.fence))
                .values(fence=row.fence + 1, **self._held_by(holder, now))
            )
            if taken.rowcount == 0:
                raise _in_progress(row)
            lease = Lease(attrs.evolve(read_operation(row), recovered=True), row.fence + 1, holder)
            if exhausted:
                self._give_up(connection, lease)
        if exhausted:
            raise PermanentError(
                f"operation {operation_id} on {lease.operation.manifest_id} was interrupted "
                f"{TAKE_OVERS_AT_MOST + 1} times and is given up",
                where=lease.operation.environment,
                hint="plan again to see what it left; find out what ends the process before trying again",
                code="operation.given_up",
            )
        return lease

    def renew(self, lease: Lease) -> None:
        """See ``Journal.renew``."""
        with self._database.writing() as connection:
            self._hold(connection, lease)

    def steps(self, lease: Lease) -> Mapping[str, Step]:
        """See ``Journal.steps``. A former holder may read too."""
        with self._database.reading() as connection:
            return _steps(connection, lease.operation.id)

    def start_step(self, lease: Lease, key: str) -> Step:
        """See ``Journal.start_step``; extends the lease."""
        with self._database.writing() as connection:
            self._hold(connection, lease)
            found = connection.execute(
                select(steps).where(steps.c.operation_id == lease.operation.id, steps.c.key == key)
            ).one_or_none()
            if found is not None:
                return _step(found)
            connection.execute(
                insert(steps).values(
                    operation_id=lease.operation.id,
                    key=key,
                    status=StepStatus.STARTED.value,
                    fence=lease.fence,
                    started_at=self._clock(),
                )
            )
            return Step(key, StepStatus.STARTED, is_new=True)

    def finish_step(
        self,
        lease: Lease,
        key: str,
        status: StepStatus,
        result: JsonValue,
        inventory: Sequence[InventoryChange] = (),
    ) -> None:
        """See ``Journal.finish_step``; extends the lease. Raises ConflictError for a step never started."""

        def end(connection: Connection) -> None:
            self._hold(connection, lease)
            ended = connection.execute(
                update(steps)
                .where(steps.c.operation_id == lease.operation.id, steps.c.key == key)
                .values(status=status.value, result=dump(result), fence=lease.fence, finished_at=self._clock())
            )
            if ended.rowcount == 0:
                raise ConflictError(f"step {key} of operation {lease.operation.id} ended but was never started")
            for change in inventory:
                _change_inventory(connection, change)

        self._database.settle(end)

    def finish(
        self,
        lease: Lease,
        status: OperationStatus,
        results: Sequence[ActionResult],
        error: str | None,
        audit: AuditRecord,
    ) -> Operation:
        """See ``Journal.finish``."""
        with self._database.writing() as connection:
            return self._end(connection, lease, status, results, error, audit)

    def _end(
        self,
        connection: Connection,
        lease: Lease,
        status: OperationStatus,
        results: Sequence[ActionResult],
        error: str | None,
        audit: AuditRecord,
    ) -> Operation:
        finished_at = self._clock()
        ended = connection.execute(
            update(operations)
            .where(_fenced(lease.operation.id, lease.fence))
            .values(status=status.value, results=dump(list(results)), error=error, finished_at=finished_at)
        )
        if ended.rowcount == 0:
            raise _lease_lost(lease)
        audit_log.append(connection, audit)
        return attrs.evolve(
            lease.operation,
            status=status,
            results=tuple(results),
            error=error,
            finished_at=finished_at,
            recovered=lease.fence > 1,
        )

    def _give_up(self, connection: Connection, lease: Lease) -> None:
        operation = lease.operation
        results = _results_so_far(operation.plan, _steps(connection, operation.id))
        error = f"given up: interrupted {TAKE_OVERS_AT_MOST + 1} times"
        record = AuditRecord(
            operation_id=operation.id,
            kind=operation.kind,
            manifest_id=operation.manifest_id,
            environment=operation.environment,
            user=operation.user,
            outcome=OperationStatus.FAILED,
            plan_digest=operation.plan.logical_plan.digest,
            actions=tuple(f"{result.label} {result.key} {result.status}" for result in results),
            at=self._clock(),
            message=error,
        )
        self._end(connection, lease, OperationStatus.FAILED, results, error, record)

    def _hold(self, connection: Connection, lease: Lease) -> None:
        """Extend the lease, and with that lock the operation's row until the transaction ends."""
        held = connection.execute(
            update(operations)
            .where(_fenced(lease.operation.id, lease.fence))
            .values(lease_expires_at=self._clock() + LEASE)
        )
        if held.rowcount == 0:
            raise _lease_lost(lease)

    def _held_by(self, holder: Holder, now: datetime) -> dict[str, object]:
        return {
            "lease_expires_at": now + LEASE,
            "holder_host": holder.host,
            "holder_pid": holder.pid,
            "holder_started": holder.started,
            "holder_user": holder.user,
        }

    def _is_interrupted(self, row: AnyRow) -> bool:
        expired: bool = row.lease_expires_at <= self._clock()
        return expired or self._is_gone(_holder(row))

    def _refuse_second(self, connection: Connection, operation: Operation) -> None:
        running = connection.execute(
            select(operations).where(
                operations.c.environment == operation.environment,
                operations.c.manifest_id == operation.manifest_id,
                operations.c.status == OperationStatus.RUNNING.value,
            )
        ).one_or_none()
        if running is not None:
            raise _in_progress(running)
        if connection.execute(select(operations.c.id).where(operations.c.id == operation.id)).first() is not None:
            raise ConflictError(f"operation {operation.id} exists already")


def dump(value: object) -> str:
    """The JSON text of a model object; ASCII, because PostgreSQL's text cannot hold a NUL."""
    return json.dumps(to_json(value), separators=(",", ":"))


def read_operation(row: AnyRow) -> Operation:
    """The operation in one row of the table."""
    return Operation(
        id=row.id,
        kind=row.kind,
        plan=from_json(json.loads(row.plan), ManifestPlan),
        user=row.user,
        status=OperationStatus(row.status),
        results=tuple(from_json(result, ActionResult) for result in json.loads(row.results)),
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
        recovered=row.fence > 1,
        request_id=row.request_id,
    )


def put_entry(connection: Connection, environment: str, entry: InventoryEntry) -> None:
    """Write an inventory entry; one that was there keeps its place in the order."""
    key = entry.resource.key
    values = {
        "manifest_id": entry.resource.manifest_id,
        "protected": entry.protected,
        "resource": dump(entry.resource),
        "applied_digest": entry.applied_digest,
        "logical_plan_digest": entry.logical_plan_digest,
    }
    where = and_(inventory.c.environment == environment, inventory.c.kind == key.kind, inventory.c.name == key.name)
    if connection.execute(update(inventory).where(where).values(values)).rowcount == 0:
        connection.execute(insert(inventory).values(environment=environment, kind=key.kind, name=key.name, **values))


def _change_inventory(connection: Connection, change: InventoryChange) -> None:
    if change.entry is not None:
        put_entry(connection, change.environment, change.entry)
        return
    connection.execute(
        delete(inventory).where(
            inventory.c.environment == change.environment,
            inventory.c.kind == change.key.kind,
            inventory.c.name == change.key.name,
        )
    )


def _fenced(operation_id: str, fence: int) -> ColumnElement[bool]:
    return and_(
        operations.c.id == operation_id,
        operations.c.fence == fence,
        operations.c.status == OperationStatus.RUNNING.value,
    )


def _steps(connection: Connection, operation_id: str) -> dict[str, Step]:
    rows = connection.execute(select(steps).where(steps.c.operation_id == operation_id).order_by(steps.c.id))
    return {row.key: _step(row) for row in rows}


def _step(row: AnyRow) -> Step:
    return Step(row.key, StepStatus(row.status), None if row.result is None else json.loads(row.result))


def _holder(row: AnyRow) -> Holder:
    return Holder(row.holder_host, row.holder_pid, row.holder_started, row.holder_user)


def _results_so_far(plan: ManifestPlan, done: Mapping[str, Step]) -> tuple[ActionResult, ...]:
    """What the journal alone can say of each action: for an operation that nobody will look at again."""
    return tuple(_results(plan, done))


def _results(plan: ManifestPlan, done: Mapping[str, Step]) -> Iterable[ActionResult]:
    for action in plan.actions:
        step = done.get(f"action:{action.resource.key}")
        error = None
        if action.kind is ActionKind.NOOP:
            status = ResultStatus.NOOP
        elif action.kind is ActionKind.BLOCKED:
            status, error = ResultStatus.BLOCKED, action.message or action.reason
        elif step is None:
            status, error = ResultStatus.SKIPPED, "the operation was given up before"
        elif step.status is StepStatus.DONE:
            status = ResultStatus.SUCCEEDED
        elif step.status is StepStatus.FAILED:
            status, error = ResultStatus.FAILED, "it failed"
        else:
            status, error = ResultStatus.FAILED, "it was interrupted: it may have happened or not"
        yield ActionResult(action.resource.key, action.label, status, error)


def _in_progress(row: AnyRow) -> OperationInProgressError:
    holder = str(_holder(row))
    if row.status != OperationStatus.RUNNING.value:
        message = f"operation {row.id} has ended already ({row.status}), by {holder}"
    else:
        message = f"{row.manifest_id} is being changed by {holder}: {row.kind} {row.id}"
    return OperationInProgressError(message, where=row.environment, holder=holder)


def _lease_lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(
        f"another process took operation {lease.operation.id} on {lease.operation.manifest_id} over",
        where=lease.operation.environment,
    )
