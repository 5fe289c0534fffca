"""What is paused: a manifest whose schedule stands still, and whose drift the controller tells and does not mend.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs
from sqlalchemy import Connection, delete, insert, select, update

from dcp_core.errors import NotSupportedError
from dcp_core.store import Store
from dcp_graph_runner.database import Database
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import pauses


@attrs.frozen
class Pause:
    """One paused manifest.

    Args:
        environment: Where.
        manifest_id: Which.
        user: Who paused it.
        reason: Why, in that user's words; may be "".
        at: UTC, since when.
    """

    environment: str
    manifest_id: str
    user: str
    reason: str
    at: datetime


@attrs.frozen
class Pauses:
    """All of them. Thread-safe.

    Args:
        database: The state database.
    """

    database: Database

    @classmethod
    def of(cls, store: Store) -> Pauses:
        """Those that the store keeps.

        Raises:
            NotSupportedError: The store is none on SQL.
        """
        if not isinstance(store, SqlStore):
            raise NotSupportedError("pauses are kept in a SQL store", hint="[store] url = sqlite:///… or postgresql…")
        return cls(store.database)

    def put(self, pause: Pause) -> None:
        """Pause a manifest; one that is paused already keeps who did it first, and since when."""

        def write(connection: Connection) -> None:
            mine = (pauses.c.environment == pause.environment) & (pauses.c.manifest_id == pause.manifest_id)
            if connection.execute(update(pauses).where(mine).values(reason=pause.reason)).rowcount == 0:
                connection.execute(insert(pauses).values(attrs.asdict(pause)))

        self.database.settle(write)

    def remove(self, environment: str, manifest_id: str) -> bool:
        """No longer paused; whether it was."""
        with self.database.writing() as connection:
            removed = connection.execute(
                delete(pauses).where(pauses.c.environment == environment, pauses.c.manifest_id == manifest_id)
            )
        return removed.rowcount > 0

    def all(self, environment: str | None = None) -> Mapping[tuple[str, str], Pause]:
        """By environment and manifest, in one query."""
        query = select(pauses).order_by(pauses.c.environment, pauses.c.manifest_id)
        if environment is not None:
            query = query.where(pauses.c.environment == environment)
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return {
            (row.environment, row.manifest_id): Pause(row.environment, row.manifest_id, row.user, row.reason, row.at)
            for row in rows
        }
