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
from dcp_graph_runner.journal_rows import AnyRow
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

    def put(self, pause: Pause) -> Pause | None:
        """Pause a manifest; gives the pause that was there, which this one replaces: user, reason and time."""

        def write(connection: Connection) -> Pause | None:
            mine = (pauses.c.environment == pause.environment) & (pauses.c.manifest_id == pause.manifest_id)
            row = connection.execute(select(pauses).where(mine).with_for_update()).one_or_none()
            if row is None:
                connection.execute(insert(pauses).values(attrs.asdict(pause)))
                return None
            connection.execute(update(pauses).where(mine).values(attrs.asdict(pause)))
            return _pause(row)

        before = self.database.settle(write)
        return None if before == pause else before  # written twice, see ``Database.settle``

    def lift(self, pause: Pause) -> bool:
        """Remove this very pause; whether it was there still. A newer one is left alone."""
        very = (getattr(pauses.c, name) == value for name, value in attrs.asdict(pause).items())
        gone = delete(pauses).where(*very)
        return self.database.settle(lambda connection: connection.execute(gone).rowcount) > 0

    def get(self, environment: str, manifest_id: str) -> Pause | None:
        """The pause of one manifest."""
        mine = select(pauses).where(pauses.c.environment == environment, pauses.c.manifest_id == manifest_id)
        rows = self.database.rows(mine)
        return _pause(rows[0]) if rows else None

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
        return {(row.environment, row.manifest_id): _pause(row) for row in rows}


def _pause(row: AnyRow) -> Pause:
    return Pause(row.environment, row.manifest_id, row.user, row.reason, row.at)
