"""Everything of one manifest: what it wants, what there is of it, its neighbours, versions and last executions."""

from __future__ import annotations

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import DcpError
from dcp_core.model import Environment, LogicalPlan
from dcp_graph_runner.metadata import executions, history
from dcp_graph_runner.metadata.applied import AppliedManifests
from dcp_graph_runner.metadata.graph import DataGraph
from dcp_graph_runner.metadata.listing import summaries
from dcp_graph_runner.metadata.views import (
    ManifestExecution,
    ManifestNeighbour,
    ManifestResource,
    ManifestSummary,
    ManifestVersion,
)

RECENT = 5
MOST_READERS = 1000


@attrs.frozen
class Shown:
    """One manifest.

    Args:
        manifest: As in a list.
        logical_plan: The newest version.
        resources: What exists, in the order in which it was first applied; () of one that was destroyed.
        sources: Who provides what it reads.
        readers: Who reads what it provides.
        versions: The newest ones.
        executions: The newest ones.
        notes: What could not be told, and why.
    """

    manifest: ManifestSummary
    logical_plan: LogicalPlan
    resources: tuple[ManifestResource, ...]
    sources: tuple[ManifestNeighbour, ...]
    readers: tuple[ManifestNeighbour, ...]
    versions: tuple[ManifestVersion, ...]
    executions: tuple[ManifestExecution, ...]
    notes: tuple[str, ...] = ()


def show(dcp: ControlPlane, environment: Environment, manifest_id: str) -> Shown:
    """Everything of one manifest. A platform that is down is a note.

    Raises:
        NotFoundError: It was never applied there.
    """
    applied = AppliedManifests.of(dcp.store)
    applied.require(dcp, environment.name, manifest_id)
    versions = applied.versions(environment.name, manifest_id, RECENT + 1)
    (summary,) = summaries(dcp, versions[:1])
    entries = dcp.store.inventory(environment.name, [manifest_id])
    notes: list[str] = [] if entries else ["it was destroyed: this is how it was last applied"]
    try:
        recent, _ = executions.list_executions(dcp, environment, manifest_id, RECENT)
    except DcpError as error:
        recent = ()
        notes.append(f"its executions are not known: {error}")
    sources, readers = _neighbours(DataGraph.of(dcp, environment), environment, manifest_id)
    return Shown(
        manifest=summary,
        logical_plan=versions[0].logical_plan,
        resources=tuple(
            ManifestResource(
                kind=entry.resource.kind,
                name=entry.resource.name,
                is_protected=entry.is_protected,
                is_runnable=entry.resource.runnable,
                provides=entry.resource.provides,
                reads=entry.resource.reads,
                depends_on=tuple(map(str, entry.resource.depends_on)),
            )
            for entry in entries
        ),
        sources=sources,
        readers=readers,
        versions=history.told(versions, RECENT),
        executions=recent,
        notes=tuple(notes),
    )


def _neighbours(
    graph: DataGraph, environment: Environment, manifest_id: str
) -> tuple[tuple[ManifestNeighbour, ...], tuple[ManifestNeighbour, ...]]:
    """Who provides what it reads, and who reads what it provides."""
    flow = graph.flows.get((environment.name, manifest_id))
    if flow is None:
        return (), ()
    asked = [graph.providers.get(data) for data in flow.reads]
    asked += [reader for data in flow.writes for reader in graph.readers.get(data, ())[:MOST_READERS]]
    graph.fetch([each for each in asked if each is not None])
    sources = []
    for data in flow.reads:
        provider = graph.providers.get(data)
        where = data.environment or ""
        sources.append(ManifestNeighbour(data.name, provider and provider[1], where, graph.owner_of(provider)))
    readers = tuple(
        ManifestNeighbour(data.name, reader[1], reader[0], graph.owner_of(reader))
        for data in flow.writes
        for reader in graph.readers.get(data, ())[:MOST_READERS]
    )
    return tuple(sources), readers
