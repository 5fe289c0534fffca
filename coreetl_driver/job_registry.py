"""Jobs, their versions and their executions in SQL: what survives a restart of the driver.

SQLite when embedded, PostgreSQL where several drivers share one registry (``registry_database``). Each change is one
statement that says what it expects to find, or holds the rows that it has looked at: so it is right on both.

Must not start processes or open catalogs.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from coreetl_driver.api import Execution, ExecutionStatus, Job, JobSpec, digest_of
from coreetl_driver.job_tables import EXECUTIONS, JOBS, VERSIONS
from coreetl_driver.owners import Owner
from coreetl_driver.registry_database import RegistryDatabase, now
from coreetl_driver.runs import Run, to_run
from dcp_core.errors import ConflictError, InvalidSpecError, NotFoundError, TransientError

__all__ = ["JobRegistry", "Run", "now"]
_PAGE = 1000
_FINAL = [status.value for status in ExecutionStatus if status.is_final]
_MAX_KEY_LENGTH = 200
_RACES_AT_MOST = 5


class JobRegistry:
    """The store. Every method is one transaction; safe to use from several threads and processes."""

    def __init__(self, url: str) -> None:
        self._database = RegistryDatabase(url)

    def close(self) -> None:
        self._database.close()

    # Jobs

    def create_job(self, job_id: str, environment: str, name: str, spec: JobSpec, labels: Mapping[str, str]) -> Job:
        """Add a job, or return the equal one that is there.

        Raises:
            ConflictError: A different job has this id.
        """
        digest = digest_of(spec, labels)
        for _ in range(_RACES_AT_MOST):
            try:
                with self._database.writing() as connection:
                    present = _job(connection, environment, job_id)
                    if present is None:
                        version = _next_version(connection, environment, job_id)
                        job = Job(job_id, environment, name, version, spec, labels, digest)
                        key = {"environment": environment, "job_id": job_id}
                        connection.execute(JOBS.insert().values(**key, name=name, version=version))
                        _insert_version(connection, job)
                        return job
            except sa.exc.IntegrityError:  # another process makes it at this moment: look again
                continue
            if present.digest != digest:
                raise ConflictError(f"environment {environment!r} has a different job {job_id!r} already")
            return present
        raise _raced(job_id, environment)

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
        for _ in range(_RACES_AT_MOST):
            with self._database.writing() as connection:
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
                unchanged = sa.and_(_is_job(JOBS, environment, job_id), JOBS.c.version == present.version)
                changed = connection.execute(JOBS.update().where(unchanged).values(version=version))
                if changed.rowcount == 1:
                    job = Job(job_id, environment, present.name, version, spec, labels, digest)
                    _insert_version(connection, job)
                    return job
        raise _raced(job_id, environment)

    def delete_job(self, job_id: str, environment: str) -> None:
        """Forget a job; its versions stay for the executions that name them."""
        with self._database.writing() as connection:
            connection.execute(sa.select(JOBS.c.version).where(_is_job(JOBS, environment, job_id)).with_for_update())
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
        with self._database.reading() as connection:
            job = _job(connection, environment, job_id, version)
        if job is None:
            raise _no_job(job_id, environment)
        return job

    def list_jobs(
        self, environment: str | None, job_ids: Sequence[str] | None, table: str | None = None
    ) -> tuple[Job, ...]:
        """Jobs in force, by environment and id; with ``table``, some that do not fill it are left out."""
        query = _select_jobs().order_by(JOBS.c.environment, JOBS.c.job_id)
        if table is not None:  # a specification is text, and reading thousands takes its time
            query = query.where(sa.func.lower(VERSIONS.c.spec).contains(json.dumps(table).lower(), autoescape=True))
        if environment is not None:
            query = query.where(JOBS.c.environment == environment)
        with self._database.reading() as connection:
            if job_ids is None:
                return tuple(_to_job(row) for row in connection.execute(query))
            jobs, wanted = list[Job](), sorted(set(job_ids))
            for start in range(0, len(wanted), 500):  # databases limit the parameters of one statement
                chunk = query.where(JOBS.c.job_id.in_(wanted[start : start + 500]))
                jobs += [_to_job(row) for row in connection.execute(chunk)]
            return tuple(jobs)

    # Executions

    def add_execution(self, execution: Execution, params: Mapping[str, str], owner: Owner) -> tuple[Execution, bool]:
        """Record a new execution, unless its idempotency key has one: then that, and False.

        Raises:
            NotFoundError: The job has been deleted meanwhile.
            InvalidSpecError: The key is too long.
        """
        if len(execution.idempotency_key or "") > _MAX_KEY_LENGTH:
            raise InvalidSpecError(f"an idempotency key has at most {_MAX_KEY_LENGTH} characters")
        values = {
            "execution_id": execution.execution_id,
            "environment": execution.environment,
            "job_id": execution.job_id,
            "job_version": execution.job_version,
            "backend": execution.backend,
            "status": execution.status.value,
            "attempt": execution.attempt,
            "unsubmitted_attempt": execution.attempt,
            "params": json.dumps(dict(params)),
            "user_name": execution.user,
            "idempotency_key": execution.idempotency_key,
            "stop_requested": False,
            "created_at": now(),
            "owner": str(owner),
            "heartbeat_at": self._database.clock,
        }
        known = self._runs().where(
            _is_job(EXECUTIONS, execution.environment, execution.job_id),
            EXECUTIONS.c.idempotency_key == execution.idempotency_key,
        )
        try:
            with self._database.writing() as connection:
                row = connection.execute(known).first() if execution.idempotency_key else None
                if row is None:
                    # Shared: runs of one job do not wait for each other, its deletion waits for them.
                    is_it = _is_job(JOBS, execution.environment, execution.job_id)
                    held = sa.select(JOBS.c.version).where(is_it).with_for_update(read=True)
                    if connection.execute(held).first() is None:
                        raise _no_job(execution.job_id, execution.environment)
                    connection.execute(EXECUTIONS.insert().values(values))
                    made = self._runs().where(EXECUTIONS.c.execution_id == execution.execution_id)
                    return to_run(connection.execute(made).one()).execution, True
        except sa.exc.IntegrityError:  # another process was faster with the same key, unless it is about anything else
            with self._database.writing() as connection:
                row = connection.execute(known).first() if execution.idempotency_key else None
            if row is None:
                raise
        return to_run(row).execution, False

    def get_run(self, execution_id: str) -> Run:
        """One execution.

        Raises:
            NotFoundError: There is no such execution.
        """
        query = self._runs().where(EXECUTIONS.c.execution_id == execution_id)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFoundError(f"there is no execution {execution_id!r}")
        return to_run(row)

    def has_key(self, job_id: str, environment: str, idempotency_key: str) -> bool:
        """Whether a job has an execution with this idempotency key, ended or not."""
        query = sa.select(EXECUTIONS.c.execution_id).where(
            _is_job(EXECUTIONS, environment, job_id), EXECUTIONS.c.idempotency_key == idempotency_key
        )
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def list_executions(
        self, job_id: str | None, environment: str | None, limit: int, sees: Callable[[str], bool] | None = None
    ) -> tuple[Execution, ...]:
        """Executions, the newest first; where no environment is named, of those that ``sees`` lets through."""
        query = self._runs().order_by(EXECUTIONS.c.created_at.desc(), EXECUTIONS.c.execution_id)
        if job_id is not None:
            query = query.where(EXECUTIONS.c.job_id == job_id)
        if environment is not None:
            query = query.where(EXECUTIONS.c.environment == environment)
        with self._database.reading() as connection:
            if environment is None and sees is not None:
                found = connection.scalars(sa.select(EXECUTIONS.c.environment).distinct())
                query = query.where(EXECUTIONS.c.environment.in_([each for each in found if sees(each)]))
            return tuple(to_run(row).execution for row in connection.execute(query.limit(limit)))

    def succeeded(self, job_id: str, environment: str, since: datetime.datetime) -> Iterator[Execution]:
        """Those executions of a job that have succeeded and began at a moment, aware, or later; the oldest first.

        They are read a page at a time, no more of them than are asked for.
        """
        began_at = sa.func.coalesce(EXECUTIONS.c.started_at, EXECUTIONS.c.created_at)
        query = self._runs().where(
            _is_job(EXECUTIONS, environment, job_id),
            EXECUTIONS.c.status == ExecutionStatus.SUCCEEDED.value,
            began_at >= since.astimezone(datetime.UTC).replace(tzinfo=None),
        )
        order = (EXECUTIONS.c.created_at, EXECUTIONS.c.execution_id)
        page = query = query.order_by(*order).limit(_PAGE)
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(page).all()
            yield from (to_run(row).execution for row in rows)
            if len(rows) < _PAGE:
                return
            page = query.where(sa.tuple_(*order) > (rows[-1].created_at, rows[-1].execution_id))

    def unfinished(self, job_id: str | None = None, environment: str | None = None) -> tuple[Run, ...]:
        """Everything that is not final, the oldest first."""
        query = self._runs().where(EXECUTIONS.c.status.not_in(_FINAL)).order_by(EXECUTIONS.c.created_at)
        if job_id is not None:
            query = query.where(EXECUTIONS.c.job_id == job_id)
        if environment is not None:
            query = query.where(EXECUTIONS.c.environment == environment)
        with self._database.reading() as connection:
            return tuple(to_run(row) for row in connection.execute(query))

    def change(self, execution_id: str, holder: Owner | None, /, **values: Any) -> bool:
        """Change an execution that is not final, and only while ``holder`` owns it when one is given.

        Returns:
            Whether it was changed; False means that it is final or somebody else's now.
        """
        statement = EXECUTIONS.update().where(
            EXECUTIONS.c.execution_id == execution_id, EXECUTIONS.c.status.not_in(_FINAL)
        )
        if "heartbeat_at" in values:
            values["heartbeat_at"] = self._database.clock
        if holder is not None:
            statement = statement.where(EXECUTIONS.c.owner == str(holder))
        with self._database.writing() as connection:
            return bool(connection.execute(statement.values(values)).rowcount == 1)

    def take_over(self, run: Run, owner: Owner) -> bool:
        """Become the owner of an execution, which keeps its handle; False when another process was faster."""
        with self._database.writing() as connection:
            taken = _as_found(run).values(owner=str(owner), heartbeat_at=self._database.clock)
            return bool(connection.execute(taken).rowcount == 1)

    def leave(self, run: Run, error: str) -> bool:
        """Note that nobody runs an execution, and why; False when another process has taken it over meanwhile."""
        with self._database.writing() as connection:
            return bool(connection.execute(_as_found(run).values(owner=None, error=error)).rowcount == 1)

    def _runs(self) -> sa.Select[Any]:
        return sa.select(EXECUTIONS, self._database.read_at)


def _as_found(run: Run) -> sa.Update:
    """Change an execution that belongs to whom it did when it was looked at, and is not final."""
    return EXECUTIONS.update().where(
        EXECUTIONS.c.execution_id == run.execution.execution_id,
        EXECUTIONS.c.status.not_in(_FINAL),
        EXECUTIONS.c.attempt == run.execution.attempt,
        EXECUTIONS.c.owner.is_(None) if run.owner is None else EXECUTIONS.c.owner == str(run.owner),
    )


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


def _raced(job_id: str, environment: str) -> TransientError:
    return TransientError(f"job {job_id!r} of {environment!r} is being changed by other processes again and again")
