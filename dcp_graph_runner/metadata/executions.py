"""What a manifest's runnable resources ran, and what that logged; told by their primitives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import NotFoundError
from dcp_core.model import Environment, Resource
from dcp_core.planner import decompose
from dcp_core.records import Execution
from dcp_core.settings import masked
from dcp_graph_runner.metadata.applied import AppliedManifests
from dcp_graph_runner.metadata.paging import bounded, place_of, token_of, wrong_token
from dcp_graph_runner.metadata.views import ManifestExecution
from dcp_graph_runner.ops.manifests import of_primitive

_NEVER = datetime.min.replace(tzinfo=UTC)


def list_executions(
    dcp: ControlPlane,
    environment: Environment,
    manifest_id: str,
    limit: int = 20,
    page_token: str = "",
    primitive: str = "",
) -> tuple[tuple[ManifestExecution, ...], str]:
    """One page of a manifest's executions, the newest first, and the token of the next.

    Those of a manifest that was destroyed too, where its platform keeps them.

    Raises:
        NotFoundError: It was never applied there.
        UsageError: The limit or the token cannot be.
        TransientError: A platform cannot be reached.
    """
    wanted, place = bounded(limit), place_of(page_token)
    if place is not None and not (isinstance(place, dict) and all(isinstance(each, str) for each in place.values())):
        raise wrong_token()
    reached: dict[str, str] = dict(place or {})
    ctx = dcp.context(environment)
    found: list[tuple[Resource, Execution]] = []
    for resource in runnables(dcp, environment, manifest_id, primitive):
        before = reached.get(str(resource.key))
        executions: Sequence[Execution] = dcp.registry.primitive(
            resource.kind, "get_executions", resource=resource, limit=wanted + 1, before=before, ctx=ctx
        )
        found.extend((resource, each) for each in executions)
    # A stable sort: what a platform gives without times keeps its order.
    found.sort(key=lambda each: each[1].created_at or _NEVER, reverse=True)
    for resource, execution in found[:wanted]:
        reached[str(resource.key)] = execution.id
    return tuple(told(each) for _, each in found[:wanted]), token_of(reached) if len(found) > wanted else ""


def logs_of(
    dcp: ControlPlane, environment: Environment, manifest_id: str, execution_id: str | None, primitive: str = ""
) -> tuple[ManifestExecution, str | None]:
    """One execution and all that it has logged; of None the newest one. None where its platform keeps no logs.

    Raises:
        NotFoundError: The manifest was never applied there, or has no such execution, or none at all.
        TransientError: A platform cannot be reached.
    """
    ctx = dcp.context(environment)
    resources = runnables(dcp, environment, manifest_id, primitive)
    if execution_id is None:
        newest, _ = list_executions(dcp, environment, manifest_id, 1, primitive=primitive)
        if not newest:
            raise NotFoundError(
                f"nothing of {manifest_id} has run",
                where=environment.name,
                hint=f"`pretzel metadata show {manifest_id}`",
            )
        execution_id = newest[0].id
    for resource in resources:
        which = {"resource": resource, "execution_id": execution_id, "ctx": ctx}
        try:
            text: str | None = dcp.registry.primitive(resource.kind, "get_logs", **which)
        except NotFoundError:
            continue  # it is another resource's
        execution: Execution | None = dcp.registry.primitive(resource.kind, "get_status", **which)
        if execution is not None:
            return told(execution), text
    of_kind = f" --primitive {primitive}" if primitive else ""
    raise NotFoundError(
        f"{manifest_id} has no execution {execution_id}",
        where=environment.name,
        hint=f"`pretzel metadata executions {manifest_id}{of_kind}` lists them",
    )


def after(text: str, offset: int, seen: str) -> str:
    """What has been logged since somebody read so far.

    Args:
        text: All of it now; the beginning of a long log may be left out meanwhile.
        offset: How many characters they had.
        seen: The last of these.
    """
    if text[:offset].endswith(seen):
        return text[offset:]
    place = text.rfind(seen)
    return text if place < 0 else text[place + len(seen) :]


def runnables(
    dcp: ControlPlane, environment: Environment, manifest_id: str, primitive: str = ""
) -> tuple[Resource, ...]:
    """What runs of a manifest, or its resources of one kind; of one that was destroyed as its last version had it.

    Raises:
        NotFoundError: It was never applied there.
        UsageError: It has none of that kind.
    """
    entries = dcp.store.inventory(environment.name, [manifest_id])
    resources: Sequence[Resource] = [entry.resource for entry in entries]
    if not resources:
        newest = AppliedManifests.of(dcp.store).require(dcp, environment.name, manifest_id)
        resources = decompose(newest.logical_plan, dcp.registry)
    return of_primitive(manifest_id, resources, primitive)


def told(execution: Execution) -> ManifestExecution:
    """As it is shown: a parameter that is called like a secret has its value blotted out."""
    return ManifestExecution(
        id=execution.id,
        kind=execution.resource.kind,
        resource=execution.resource.name,
        environment=execution.environment,
        status=execution.status.value,
        backend=execution.backend,
        rows_written=execution.rows_written,
        error=execution.error,
        params={name: masked(name, value) for name, value in execution.params.items()},
        created_at=execution.created_at,
        started_at=execution.started_at,
        finished_at=execution.finished_at,
    )
