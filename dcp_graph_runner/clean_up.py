"""Old rows go: operations with their steps, and the server's requests with their events.

Never the audit log, the inventory or the versions of logical plans; never what has not ended, nor the newest operation
of a manifest. Several replicas may do it at once: rows that another one has taken are skipped.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import attrs
from sqlalchemy import Connection, Select, Table, and_, delete, func, select

from dcp_core.records import OperationStatus
from dcp_core.sections import StoreSettings
from dcp_graph_runner.database import Database
from dcp_graph_runner.tables import operations, requests

ROWS_AT_A_TIME = 200
"""In one transaction: few, so that nobody waits for it; a step of an operation goes with its operation."""

_LOOKED_UP_AT_A_TIME = 20_000


@attrs.frozen
class Swept:
    """What went by this process's hand.

    Args:
        operations: How many.
        requests: How many.
    """

    operations: int
    requests: int


@attrs.frozen
class CleanUp:
    """Removes what is older than the settings keep.

    Args:
        database: The state database.
        clock: UTC now, where the database has no clock of its own.
        settings: Section ``[store]``: ``keep_days`` and ``keep_requests_days``.
    """

    database: Database
    clock: Callable[[], datetime]
    settings: StoreSettings

    def run(self) -> Swept:
        """Remove everything that is due now; killed in the middle, what is left is due the next time.

        Raises:
            TransientError: The database does not answer; part of it may be done.
        """
        return Swept(
            self._remove(operations, self._old_operations(timedelta(days=self.settings.keep_days))),
            self._remove(requests, self._old_requests(timedelta(days=self.settings.keep_requests_days))),
        )

    def _old_operations(self, kept: timedelta) -> Select[Any]:
        # Grouped once: asking for each one whether there is a newer one takes minutes with ten thousands of them.
        newest = (
            select(operations.c.environment, operations.c.manifest_id, func.max(operations.c.created_at).label("at"))
            .group_by(operations.c.environment, operations.c.manifest_id)
            .subquery()
        )
        same = and_(newest.c.environment == operations.c.environment, newest.c.manifest_id == operations.c.manifest_id)
        return (
            select(operations.c.id)
            .join(newest, same)
            .where(
                operations.c.status != OperationStatus.RUNNING.value,
                operations.c.finished_at < self.database.moment(self.clock, -kept),
                operations.c.created_at < newest.c.at,
            )
        )

    def _old_requests(self, kept: timedelta) -> Select[Any]:
        return select(requests.c.id).where(requests.c.finished_at < self.database.moment(self.clock, -kept))

    def _remove(self, table: Table, old: Select[Any]) -> int:
        removed = 0
        while True:
            due = [row.id for row in self.database.rows(old.order_by(table.c.id).limit(_LOOKED_UP_AT_A_TIME))]
            taken = 0
            for start in range(0, len(due), ROWS_AT_A_TIME):
                taken += self._remove_some(table, due[start : start + ROWS_AT_A_TIME])
            removed += taken
            # Nothing taken though something is due: another replica has it in hand.
            if taken == 0 or len(due) < _LOOKED_UP_AT_A_TIME:
                return removed

    def _remove_some(self, table: Table, ids: list[str]) -> int:
        mine = select(table.c.id).where(table.c.id.in_(ids)).with_for_update(skip_locked=True)

        def remove(connection: Connection) -> int:
            taken = [row.id for row in connection.execute(mine)]
            if taken:
                connection.execute(delete(table).where(table.c.id.in_(taken)))
            return len(taken)

        return self.database.settle(remove)
