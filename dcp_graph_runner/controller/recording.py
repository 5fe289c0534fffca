"""Writes down what a pass has found: only what is another than before, in bulk, under the fence of the lease.

Whoever holds the lease of a part of an environment is the only one that writes its conditions, so they are read once
and then known. A pass over a world that stands still writes one row for each kind: when it was looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from dcp_core.documents import to_json
from dcp_core.model import ResourceKey
from dcp_graph_runner.controller.conditions import chunks
from dcp_graph_runner.controller.judging import Verdict
from dcp_graph_runner.controller.leasing import Leases, Unit
from dcp_graph_runner.controller.pacing import Trouble
from dcp_graph_runner.database import Database
from dcp_graph_runner.tables import conditions, heal_attempts, observations

_ROWS_AT_A_TIME = 1_000


@attrs.frozen(eq=False)
class Found:
    """One resource and what is to be written of it."""

    manifest_id: str
    verdict: Verdict


@attrs.frozen(eq=False)
class _Row:
    manifest_id: str
    shard: int
    status: str
    reason: str
    message: str
    changes: str
    since: datetime


@attrs.frozen
class Transition:
    """A resource whose condition has become another one."""

    key: ResourceKey
    manifest_id: str
    before: str | None
    verdict: Verdict


@attrs.define(eq=False)
class Recorder:
    """Of one part of an environment.

    Args:
        database: The state database.
        leases: Of this replica.
        unit: The part.
        is_mine: Which manifests are in it.
    """

    database: Database
    leases: Leases
    unit: Unit
    is_mine: Callable[[str], bool]
    _known: dict[ResourceKey, tuple[_Row, Verdict | None]] | None = attrs.field(default=None, init=False)

    def record(
        self, found: Mapping[ResourceKey, Found], kinds: Collection[str], now: datetime
    ) -> tuple[Transition, ...]:  # fmt: skip
        """Write what differs, and that these kinds were looked at.

        Args:
            found: Every resource of the unit.
            kinds: Those that answered.
            now: UTC.

        Raises:
            LeaseLostError: Another replica looks after it by now; nothing was written.
        """
        known = self._read() if self._known is None else self._known
        new, other, transitions = {}, {}, []
        for key, each in found.items():
            before = known.get(key)
            if before is not None and before[1] is each.verdict and before[0].manifest_id == each.manifest_id:
                continue
            row = self._row(each, before[0] if before else None, now)
            if before is None:
                new[key] = row
            elif attrs.astuple(before[0]) != attrs.astuple(row):
                other[key] = row
            if before is None or before[0].status != row.status or before[0].reason != row.reason:
                was = None if before is None else before[0].status
                transitions.append(Transition(key, each.manifest_id, was, each.verdict))
            known[key] = (before[0] if before and key not in other else row, each.verdict)
        gone = [key for key in known if key not in found]
        try:
            self._write(new, other, gone, kinds, now)
        except BaseException:
            self._known = None  # what is in the database is not what is thought to be known
            raise
        for key in gone:
            del known[key]
        self._known = known
        return tuple(transitions)

    def _write(
        self,
        new: Mapping[ResourceKey, _Row],
        other: Mapping[ResourceKey, _Row],
        gone: Collection[ResourceKey],
        kinds: Collection[str],
        now: datetime,
    ) -> None:
        environment = self.unit.environment
        where = and_(
            conditions.c.environment == environment,
            conditions.c.kind == bindparam("of_kind"),
            conditions.c.name == bindparam("of_name"),
        )

        def work(connection: Connection) -> None:
            self.leases.confirm(connection, self.unit)
            # A resource may have come here from another part or another manifest: then its row is there already.
            for some in _few(list({**new}.items())):
                named = [{"of_kind": key.kind, "of_name": key.name} for key, _ in some]
                connection.execute(delete(conditions).where(where), named)
                connection.execute(insert(conditions), [self._values(key, row) for key, row in some])
            for some in _few(list(other.items())):
                rows = [{"of_kind": key.kind, "of_name": key.name, **attrs.asdict(row)} for key, row in some]
                connection.execute(update(conditions).where(where), rows)
            for some in _few([(key, None) for key in gone]):
                # A resource that moved to another manifest of another part is that part's by now.
                named = [{"of_kind": key.kind, "of_name": key.name} for key, _ in some]
                connection.execute(delete(conditions).where(where, conditions.c.shard == self.unit.shard), named)
            self._observed(connection, kinds, now)

        self.database.settle(work)

    def _observed(self, connection: Connection, kinds: Collection[str], now: datetime) -> None:
        mine = and_(observations.c.environment == self.unit.environment, observations.c.shard == self.unit.shard)
        there = set(connection.execute(select(observations.c.kind).where(mine)).scalars())
        known = sorted(there.intersection(kinds))
        if known:
            connection.execute(update(observations).where(mine, observations.c.kind.in_(known)).values(observed_at=now))
        rows = [
            {"environment": self.unit.environment, "shard": self.unit.shard, "kind": kind, "observed_at": now}
            for kind in sorted(set(kinds) - there)
        ]
        if rows:
            connection.execute(insert(observations), rows)

    def _read(self) -> dict[ResourceKey, tuple[_Row, Verdict | None]]:
        query = select(conditions).where(conditions.c.environment == self.unit.environment)
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return {
            ResourceKey(row.kind, row.name): (
                _Row(
                    row.manifest_id, row.shard, row.status, row.reason, row.message, row.changes, row.since
                ),
                None,
            )
            for row in rows
            if self.is_mine(row.manifest_id)
        }  # fmt: skip

    def _row(self, found: Found, before: _Row | None, now: datetime) -> _Row:
        verdict = found.verdict
        status = verdict.status.value
        same = before is not None and before.status == status and before.reason == verdict.reason
        changes = json.dumps([to_json(each) for each in verdict.changes], separators=(",", ":"))
        since = before.since if before is not None and same else now
        return _Row(found.manifest_id, self.unit.shard, status, verdict.reason, verdict.message, changes, since)

    def _values(self, key: ResourceKey, row: _Row) -> dict[str, Any]:
        return {"environment": self.unit.environment, "kind": key.kind, "name": key.name, **attrs.asdict(row)}


@attrs.frozen
class Attempts:
    """What could not be healed, for all replicas to know. Thread-safe.

    Args:
        database: The state database.
    """

    database: Database

    def all(self, environment: str) -> dict[str, Trouble]:
        """By manifest."""
        query = select(heal_attempts).where(heal_attempts.c.environment == environment)
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return {row.manifest_id: Trouble(row.attempts, row.next_at, "heal_failed", row.error) for row in rows}

    def put(self, environment: str, manifest_id: str, trouble: Trouble) -> None:
        """It failed again."""
        mine = and_(heal_attempts.c.environment == environment, heal_attempts.c.manifest_id == manifest_id)
        values = {"attempts": trouble.failures, "next_at": trouble.next_at, "error": trouble.message}

        def work(connection: Connection) -> None:
            if connection.execute(update(heal_attempts).where(mine).values(values)).rowcount == 0:
                row = {"environment": environment, "manifest_id": manifest_id, **values}
                connection.execute(insert(heal_attempts).values(row))

        self.database.settle(work)

    def forget(self, environment: str, manifest_ids: Collection[str]) -> None:
        """They are well, or gone."""
        with self.database.writing() as connection:
            for some in chunks(sorted(manifest_ids)):
                connection.execute(
                    delete(heal_attempts).where(
                        heal_attempts.c.environment == environment, heal_attempts.c.manifest_id.in_(some)
                    )
                )


def _few(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        yield rows[start : start + _ROWS_AT_A_TIME]
