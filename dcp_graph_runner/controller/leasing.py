"""Which replica looks after what: leases in the database, each with a fence, shared out evenly.

A unit is an environment, or a part of one, or the housekeeping. Each replica says every few seconds that it lives,
takes what nobody has until it has its share, and gives back what is above it; so work moves when replicas come, and
when one dies. Whoever was declared dead and goes on writes nothing more: its fence is an old one.

Source: design.md section 9.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from dcp_core.errors import LeaseLostError
from dcp_core.store import Holder
from dcp_graph_runner import holder as processes
from dcp_graph_runner.database import Database
from dcp_graph_runner.tables import controller_leases as table
from dcp_graph_runner.tables import controller_replicas as replicas

HOUSEKEEPING = "*"
"""Not an environment's name: what belongs to no environment alone."""


@attrs.frozen(order=True)
class Unit:
    """What one replica looks after at a time.

    Args:
        environment: Its name, or ``*`` for the housekeeping.
        shard: Which part of it, from 0.
    """

    environment: str
    shard: int = 0

    def __str__(self) -> str:
        return f"{self.environment}/{self.shard}" if self.shard else self.environment


def shard_of(manifest_id: str, shards: int) -> int:
    """The part that a manifest is in: the same for every replica, and in every process."""
    return zlib.crc32(manifest_id.encode()) % shards


