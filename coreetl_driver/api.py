"""The driver's data and protocol: what every client, in process or remote, codes against.

A job is identified by (environment, job_id). A job specification holds everything that running it needs and
no secret: catalog properties keep their ``${NAME}`` references, which the driver resolves when it runs the job.

Source: design.md section 10.
"""

from __future__ import annotations

import datetime
import enum
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import Factory, field, frozen

from coreetl_driver.job_sources import JobSource, source_from_json, source_to_json
from dcp_core.errors import InvalidSpecError
from dcp_core.settings import Secret

if TYPE_CHECKING:
    from coreetl_driver.compute.routing import Choice
    from coreetl_driver.upstream import UpstreamTable


class SinkMode(enum.StrEnum):
    """How a job's rows reach its table; every mode is one atomic Iceberg commit."""

    APPEND = "append"
    OVERWRITE = "overwrite"
    OVERWRITE_PARTITIONS = "overwrite_partitions"
    MERGE = "merge"


class ExecutionStatus(enum.StrEnum):
    """Where an execution is; the last three never change again."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self in (ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED)


@frozen
class Column:
    """One declared output column.

    Args:
        name: As the table has it.
        type: Spark DDL or Iceberg type text, such as ``decimal(38,9)`` or
            ``array<struct<sku: string, qty: int>>``.
        required: Whether NULL is refused.
        doc: What it means, for people.
    """

    name: str
    type: str
    required: bool = False
    doc: str | None = None


def _names(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


def _columns(value: Iterable[Column]) -> tuple[Column, ...]:
    return tuple(value)


def _mapping(value: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(value or {})


@frozen
class Sink:
    """The one table a job writes.

    Args:
        catalog: ``pedregal`` or ``pedregal-playground-<user>``; a name in the specification's ``catalogs``.
        table: ``namespace.name``.
        mode: How rows reach it.
        keys: The columns that identify a row; needed by ``merge``, empty otherwise.
    """

    catalog: str
    table: str
    mode: SinkMode
    keys: tuple[str, ...] = field(default=(), converter=_names)


@frozen
class JobSpec:
    """All that running a job needs.

    Args:
        sql: Exactly one query, Spark SQL; empty for a job that is no query.
        columns: The declared output, in the table's order.
        sink: Where the rows go.
        catalogs: pyiceberg properties by catalog name, ``${NAME}`` references unresolved.
        default_catalog: Where an unqualified ``namespace.table`` in the SQL resolves.
        read_overlay: Catalogs preferred, in order, before ``default_catalog`` for a table that exists there.
        params: Values for ``:name`` parameters in the SQL, with run dates such as ``{{ ds }}`` in them (``macros``);
            ``run_job`` may override them.
        compute: Resources and options for the backend; ``{"backend": "local"}`` picks one.
        kind: What the job program does: ``query`` (SQL to a table) or ``extract`` (``source`` to a table).
        source: Where the rows come from, unless they come from the SQL.
        schedule: When the job usually runs, cron in UTC: the interval of a run whose caller says none.
    """

    sql: str
    columns: tuple[Column, ...] = field(converter=_columns)
    sink: Sink
    catalogs: Mapping[str, Mapping[str, str]] = field(repr=False)  # may hold literal credentials of a careless user
    default_catalog: str
    read_overlay: tuple[str, ...] = field(default=(), converter=_names)
    params: Mapping[str, str] = field(factory=dict, converter=_mapping)
    compute: Mapping[str, Any] = field(factory=dict, converter=_mapping)
    kind: str = "query"
    source: JobSource | None = None
    schedule: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, the inverse of ``from_json``."""
        # A job without them has no word about them, so that its digest is what it was before there were any.
        source = {} if self.source is None else {"source": source_to_json(self.source)}
        schedule = {} if self.schedule is None else {"schedule": self.schedule}
        return {
            "sql": self.sql,
            "columns": [
                {"name": column.name, "type": column.type, "required": column.required, "doc": column.doc}
                for column in self.columns
            ],
            "sink": {
                "catalog": self.sink.catalog,
                "table": self.sink.table,
                "mode": self.sink.mode.value,
                "keys": list(self.sink.keys),
            },
            "catalogs": {name: dict(properties) for name, properties in self.catalogs.items()},
            "default_catalog": self.default_catalog,
            "read_overlay": list(self.read_overlay),
            "params": dict(self.params),
            "compute": dict(self.compute),
            "kind": self.kind,
            **source,
            **schedule,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> JobSpec:
        """Read what ``to_json`` wrote, or a request's body.

        Raises:
            InvalidSpecError: A key is missing or unknown, or a value has the wrong type. Never retried.
        """
        try:
            rest = dict(value)
            sink = dict(rest.pop("sink"))
            columns = tuple(Column(**column) for column in rest.pop("columns"))
            source = rest.pop("source", None)
            return cls(
                columns=columns,
                sink=Sink(mode=SinkMode(sink.pop("mode")), **sink),
                source=None if source is None else source_from_json(source),
                **rest,
            )
        except KeyError as error:
            raise InvalidSpecError(f"the job specification has no {error.args[0]!r}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidSpecError(f"the job specification is not valid: {error}") from None


@frozen
class Job:
    """One registered version of a job.

    Args:
        version: 1 for the first, one more with every update.
        labels: Marks of its maker, such as the manifest that wants it.
        digest: SHA-256 of specification and labels; equal digests are equal jobs.
    """

    job_id: str
    environment: str
    name: str
    version: int
    spec: JobSpec
    labels: Mapping[str, str] = Factory(dict)
    digest: str = ""


@frozen
class Execution:
    """One run of one version of a job; times are UTC.

    Args:
        rows_written: Rows added to the table; None until it succeeded.
        error: Why it failed, for people; while it runs, what is in its way, such as a backend that does not answer.
        attempt: 1, and one more each time a restarted driver had to run it again.
        params: What it runs with, defaults included and run dates filled in; the run's interval too
            (``intervals.RESERVED``) where a value depends on it.
    """

    execution_id: str
    job_id: str
    job_version: int
    environment: str
    backend: str
    status: ExecutionStatus
    rows_written: int | None = None
    error: str | None = None
    attempt: int = 1
    created_at: datetime.datetime | None = None
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    idempotency_key: str | None = None
    user: str | None = None
    params: Mapping[str, str] = field(factory=dict, converter=_mapping)


def digest_of(spec: JobSpec, labels: Mapping[str, str]) -> str:
    """SHA-256 over the canonical JSON (sorted keys) of a specification and its labels."""
    document = {"spec": spec.to_json(), "labels": dict(labels)}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@runtime_checkable
class CoreETLDriver(Protocol):
    """The driver, in process or behind gRPC: the same calls, results and errors."""

    def create_job(self, job_id: str, environment: str, name: str, spec: JobSpec, labels: Mapping[str, str]) -> Job:
        """Register a job; the same job again is the same result.

        Raises:
            ConflictError: A different job has this id. Never retried.
            InvalidSpecError: The SQL is not one plain query, or the specification contradicts itself.
        """
        ...

    def update_job(
        self,
        job_id: str,
        environment: str,
        spec: JobSpec,
        labels: Mapping[str, str],
        expected_version: int | None = None,
    ) -> Job:
        """Register the next version; an equal one changes nothing.

        Raises:
            NotFoundError: There is no such job.
            ConflictError: The job is not at ``expected_version``.
            InvalidSpecError: As for ``create_job``.
        """
        ...

    def delete_job(self, job_id: str, environment: str) -> None:
        """Remove a job that is not running; its executions stay readable. One that is gone is no error.

        Raises:
            ConflictError: It is running; stop it first.
        """
        ...

    def get_job(self, job_id: str, environment: str) -> Job:
        """The version in force.

        Raises:
            NotFoundError: There is no such job.
        """
        ...

    def list_jobs(self, environment: str | None = None, job_ids: Sequence[str] | None = None) -> tuple[Job, ...]:
        """Jobs by environment and id; None means all. Unknown ids are left out."""
        ...

    def run_job(
        self,
        job_id: str,
        environment: str,
        *,
        params: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        user_token: Secret | None = None,
        user: str | None = None,
    ) -> Execution:
        """Start an execution and return at once.

        Args:
            params: Before the job's own; ``data_interval_start`` and ``data_interval_end`` say what the run is for
                (``run_dates.run_interval``).
            idempotency_key: The same key for the same job gives the same execution, started once.
            user_token: For backends that act as the user; kept in memory only.

        Raises:
            NotFoundError: There is no such job.
        """
        ...

    def explain_run(self, job_id: str, environment: str) -> Choice:
        """Where ``run_job`` would send the job now, and why: the driver's settings decide. Touches nothing.

        Raises:
            NotFoundError: There is no such job.
        """
        ...

    def get_upstream(
        self, job_id: str, environment: str, at: datetime.datetime | None = None
    ) -> tuple[UpstreamTable, ...]:
        """Whether what the job reads is complete up to a moment, now unless one is named. Touches nothing.

        Raises:
            NotFoundError: There is no such job.
        """
        ...

    def stop_job(
        self,
        job_id: str,
        environment: str,
        *,
        user_token: Secret | None = None,
        user: str | None = None,
        execution_id: str | None = None,
    ) -> tuple[Execution, ...]:
        """Stop all that is running of a job, or one execution of it; returns those executions.

        Each is final now, but for those whose backend does not answer, or needs its user's token: these end as soon as
        they can be told to.

        Args:
            user_token: For executions on backends that act as the user, whose driver is gone; kept in memory only.
            execution_id: Which one; there is nothing to stop where it is final, or another job's.
        """
        ...

    def get_execution(self, execution_id: str) -> Execution:
        """One execution.

        Raises:
            NotFoundError: There is no such execution.
        """
        ...

    def list_executions(
        self, job_id: str | None = None, environment: str | None = None, limit: int = 100
    ) -> tuple[Execution, ...]:
        """Executions, the newest first."""
        ...

    def get_logs(self, execution_id: str) -> str:
        """What the job program logged, up to now or to its end.

        Raises:
            NotFoundError: There is no such execution.
        """
        ...

    def wait(self, execution_id: str, timeout_s: float | None = None) -> Execution:
        """Block until the execution is final, or ``timeout_s`` seconds have passed, and return it."""
        ...

    def close(self) -> None:
        """Give back connections and threads. Executions that this process runs are stopped or handed over."""
        ...
