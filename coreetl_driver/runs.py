"""An execution with what only the driver needs to know of it, as the registry's rows hold it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from coreetl_driver.api import Execution, ExecutionStatus
from coreetl_driver.owners import Owner
from coreetl_driver.registry_database import now


@frozen
class Run:
    """An execution with what only the driver needs to know of it.

    Args:
        heartbeat_at: When its owner was last heard of, by the clock of this machine.
        unsubmitted_attempt: The attempt that has certainly not been submitted yet; None where it may have been.
    """

    execution: Execution
    params: Mapping[str, str]
    stop_requested: bool
    owner: Owner | None
    heartbeat_at: datetime.datetime | None
    handle: str | None
    unsubmitted_attempt: int | None = None

    @classmethod
    def new(cls, execution: Execution, owner: Owner) -> Run:
        """One that its owner has just recorded."""
        return cls(execution, execution.params, False, owner, None, None, execution.attempt)

    @property
    def may_run(self) -> bool:
        """Whether the attempt may have been submitted, though its handle may not be known."""
        return self.handle is not None or self.unsubmitted_attempt != self.execution.attempt


def to_run(row: sa.Row[Any]) -> Run:
    """One row, with ``read_at``, when it was read by the clock of the database."""
    execution = Execution(
        execution_id=row.execution_id,
        job_id=row.job_id,
        job_version=row.job_version,
        environment=row.environment,
        backend=row.backend,
        status=ExecutionStatus(row.status),
        rows_written=row.rows_written,
        error=row.error,
        attempt=row.attempt,
        created_at=_utc(row.created_at),
        started_at=_utc(row.started_at),
        finished_at=_utc(row.finished_at),
        idempotency_key=row.idempotency_key,
        user=row.user_name,
        params=json.loads(row.params),
    )
    return Run(
        execution,
        execution.params,
        row.stop_requested,
        Owner.parse(row.owner),
        _utc(_here(row.heartbeat_at, row.read_at)),
        row.handle,
        row.unsubmitted_attempt,
    )


def _here(heartbeat_at: datetime.datetime | None, read_at: datetime.datetime | None) -> datetime.datetime | None:
    """A heartbeat by the clock of this machine, which may differ from that of the database."""
    if heartbeat_at is None or read_at is None:
        return heartbeat_at
    return now() - (read_at - heartbeat_at)


def _utc(value: datetime.datetime | None) -> datetime.datetime | None:
    return None if value is None else value.replace(tzinfo=datetime.UTC)
