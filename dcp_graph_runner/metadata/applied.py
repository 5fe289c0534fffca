"""What the store has of applied manifests, in few queries however many there are.

Source: design.md section 9.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import Select, and_, false, func, or_, select

from dcp_core.control_plane import ControlPlane
from dcp_core.documents import from_json
from dcp_core.errors import DcpError, NotFoundError, NotSupportedError, UnauthorizedError, UsageError
from dcp_core.model import PRODUCTION, Environment, LogicalPlan
from dcp_core.store import Store
from dcp_core.suggesting import nearest
from dcp_graph_runner.api.handlers import READ
from dcp_graph_runner.audit_chain import read_record
from dcp_graph_runner.database import Database
from dcp_graph_runner.metadata.views import ManifestCondition, ManifestOperation
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import audit, conditions, inventory, logical_plans, operations

BATCH = 500
Key = tuple[str, str]
"""Environment and manifest."""


@attrs.frozen
class Version:
    """One row of the history, its document not structured yet."""

    environment: str
    manifest_id: str
    version: int
    user: str
    at: Any
    operation_id: str
    document: Mapping[str, Any]

    @property
    def logical_plan(self) -> LogicalPlan:
        """As it was applied.

        Raises:
            ConflictError: A newer version of DCP wrote it.
        """
        return from_json(dict(self.document), LogicalPlan)


@attrs.frozen
class AppliedManifests:
    """Reads; thread-safe.

    Args:
        database: The state database.
    """

    database: Database

    @classmethod
    def of(cls, store: Store) -> AppliedManifests:
        """What the store keeps.

        Raises:
            NotSupportedError: The store is none on SQL.
        """
        if not isinstance(store, SqlStore):
            raise NotSupportedError("metadata is kept in a SQL store", hint="[store] url = sqlite:///… or postgresql…")
        return cls(store.database)

    def environments(self) -> tuple[str, ...]:
        """Where something is applied, sorted."""
        query = select(inventory.c.environment).distinct().order_by(inventory.c.environment)
        return tuple(row.environment for row in self.database.rows(query))

    def newest(
        self, environments: Sequence[str], manifest_type: str | None = None, after: Key | None = None
    ) -> Iterator[Version]:
        """The version in force of every applied manifest, by environment and id, a batch at a time.

        Args:
            environments: Where to look.
            manifest_type: Of this type only.
            after: Only what comes after it in that order.
        """
        here = inventory.c.environment.in_(environments)
        there = select(inventory.c.environment, inventory.c.manifest_id).where(here).distinct().subquery()
        latest = (
            select(there.c.environment, there.c.manifest_id, func.max(logical_plans.c.version).label("version"))
            .join(
                logical_plans,
                and_(
                    logical_plans.c.environment == there.c.environment,
                    logical_plans.c.manifest_id == there.c.manifest_id,
                ),
            )
            .group_by(there.c.environment, there.c.manifest_id)
            .order_by(there.c.environment, there.c.manifest_id)
            .limit(BATCH)
        )
        if manifest_type is not None:
            latest = latest.where(there.c.manifest_id.startswith(f"{manifest_type}/", autoescape=True))
        while True:
            wanted = latest
            if after is not None:
                wanted = latest.where(
                    or_(
                        there.c.environment > after[0],
                        and_(there.c.environment == after[0], there.c.manifest_id > after[1]),
                    )
                )
            found = [_version(row) for row in self.database.rows(_of_versions(wanted.subquery()))]
            yield from found
            if len(found) < BATCH:
                return
            after = (found[-1].environment, found[-1].manifest_id)

    def in_force(self, keys: Sequence[Key]) -> Mapping[Key, Version]:
        """The newest version of each of these; what was never applied is left out."""
        found: dict[Key, Version] = {}
        for start in range(0, len(keys), BATCH):
            mine = _among(logical_plans, keys[start : start + BATCH])
            latest = (
                select(
                    logical_plans.c.environment,
                    logical_plans.c.manifest_id,
                    func.max(logical_plans.c.version).label("version"),
                )
                .where(mine)
                .group_by(logical_plans.c.environment, logical_plans.c.manifest_id)
                .subquery()
            )
            for row in self.database.rows(_of_versions(latest)):
                found[row.environment, row.manifest_id] = _version(row)
        return found

    def flows(self, environment: str) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """Of each resource that exists: its manifest, the data it provides, the data it reads."""
        query = (
            select(inventory.c.manifest_id, inventory.c.resource)
            .where(inventory.c.environment == environment)
            .order_by(inventory.c.id)
        )
        for row in self.database.rows(query):
            # Not structured: it is two fields of many, of everything that there is.
            resource = json.loads(row.resource)
            yield row.manifest_id, tuple(resource.get("provides", ())), tuple(resource.get("reads", ()))

    def versions(
        self, environment: str, manifest_id: str, limit: int | None = None, below: int | None = None
    ) -> tuple[Version, ...]:
        """The history of one manifest, the newest first; of one that was destroyed too."""
        query = (
            select(logical_plans)
            .where(logical_plans.c.environment == environment, logical_plans.c.manifest_id == manifest_id)
            .order_by(logical_plans.c.version.desc())
        )
        if below is not None:
            query = query.where(logical_plans.c.version < below)
        return tuple(_version(row) for row in self.database.rows(query if limit is None else query.limit(limit)))

    def require(self, dcp: ControlPlane, environment: str, manifest_id: str) -> Version:
        """The newest version of a manifest.

        Raises:
            NotFoundError: It was never applied there; the nearest name is suggested.
        """
        found = self.versions(environment, manifest_id, limit=1)
        if not found:
            raise self.unknown(dcp, environment, manifest_id)
        return found[0]

    def unknown(self, dcp: ControlPlane, environment: str, manifest_id: str) -> NotFoundError:
        """That nothing is called so, with what might be meant, as far as the caller may read it."""
        mine = logical_plans.c.environment == environment
        known = [
            row.manifest_id for row in self.database.rows(select(logical_plans.c.manifest_id).where(mine).distinct())
        ]
        there = select(logical_plans.c.version).where(
            logical_plans.c.environment == PRODUCTION, logical_plans.c.manifest_id == manifest_id
        )
        otherwise = "`pretzel metadata list` shows what is applied"
        if self.database.rows(there.limit(1)) and readable(dcp, [PRODUCTION]):
            otherwise = "it is applied in production: -e production"
        hint = nearest(manifest_id, known, otherwise)
        return NotFoundError(f"{manifest_id} was never applied here", where=environment, hint=hint)

    def resource_counts(self, keys: Sequence[Key]) -> Mapping[Key, int]:
        """How many resources exist of each."""
        query = (
            select(inventory.c.environment, inventory.c.manifest_id, func.count().label("resources"))
            .where(_among(inventory, keys))
            .group_by(inventory.c.environment, inventory.c.manifest_id)
        )
        return {(row.environment, row.manifest_id): row.resources for row in self.database.rows(query)}

    def last_operations(self, keys: Sequence[Key]) -> Mapping[Key, ManifestOperation]:
        """The one that runs, else the newest of the audit log, for each."""
        newest = (
            select(func.max(audit.c.sequence).label("sequence"))
            .where(_among(audit, keys))
            .group_by(audit.c.environment, audit.c.manifest_id)
            .subquery()
        )
        found: dict[Key, ManifestOperation] = {}
        for row in self.database.rows(select(audit).join(newest, audit.c.sequence == newest.c.sequence)):
            try:
                record = read_record(row.document)
            except DcpError:
                continue  # it was altered, or a newer version wrote it: `audit list` tells
            found[row.environment, row.manifest_id] = ManifestOperation(
                record.operation_id, record.kind, record.outcome.value, record.user, record.at, record.message
            )
        running = select(
            operations.c.id, operations.c.kind, operations.c.status, operations.c.user, operations.c.created_at,
            operations.c.environment, operations.c.manifest_id,
        ).where(_among(operations, keys), operations.c.status == "RUNNING")  # fmt: skip
        for row in self.database.rows(running):
            found[row.environment, row.manifest_id] = ManifestOperation(
                row.id, row.kind, row.status, row.user, row.created_at
            )
        return found

    def conditions(self, keys: Sequence[Key]) -> Mapping[Key, tuple[ManifestCondition, ...]]:
        """As the controller last found the resources of each."""
        query: Select[Any] = select(conditions).where(_among(conditions, keys))
        query = query.order_by(conditions.c.kind, conditions.c.name)
        found: dict[Key, tuple[ManifestCondition, ...]] = {}
        for row in self.database.rows(query):
            told = ManifestCondition(row.kind, row.name, row.status, row.reason, row.message, row.since)
            key = (row.environment, row.manifest_id)
            found[key] = (*found.get(key, ()), told)
        return found


def readable(dcp: ControlPlane, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the environments that the caller may read; what is no environment's name is none of them."""
    found = []
    for name in names:
        try:
            dcp.authorize(READ, Environment.named(name))
        except (UnauthorizedError, UsageError):
            continue
        found.append(name)
    return tuple(found)


def _among(table: Any, keys: Sequence[Key]) -> Any:
    """Rows of these manifests; no rows for none."""
    by_environment: dict[str, list[str]] = {}
    for environment, manifest_id in keys:
        by_environment.setdefault(environment, []).append(manifest_id)
    return or_(
        false(),
        *(
            and_(table.c.environment == environment, table.c.manifest_id.in_(ids))
            for environment, ids in by_environment.items()
        ),
    )


def _of_versions(wanted: Any) -> Select[Any]:
    """The rows of these versions, by environment and id."""
    return (
        select(logical_plans)
        .join(
            wanted,
            and_(
                logical_plans.c.environment == wanted.c.environment,
                logical_plans.c.manifest_id == wanted.c.manifest_id,
                logical_plans.c.version == wanted.c.version,
            ),
        )
        .order_by(logical_plans.c.environment, logical_plans.c.manifest_id)
    )


def _version(row: Any) -> Version:
    return Version(
        row.environment, row.manifest_id, row.version, row.user, row.at, row.operation_id, json.loads(row.document)
    )
