"""The condition of every resource, as the controller last found it: what others read.

Source: design.md section 9.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Row, and_, func, select

from dcp_core.documents import from_json
from dcp_core.errors import NotSupportedError
from dcp_core.model import FieldChange, ResourceKey
from dcp_core.store import Store
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import conditions, observations

if TYPE_CHECKING:
    from dcp_graph_runner.database import Database

IDS_AT_A_TIME = 500
"""In one statement: SQLite takes 32,766 variables, and a plan of a longer list is no better."""


class ConditionStatus(enum.StrEnum):
    """How a resource is found to be."""

    IN_SYNC = "InSync"
    """As it was applied, or different in what its manifest ignores."""
    DRIFTED = "Drifted"
    """Somebody else has changed it, or it waits for an apply."""
    FAILED = "Failed"
    """It cannot be as it should: healing it failed, its plugin is gone, or its service refuses."""
    PAUSED = "Paused"
    """Its manifest is paused: it is looked at and left alone."""
    UNKNOWN = "Unknown"
    """Its service does not answer."""


@attrs.frozen
class Condition:
    """Of one resource.

    Args:
        environment: Where.
        key: Which.
        manifest_id: Whose.
        status: How it is.
        reason: A stable code: ``unchanged``, ``ignored``, ``changed``, ``vanished``, ``destructive`` …
        message: In words, for people; "" when there is nothing to say.
        changes: Field by field; with what is there as ``actual``.
        since: UTC, when status or reason became so.
        observed_at: UTC, when its kind was last read there; None when it never could be.
    """

    environment: str
    key: ResourceKey
    manifest_id: str
    status: ConditionStatus
    reason: str
    message: str
    changes: tuple[FieldChange, ...]
    since: datetime
    observed_at: datetime | None


@attrs.frozen
class Conditions:
    """All of them, to read. Thread-safe.

    Args:
        database: The state database.
    """

    database: Database

    @classmethod
    def of(cls, store: Store) -> Conditions:
        """Those that the store keeps.

        Raises:
            NotSupportedError: The store is none on SQL.
        """
        return cls(database_of(store))

    def all(
        self, environment: str, manifest_ids: Sequence[str] | None = None
    ) -> Mapping[str, tuple[Condition, ...]]:  # fmt: skip
        """By manifest, each manifest's by kind and name; a manifest that was never looked at is not there.

        One query; of many named manifests one for each 500.
        """
        seen = and_(
            observations.c.environment == conditions.c.environment,
            observations.c.shard == conditions.c.shard,
            observations.c.kind == conditions.c.kind,
        )
        query = (
            select(conditions, observations.c.observed_at)
            .outerjoin(observations, seen)
            .where(conditions.c.environment == environment)
            .order_by(conditions.c.manifest_id, conditions.c.kind, conditions.c.name)
        )
        found: dict[str, list[Condition]] = {}
        with self.database.reading() as connection:
            for ids in [None] if manifest_ids is None else chunks(sorted(set(manifest_ids))):
                narrowed = query if ids is None else query.where(conditions.c.manifest_id.in_(ids))
                for row in connection.execute(narrowed):
                    found.setdefault(row.manifest_id, []).append(_condition(row))
        return {id: tuple(each) for id, each in found.items()}

    def counts(self, environment: str | None = None) -> Mapping[str, Mapping[ConditionStatus, int]]:
        """How many resources are in which condition, by environment; a status that none has is not there."""
        query = select(conditions.c.environment, conditions.c.status, func.count().label("count"))
        if environment is not None:
            query = query.where(conditions.c.environment == environment)
        found: dict[str, dict[ConditionStatus, int]] = {}
        with self.database.reading() as connection:
            for row in connection.execute(query.group_by(conditions.c.environment, conditions.c.status)):
                found.setdefault(row.environment, {})[ConditionStatus(row.status)] = int(row[2])
        return found


def database_of(store: Store) -> Database:
    """Where a store keeps things. Raises NotSupportedError when it is none on SQL."""
    if not isinstance(store, SqlStore):
        raise NotSupportedError("the controller needs a SQL store", hint="[store] url = sqlite:///… or postgresql…")
    return store.database


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """A few at a time, for ``IN``."""
    for start in range(0, len(ids), IDS_AT_A_TIME):
        yield ids[start : start + IDS_AT_A_TIME]


def _condition(row: Row[Any]) -> Condition:
    return Condition(
        environment=row.environment,
        key=ResourceKey(row.kind, row.name),
        manifest_id=row.manifest_id,
        status=ConditionStatus(row.status),
        reason=row.reason,
        message=row.message,
        changes=tuple(from_json(each, FieldChange) for each in json.loads(row.changes)),
        since=row.since,
        observed_at=row.observed_at,
    )
