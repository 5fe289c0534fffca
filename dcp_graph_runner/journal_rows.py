"""Operations, steps and the inventory as rows: what is written into one, and what is read out of it.

Documents are JSON texts made by ``dcp_core.documents``; see ``tables``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Connection, Row, Select, and_, delete, insert, select, update

from dcp_core.documents import from_json, to_json
from dcp_core.model import ManifestPlan
from dcp_core.records import ActionResult, InventoryEntry, Operation, OperationStatus
from dcp_core.store import Holder, InventoryChange, Step, StepStatus
from dcp_graph_runner.tables import inventory, steps

AnyRow = Row[tuple[object, ...]]


def dump(value: object) -> str:
    """The JSON text of a model object; ASCII, because PostgreSQL's text cannot hold a NUL."""
    return json.dumps(to_json(value), separators=(",", ":"))


def read_operation(row: AnyRow) -> Operation:
    """The operation in one row of the table."""
    return Operation(
        id=row.id,
        kind=row.kind,
        plan=from_json(json.loads(row.plan), ManifestPlan),
        user=row.user,
        status=OperationStatus(row.status),
        results=tuple(from_json(result, ActionResult) for result in json.loads(row.results)),
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
        recovered=row.fence > 1,
        request_id=row.request_id,
    )


def put_entry(connection: Connection, environment: str, entry: InventoryEntry) -> None:
    """Write an inventory entry; one that was there keeps its place in the order."""
    key = entry.resource.key
    values = {
        "manifest_id": entry.resource.manifest_id,
        "protected": entry.protected,
        "resource": dump(entry.resource),
        "applied_digest": entry.applied_digest,
        "logical_plan_digest": entry.logical_plan_digest,
    }
    where = and_(inventory.c.environment == environment, inventory.c.kind == key.kind, inventory.c.name == key.name)
    if connection.execute(update(inventory).where(where).values(values)).rowcount == 0:
        connection.execute(insert(inventory).values(environment=environment, kind=key.kind, name=key.name, **values))


def change_inventory(connection: Connection, change: InventoryChange) -> None:
    """Put an entry, or remove one."""
    if change.entry is not None:
        put_entry(connection, change.environment, change.entry)
        return
    connection.execute(
        delete(inventory).where(
            inventory.c.environment == change.environment,
            inventory.c.kind == change.key.kind,
            inventory.c.name == change.key.name,
        )
    )


def steps_of(operation_id: str) -> Select[Any]:
    """The query for all steps of an operation, in the order in which they were started."""
    return select(steps).where(steps.c.operation_id == operation_id).order_by(steps.c.id)


def steps_by_key(rows: Iterable[AnyRow]) -> dict[str, Step]:
    """The steps in rows of the table, in their order."""
    return {row.key: read_step(row) for row in rows}


def read_step(row: AnyRow) -> Step:
    """The step in one row of the table."""
    return Step(row.key, StepStatus(row.status), None if row.result is None else json.loads(row.result))


def opened_as(operation: Operation, now: datetime) -> Operation:
    """The operation as it begins: it runs, and nothing has come of it."""
    return attrs.evolve(
        operation,
        status=OperationStatus.RUNNING,
        results=(),
        error=None,
        created_at=operation.created_at or now,
        finished_at=None,
        recovered=False,
    )


def held_by(holder: Holder) -> dict[str, object]:
    """The columns that say who holds it."""
    return {
        "holder_host": holder.host,
        "holder_pid": holder.pid,
        "holder_started": holder.started,
        "holder_user": holder.user,
    }


def holder_of(row: AnyRow) -> Holder:
    """Who holds it, by a row of operations."""
    return Holder(row.holder_host, row.holder_pid, row.holder_started, row.holder_user)
