"""Adopt and rollback: plans of versions that the store has, made and applied as any other.

Source: design.md sections 6 and 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import ConflictError, DcpError, NotFoundError, UnauthorizedError, UsageError
from dcp_core.model import LogicalPlan, ManifestPlan, PlanOptions
from dcp_core.records import Operation
from dcp_graph_runner.ops.manifests import Applied
from dcp_graph_runner.ops.messages import AdoptAnswer, AdoptRequest, RollbackAnswer, RollbackRequest
from dcp_graph_runner.sql_store import SqlStore

ADOPT = "adopt"
ROLLBACK = "rollback"


def adopt(dcp: ControlPlane, request: AdoptRequest) -> AdoptAnswer:
    """Plan the version in force anew, taking back what has no mark, and apply that.

    Raises:
        NotFoundError: It is not applied there.
        UnauthorizedError: Denied; recorded.
        TransientError: A service is down.
    """
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    with _recording_refusal(applied, ADOPT, request.dry_run):
        applied.check_allowed(ADOPT)
        recovered = () if request.dry_run else dcp.recover(applied.environment, [applied.id])
        applied = Applied.find(dcp, request.environment, request.manifest_id)
        plan = dcp.plan(applied.in_force, options=PlanOptions(adopt=True))
    if request.dry_run:
        return AdoptAnswer(plan)
    operations = recovered + dcp.apply(plan, kind=ADOPT)
    return AdoptAnswer(plan, operations, dcp.wait(operations))


def rollback(dcp: ControlPlane, request: RollbackRequest) -> RollbackAnswer:
    """Plan an earlier version and apply that; it becomes the newest version, and the manifest's file is left alone.

    What would lose data is BLOCKED as ever, unless that is allowed. A rollback that was killed is finished, whoever
    asks for one next, and then counts as the one that is asked for: going back once more would undo it.

    Raises:
        NotFoundError: It is not applied there, or has no such version.
        ConflictError: That version is in force.
        UnauthorizedError: Denied; recorded.
        TransientError: A service is down.
    """
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    with _recording_refusal(applied, ROLLBACK, request.dry_run):
        applied.check_allowed(ROLLBACK)
        in_force = dcp.store.history(applied.environment.name, applied.id)[0][0]
        recovered = () if request.dry_run else dcp.recover(applied.environment, [applied.id])
        version, wanted = _version(applied, request.version, _begun(applied, recovered))
        plan = dcp.plan(wanted, options=PlanOptions(allow_destructive=request.allow_destructive))
    if request.dry_run:
        return RollbackAnswer(in_force, version, plan, file=wanted.source.file)
    operations = recovered + dcp.apply(plan, kind=ROLLBACK)
    resumed = dcp.wait(operations)
    newest = dcp.store.history(applied.environment.name, applied.id)[0]
    recorded = newest[0] if newest[1].digest == wanted.digest else None
    return RollbackAnswer(in_force, version, plan, operations, resumed, recorded, wanted.source.file)


@contextmanager
def _recording_refusal(applied: Applied, kind: str, dry_run: bool) -> Iterator[None]:
    """As ``deeds.recorded`` has it: what names nothing that is there leaves no record; of a dry run a denial alone."""
    try:
        yield
    except DcpError as error:
        names_nothing = isinstance(error, (NotFoundError, UsageError))
        if isinstance(error, UnauthorizedError) or not (dry_run or names_nothing):
            applied.dcp.refuse(kind, [ManifestPlan(applied.in_force, ())], error)
        raise


def _begun(applied: Applied, recovered: Sequence[Operation]) -> Operation | None:
    """The rollback that was begun before, and is the one asked for: finished just now, or of the same request."""
    store, request_id = applied.dcp.store, applied.dcp.caller.request_id
    earlier = store.operations_of(request_id) if request_id and isinstance(store, SqlStore) else ()
    both = [each for each in (*recovered, *earlier) if each.kind == ROLLBACK and each.manifest_id == applied.id]
    return both[0] if both else None


def _version(applied: Applied, number: int | None, begun: Operation | None) -> tuple[int, LogicalPlan]:
    """By number; by default the newest that is not as the one in force."""
    history = applied.dcp.store.history(applied.environment.name, applied.id)
    versions = {each: logical_plan for each, logical_plan, *_ in history}
    if number is None:
        digest = history[0][1].digest
        if begun is not None and begun.plan.logical_plan.digest == digest:
            return min(each for each, plan in versions.items() if plan.digest == digest), history[0][1]
        number = next((each for each, plan in versions.items() if plan.digest != digest), None)
        if number is None:
            raise ConflictError(f"{applied.id} has no earlier version in {applied.environment.name}")
    if number not in versions:
        raise NotFoundError(
            f"{applied.id} has no version {number} in {applied.environment.name}",
            hint=f"it has {min(versions)} to {max(versions)}: `pretzel metadata history {applied.id}`",
        )
    if number == history[0][0]:
        raise ConflictError(
            f"version {number} of {applied.id} is in force", hint="`pretzel plan` shows what has drifted"
        )
    return number, versions[number]