@attrs.define(eq=False)
class Leases:
    """One replica's. Thread-safe.

    Args:
        database: The state database.
        replica: This replica's id, another one for each start.
        holder: This process.
        lease: For how long its word counts.
        clock: UTC now; counts where the database has none of its own.
        is_gone: Whether a process has ended for certain.
        is_guest: Takes what is free and is not counted among those that share: it looks after a part only.
    """

    database: Database
    replica: str
    holder: Holder
    lease: timedelta
    clock: Callable[[], datetime]
    is_gone: Callable[[Holder], bool] = processes.is_gone
    is_guest: bool = False
    held: Mapping[Unit, int] = attrs.field(factory=dict, init=False)

    def tend(self, units: Collection[Unit], busy: Collection[Unit] = ()) -> Mapping[Unit, int]:
        """Say that this replica lives, and take, keep or give back; gives the fence of each unit it holds now.

        Args:
            units: All that there are.
            busy: Not given back now.
        """

        def work(connection: Connection) -> dict[Unit, int]:
            now = self.database.now(connection, self.clock)
            living = 1 if self.is_guest else self._register(connection, now)
            rows = {Unit(row.environment, row.shard): row for row in connection.execute(select(table))}
            mine = {
                unit: row.fence for unit, row in rows.items() if row.replica == self.replica and row.expires_at > now
            }
            theirs = {unit for unit, row in rows.items() if row.expires_at > now}
            free = [unit for unit in sorted(units) if unit not in theirs]
            share = math.ceil(len(units) / living)
            keep, surplus = self._divided(mine, units, busy, share)
            for unit in surplus:
                connection.execute(update(table).where(self._fenced(unit, mine[unit])).values(expires_at=now))
            self._renew(connection, keep, now)
            for unit in free[: max(0, share - len(keep))]:
                fence = rows[unit].fence if unit in rows else 0
                if self._take(connection, unit, fence, now):
                    keep[unit] = fence + 1
            return keep

        self.held = self.database.settle(work)
        return self.held

    def confirm(self, connection: Connection, unit: Unit) -> None:
        """Make sure, within a writing transaction, that the unit is this replica's until the transaction ends.

        Raises:
            LeaseLostError: It is not.
        """
        fence = self.held.get(unit)
        # Only touched, not extended: a pass that hangs must not keep what ``tend`` no longer renews.
        held = fence is not None and connection.execute(
            update(table).where(self._fenced(unit, fence)).values(replica=self.replica)
        ).rowcount == 1  # fmt: skip
        if not held:
            raise LeaseLostError(f"another replica of the controller looks after {unit} by now", where=str(unit))

    def renew(self) -> None:
        """Keep what is held, and take nothing: for a replica that ends and has not come to its end."""
        self.database.settle(
            lambda connection: self._renew(connection, self.held, self.database.now(connection, self.clock))
        )

    def release(self) -> None:
        """Give everything back, at the end."""
        with self.database.writing() as connection:
            now = self.database.now(connection, self.clock)
            connection.execute(update(table).where(table.c.replica == self.replica).values(expires_at=now))
            connection.execute(delete(replicas).where(replicas.c.id == self.replica))
        self.held = {}

    def others(self) -> Mapping[Unit, str]:
        """Units that other living replicas hold, and which."""
        with self.database.reading() as connection:
            now = self.database.now(connection, self.clock)
            rows = connection.execute(select(table).where(table.c.replica != self.replica, table.c.expires_at > now))
            return {Unit(row.environment, row.shard): row.replica for row in rows}

    def _register(self, connection: Connection, now: datetime) -> int:
        """Gives how many replicas live, this one among them; what the dead ones had is free."""
        until = now + self.lease
        mine = replicas.c.id == self.replica
        if connection.execute(update(replicas).where(mine).values(expires_at=until)).rowcount == 0:
            row = {
                "id": self.replica,
                "expires_at": until,
                "holder_host": self.holder.host,
                "holder_pid": self.holder.pid,
                "holder_started": self.holder.started,
                "holder_user": self.holder.user,
            }
            connection.execute(insert(replicas).values(row))
        there = connection.execute(select(replicas)).all()
        living = {each.id for each in there if each.expires_at > now and not self.is_gone(_process(each))}
        living.add(self.replica)
        dead = [each.id for each in there if each.id not in living]
        if dead:
            connection.execute(delete(replicas).where(replicas.c.id.in_(dead)))
            connection.execute(update(table).where(table.c.replica.in_(dead)).values(expires_at=now))
        return len(living)

    def _divided(
        self, mine: Mapping[Unit, int], units: Collection[Unit], busy: Collection[Unit], share: int
    ) -> tuple[dict[Unit, int], list[Unit]]:
        """What is kept, and what is given back."""
        there = set(units)
        idle = [unit for unit in sorted(mine) if unit not in busy]
        surplus = [unit for unit in idle if unit not in there]
        above = len(mine) - len(surplus) - share
        surplus += [unit for unit in reversed(idle) if unit in there][: max(0, above)]
        return {unit: fence for unit, fence in mine.items() if unit not in surplus}, surplus

    def _renew(self, connection: Connection, keep: Mapping[Unit, int], now: datetime) -> None:
        if keep:
            connection.execute(
                update(table)
                .where(table.c.replica == self.replica, table.c.expires_at > now)
                .values(expires_at=now + self.lease)
            )

    def _take(self, connection: Connection, unit: Unit, fence: int, now: datetime) -> bool:
        values = {"replica": self.replica, "fence": fence + 1, "expires_at": now + self.lease}
        if fence == 0:
            row = {"environment": unit.environment, "shard": unit.shard, **values}
            connection.execute(insert(table).values(row))  # somebody else's came in between: settle looks again
            return True
        here = and_(table.c.environment == unit.environment, table.c.shard == unit.shard, table.c.fence == fence)
        return connection.execute(update(table).where(here).values(values)).rowcount == 1

    def _fenced(self, unit: Unit, fence: int | None) -> ColumnElement[bool]:
        return and_(
            table.c.environment == unit.environment,
            table.c.shard == unit.shard,
            table.c.replica == self.replica,
            table.c.fence == fence,
        )


def units_of(environments: Sequence[str], shards: Callable[[str], int]) -> tuple[Unit, ...]:
    """Everything that is to be looked after."""
    parts = [Unit(each, shard) for each in environments for shard in range(shards(each))]
    return (Unit(HOUSEKEEPING), *parts)


def _process(row: Row[Any]) -> Holder:
    return Holder(row.holder_host, row.holder_pid, row.holder_started, row.holder_user)
