"""Jobs, their versions and their executions in SQL: what survives a restart of the driver.

SQLAlchemy Core on any database; SQLite in WAL mode when embedded. The tables are made on first use, with one row that
holds the schema's version, and not by alembic: an embedded store is opened by every command, and alembic costs more to
import than the whole look-up. An older store is upgraded when it is opened; a store of a newer version is refused.

Must not start processes or open catalogs.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from coreetl_driver.api import Execution, ExecutionStatus, Job, JobSpec, digest_of
from coreetl_driver.job_tables import (
    EXECUTIONS,
    JOBS,
    METADATA,
    SCHEMA,
    SCHEMA_VERSION,
    UPGRADES,
    VERSIONS,
    open_engine,
)
from coreetl_driver.owners import Owner
from dcp_core.errors import ConflictError, NotFoundError, SettingsError, TransientError

_FINAL = [status.value for status in ExecutionStatus if status.is_final]


@frozen
class Run:
    """An execution with what only the driver needs to know of it."""

    execution: Execution
    params: Mapping[str, str]
    stop_requested: bool
    owner: Owner | None
    heartbeat_at: datetime.datetime | None
    handle: str | None


class JobRegistry:
    """The store. Every method is one transaction; safe to use from several threads and processes."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._ready = False

    def close(self) -> None:
        self._engine.dispose()

    # Jobs

    def create_job(self, job_id: str, environment: str, name: str, spec: JobSpec, labels: Mapping[str, str]) -> Job:
        """Add a job, or return the equal one that is there.

        Raises:
            ConflictError: A different job has this id.
        """
        digest = digest_of(spec, labels)
        with self._begin() as connection:
            present = _job(connection, environment, job_id)
            if present is None:
                job = Job(
                    job_id, environment, name, _next_version(connection, environment, job_id), spec, labels, digest
                )
                try:
                    connection.execute(
                        JOBS.insert().values(environment=environment, job_id=job_id, name=name, version=job.version)
                    )
                except sa.exc.IntegrityError:
                    raise TransientError(f"job {job_id!r} is being created by another process") from None
                _insert_version(connection, job)
                return job
        if present.digest != digest:
            raise ConflictError(f"environment {environment!r} has a different job {job_id!r} already")
        return present

    def update_job(
        self,
        job_id: str,
        environment: str,
        spec: JobSpec,
        labels: Mapping[str, str],
        expected_version: int | None,
    ) -> Job:
        """Add the next version.

        Raises:
            NotFoundError: There is no such job.
            ConflictError: It is not at ``expected_version``.
        """
        digest = digest_of(spec, labels)
        with self._begin() as connection:
            present = _job(connection, environment, job_id)
            if present is None:
                raise _no_job(job_id, environment)
            if present.digest == digest:
                return present
            if expected_version is not None and present.version != expected_version:
                raise ConflictError(
                    f"job {job_id!r} of {environment!r} is at version {present.version}, not {expected_version}"
                )
            version = _next_version(connection, environment, job_id)
            job = Job(job_id, environment, present.name, version, spec, labels, digest)
            changed = connection.execute(
                JOBS.update()
                .where(_is_job(JOBS, environment, job_id), JOBS.c.version == present.version)
                .values(version=version)
            )
            if changed.rowcount != 1:
                raise ConflictError(f"job {job_id!r} of {environment!r} was changed by another process meanwhile")
            _insert_version(connection, job)
            return job

    def delete_job(self, job_id: str, environment: str) -> None:
        """Forget a job; its versions stay for the executions that name them."""
        with self._begin() as connection:
            running = connection.execute(
                sa.select(sa.func.count())
                .select_from(EXECUTIONS)
                .where(_is_job(EXECUTIONS, environment, job_id), EXECUTIONS.c.status.not_in(_FINAL))
            ).scalar_one()
            if running:
                raise ConflictError(
                    f"job {job_id!r} of {environment!r} is running and cannot be deleted", hint="stop it first"
                )
            connection.execute(JOBS.delete().where(_is_job(JOBS, environment, job_id)))

    def get_job(self, job_id: str, environment: str, version: int | None = None) -> Job:
        """The version in force, or a certain one even of a deleted job."""
        with self._begin() as connection:
            job = _job(connection, environment, job_id, version)
        if job is None:
            raise _no_job(job_id, environment)
        return job

    def list_jobs(self, environment: str | None, job_ids: Sequence[str] | None) -> tuple[Job, ...]:
        """Jobs in force, by environment and id."""
        query = _select_jobs().order_by(JOBS.c.environment, JOBS.c.job_id)
        if environment is not None:
            query = query.where(JOBS.c.environment == environment)
        with self._begin() as connection:
            if job_ids is None:
                return tuple(_to_job(row) for row in connection.execute(query))
            jobs: list[Job] = []
            wanted = sorted(set(job_ids))
            for start in range(0, len(wanted), 500):  # databases limit the parameters of one statement
                chunk = query.where(JOBS.c.job_id.in_(wanted[start : start + 500]))
                jobs += [_to_job(row) for row in connection.execute(chunk)]
            return tuple(jobs)

    # Executions

    def add_execution(self, execution: Execution, params: Mapping[str, str], owner: Owner) -> tuple[Execution, bool]:
        """Record a new execution, unless its idempotency key has one: then that, and False."""
        values = {
            "execution_id": execution.execution_id,
            "environment": execution.environment,
            "job_id": execution.job_id,
            "job_version": execution.job_version,
            "backend": execution.backend,
            "status": execution.status.value,
            "attempt": execution.attempt,
            "params": json.dumps(dict(params)),
            "user_name": execution.user,
            "idempotency_key": execution.idempotency_key,
            "stop_requested": False,
            "created_at": now(),
            "owner": str(owner),
            "heartbeat_at": now(),
        }
        known = EXECUTIONS.select().where(
            _is_job(EXECUTIONS, execution.environment, execution.job_id),
            EXECUTIONS.c.idempotency_key == execution.idempotency_key,
        )
        try:
            with self._begin() as connection:
                row = connection.execute(known).first() if execution.idempotency_key else None
                if row is None:
                    connection.execute(EXECUTIONS.insert().values(values))
        except sa.exc.IntegrityError:  # another process was faster with the same key
            with self._begin() as connection:
                row = connection.execute(known).one()
        if row is not None:
            return _to_run(row).execution, False
        return self.get_run(execution.execution_id).execution, True

    def get_run(self, execution_id: str) -> Run:
        """One execution.

        Raises:
            NotFoundError: There is no such execution.
        """
        query = EXECUTIONS.select().where(EXECUTIONS.c.execution_id == execution_id)
        with self._begin() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFoundError(f"there is no execution {execution_id!r}")
        return _to_run(row)

    def list_executions(self, job_id: str | None, environment: str | None, limit: int) -> tuple[Execution, ...]:
        """Executions, the newest first."""
        query = EXECUTIONS.select().order_by(EXECUTIONS.c.created_at.desc(), EXECUTIONS.c.execution_id)
        if job_id is not None:
            query = query.where(EXECUTIONS.c.job_id == job_id)
        if environment is not None:
            query = query.where(EXECUTIONS.c.environment == environment)
        with self._begin() as connection:
            return tuple(_to_run(row).execution for row in connection.execute(query.limit(limit)))

    def unfinished(self, job_id: str | None = None, environment: str | None = None) -> tuple[Run, ...]:
        """Everything that is not final, the oldest first."""
        query = EXECUTIONS.select().where(EXECUTIONS.c.status.not_in(_FINAL)).order_by(EXECUTIONS.c.created_at)
        if job_id is not None:
            query = query.where(EXECUTIONS.c.job_id == job_id)
        if environment is not None:
            query = query.where(EXECUTIONS.c.environment == environment)
        with self._begin() as connection:
            return tuple(_to_run(row) for row in connection.execute(query))

    def change(self, execution_id: str, holder: Owner | None, /, **values: Any) -> bool:
        """Change an execution that is not final, and only while ``holder`` owns it when one is given.

        Returns:
            Whether it was changed; False means that it is final or somebody else's now.
        """
        statement = EXECUTIONS.update().where(
            EXECUTIONS.c.execution_id == execution_id, EXECUTIONS.c.status.not_in(_FINAL)
        )
        if holder is not None:
            statement = statement.where(EXECUTIONS.c.owner == str(holder))
        with self._begin() as connection:
            return bool(connection.execute(statement.values(values)).rowcount == 1)

    def take_over(self, run: Run, owner: Owner) -> bool:
        """Become the owner of an execution, which keeps its handle; False when another process was faster."""
        former = EXECUTIONS.c.owner.is_(None) if run.owner is None else EXECUTIONS.c.owner == str(run.owner)
        statement = (
            EXECUTIONS.update()
            .where(
                EXECUTIONS.c.execution_id == run.execution.execution_id,
                EXECUTIONS.c.status.not_in(_FINAL),
                EXECUTIONS.c.attempt == run.execution.attempt,
                former,
            )
            .values(owner=str(owner), heartbeat_at=now())
        )
        with self._begin() as connection:
            return bool(connection.execute(statement).rowcount == 1)

    def _begin(self) -> Any:
        if not self._ready:
            self._prepare()
        return self._engine.begin()

    def _prepare(self) -> None:
        try:
            METADATA.create_all(self._engine)
            with self._engine.begin() as connection:
                version = connection.execute(sa.select(SCHEMA.c.version)).scalar()
                if version is None:
                    connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))
                for older in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
                    for statement in UPGRADES[older]:
                        connection.exec_driver_sql(statement)
                    connection.execute(SCHEMA.update().values(version=older + 1))
        except (sa.exc.IntegrityError, sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
            # Another process made the same tables at the same moment, or the database is away: both may pass.
            raise TransientError(f"the job registry cannot be prepared: {error.orig}") from None
        if version is not None and version > SCHEMA_VERSION:
            raise SettingsError(f"the job registry is of version {version}, this driver knows {SCHEMA_VERSION}")
        self._ready = True


def now() -> datetime.datetime:
    """UTC, without a zone, as the store keeps times."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def _is_job(table: sa.Table, environment: str, job_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.environment == environment, table.c.job_id == job_id)


def _select_jobs() -> sa.Select[Any]:
    joined = JOBS.join(
        VERSIONS,
        sa.and_(
            VERSIONS.c.environment == JOBS.c.environment,
            VERSIONS.c.job_id == JOBS.c.job_id,
            VERSIONS.c.version == JOBS.c.version,
        ),
    )
    columns = (VERSIONS.c.version, VERSIONS.c.spec, VERSIONS.c.labels, VERSIONS.c.digest)
    return sa.select(JOBS.c.environment, JOBS.c.job_id, JOBS.c.name, *columns).select_from(joined)


def _job(connection: sa.Connection, environment: str, job_id: str, version: int | None = None) -> Job | None:
    if version is None:
        row = connection.execute(_select_jobs().where(_is_job(JOBS, environment, job_id))).first()
    else:
        columns = (VERSIONS.c.version, VERSIONS.c.spec, VERSIONS.c.labels, VERSIONS.c.digest)
        name = VERSIONS.c.job_id.label("name")
        query = sa.select(VERSIONS.c.environment, VERSIONS.c.job_id, name, *columns)
        query = query.where(_is_job(VERSIONS, environment, job_id), VERSIONS.c.version == version)
        row = connection.execute(query).first()
    return None if row is None else _to_job(row)


def _to_job(row: sa.Row[Any]) -> Job:
    spec = JobSpec.from_json(json.loads(row.spec))
    return Job(row.job_id, row.environment, row.name, row.version, spec, json.loads(row.labels), row.digest)


def _next_version(connection: sa.Connection, environment: str, job_id: str) -> int:
    # A job made again after a deletion goes on counting: executions name their version for good.
    query = sa.select(sa.func.max(VERSIONS.c.version)).where(_is_job(VERSIONS, environment, job_id))
    return int(connection.execute(query).scalar() or 0) + 1


def _insert_version(connection: sa.Connection, job: Job) -> None:
    connection.execute(
        VERSIONS.insert().values(
            environment=job.environment,
            job_id=job.job_id,
            version=job.version,
            spec=json.dumps(job.spec.to_json()),
            labels=json.dumps(dict(job.labels)),
            digest=job.digest,
            created_at=now(),
        )
    )


def _no_job(job_id: str, environment: str) -> NotFoundError:
    return NotFoundError(f"there is no job {job_id!r} in environment {environment!r}")


def _to_run(row: sa.Row[Any]) -> Run:
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
        _utc(row.heartbeat_at),
        row.handle,
    )


def _utc(value: datetime.datetime | None) -> datetime.datetime | None:
    return None if value is None else value.replace(tzinfo=datetime.UTC)
