"""The datasets of one execution: what its manifest reads and writes, with columns, lineage and owners.

Names: a table is ``<namespace>://<catalog>`` and its name there; data outside of DCP is its URI, cut behind the host.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.model import Environment
from dcp_core.records import Operation
from dcp_graph_runner.metadata.columns import Columns
from dcp_graph_runner.metadata.graph import Data, DataGraph
from dcp_graph_runner.metadata.openlineage.events import Json, dataset

KEPT_FOR = timedelta(seconds=60)
"""How long one look at all that is applied serves the executions that follow."""


@attrs.define
class Datasets:
    """Not shared between threads.

    Args:
        dcp: What is applied, and the plugins.
        namespace: Of the settings.
        clock: UTC now.
    """

    dcp: ControlPlane
    namespace: str
    clock: Callable[[], datetime]
    _looks: dict[Environment, tuple[datetime, Columns]] = attrs.Factory(dict)

    def of(self, operation: Operation) -> tuple[tuple[Json, ...], tuple[Json, ...]]:
        """Inputs and outputs of what a manifest runs.

        Raises:
            DcpError: The store cannot be read.
        """
        manifest = (operation.environment, operation.manifest_id)
        columns = self._look(operation)
        graph = columns.graph
        told = columns.of(manifest)
        flow = graph.flows.get(manifest)
        written = flow.writes if flow is not None else ()
        read = dict.fromkeys(flow.reads if flow is not None else ())
        read.update({graph.resolved(manifest, source.data): None for each in told for source in each.sources})
        outputs = []
        for data in written:
            mine = [each for each in told if each.data == data.name]
            lineage = {
                each.column: [
                    (
                        *self._place(graph.resolved(manifest, source.data)),
                        source.column,
                        source.transformation.value,
                    )
                    for source in each.sources
                ]
                for each in mine
                if each.sources
            }
            owner = operation.plan.logical_plan.metadata.technical_owner
            names = [(each.column, each.type) for each in mine]
            outputs.append(dataset(*self._place(data), columns=names, lineage=lineage, owner=owner))
        inputs = [
            dataset(
                *self._place(data),
                columns=self._columns(columns, data),
                owner=graph.owner_of(graph.providers.get(data)),
            )
            for data in read
        ]
        return tuple(inputs), tuple(outputs)

    def _look(self, operation: Operation) -> Columns:
        environment = Environment.named(operation.environment)
        if _reads_overlay(operation):
            environment = attrs.evolve(environment, overlay=True)
        now, known = self.clock(), self._looks.get(environment)
        manifest = (operation.environment, operation.manifest_id)
        if known is not None and now - known[0] < KEPT_FOR:
            version = known[1].graph.version_of(manifest)
            if version is not None and version.logical_plan.digest == operation.plan.logical_plan.digest:
                return known[1]
        columns = Columns(self.dcp, DataGraph.of(self.dcp, environment, asks=False))
        self._looks[environment] = (now, columns)
        return columns

    def _columns(self, columns: Columns, data: Data) -> list[tuple[str, str | None]]:
        provider = columns.graph.providers.get(data)
        if provider is None:
            return []
        return [(each.column, each.type) for each in columns.of(provider) if each.data == data.name]

    def _place(self, data: Data) -> tuple[str, str]:
        """Namespace and name."""
        if data.environment is None:
            scheme, _, rest = data.name.partition("://")
            host, _, name = rest.partition("/")
            return (f"{scheme}://{host}", name) if name else (f"{scheme}://", host)
        return f"{self.namespace}://{Environment.named(data.environment).catalog}", data.name


def _reads_overlay(operation: Operation) -> bool:
    """Whether the manifest was compiled to prefer its playground's own data."""
    return operation.plan.logical_plan.plugin_spec.get("read_overlay") is True
