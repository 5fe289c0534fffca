"""The store and the journal in memory: for tests, and for embedding where nothing must be kept.

Keeps the whole contract of ``store.py`` within one process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import attrs

from dcp_core.digests import JsonValue
from dcp_core.errors import ConflictError, LeaseLostError, NotFoundError, OperationInProgressError, PermanentError
from dcp_core.model import LogicalPlan, ResourceKey
from dcp_core.records import ActionResult, AuditRecord, InventoryEntry, Operation, OperationStatus, Sandbox
from dcp_core.store import Holder, InventoryChange, Lease, Step, StepStatus

LEASE_S = 30.0
ANNOUNCEMENT = timedelta(minutes=5)
MAX_TAKE_OVERS = 5


@attrs.define
class _Running:
    operation: Operation
    holder: Holder
    fence: int
    expires: datetime
    steps: dict[str, Step] = attrs.Factory(dict)


class MemoryStore:
    """Implements ``StateStore``.

    Args:
        clock: UTC now.
        is_gone: Whether a holder's process has ended.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        is_gone: Callable[[Holder], bool] = lambda _holder: False,
    ) -> None:
        self._clock = clock
        self._is_gone = is_gone
        self._lock = threading.RLock()
        self._inventory: dict[tuple[str, ResourceKey], InventoryEntry] = {}
        self._history: dict[tuple[str, str], list[tuple[int, LogicalPlan, str, str, datetime]]] = {}
        self._running: dict[str, _Running] = {}
        self._operations: dict[str, Operation] = {}
        self._audit: dict[str, AuditRecord] = {}
        self._announced: dict[str, tuple[AuditRecord, Holder, datetime]] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._chosen: dict[str, str] = {}

    def begin(self, operation: Operation, holder: Holder) -> Lease:
        with self._lock:
            for each in self._running.values():
                same = (each.operation.manifest_id, each.operation.environment)
                if same == (operation.manifest_id, operation.environment):
                    raise _busy(each.operation, each.holder)
            if operation.created_at is None:
                operation = attrs.evolve(operation, created_at=self._clock())
            self._running[operation.id] = _Running(operation, holder, 1, self._expiry())
            self._operations[operation.id] = operation
            return Lease(operation, 1, holder)

    def interrupted(self, environment: str | None, manifest_ids: Sequence[str] | None = None) -> tuple[Operation, ...]:
        with self._lock:
            return tuple(
                each.operation
                for each in self._running.values()
                if environment in (None, each.operation.environment)
                and (manifest_ids is None or each.operation.manifest_id in manifest_ids)
                and self._is_free(each)
            )

    def served(self, request_ids: Sequence[str]) -> frozenset[str]:
        return frozenset()  # a server keeps its requests in SQL

    def take_over(self, operation_id: str, holder: Holder) -> Lease:
        with self._lock:
            running = self._running.get(operation_id)
            if running is None and operation_id in self._operations:
                raise OperationInProgressError(f"{operation_id} has ended already", holder="nobody")
            if running is None:
                raise NotFoundError(f"there is no operation {operation_id}")
            if not self._is_free(running):
                raise _busy(running.operation, running.holder)
            if running.fence > MAX_TAKE_OVERS:
                self._poison(running)
            running.holder, running.fence = holder, running.fence + 1
            running.expires = self._expiry()
            running.operation = attrs.evolve(running.operation, recovered=True)
            self._operations[operation_id] = running.operation
            return Lease(running.operation, running.fence, holder)

    def renew(self, lease: Lease) -> None:
        with self._lock:
            self._held(lease).expires = self._expiry()

    def steps(self, lease: Lease) -> Mapping[str, Step]:
        with self._lock:
            return dict(self._held(lease).steps)

    def start_step(self, lease: Lease, key: str) -> Step:
        with self._lock:
            steps = self._held(lease).steps
            if key in steps:
                return steps[key]
            steps[key] = Step(key, StepStatus.STARTED)
            return Step(key, StepStatus.STARTED, is_new=True)

    def finish_step(
        self,
        lease: Lease,
        key: str,
        status: StepStatus,
        result: JsonValue,
        inventory: Sequence[InventoryChange] = (),
    ) -> None:
        with self._lock:
            self._held(lease).steps[key] = Step(key, status, result)
            for change in inventory:
                if change.entry is None:
                    self._inventory.pop((change.environment, change.key), None)
                else:
                    before = self._inventory.get((change.environment, change.key))
                    kept = before.protected_by if before else ""
                    self._inventory[change.environment, change.key] = attrs.evolve(change.entry, protected_by=kept)

    def finish(
        self,
        lease: Lease,
        status: OperationStatus,
        results: Sequence[ActionResult],
        error: str | None,
        audit: AuditRecord,
    ) -> Operation:
        with self._lock:
            running = self._held(lease)
            del self._running[lease.operation.id]
            finished = attrs.evolve(
                running.operation, status=status, results=tuple(results), error=error, finished_at=self._clock()
            )
            self._operations[finished.id] = finished
            self._audit.setdefault(audit.operation_id, audit)
            return finished

    def inventory(
        self, environment: str, manifest_ids: Sequence[str] | None = None, keys: Sequence[ResourceKey] = ()
    ) -> tuple[InventoryEntry, ...]:
        with self._lock:
            return tuple(
                entry
                for (name, key), entry in self._inventory.items()
                if name == environment
                and (manifest_ids is None or entry.resource.manifest_id in manifest_ids or key in keys)
            )

    def set_protected(self, environment: str, key: ResourceKey, protected: bool, by: str | None = None) -> None:
        with self._lock:
            entry = self._inventory.get((environment, key))
            if entry is None:
                raise NotFoundError(f"{key} is not in the inventory of {environment}")
            self._inventory[environment, key] = attrs.evolve(
                entry, protected=protected, protected_by=entry.protected_by if by is None else by
            )

    def save_logical_plan(self, logical_plan: LogicalPlan, operation_id: str, user: str, at: datetime) -> int:
        with self._lock:
            versions = self._history.setdefault((logical_plan.environment, logical_plan.id), [])
            if not versions or versions[-1][1] != logical_plan:
                versions.append((len(versions) + 1, logical_plan, operation_id, user, at))
            return versions[-1][0]

    def logical_plans(self, environment: str, manifest_ids: Sequence[str] | None = None) -> Mapping[str, LogicalPlan]:
        with self._lock:
            ids = dict.fromkeys(entry.resource.manifest_id for entry in self.inventory(environment, manifest_ids))
            return {id: self._history[environment, id][-1][1] for id in ids if (environment, id) in self._history}

    def history(self, environment: str, manifest_id: str) -> tuple[tuple[int, LogicalPlan, str, str, datetime], ...]:
        with self._lock:
            return tuple(reversed(self._history.get((environment, manifest_id), [])))

    def operations(self, environment: str | None = None, limit: int = 100) -> tuple[Operation, ...]:
        with self._lock:
            found = [each for each in self._operations.values() if environment in (None, each.environment)]
            return tuple(reversed(found))[:limit]

    def append_audit(self, record: AuditRecord) -> None:
        with self._lock:
            self._announced.pop(record.operation_id, None)
            self._audit.setdefault(record.operation_id, record)

    def announce_audit(self, record: AuditRecord, holder: Holder) -> None:
        with self._lock:
            if record.operation_id not in self._audit:
                self._announced[record.operation_id] = (record, holder, self._clock() + ANNOUNCEMENT)

    def settle_audit(self) -> tuple[AuditRecord, ...]:
        with self._lock:
            now = self._clock()
            over = [
                record
                for record, holder, expires in self._announced.values()
                if expires <= now or self._is_gone(holder)
            ]
            for record in over:
                self.append_audit(record)
            return tuple(over)

    def audit_records(
        self, environment: str | None = None, manifest_id: str | None = None, limit: int = 100
    ) -> tuple[AuditRecord, ...]:
        with self._lock:
            found = [
                each
                for each in self._audit.values()
                if environment in (None, each.environment) and manifest_id in (None, each.manifest_id)
            ]
            return tuple(reversed(found))[:limit]

    def put_sandbox(self, sandbox: Sandbox) -> None:
        with self._lock:
            other = self._sandboxes.get(sandbox.id)
            if other is not None and other.identity != sandbox.identity:
                raise ConflictError(
                    f"{sandbox.id} belongs to {other.identity}, and {sandbox.identity} would share its name",
                    hint="choose another name with -e playground_<name>",
                )
            self._sandboxes[sandbox.id] = sandbox

    def sandboxes(self) -> tuple[Sandbox, ...]:
        with self._lock:
            return tuple(self._sandboxes[id] for id in sorted(self._sandboxes))

    def delete_sandbox(self, sandbox_id: str) -> None:
        with self._lock:
            left = self.inventory(sandbox_id)
            if left:
                raise ConflictError(f"{sandbox_id} still has {len(left)} resources, {left[0].resource.key} among them")
            self._sandboxes.pop(sandbox_id, None)
            self._chosen = {who: chosen for who, chosen in self._chosen.items() if chosen != sandbox_id}

    def chosen_sandbox(self, identity: str) -> str | None:
        with self._lock:
            return self._chosen.get(identity)

    def choose_sandbox(self, identity: str, sandbox_id: str | None) -> None:
        with self._lock:
            if sandbox_id is None:
                self._chosen.pop(identity, None)
            else:
                self._chosen[identity] = sandbox_id

    def close(self) -> None:
        """Nothing is held outside the object."""

    def _expiry(self) -> datetime:
        return self._clock() + timedelta(seconds=LEASE_S)

    def _is_free(self, running: _Running) -> bool:
        return running.expires <= self._clock() or self._is_gone(running.holder)

    def _held(self, lease: Lease) -> _Running:
        running = self._running.get(lease.operation.id)
        if running is None or running.fence != lease.fence:
            raise LeaseLostError(f"{lease.operation.id} was taken over by another process")
        return running

    def _poison(self, running: _Running) -> None:
        message = f"given up after {running.fence} take-overs"
        operation = running.operation
        del self._running[operation.id]
        self._operations[operation.id] = attrs.evolve(
            operation, status=OperationStatus.FAILED, error=message, finished_at=self._clock()
        )
        self._audit.setdefault(
            operation.id,
            AuditRecord(
                operation.id, operation.kind, operation.manifest_id, operation.environment, operation.user,
                OperationStatus.FAILED, operation.plan.logical_plan.digest, (), self._clock(), message,
            ),
        )  # fmt: skip
        raise PermanentError(f"{operation.id} was {message}", hint="apply again")


def _busy(operation: Operation, holder: Holder) -> OperationInProgressError:
    since = f" since {operation.created_at:%H:%M:%S}" if operation.created_at else ""
    return OperationInProgressError(
        f"{operation.manifest_id} in {operation.environment} is being changed by {holder}{since}",
        holder=str(holder),
        hint="wait until it is done, then try again",
    )
