"""Adopt and rollback: plans of versions that the store has, made and applied as any other.

Source: design.md sections 6 and 9.
"""

from __future__ import annotations

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import ConflictError, NotFoundError
from dcp_core.model import LogicalPlan, ManifestPlan, PlanOptions
from dcp_graph_runner.ops.manifests import Applied
from dcp_graph_runner.ops.messages import AdoptAnswer, AdoptRequest, RollbackAnswer, RollbackRequest

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
    with dcp.recording_refusal(ADOPT, [ManifestPlan(applied.in_force, ())]):
        applied.check_allowed(ADOPT)
        plan = dcp.plan(applied.in_force, options=PlanOptions(adopt=True))
    if request.dry_run:
        return AdoptAnswer(plan)
    operations = dcp.apply(plan, kind=ADOPT)
    return AdoptAnswer(plan, operations, dcp.wait(operations))


def rollback(dcp: ControlPlane, request: RollbackRequest) -> RollbackAnswer:
    """Plan an earlier version and apply that; it becomes the newest version, and the manifest's file is left alone.

    What would lose data is BLOCKED as ever, unless that is allowed.

    Raises:
        NotFoundError: It is not applied there, or has no such version.
        ConflictError: That version is in force.
        UnauthorizedError: Denied; recorded.
        TransientError: A service is down.
    """
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    with dcp.recording_refusal(ROLLBACK, [ManifestPlan(applied.in_force, ())]):
        applied.check_allowed(ROLLBACK)
        version, wanted = _version(applied, request.version)
        plan = dcp.plan(wanted, options=PlanOptions(allow_destructive=request.allow_destructive))
    in_force = _newest(dcp, applied)
    if request.dry_run:
        return RollbackAnswer(in_force, version, plan, file=wanted.source.file)
    operations = dcp.apply(plan, kind=ROLLBACK)
    resumed = dcp.wait(operations)
    newest = dcp.store.history(applied.environment.name, applied.id)[0]
    recorded = newest[0] if newest[1].digest == wanted.digest else None
    return RollbackAnswer(in_force, version, plan, operations, resumed, recorded, wanted.source.file)


def _newest(dcp: ControlPlane, applied: Applied) -> int:
    return dcp.store.history(applied.environment.name, applied.id)[0][0]


def _version(applied: Applied, wanted: int | None) -> tuple[int, LogicalPlan]:
    """By number; by default the newest that is not as the one in force."""
    history = applied.dcp.store.history(applied.environment.name, applied.id)
    versions = {number: logical_plan for number, logical_plan, *_ in history}
    if wanted is None:
        digest = history[0][1].digest
        wanted = next((number for number, each in versions.items() if each.digest != digest), None)
        if wanted is None:
            raise ConflictError(f"{applied.id} has no earlier version in {applied.environment.name}")
    if wanted not in versions:
        raise NotFoundError(
            f"{applied.id} has no version {wanted} in {applied.environment.name}",
            hint=f"it has {min(versions)} to {max(versions)}: `pretzel metadata history {applied.id}`",
        )
    if wanted == history[0][0]:
        raise ConflictError(
            f"version {wanted} of {applied.id} is in force", hint="`pretzel plan` shows what has drifted"
        )
    return wanted, versions[wanted]
