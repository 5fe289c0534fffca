"""What columns are made from: each plugin tells of its manifests, the answers are put together here.

An answer is kept for as long as the control plane lives, by the digest of the logical plan and of what its sources'
columns are, so that an unchanged manifest is analysed once.

Source: design.md section 9.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock

import attrs

from dcp_core.context import Context
from dcp_core.control_plane import ControlPlane
from dcp_core.digests import digest_of
from dcp_core.errors import DcpError
from dcp_core.lineage import ColumnLineage
from dcp_core.model import Environment, LogicalPlan
from dcp_graph_runner.metadata.graph import Data, DataGraph, Manifest
from dcp_graph_runner.metadata.views import ColumnEdge

Column = tuple[Data, str]
Schemas = Mapping[str, Mapping[str, str]]
_KEPT = 4096


class _Told:
    """Answers of plugins by what they were asked; the oldest go first. Thread-safe."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str, str], tuple[ColumnLineage, ...]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, str, str]) -> tuple[ColumnLineage, ...] | None:
        with self._lock:
            found = self._answers.get(key)
            if found is not None:
                self._answers.move_to_end(key)
            return found

    def put(self, key: tuple[str, str, str], answer: tuple[ColumnLineage, ...]) -> None:
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > _KEPT:
                self._answers.popitem(last=False)


@attrs.define
class Columns:
    """The columns of a graph's data.

    Args:
        dcp: Its registry reaches the plugins.
        graph: Whose data is meant.
        failed: By manifest, why its plugin could not tell.
    """

    dcp: ControlPlane
    graph: DataGraph
    failed: dict[str, str] = attrs.Factory(dict)
    _asked: dict[Manifest, tuple[ColumnLineage, ...]] = attrs.Factory(dict)

    def of(self, manifest: Manifest) -> tuple[ColumnLineage, ...]:
        """Every column that a manifest writes; () when its plugin cannot tell."""
        if manifest not in self._asked:
            flow = self.graph.flows.get(manifest)
            schemas = {data.name: self._types(data) for data in (flow.reads if flow else ())}
            self._asked[manifest] = self._ask(manifest, schemas)
        return self._asked[manifest]

    def edges(self, manifest: Manifest) -> tuple[ColumnEdge, ...]:
        """What it makes its columns from, as edges."""
        return tuple(
            ColumnEdge(
                self.graph.resolved(manifest, source.data).id,
                source.column,
                Data(manifest[0], each.data).id,
                each.column,
                source.transformation.value,
            )
            for each in self.of(manifest)
            for source in each.sources
        )

    def _types(self, data: Data) -> Mapping[str, str]:
        """Types by column of what some data's own manifest declares; {} of what nobody here provides."""
        provider = self.graph.providers.get(data)
        if provider is None:
            return {}
        # What it declares does not hang on what it reads, so this goes one step and no further.
        return {each.column: each.type or "" for each in self._ask(provider, {}) if each.data == data.name}

    def _ask(self, manifest: Manifest, schemas: Schemas) -> tuple[ColumnLineage, ...]:
        version = self.graph.version_of(manifest)
        if version is None:
            return ()
        ctx = self.dcp.context(Environment.named(manifest[0]))
        try:
            return lineage_of(self.dcp, version.logical_plan, schemas, ctx)
        except DcpError as error:
            self.failed[manifest[1]] = error.message
            return ()


def lineage_of(
    dcp: ControlPlane, logical_plan: LogicalPlan, schemas: Schemas, ctx: Context
) -> tuple[ColumnLineage, ...]:
    """What the plugin of a logical plan tells, asked once for the same question.

    Raises:
        DcpError: The plugin is not installed, is of another version, or has a bug.
    """
    told: _Told = ctx.shared("metadata.columns", _Told)
    known = {name: dict(columns) for name, columns in schemas.items() if columns}
    key = (logical_plan.digest, logical_plan.compiled_by, digest_of(known))
    answer = told.get(key)
    if answer is None:
        asked = {"logical_plan": logical_plan, "schemas": known, "ctx": ctx}
        answer = tuple(dcp.registry.plugin(logical_plan.plugin_type, "get_lineage", **asked))
        told.put(key, answer)
    return answer


def reached(
    columns: Columns, manifests: Sequence[Manifest], start: Column, *, upstream: bool, downstream: bool
) -> tuple[ColumnEdge, ...]:
    """The edges on the ways to and from one column, among those of ``manifests``."""
    every = [edge for manifest in manifests for edge in columns.edges(manifest)]
    first = (start[0].id, start[1].lower())
    found: dict[ColumnEdge, None] = {}
    if upstream:
        found.update(dict.fromkeys(_followed(every, first, backwards=True)))
    if downstream:
        found.update(dict.fromkeys(_followed(every, first, backwards=False)))
    return tuple(found)


def _followed(edges: Sequence[ColumnEdge], start: tuple[str, str], *, backwards: bool) -> tuple[ColumnEdge, ...]:
    leaving: dict[tuple[str, str], list[ColumnEdge]] = {}
    for edge in edges:
        ends = (edge.source, edge.source_column.lower()), (edge.target, edge.target_column.lower())
        leaving.setdefault(ends[1] if backwards else ends[0], []).append(edge)
    found: dict[ColumnEdge, None] = {}
    seen, todo = {start}, [start]
    while todo:
        for edge in leaving.get(todo.pop(), ()):
            found[edge] = None
            place = (
                (edge.source, edge.source_column.lower()) if backwards else (edge.target, edge.target_column.lower())
            )
            if place not in seen:
                seen.add(place)
                todo.append(place)
    return tuple(found)
