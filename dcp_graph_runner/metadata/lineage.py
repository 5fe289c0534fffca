"""Where data comes from and where it goes: by table, and by column where the plugins can tell.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import NotFoundError, UsageError
from dcp_core.model import PRODUCTION, Environment
from dcp_core.suggesting import nearest
from dcp_graph_runner.metadata.columns import Columns, reached
from dcp_graph_runner.metadata.graph import Data, DataGraph, Manifest
from dcp_graph_runner.metadata.views import ColumnEdge, LineageEdge, LineageNode

UPSTREAM, DOWNSTREAM, BOTH = "upstream", "downstream", "both"
DIRECTIONS = (UPSTREAM, DOWNSTREAM, BOTH)
MOST_NODES = 1000
MOST_COLUMN_EDGES = 10_000


@attrs.frozen
class Lineage:
    """What was found.

    Args:
        starts: Ids of the nodes that were asked for.
        nodes: By distance, then by id.
        edges: Between them.
        columns: Between their columns, where that was asked for.
        notes: What is left out, and why.
    """

    starts: tuple[str, ...]
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    columns: tuple[ColumnEdge, ...] = ()
    notes: tuple[str, ...] = ()


def lineage(
    dcp: ControlPlane,
    environment: Environment,
    name: str,
    *,
    direction: str = BOTH,
    depth: int | None = None,
    column: str | None = None,
    with_columns: bool = False,
) -> Lineage:
    """The lineage of some data, or of all that a manifest writes.

    Args:
        environment: Its manifests and production's; whether reads prefer the playground's own data is its own affair.
        name: A manifest's id, or the name of data.
        direction: One of ``DIRECTIONS``.
        depth: Steps at most; None for all.
        column: Only what this one column is made from and goes to.
        with_columns: All columns.

    Raises:
        NotFoundError: Nobody provides or reads it; or it has no such column. The nearest is suggested.
        UsageError: The direction or the depth cannot be.
    """
    if direction not in DIRECTIONS:
        raise UsageError(f"{direction!r} is no direction", hint=", ".join(DIRECTIONS))
    if depth is not None and depth < 1:
        raise UsageError(f"a depth of {depth} shows nothing", hint="1 or more")
    upstream, downstream = direction != DOWNSTREAM, direction != UPSTREAM
    graph = DataGraph.of(dcp, environment)
    starts = _starts(graph, name)
    columns = Columns(dcp, graph)
    distances = graph.around(starts, upstream=upstream, downstream=downstream, depth=depth)
    distances.update(_outside(graph, columns, distances, depth) if upstream else {})
    notes = []
    if len(distances) > MOST_NODES:
        notes.append(f"only the nearest {MOST_NODES} of {len(distances)} are shown: --depth shows fewer")
        nearest = sorted(distances.items(), key=lambda each: (abs(each[1]), each[0].id))[:MOST_NODES]
        distances = dict(nearest)
    edges = tuple(_edges(graph, columns, distances))
    found: tuple[ColumnEdge, ...] = ()
    if column is not None or with_columns:
        manifests = _writers(graph, distances)
        graph.fetch(manifests)
        if column is not None:
            start = (_with_column(columns, graph, starts, column), column)
            found = reached(columns, manifests, start, upstream=upstream, downstream=downstream)
            touched = {start[0].id} | {id for each in found for id in (each.source, each.target)}
            distances = {data: distance for data, distance in distances.items() if data.id in touched}
            starts = (start[0],)
        else:
            found = tuple(each for manifest in manifests for each in columns.edges(manifest))
        shown = {data.id for data in distances}
        found = tuple(each for each in found if each.source in shown and each.target in shown)
        if len(found) > MOST_COLUMN_EDGES:
            notes.append(f"only {MOST_COLUMN_EDGES} of {len(found)} column edges are shown: --column shows one's")
            found = found[:MOST_COLUMN_EDGES]
        edges = tuple(each for each in edges if {each.source, each.target} <= shown)
        notes += [f"{id}: {why}" for id, why in sorted(columns.failed.items())]
        notes += _untold(
            columns, [each for each in manifests if {data.id for data in graph.flows[each].writes} & shown]
        )
    return Lineage(tuple(each.id for each in starts), _nodes(graph, distances), edges, found, tuple(notes))


def _starts(graph: DataGraph, name: str) -> tuple[Data, ...]:
    """What was asked for: the environment's own first, then production's."""
    places = dict.fromkeys((graph.environment.name, PRODUCTION))
    for place in places:
        flow = graph.flows.get((place, name))
        if flow is not None and flow.writes:
            return flow.writes
        if flow is not None:
            raise NotFoundError(f"{name} provides no data", where=place, hint="ask for the data that it reads")
    for data in (*(Data(place, name) for place in places), Data(None, name)):
        if data in graph.providers or data in graph.readers:
            return (data,)
    known = {data.name for data in (*graph.providers, *graph.readers)} | {
        each for place, each in graph.flows if place in places
    }
    hint = nearest(name, known, "a manifest's id (TYPE/NAME), or the name of data that one has")
    raise NotFoundError(f"nobody here provides or reads {name}", where=graph.environment.name, hint=hint)


def _outside(
    graph: DataGraph, columns: Columns, distances: Mapping[Data, int], depth: int | None
) -> Mapping[Data, int]:
    """Data that lies outside of DCP, of manifests that read nothing within it: only their plugins know it."""
    found: dict[Data, int] = {}
    for data, distance in distances.items():
        manifest = graph.providers.get(data)
        is_reached = distance <= 0 and (depth is None or -distance < depth)
        if manifest is not None and is_reached and not graph.flows[manifest].reads:
            for source in _sources_outside(columns, manifest):
                found.setdefault(source, distance - 1)
    return found


def _sources_outside(columns: Columns, manifest: Manifest) -> tuple[Data, ...]:
    named = (source.data for each in columns.of(manifest) for source in each.sources if "://" in source.data)
    return tuple(Data(None, name) for name in dict.fromkeys(named))


def _edges(graph: DataGraph, columns: Columns, distances: Mapping[Data, int]) -> Iterator[LineageEdge]:
    for manifest in _writers(graph, distances):
        flow = graph.flows[manifest]
        sources = flow.reads or _sources_outside(columns, manifest)
        for source in sources:
            for target in flow.writes:
                if source in distances and target in distances:
                    yield LineageEdge(source.id, target.id, manifest[1])


def _writers(graph: DataGraph, distances: Mapping[Data, int]) -> tuple[Manifest, ...]:
    found = (graph.providers.get(data) for data in distances)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _nodes(graph: DataGraph, distances: Mapping[Data, int]) -> tuple[LineageNode, ...]:
    ordered = sorted(distances.items(), key=lambda each: (each[1], each[0].id))
    graph.fetch(_writers(graph, distances))
    nodes = []
    for data, distance in ordered:
        manifest = graph.providers.get(data)
        owner = graph.owner_of(manifest)
        nodes.append(LineageNode(data.id, data.name, data.environment, manifest and manifest[1], owner, distance))
    return tuple(nodes)


def _with_column(columns: Columns, graph: DataGraph, starts: Sequence[Data], column: str) -> Data:
    """The one of what was asked for that has the column.

    Raises:
        NotFoundError: None of it has, as far as anybody knows.
    """
    known: list[str] = []
    for data in starts:
        provider = graph.providers.get(data)
        names = [each.column for each in columns.of(provider) if each.data == data.name] if provider else []
        if provider is None:  # nobody declares its columns: those that are read
            readers = graph.readers.get(data, ())
            edges = (edge for reader in readers for edge in columns.edges(reader))
            names = [edge.source_column for edge in edges if edge.source == data.id]
        if column.lower() in {name.lower() for name in names}:
            return data
        known += names
    what = " and ".join(each.name for each in starts)
    if not known:
        raise NotFoundError(f"the columns of {what} are not known: the plugin of its manifest does not tell them")
    hint = nearest(column, known, f"it has: {', '.join(dict.fromkeys(known))}")
    raise NotFoundError(f"{what} has no column {column}", hint=hint)


def _untold(columns: Columns, manifests: Sequence[Manifest]) -> list[str]:
    """Which columns nobody can tell everything of."""
    notes = []
    for manifest in manifests:
        told = columns.of(manifest)
        if not told and manifest[1] not in columns.failed:
            notes.append(f"{manifest[1]}: its plugin does not tell about columns")
        unknown = [each.column for each in told if not each.is_known]
        if unknown:
            notes.append(f"{manifest[1]}: not all is known of {', '.join(unknown)}")
    return notes
