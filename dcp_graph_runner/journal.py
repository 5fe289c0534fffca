"""The journal on SQL: operations, their leases and fences, and the steps written ahead.

The lock of a manifest is the partial unique index over running operations. The right to write is the fence: each
write is an ``UPDATE … WHERE id AND fence AND status = 'RUNNING'``, first in its transaction, and no row means that
somebody else has taken the operation over. That first update also serialises the threads of one operation.

Every write is done again when PostgreSQL cuts it off (``Database.settle``), and nobody can know whether what was cut
off while it ended was kept. Most writes are the same when they are done twice; ``begin``, ``take_over`` and ``finish``
know their own row again by the time that the database put into it.

Source: design.md section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import attrs
from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from dcp_core.digests import JsonValue
from dcp_core.errors import ConflictError, LeaseLostError, NotFoundError, OperationInProgressError, PermanentError
from dcp_core.records import ActionResult, AuditRecord, Operation, OperationStatus
from dcp_core.store import Holder, InventoryChange, Lease, Step, StepStatus
from dcp_graph_runner import audit as audit_log
from dcp_graph_runner import giving_up as verdicts
from dcp_graph_runner import holder as processes
from dcp_graph_runner.database import Database
from dcp_graph_runner.journal_rows import (
    AnyRow,
    change_inventory,
    dump,
    held_by,
    holder_of,
    opened_as,
    read_operation,
    read_step,
    steps_by_key,
    steps_of,
)
from dcp_graph_runner.tables import operations, requests, sandboxes, steps

LEASE = timedelta(seconds=30)


class SqlJournal:
    """``dcp_core.store.Journal`` on a database whose schema is current.

    Args:
        database: Where.
        clock: UTC now; leases are counted by it on SQLite, on PostgreSQL by the database's own (``Database.now``).
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
        self._take_overs = database.settings.take_overs

    def begin(self, operation: Operation, holder: Holder) -> Lease:
        """See ``Journal.begin``. Also raises ConflictError when the operation's id is in use."""
        holder, plan = processes.identified(holder), dump(operation.plan)
        tried: set[datetime] = set()

        def insert_or_refuse(connection: Connection) -> Operation:
            known = connection.execute(select(operations).where(operations.c.id == operation.id)).one_or_none()
            if known is not None and known.lease_expires_at in tried and holder_of(known) == holder:
                return read_operation(known)
            self._refuse_second(connection, operation)
            if known is not None:
                raise ConflictError(f"operation {operation.id} exists already")
            # Whoever forgets a playground waits, and then sees what runs there.
            connection.execute(
                select(sandboxes.c.id).where(sandboxes.c.id == operation.environment).with_for_update(read=True)
            )
            now = self._database.now(connection, self._clock)
            opened = opened_as(operation, now)
            tried.add(now + LEASE)
            connection.execute(
                insert(operations).values(
                    id=opened.id,
                    kind=opened.kind,
                    environment=opened.environment,
                    manifest_id=opened.manifest_id,
                    user=opened.user,
                    status=opened.status.value,
                    plan=plan,
                    results="[]",
                    created_at=opened.created_at,
                    fence=1,
                    request_id=opened.request_id,
                    lease_expires_at=now + LEASE,
                    **held_by(holder),
                )
            )
            return opened

        # Looking first gives the message; the unique index is what lets only one in.
        return Lease(self._database.settle(insert_or_refuse), 1, holder)

    def interrupted(self, environment: str | None, manifest_ids: Sequence[str] | None = None) -> tuple[Operation, ...]:
        """See ``Journal.interrupted``; oldest first."""
        wanted = None if manifest_ids is None else set(manifest_ids)
        running = select(operations, self._read_at()).where(operations.c.status == OperationStatus.RUNNING.value)
        if environment is not None:
            running = running.where(operations.c.environment == environment)
        rows = self._database.rows(running.order_by(operations.c.created_at, operations.c.id))
        return tuple(
            read_operation(row)
            for row in rows
            if (wanted is None or row.manifest_id in wanted) and self._is_interrupted(row)
        )

    def served(self, request_ids: Sequence[str]) -> frozenset[str]:
        """See ``Journal.served``."""
        query = select(requests.c.id).where(requests.c.id.in_(request_ids), requests.c.finished_at.is_(None))
        return frozenset(row.id for row in self._database.rows(query)) if request_ids else frozenset()

    def take_over(self, operation_id: str, holder: Holder) -> Lease:
        """See ``Journal.take_over``. Also raises NotFoundError for an unknown operation."""
        holder = processes.identified(holder)
        # The row is locked: who holds it may be about to renew, and then nothing is to be taken.
        look = select(operations, self._read_at()).where(operations.c.id == operation_id).with_for_update()
        tried: set[datetime] = set()

        def take(connection: Connection) -> tuple[Lease, str]:
            row = connection.execute(look).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no operation {operation_id}")
            if row.lease_expires_at in tried and holder_of(row) == holder:
                given_up = "" if row.status == OperationStatus.RUNNING.value else str(row.error)
                return Lease(read_operation(row), row.fence, holder), given_up
            if row.status != OperationStatus.RUNNING.value or not self._is_interrupted(row):
                raise _in_progress(row)
            expires_at = self._database.now(connection, self._clock) + LEASE
            tried.add(expires_at)
            connection.execute(
                update(operations)
                .where(operations.c.id == operation_id)
                .values(fence=row.fence + 1, lease_expires_at=expires_at, **held_by(holder))
            )
            lease = Lease(attrs.evolve(read_operation(row), recovered=True), row.fence + 1, holder)
            given_up = self._give_up(connection, lease) if row.fence > self._take_overs else ""
            return lease, given_up

        lease, given_up = self._database.settle(take)
        if given_up:
            raise PermanentError(
                f"operation {operation_id} on {lease.operation.manifest_id} is {given_up}",
                where=lease.operation.environment,
                hint="plan again to see what it left; find out what ends the process before trying again",
                code="operation.given_up",
            )
        return lease

    def renew(self, lease: Lease) -> None:
        """See ``Journal.renew``."""
        self._database.settle(lambda connection: self._hold(connection, lease))

    def steps(self, lease: Lease) -> Mapping[str, Step]:
        """See ``Journal.steps``. A former holder may read too."""
        return steps_by_key(self._database.rows(steps_of(lease.operation.id)))

    def start_step(self, lease: Lease, key: str) -> Step:
        """See ``Journal.start_step``; extends the lease.

        A step that was written and whose answer was lost counts as one that may have happened.
        """

        def begin(connection: Connection) -> Step:
            self._hold(connection, lease)
            found = connection.execute(
                select(steps).where(steps.c.operation_id == lease.operation.id, steps.c.key == key)
            ).one_or_none()
            if found is not None:
                return read_step(found)
            connection.execute(
                insert(steps).values(
                    operation_id=lease.operation.id,
                    key=key,
                    status=StepStatus.STARTED.value,
                    fence=lease.fence,
                    started_at=self._database.moment(self._clock),
                )
            )
            return Step(key, StepStatus.STARTED, is_new=True)

        return self._database.settle(begin)

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
                .values(
                    status=status.value,
                    result=dump(result),
                    fence=lease.fence,
                    finished_at=self._database.moment(self._clock),
                )
            )
            if ended.rowcount == 0:
                raise ConflictError(f"step {key} of operation {lease.operation.id} ended but was never started")
            for change in inventory:
                change_inventory(connection, change)

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
        tried: set[datetime] = set()

        def end(connection: Connection) -> Operation:
            finished_at = self._database.now(connection, self._clock)
            if self._end(connection, lease, status, results, error, audit, finished_at):
                tried.add(finished_at)
            else:
                row = connection.execute(select(operations).where(operations.c.id == lease.operation.id)).one_or_none()
                # Nobody but this lease ends an operation with its fence.
                if row is None or row.fence != lease.fence or row.finished_at not in tried:
                    raise _lease_lost(lease)
                finished_at = row.finished_at
            return attrs.evolve(
                lease.operation,
                status=status,
                results=tuple(results),
                error=error,
                finished_at=finished_at,
                recovered=lease.fence > 1,
            )

        return self._database.settle(end)

    def _end(
        self,
        connection: Connection,
        lease: Lease,
        status: OperationStatus,
        results: Sequence[ActionResult],
        error: str | None,
        audit: AuditRecord,
        finished_at: datetime,
    ) -> bool:
        """Whether the lease was still held, and so the operation has ended now."""
        ended = connection.execute(
            update(operations)
            .where(_fenced(lease.operation.id, lease.fence))
            .values(status=status.value, results=dump(list(results)), error=error, finished_at=finished_at)
        )
        if ended.rowcount:
            audit_log.append(connection, audit)
        return ended.rowcount > 0

    def _give_up(self, connection: Connection, lease: Lease) -> str:
        """End the operation that was just taken over; gives the verdict in words."""
        operation, at = lease.operation, self._database.now(connection, self._clock)
        done = steps_by_key(connection.execute(steps_of(operation.id)).all())
        results = verdicts.results(operation.plan, done)
        error = verdicts.words(self._take_overs + 1, done)
        record = AuditRecord(
            operation_id=operation.id,
            kind=operation.kind,
            manifest_id=operation.manifest_id,
            environment=operation.environment,
            user=operation.user,
            outcome=OperationStatus.FAILED,
            plan_digest=operation.plan.logical_plan.digest,
            actions=tuple(f"{result.label} {result.key} {result.status}" for result in results),
            at=at,
            message=error,
        )
        self._end(connection, lease, OperationStatus.FAILED, results, error, record, at)
        return error

    def _hold(self, connection: Connection, lease: Lease) -> None:
        """Extend the lease, and with that lock the operation's row until the transaction ends."""
        held = connection.execute(
            update(operations)
            .where(_fenced(lease.operation.id, lease.fence))
            .values(lease_expires_at=self._database.moment(self._clock, LEASE))
        )
        if held.rowcount == 0:
            raise _lease_lost(lease)

    def _is_interrupted(self, row: AnyRow) -> bool:
        """Of a row that was read with ``_read_at``."""
        expired: bool = row.lease_expires_at <= row.read_at
        return expired or self._is_gone(holder_of(row))

    def _read_at(self) -> ColumnElement[datetime]:
        return self._database.moment(self._clock).label("read_at")

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


def _fenced(operation_id: str, fence: int) -> ColumnElement[bool]:
    return and_(
        operations.c.id == operation_id,
        operations.c.fence == fence,
        operations.c.status == OperationStatus.RUNNING.value,
    )


def _in_progress(row: AnyRow) -> OperationInProgressError:
    holder = str(holder_of(row))
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
