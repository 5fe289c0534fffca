"""The store on SQL: what DCP remembers between commands, beside the journal.

Source: design.md sections 6 and 9.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from dcp_core.documents import from_json
from dcp_core.errors import ConflictError, LeaseLostError, NotFoundError
from dcp_core.model import LogicalPlan, Resource, ResourceKey
from dcp_core.records import AuditRecord, InventoryEntry, Operation, OperationStatus, Sandbox
from dcp_core.sections import StoreSettings
from dcp_core.store import Holder, StateStore
from dcp_graph_runner.audit import AuditLog
from dcp_graph_runner.database import Database
from dcp_graph_runner.journal import SqlJournal
from dcp_graph_runner.journal_rows import AnyRow, dump, read_operation
from dcp_graph_runner.schema import ensure_current
from dcp_graph_runner.tables import (
    chosen_sandboxes,
    conditions,
    heal_attempts,
    inventory,
    logical_plans,
    observations,
    operations,
    pauses,
    sandboxes,
)

_NAMED_AT_MOST = 500
"""In one statement; of more, all of an environment are read and the others left out."""


def open_store(url: str, clock: Callable[[], datetime], settings: StoreSettings | None = None) -> StateStore:
    """Open the state database, making or migrating it when needed. The entry point of group ``dcp.stores``.

    Args:
        url: ``sqlite:////absolute/path/state.db`` or ``postgresql://…``.
        clock: UTC now; leases on PostgreSQL are counted by the database's clock instead.
        settings: Timeouts, the size of the pool, patience.

    Raises:
        SettingsError: The URL cannot be used.
        PermanentError: The database is damaged, not ours to open, or from a newer version.
        TransientError: It is locked or does not answer.
    """
    database = Database(url, settings)
    try:
        ensure_current(database)
    except BaseException:
        database.close()
        raise
    return SqlStore(database, clock)


class SqlStore(SqlJournal):
    """``dcp_core.store.StateStore`` on a database whose schema is current. Thread-safe."""

    def inventory(
        self, environment: str, manifest_ids: Sequence[str] | None = None, keys: Sequence[ResourceKey] = ()
    ) -> tuple[InventoryEntry, ...]:
        """See ``Store.inventory``."""
        ids, others = None if manifest_ids is None else set(manifest_ids), set(keys)
        here = select(inventory).where(inventory.c.environment == environment)
        if ids is None or len(ids) + len(others) > _NAMED_AT_MOST:
            queries = [here]
        else:
            # One for each index: joined by OR they would be answered by looking at the whole environment.
            queries = [here.where(inventory.c.manifest_id.in_(ids)), *(here.where(each) for each in _named(others))]
        rows = {row.id: row for query in queries for row in self._database.rows(query)}
        return tuple(
            _entry(row)
            for _, row in sorted(rows.items())
            if ids is None or row.manifest_id in ids or ResourceKey(row.kind, row.name) in others
        )

    def set_protected(self, environment: str, key: ResourceKey, protected: bool, by: str | None = None) -> None:
        """See ``Store.set_protected``."""
        mine = and_(inventory.c.environment == environment, inventory.c.kind == key.kind, inventory.c.name == key.name)
        values = {"protected": protected} if by is None else {"protected": protected, "protected_by": by}
        change = update(inventory).where(mine).values(values)
        if self._database.settle(lambda connection: connection.execute(change).rowcount) == 0:
            raise NotFoundError(f"{key} is not in the inventory", where=environment)

    def save_logical_plan(self, logical_plan: LogicalPlan, operation_id: str, user: str, at: datetime) -> int:
        """See ``Store.save_logical_plan``. A manifest that only moved to another file is a version of its own.

        Raises:
            LeaseLostError: The operation has ended. A process that stood still and comes back must not put its
                version behind newer ones.
        """
        mine = and_(
            logical_plans.c.environment == logical_plan.environment, logical_plans.c.manifest_id == logical_plan.id
        )
        newest_first = select(logical_plans).where(mine).order_by(logical_plans.c.version.desc()).limit(1)
        document = dump(logical_plan)

        # Locked until the version is written: an operation that ends, ends before or after.
        mine_runs = select(operations.c.status).where(operations.c.id == operation_id).with_for_update(read=True)

        def append(connection: Connection) -> int:
            status = connection.execute(mine_runs).scalar_one_or_none()
            if status not in (None, OperationStatus.RUNNING.value):
                raise LeaseLostError(f"operation {operation_id} has ended", where=logical_plan.environment)
            newest = connection.execute(newest_first).one_or_none()
            if newest is not None and json.loads(newest.document) == json.loads(document):
                return int(newest.version)
            version = 1 if newest is None else int(newest.version) + 1
            connection.execute(
                insert(logical_plans).values(
                    environment=logical_plan.environment,
                    manifest_id=logical_plan.id,
                    version=version,
                    document=document,
                    operation_id=operation_id,
                    user=user,
                    at=at,
                )
            )
            return version

        return self._database.settle(append)

    def logical_plans(self, environment: str, manifest_ids: Sequence[str] | None = None) -> Mapping[str, LogicalPlan]:
        """See ``Store.logical_plans``."""
        ids = None if manifest_ids is None else set(manifest_ids)
        there = select(inventory.c.id).where(
            inventory.c.environment == environment, inventory.c.manifest_id == logical_plans.c.manifest_id
        )
        mine: list[ColumnElement[bool]] = [logical_plans.c.environment == environment, there.exists()]
        if ids is not None and len(ids) <= _NAMED_AT_MOST:
            mine.append(logical_plans.c.manifest_id.in_(ids))
        newest = (
            select(logical_plans.c.manifest_id, func.max(logical_plans.c.version).label("version"))
            .where(*mine)
            .group_by(logical_plans.c.manifest_id)
            .subquery()
        )
        query = (
            select(logical_plans)
            .join(
                newest,
                and_(
                    logical_plans.c.manifest_id == newest.c.manifest_id,
                    logical_plans.c.version == newest.c.version,
                ),
            )
            .where(logical_plans.c.environment == environment)
            .order_by(logical_plans.c.manifest_id)
        )
        rows = self._database.rows(query)
        return {row.manifest_id: _logical_plan(row) for row in rows if ids is None or row.manifest_id in ids}

    def applied_ids(self, environment: str, after: str, limit: int) -> tuple[str, ...]:
        """The manifests that have resources in the inventory, as the database sorts them, after ``after``."""
        mine = (inventory.c.environment == environment, inventory.c.manifest_id > after)
        query = select(inventory.c.manifest_id).where(*mine).distinct().order_by(inventory.c.manifest_id).limit(limit)
        return tuple(row.manifest_id for row in self._database.rows(query))

    def history(self, environment: str, manifest_id: str) -> tuple[tuple[int, LogicalPlan, str, str, datetime], ...]:
        """See ``Store.history``."""
        query = (
            select(logical_plans)
            .where(logical_plans.c.environment == environment, logical_plans.c.manifest_id == manifest_id)
            .order_by(logical_plans.c.version.desc())
        )
        rows = self._database.rows(query)
        return tuple((row.version, _logical_plan(row), row.operation_id, row.user, row.at) for row in rows)

    def operations(self, environment: str | None = None, limit: int = 100) -> tuple[Operation, ...]:
        """See ``Store.operations``."""
        query = select(operations).order_by(operations.c.created_at.desc(), operations.c.id.desc()).limit(limit)
        if environment is not None:
            query = query.where(operations.c.environment == environment)
        rows = self._database.rows(query)
        return tuple(read_operation(row) for row in rows)

    def operation(self, operation_id: str) -> Operation | None:
        """The one of that id, however old it is."""
        rows = self._database.rows(select(operations).where(operations.c.id == operation_id))
        return read_operation(rows[0]) if rows else None

    def operations_of(self, request_id: str) -> tuple[Operation, ...]:
        """Those that a request of the server began, oldest first."""
        mine = select(operations).where(operations.c.request_id == request_id)
        rows = self._database.rows(mine.order_by(operations.c.created_at, operations.c.id))
        return tuple(read_operation(row) for row in rows)

    @property
    def database(self) -> Database:
        """For what is kept beside the store's own: requests, pauses, conditions."""
        return self._database

    @property
    def audit_log(self) -> AuditLog:
        """The chain, to verify and to deliver; see ``audit.log_of``."""
        return AuditLog(self._database, self._clock, self._is_gone)

    def append_audit(self, record: AuditRecord) -> None:
        """See ``Store.append_audit``."""
        self.audit_log.append(record)

    def announce_audit(self, record: AuditRecord, holder: Holder) -> None:
        """See ``Store.announce_audit``."""
        self.audit_log.announce(record, holder)

    def settle_audit(self) -> tuple[AuditRecord, ...]:
        """See ``Store.settle_audit``."""
        return self.audit_log.settle()

    def settle_request(self, request_id: str) -> tuple[AuditRecord, ...]:
        """See ``AuditLog.settle_request``."""
        return self.audit_log.settle_request(request_id)

    def audit_records(
        self, environment: str | None = None, manifest_id: str | None = None, limit: int = 100
    ) -> tuple[AuditRecord, ...]:
        """See ``Store.audit_records``."""
        return self.audit_log.records(environment, manifest_id, limit)

    def put_sandbox(self, sandbox: Sandbox) -> None:
        """See ``Store.put_sandbox``."""
        values = {"identity": sandbox.identity, "created_at": sandbox.created_at, "expires_at": sandbox.expires_at}

        def put(connection: Connection) -> None:
            # Locked, so that it cannot become somebody else's before it is changed.
            mine = select(sandboxes).where(sandboxes.c.id == sandbox.id).with_for_update()
            found = connection.execute(mine).one_or_none()
            if found is None:
                connection.execute(insert(sandboxes).values(id=sandbox.id, user=sandbox.user, **values))
            elif found.identity == sandbox.identity:
                connection.execute(update(sandboxes).where(sandboxes.c.id == sandbox.id).values(values))
            else:
                raise _name_taken(sandbox, found.identity)

        self._database.settle(put)

    def sandboxes(self) -> tuple[Sandbox, ...]:
        """See ``Store.sandboxes``."""
        rows = self._database.rows(select(sandboxes).order_by(sandboxes.c.id))
        return tuple(Sandbox(row.id, row.user, row.identity, row.created_at, row.expires_at) for row in rows)

    def delete_sandbox(self, sandbox_id: str) -> None:
        """See ``Store.delete_sandbox``; whoever had chosen it has chosen nothing. An unknown id is fine.

        What was paused there and what the controller knows of it are forgotten too: made anew, it is another one.

        Raises:
            ConflictError: Resources are left, or an operation is running there.
        """

        def forget(connection: Connection) -> None:
            # The row first: an operation that begins there holds it, and is seen below.
            connection.execute(select(sandboxes.c.id).where(sandboxes.c.id == sandbox_id).with_for_update())
            left = connection.execute(
                select(func.count()).select_from(inventory).where(inventory.c.environment == sandbox_id)
            ).scalar_one()
            if left:
                raise ConflictError(f"{left} resources are left in {sandbox_id}", hint="destroy it first")
            running = connection.execute(
                select(operations.c.id).where(
                    operations.c.environment == sandbox_id, operations.c.status == OperationStatus.RUNNING.value
                )
            ).first()
            if running is not None:
                raise ConflictError(f"operation {running.id} is running in {sandbox_id}")
            connection.execute(delete(chosen_sandboxes).where(chosen_sandboxes.c.sandbox_id == sandbox_id))
            for each in (pauses, conditions, observations, heal_attempts):
                connection.execute(delete(each).where(each.c.environment == sandbox_id))
            connection.execute(delete(sandboxes).where(sandboxes.c.id == sandbox_id))

        self._database.settle(forget)

    def chosen_sandbox(self, identity: str) -> str | None:
        """See ``Store.chosen_sandbox``."""
        query = select(chosen_sandboxes.c.sandbox_id).where(chosen_sandboxes.c.identity == identity)
        rows = self._database.rows(query)
        return rows[0].sandbox_id if rows else None

    def choose_sandbox(self, identity: str, sandbox_id: str | None) -> None:
        """See ``Store.choose_sandbox``."""
        mine = chosen_sandboxes.c.identity == identity

        def choose(connection: Connection) -> None:
            if sandbox_id is None:
                connection.execute(delete(chosen_sandboxes).where(mine))
            elif connection.execute(update(chosen_sandboxes).where(mine).values(sandbox_id=sandbox_id)).rowcount == 0:
                connection.execute(insert(chosen_sandboxes).values(identity=identity, sandbox_id=sandbox_id))

        self._database.settle(choose)

    def close(self) -> None:
        """See ``Store.close``."""
        self._database.close()


def _named(keys: Iterable[ResourceKey]) -> Iterator[ColumnElement[bool]]:
    by_kind: dict[str, list[str]] = {}
    for each in keys:
        by_kind.setdefault(each.kind, []).append(each.name)
    for kind, names in by_kind.items():
        yield and_(inventory.c.kind == kind, inventory.c.name.in_(names))


def _entry(row: AnyRow) -> InventoryEntry:
    return InventoryEntry(
        resource=from_json(json.loads(row.resource), Resource),
        protected=row.protected,
        applied_digest=row.applied_digest,
        logical_plan_digest=row.logical_plan_digest,
        protected_by=row.protected_by,
    )


def _logical_plan(row: AnyRow) -> LogicalPlan:
    return from_json(json.loads(row.document), LogicalPlan)


def _name_taken(wanted: Sandbox, owner: str) -> ConflictError:
    return ConflictError(
        f"the name {wanted.id} belongs to {owner}; {wanted.identity} would get the same one",
        hint=f"choose another name: pretzel playground create NAME, then use NAME; or let {owner} destroy {wanted.id}",
        code="playground.name_taken",
    )
