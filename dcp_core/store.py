"""What DCP remembers, and the journal that makes operations survive a crash: two protocols.

``dcp_graph_runner`` implements both on SQL and registers under ``dcp.stores``; ``dcp_core.memory_store`` is
the one for tests and for embedding without a database. This module has no implementation, so that the core
does no platform I/O.

Source: design.md sections 6, 7 and 9.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import attrs

from dcp_core.digests import JsonValue
from dcp_core.model import LogicalPlan, ResourceKey
from dcp_core.records import (
    ActionResult,
    AuditRecord,
    InventoryEntry,
    Operation,
    OperationStatus,
    Sandbox,
)
from dcp_core.sections import StoreSettings


@attrs.frozen
class Holder:
    """A process that may work on operations.

    Args:
        host: Its machine.
        pid: Its process id there.
        started: The process's start time as the machine gives it, so that a reused pid is not mistaken for it.
        user: Who runs it.
    """

    host: str
    pid: int
    started: str
    user: str

    def __str__(self) -> str:
        return f"{self.user} on {self.host} (process {self.pid})"


@attrs.frozen
class Lease:
    """The right to work on one operation until it expires or is taken over.

    Args:
        operation: What it is for.
        fence: Grows with every take-over; writes carry it, so that a former holder's write changes nothing.
        holder: Who holds it.
        start_key: What the idempotency keys of its starts begin with; "" for the operation's kind and id.
    """

    operation: Operation
    fence: int
    holder: Holder
    start_key: str = ""


class StepStatus(enum.StrEnum):
    """How far a step came."""

    STARTED = "STARTED"
    """Written ahead; after a crash it may have happened or not."""
    DONE = "DONE"
    FAILED = "FAILED"


@attrs.frozen
class Step:
    """One journalled step of an operation.

    Args:
        key: Unique in its operation: ``stop:coreetl_job:x``, ``action:iceberg_table:y``.
        status: How far it came.
        result: What it gave; None until it is done.
        is_new: True when this call of ``start_step`` wrote it, False when it was there already.
    """

    key: str
    status: StepStatus
    result: JsonValue = None
    is_new: bool = False


@attrs.frozen
class InventoryChange:
    """Written in the same transaction as the end of a step: put an entry, or remove one."""

    environment: str
    key: ResourceKey
    entry: InventoryEntry | None


@runtime_checkable
class Journal(Protocol):
    """Write-ahead log of operations. Every write after ``begin`` is conditional on the lease's fence.

    All methods are safe to call from several threads. ``LeaseLostError`` means: stop at once.
    """

    def begin(self, operation: Operation, holder: Holder) -> Lease:
        """Open an operation and take its manifest's lock in one transaction.

        Raises:
            OperationInProgressError: The manifest has a running operation in that environment, whether its
                holder lives or not (``interrupted`` tells); names the holder.
        """
        ...

    def interrupted(self, environment: str | None, manifest_ids: Sequence[str] | None = None) -> tuple[Operation, ...]:
        """Running operations whose lease expired, or whose holder was on this machine and is gone.

        Args:
            environment: Where; None for everywhere.
            manifest_ids: Of which manifests; None for all.
        """
        ...

    def served(self, request_ids: Sequence[str]) -> frozenset[str]:
        """Which of these requests of a server have not ended: their operations are for who works on the request."""
        ...

    def take_over(self, operation_id: str, holder: Holder) -> Lease:
        """Continue an interrupted operation with a higher fence; ``operation.recovered`` is then True.

        Raises:
            OperationInProgressError: Somebody was faster.
            PermanentError: It was taken over too often and is now FAILED (a poison operation).
        """
        ...

    def renew(self, lease: Lease) -> None:
        """Extend the lease. Raises LeaseLostError."""
        ...

    def steps(self, lease: Lease) -> Mapping[str, Step]:
        """Every step of the operation so far, by key, in the order they were started."""
        ...

    def start_step(self, lease: Lease, key: str) -> Step:
        """Write STARTED ahead, or give the step as it is when it was started before. Raises LeaseLostError."""
        ...

    def finish_step(
        self,
        lease: Lease,
        key: str,
        status: StepStatus,
        result: JsonValue,
        inventory: Sequence[InventoryChange] = (),
    ) -> None:
        """End a step and change the inventory in one transaction. Raises LeaseLostError."""
        ...

    def finish(
        self,
        lease: Lease,
        status: OperationStatus,
        results: Sequence[ActionResult],
        error: str | None,
        audit: AuditRecord,
    ) -> Operation:
        """End the operation, release the manifest and append its audit record, in one transaction.

        Raises:
            LeaseLostError: Another process took it over; nothing was written.
        """
        ...


@runtime_checkable
class Store(Protocol):
    """What DCP remembers between commands. Reads are in bulk; all methods are thread-safe."""

    def inventory(
        self, environment: str, manifest_ids: Sequence[str] | None = None, keys: Sequence[ResourceKey] = ()
    ) -> tuple[InventoryEntry, ...]:
        """The resources that exist by DCP's hand, in the order in which they were first applied.

        Args:
            environment: Where.
            manifest_ids: Only what these have applied; None for everybody.
            keys: And these, whoever has applied them.
        """
        ...

    def set_protected(self, environment: str, key: ResourceKey, protected: bool, by: str | None = None) -> None:
        """Protect or unprotect a resource in the inventory.

        Args:
            environment: Where.
            key: What.
            protected: As a manifest does.
            by: The operator who protects it, whatever manifests say; "" for nobody any more, None leaves that as it is.

        Raises:
            NotFoundError: It is not in the inventory.
        """
        ...

    def save_logical_plan(self, logical_plan: LogicalPlan, operation_id: str, user: str, at: datetime) -> int:
        """Append a version to the manifest's history unless it equals the newest; gives its number, from 1."""
        ...

    def logical_plans(self, environment: str, manifest_ids: Sequence[str] | None = None) -> Mapping[str, LogicalPlan]:
        """The newest version of every manifest (None), or of these, that has resources in the inventory, by id."""
        ...

    def history(self, environment: str, manifest_id: str) -> tuple[tuple[int, LogicalPlan, str, str, datetime], ...]:
        """``(version, logical plan, operation id, user, at)``, newest first."""
        ...

    def operations(self, environment: str | None = None, limit: int = 100) -> tuple[Operation, ...]:
        """Newest first."""
        ...

    def append_audit(self, record: AuditRecord) -> None:
        """Record an operation that never came to a lease (refused ones); a known operation id changes nothing."""
        ...

    def announce_audit(self, record: AuditRecord, holder: Holder) -> None:
        """Write ahead the record of an operation that takes no lease; repeated, it extends the announcement.

        Ended by ``append_audit`` of the same operation id. One whose process is gone is ended by ``settle_audit``
        with ``record`` as it is here: it says what is known when nobody can tell the end.
        """
        ...

    def settle_audit(self) -> tuple[AuditRecord, ...]:
        """Append every announced record whose process is gone; gives them, oldest first."""
        ...

    def audit_records(
        self, environment: str | None = None, manifest_id: str | None = None, limit: int = 100
    ) -> tuple[AuditRecord, ...]:
        """Newest first."""
        ...

    def put_sandbox(self, sandbox: Sandbox) -> None:
        """Create a playground, or replace the row of the one that has its id.

        Raises:
            ConflictError: The id belongs to another identity.
        """
        ...

    def sandboxes(self) -> tuple[Sandbox, ...]:
        """All of them, by id."""
        ...

    def delete_sandbox(self, sandbox_id: str) -> None:
        """Forget a playground whose resources are gone. Raises ConflictError when its inventory is not empty."""
        ...

    def chosen_sandbox(self, identity: str) -> str | None:
        """What ``choose_sandbox`` was last told for this identity."""
        ...

    def choose_sandbox(self, identity: str, sandbox_id: str | None) -> None:
        """Remember which playground an identity works on; None forgets."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


class StateStore(Store, Journal, Protocol):
    """Both in one object, as the control plane uses it."""


StoreFactory = Callable[[str, Callable[[], datetime], StoreSettings], StateStore]
"""What an entry point of group ``dcp.stores`` (name = URL scheme) loads: ``make(url, clock, settings)``."""
