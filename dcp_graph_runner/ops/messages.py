"""What ops are asked and answer. Everything is JSON-able by ``dcp_core.documents``.

In every request ``environment`` is ``production`` or ``playground_<user>``, and ``manifest_id`` is ``TYPE/NAME``.

Source: design.md section 9.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime

import attrs

from dcp_core.model import Plan
from dcp_core.records import Execution, Operation


@attrs.frozen
class PauseRequest:
    """Let the manifest's schedule stand still.

    Args:
        reason: For whoever wonders why; may be "".
    """

    environment: str
    manifest_id: str
    reason: str = ""


@attrs.frozen
class PauseAnswer:
    """It is paused.

    Args:
        was_paused: Whether it had been before; ``user`` and ``at`` are then of that time.
        schedules: ``kind:name`` of what stands still now; () when nothing of it has a schedule.
    """

    environment: str
    manifest_id: str
    was_paused: bool
    user: str
    reason: str
    at: datetime
    schedules: tuple[str, ...] = ()


@attrs.frozen
class ResumeRequest:
    """Let the manifest's schedule go on."""

    environment: str
    manifest_id: str


@attrs.frozen
class ResumeAnswer:
    """It is not paused. ``schedules`` have what goes on; ``was_paused`` is False when there was nothing to undo."""

    environment: str
    manifest_id: str
    was_paused: bool
    schedules: tuple[str, ...] = ()


@attrs.frozen
class StopRequest:
    """Stop what runs of the manifest.

    Args:
        primitive: Of resources of this kind; "" for those that ``run`` starts.
    """

    environment: str
    manifest_id: str
    primitive: str = ""


@attrs.frozen
class StopAnswer:
    """What was stopped; () when nothing ran."""

    environment: str
    manifest_id: str
    stopped: tuple[Execution, ...] = ()


@attrs.frozen
class StartRequest:
    """Run the manifest's jobs as they were last applied.

    Args:
        params: Values for its parameters, the interval among them.
        wait: Whether the answer comes when they have ended.
        idempotency_key: The same key again gives the same executions; "" for a new one.
        primitive: Start the resources of this kind instead; "" for those that ``run`` starts.
    """

    environment: str
    manifest_id: str
    params: Mapping[str, str] = attrs.Factory(dict)
    wait: bool = False
    idempotency_key: str = ""
    primitive: str = ""


@attrs.frozen
class StartAnswer:
    """What was started, one for each runnable resource; final when it was waited for."""

    environment: str
    manifest_id: str
    executions: tuple[Execution, ...] = ()


@attrs.frozen
class RetryRequest:
    """Run again what failed last, with the same parameters."""

    environment: str
    manifest_id: str
    wait: bool = False


@attrs.frozen
class RetryAnswer:
    """What was started, and in place of which execution."""

    environment: str
    manifest_id: str
    retried: str
    executions: tuple[Execution, ...] = ()


class Reprocess(enum.StrEnum):
    """Which intervals a backfill runs though they were run before."""

    NONE = "none"
    FAILED = "failed"
    """Those whose last execution failed or was stopped."""
    COMPLETED = "completed"
    """All of them."""


@attrs.frozen
class BackfillRequest:
    """Run the manifest's jobs for every interval of its schedule between two moments.

    Args:
        start: UTC; an interval that begins before is left out.
        end: UTC; an interval that ends later is left out.
        reprocess: Which intervals are run again.
        dry_run: Only list them.
        max_parallel: How many at once, 1 to 16.
        keep_going: Whether intervals after one that failed are run all the same.
        primitive: Run the resources of this kind instead; "" for those that ``run`` starts.
    """

    environment: str
    manifest_id: str
    start: datetime
    end: datetime
    reprocess: Reprocess = Reprocess.NONE
    dry_run: bool = False
    max_parallel: int = 1
    keep_going: bool = False
    primitive: str = ""


@attrs.frozen
class BackfillRow:
    """One interval.

    Args:
        start: UTC; belongs to it.
        end: UTC; does not belong to it.
        before: How its last execution stood when the backfill began; None when it never ran.
        wanted: Whether this backfill runs it.
        why: Why not.
        execution_id: Of its last execution, this backfill's where it ran one.
        status: How that one stands.
        rows_written: None until it is known.
        error: Why it failed, or was not started.
    """

    start: datetime
    end: datetime
    before: str | None = None
    wanted: bool = False
    why: str = ""
    execution_id: str | None = None
    status: str | None = None
    rows_written: int | None = None
    error: str | None = None


@attrs.frozen
class BackfillAnswer:
    """The intervals, the earliest first; ``status`` is SUCCEEDED, FAILED or CANCELLED, "" of a dry run."""

    environment: str
    manifest_id: str
    resource: str
    status: str
    rows: tuple[BackfillRow, ...] = ()


@attrs.frozen
class AdoptRequest:
    """Take back what of the version in force has lost its mark, or was made by somebody else under its name."""

    environment: str
    manifest_id: str
    dry_run: bool = False


@attrs.frozen
class AdoptAnswer:
    """The plan, and what came of it; no operations of a dry run."""

    plan: Plan
    operations: tuple[Operation, ...] = ()
    resumed: tuple[Execution, ...] = ()


@attrs.frozen
class ProtectRequest:
    """Keep the manifest's resources from being deleted, or changed so that data is lost.

    Args:
        resources: ``kind:name``, or a name; () for all of them.
    """

    environment: str
    manifest_id: str
    resources: tuple[str, ...] = ()


@attrs.frozen
class Protection:
    """One resource.

    Args:
        resource: ``kind:name``.
        is_protected: Whether anything protects it now.
        changed: Whether this request changed that.
        by: The operator who protects it; "" when only the manifest does, or nobody.
    """

    resource: str
    is_protected: bool
    changed: bool
    by: str = ""


@attrs.frozen
class ProtectAnswer:
    """Resource by resource."""

    environment: str
    manifest_id: str
    resources: tuple[Protection, ...] = ()


@attrs.frozen
class UnprotectRequest:
    """Lift what ``protect`` did, and what the inventory remembers of manifests; ``resources`` as there."""

    environment: str
    manifest_id: str
    resources: tuple[str, ...] = ()


@attrs.frozen
class UnprotectAnswer:
    """Resource by resource; what the manifest in force protects itself stays protected."""

    environment: str
    manifest_id: str
    resources: tuple[Protection, ...] = ()


@attrs.frozen
class RollbackRequest:
    """Apply an earlier version again.

    Args:
        version: Its number; None for the one before the version in force.
        dry_run: Only plan it.
        allow_destructive: Whether it may lose data.
    """

    environment: str
    manifest_id: str
    version: int | None = None
    dry_run: bool = False
    allow_destructive: bool = False


@attrs.frozen
class RollbackAnswer:
    """What came of it.

    Args:
        in_force: The number of the version in force before.
        version: The number of the one that was wanted.
        recorded: The number under which it is in force now; None when it is not.
        file: The manifest's file, which says otherwise.
    """

    in_force: int
    version: int
    plan: Plan
    operations: tuple[Operation, ...] = ()
    resumed: tuple[Execution, ...] = ()
    recorded: int | None = None
    file: str = ""


@attrs.frozen
class UnlockRequest:
    """End the operation that holds the manifest.

    Args:
        force: Also when its process seems alive and well.
    """

    environment: str
    manifest_id: str
    force: bool = False


@attrs.frozen
class UnlockAnswer:
    """The operation, FAILED now, and who held it."""

    environment: str
    manifest_id: str
    operation: Operation
    holder: str
    was_alive: bool
