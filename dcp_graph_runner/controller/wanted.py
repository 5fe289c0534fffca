"""What was last applied in an environment, and what the inventory has of it; decoded once for each version.

The store's own reads decode every document at each call, which at 10,000 manifests costs seconds. Here a look costs
two queries of short columns, and only what has a new version is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence

import attrs
from sqlalchemy import and_, func, or_, select

from dcp_core.context import LOG
from dcp_core.documents import from_json
from dcp_core.errors import DcpError
from dcp_core.model import LogicalPlan, Metadata, Resource, ResourceKey, Source
from dcp_core.planner import decompose
from dcp_core.records import InventoryEntry
from dcp_core.registry import Registry
from dcp_graph_runner.controller.conditions import chunks
from dcp_graph_runner.database import Database
from dcp_graph_runner.tables import inventory, logical_plans

_ROWS_AT_A_TIME = 200


@attrs.frozen(eq=False)
class Wanted:
    """One manifest's version in force.

    Args:
        version: Its number.
        logical_plan: Itself.
        resources: What it wants; () when ``error`` says why that cannot be told.
        error: Its plugin is missing, broken, or refuses it; or what the store has of it cannot be read.
        is_read: False in that last case; the logical plan then has nothing but its id.
    """

    version: int
    logical_plan: LogicalPlan
    resources: tuple[Resource, ...]
    error: DcpError | None = None
    is_read: bool = True


Light = tuple[str, bool, str, str, str]
"""Of an inventory row: manifest id, protected, applied digest, digest of the logical plan, protected by whom."""


@attrs.define(eq=False)
class Knowledge:
    """Of one environment, for one thread at a time.

    Args:
        database: The state database.
        registry: Finds plugins.
        environment: Its name.
        is_mine: Which manifests are looked after here.
    """

    database: Database
    registry: Registry
    environment: str
    is_mine: Callable[[str], bool]
    manifests: dict[str, Wanted] = attrs.field(factory=dict, init=False)
    rows: dict[ResourceKey, Light] = attrs.field(factory=dict, init=False)
    _unwanted: Mapping[str, tuple[InventoryEntry, ...]] | None = attrs.field(default=None, init=False)

    def refresh(self) -> set[str]:
        """Look again; gives the manifests of which anything has changed, those that are gone too."""
        rows = self._rows()
        present = {row[0] for row in rows.values()}
        changed = {row[0] for key, row in rows.items() if self.rows.get(key) != row}
        changed |= {row[0] for key, row in self.rows.items() if key not in rows}
        versions = {id: version for id, version in self._versions().items() if id in present}
        new = {id: version for id, version in versions.items() if self._version(id) != version}
        gone = self.manifests.keys() - versions.keys()
        for id in gone:
            del self.manifests[id]
        for id, (version, read) in in_force(self.database, self.environment, new).items():
            self.manifests[id] = (
                self._unread(id, version, read) if isinstance(read, DcpError) else self._wanted(version, read)
            )
        # A plugin may have come, or been mended.
        again = [id for id, each in self.manifests.items() if each.error and each.is_read and id not in new]
        for id in again:
            self.manifests[id] = self._wanted(self.manifests[id].version, self.manifests[id].logical_plan)
            changed.add(id)
        if changed or new or gone:
            self._unwanted = None
        self.rows = rows
        return changed | new.keys() | gone

    def entries(self, resources: Sequence[Resource]) -> dict[ResourceKey, InventoryEntry]:
        """The inventory's rows of these, with the resources themselves as they are wanted now."""
        found = {}
        for each in resources:
            row = self.rows.get(each.key)
            if row is not None:
                found[each.key] = InventoryEntry(each, *row[1:])
        return found

    def unwanted(self) -> Mapping[str, tuple[InventoryEntry, ...]]:
        """What the inventory has of each manifest and its version in force does not want."""
        if self._unwanted is None:
            self._unwanted = self._read_unwanted()
        return self._unwanted

    def _read_unwanted(self) -> dict[str, tuple[InventoryEntry, ...]]:
        wanted = {resource.key for each in self.manifests.values() for resource in each.resources}
        known = {id for id, each in self.manifests.items() if each.error is None}
        keys = [key for key, row in self.rows.items() if key not in wanted and row[0] in known]
        found: dict[str, list[InventoryEntry]] = {}
        with self.database.reading() as connection:
            for start in range(0, len(keys), _ROWS_AT_A_TIME):
                some = [
                    and_(inventory.c.kind == each.kind, inventory.c.name == each.name)
                    for each in keys[start : start + _ROWS_AT_A_TIME]
                ]
                query = select(inventory).where(inventory.c.environment == self.environment, or_(*some))
                for row in connection.execute(query.order_by(inventory.c.id)):
                    try:
                        resource = from_json(json.loads(row.resource), Resource)
                    except DcpError as error:
                        LOG.warning("%s %s in %s is passed over: %s", row.kind, row.name, self.environment, error)
                        continue
                    entry = InventoryEntry(
                        resource, row.protected, row.applied_digest, row.logical_plan_digest, row.protected_by
                    )
                    found.setdefault(row.manifest_id, []).append(entry)
        return {id: tuple(each) for id, each in found.items()}

    def _version(self, id: str) -> int | None:
        known = self.manifests.get(id)
        return None if known is None else known.version

    def _rows(self) -> dict[ResourceKey, Light]:
        query = select(
            inventory.c.kind,
            inventory.c.name,
            inventory.c.manifest_id,
            inventory.c.protected,
            inventory.c.applied_digest,
            inventory.c.logical_plan_digest,
            inventory.c.protected_by,
        ).where(inventory.c.environment == self.environment)
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return {ResourceKey(kind, name): (id, *light) for kind, name, id, *light in rows if self.is_mine(id)}

    def _versions(self) -> dict[str, int]:
        query = (
            select(logical_plans.c.manifest_id, func.max(logical_plans.c.version))
            .where(logical_plans.c.environment == self.environment)
            .group_by(logical_plans.c.manifest_id)
        )
        with self.database.reading() as connection:
            return {id: version for id, version in connection.execute(query) if self.is_mine(id)}

    def _unread(self, id: str, version: int, error: DcpError) -> Wanted:
        """Of a version that another release of DCP has written, say: it stops no other manifest."""
        nothing = LogicalPlan(id.partition("/")[0], id, self.environment, {}, Metadata(""), Source("", ""))
        return Wanted(version, nothing, (), error, is_read=False)

    def _wanted(self, version: int, logical_plan: LogicalPlan) -> Wanted:
        try:
            return Wanted(version, logical_plan, decompose(logical_plan, self.registry))
        except DcpError as error:
            return Wanted(version, logical_plan, (), error)


def in_force(
    database: Database, environment: str, ids: Collection[str]
) -> dict[str, tuple[int, LogicalPlan | DcpError]]:
    """The newest versions of some manifests with their numbers, from the database itself, or why one is unreadable."""
    of_ids = logical_plans.c.manifest_id.in_
    found: dict[str, tuple[int, LogicalPlan | DcpError]] = {}
    with database.reading() as connection:
        for some in chunks(sorted(ids)):
            newest = (
                select(logical_plans.c.manifest_id, func.max(logical_plans.c.version).label("version"))
                .where(logical_plans.c.environment == environment, of_ids(some))
                .group_by(logical_plans.c.manifest_id)
                .subquery()
            )
            same = and_(
                logical_plans.c.manifest_id == newest.c.manifest_id, logical_plans.c.version == newest.c.version
            )
            query = (
                select(logical_plans.c.manifest_id, logical_plans.c.version, logical_plans.c.document)
                .join(newest, same)
                .where(logical_plans.c.environment == environment, of_ids(some))
            )
            for id, version, document in connection.execute(query):
                try:
                    found[id] = (int(version), from_json(json.loads(document), LogicalPlan))
                except DcpError as error:
                    found[id] = (int(version), error)
    return found
