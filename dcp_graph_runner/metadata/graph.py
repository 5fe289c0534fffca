"""Which data is made from which, by what applied manifests provide and read.

A playground's manifests read production's data, or with ``--reads overlay`` the playground's own where it has some.

Source: design.md sections 8 and 9.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.model import PRODUCTION, Environment
from dcp_graph_runner.metadata.applied import AppliedManifests, Version, readable

Manifest = tuple[str, str]
"""Environment and id."""


@attrs.frozen
class Data:
    """Some data.

    Args:
        environment: Whose catalog it is in; None outside of DCP.
        name: As resources provide it; a URI outside.
    """

    environment: str | None
    name: str

    @property
    def id(self) -> str:
        """As answers call it."""
        return self.name if self.environment is None else f"{self.environment}:{self.name}"


@attrs.frozen
class Flows:
    """What one manifest reads and writes."""

    reads: tuple[Data, ...]
    writes: tuple[Data, ...]


@attrs.define
class DataGraph:
    """The data of one environment, and of production where that is another one.

    Args:
        environment: Whose view it is.
        flows: By manifest.
        applied: What is told of manifests on top of that.
    """

    environment: Environment
    flows: Mapping[Manifest, Flows]
    applied: AppliedManifests
    _versions: dict[Manifest, Version | None] = attrs.Factory(dict)

    @classmethod
    def of(cls, dcp: ControlPlane, environment: Environment, *, asks: bool = True) -> DataGraph:
        """As it is applied now.

        Args:
            dcp: Whose store is read.
            environment: Whose view it is.
            asks: Whether production is left out for who may not read it.
        """
        names = dict.fromkeys((environment.name, *(readable(dcp, [PRODUCTION]) if asks else [PRODUCTION])))
        applied = AppliedManifests.of(dcp.store)
        found = {name: tuple(applied.flows(name)) for name in names}
        own = {data for _, provides, _ in found[environment.name] for data in provides}
        flows: dict[Manifest, Flows] = {}
        for name, rows in found.items():
            flows.update(_flows(name, rows, own if environment.overlay and name == environment.name else frozenset()))
        return cls(environment, flows, applied)

    def version_of(self, manifest: Manifest) -> Version | None:
        """The version in force; None of what is not applied."""
        if manifest not in self._versions:
            self.fetch([manifest])
        return self._versions[manifest]

    def fetch(self, manifests: Sequence[Manifest]) -> None:
        """Look up what ``version_of`` and ``owner_of`` will be asked, at once."""
        wanted = [each for each in dict.fromkeys(manifests) if each not in self._versions]
        found = self.applied.in_force(wanted)
        self._versions.update({each: found.get(each) for each in wanted})

    @cached_property
    def providers(self) -> Mapping[Data, Manifest]:
        """Who writes some data."""
        return {data: manifest for manifest, flow in self.flows.items() for data in flow.writes}

    @cached_property
    def readers(self) -> Mapping[Data, tuple[Manifest, ...]]:
        """Who reads some data."""
        found: dict[Data, tuple[Manifest, ...]] = {}
        for manifest, flow in self.flows.items():
            for data in flow.reads:
                found[data] = (*found.get(data, ()), manifest)
        return found

    def resolved(self, manifest: Manifest, name: str) -> Data:
        """The data that a manifest means by a name it reads."""
        if "://" in name:
            return Data(None, name)
        mine = self.flows[manifest].reads if manifest in self.flows else ()
        return next((each for each in mine if each.name == name), Data(PRODUCTION, name))

    def owner_of(self, manifest: Manifest | None) -> str | None:
        """The owning team of a manifest."""
        version = self.version_of(manifest) if manifest is not None else None
        return None if version is None else version.document["metadata"]["technical_owner"]

    def around(self, starts: Sequence[Data], *, upstream: bool, downstream: bool, depth: int | None) -> dict[Data, int]:
        """What is reached from ``starts``, with how far it is: upstream negative.

        Args:
            starts: At distance 0.
            upstream: Whether to follow what they are made from.
            downstream: Whether to follow what is made from them.
            depth: How many steps at most; None for all.
        """
        reached = dict.fromkeys(starts, 0)
        for wanted, step, following in ((upstream, -1, self._made_from), (downstream, 1, self._made_of)):
            frontier = list(starts) if wanted else []
            distance = 0
            while frontier and (depth is None or abs(distance) < depth):
                distance += step
                found = [each for data in frontier for each in following(data)]
                frontier = [each for each in dict.fromkeys(found) if each not in reached]
                reached.update(dict.fromkeys(frontier, distance))
        return reached

    def _made_from(self, data: Data) -> Iterable[Data]:
        manifest = self.providers.get(data)
        return self.flows[manifest].reads if manifest is not None else ()

    def _made_of(self, data: Data) -> Iterable[Data]:
        return (each for manifest in self.readers.get(data, ()) for each in self.flows[manifest].writes)


def _flows(
    environment: str, rows: Iterable[tuple[str, tuple[str, ...], tuple[str, ...]]], own: Collection[str]
) -> Mapping[Manifest, Flows]:
    """By manifest.

    Args:
        environment: Where.
        rows: ``AppliedManifests.flows``.
        own: The data that reads prefer to production's.
    """
    reads: dict[Manifest, dict[Data, None]] = {}
    writes: dict[Manifest, dict[Data, None]] = {}
    for manifest_id, provides, read in rows:
        manifest = (environment, manifest_id)
        for name in read:
            place = None if "://" in name else environment if name in own else PRODUCTION
            reads.setdefault(manifest, {})[Data(place, name)] = None
        for name in provides:
            writes.setdefault(manifest, {})[Data(environment, name)] = None
    return {
        manifest: Flows(tuple(reads.get(manifest, ())), tuple(writes.get(manifest, ()))) for manifest in reads | writes
    }
