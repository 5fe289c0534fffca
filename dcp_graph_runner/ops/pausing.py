"""Pause and resume: the schedule of a manifest stands still, in the store and where it is scheduled.

The store's word comes first and goes last: a crash in between leaves it paused, and doing it again mends the rest.
What the word is for beyond schedules: the controller tells the drift of a paused manifest and does not mend it.

Source: design.md section 9.
"""

from __future__ import annotations

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import NotFoundError
from dcp_graph_runner.ops.manifests import Applied
from dcp_graph_runner.ops.messages import PauseAnswer, PauseRequest, ResumeAnswer, ResumeRequest
from dcp_graph_runner.pauses import Pause, Pauses


def pause(dcp: ControlPlane, request: PauseRequest) -> PauseAnswer:
    """Nothing of it is scheduled until ``resume``, whatever is applied meanwhile; what runs goes on.

    Paused again, it is told as paused by the last one, with that one's reason and time; the audit log has them all.

    Raises:
        NotFoundError: It is not applied there.
        UnauthorizedError: Denied; recorded.
        ConflictError: What schedules it was changed by somebody else; the manifest counts as paused.
    """
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    pauses = Pauses.of(dcp.store)
    key = (applied.environment.name, applied.id)
    mine = Pause(*key, dcp.identity, request.reason, applied.ctx.clock())
    with applied.deed("pause") as deed:
        deed.begin()
        before = pauses.put(mine)
        schedules = _each(applied, "pause")
        _agree(applied, pauses, is_paused=True)
        deed.message = request.reason
    return PauseAnswer(*key, before is not None, mine.user, mine.reason, mine.at, schedules)


def resume(dcp: ControlPlane, request: ResumeRequest) -> ResumeAnswer:
    """The schedule goes on, and drift is mended again.

    Raises:
        NotFoundError: It is neither applied nor paused there.
        UnauthorizedError: Denied; recorded.
        ConflictError: What schedules it was changed by somebody else; it is paused still.
    """
    pauses = Pauses.of(dcp.store)
    try:
        applied = Applied.find(dcp, request.environment, request.manifest_id)
    except NotFoundError:
        applied = _gone(dcp, request, pauses)
    key = (applied.environment.name, applied.id)
    with applied.deed("resume") as deed:
        seen = pauses.get(*key)
        deed.begin()
        schedules = _each(applied, "resume")
        if seen is not None:
            pauses.lift(seen)
        _agree(applied, pauses, is_paused=False)
    return ResumeAnswer(*key, seen is not None, schedules)


def _agree(applied: Applied, pauses: Pauses, *, is_paused: bool) -> None:
    """Leave the schedules as the store has it, if somebody else has had the last word meanwhile.

    Whoever touches the schedules looks once more after that, so that the last of them leaves them right.
    """
    while (pauses.get(applied.environment.name, applied.id) is not None) != is_paused:
        is_paused = not is_paused
        _each(applied, "pause" if is_paused else "resume")


def _each(applied: Applied, hook: str) -> tuple[str, ...]:
    """Whatever has a schedule of its own; every primitive is asked."""
    ask = applied.dcp.registry.primitive
    ctx = applied.ctx
    return tuple(str(each.key) for each in applied.resources if ask(each.kind, hook, resource=each, ctx=ctx))


def _gone(dcp: ControlPlane, request: ResumeRequest, pauses: Pauses) -> Applied:
    """A manifest that was destroyed while it was paused: applied again, it would be paused."""
    environment = dcp.environment(request.environment)
    versions = dcp.store.history(environment.name, request.manifest_id)
    if (environment.name, request.manifest_id) not in pauses.all(environment.name) or not versions:
        return Applied.find(dcp, request.environment, request.manifest_id)
    from dcp_core.planner import decompose
    from dcp_core.records import InventoryEntry

    resources = decompose(versions[0][1], dcp.registry)
    return Applied(dcp, environment, versions[0][1], tuple(map(InventoryEntry, resources)))
