"""What a manifest wants of an Airflow DAG: the typed spec, its checks and its canonical values."""

from __future__ import annotations

import datetime
import enum
import re
from collections.abc import Iterable, Mapping

from attrs import Factory, field, frozen

from dcp_core import documents
from dcp_core.digests import JsonValue
from dcp_core.errors import InvalidSpecError
from dcp_core.model import LogicalPlan, Resource, ResourceKey

KIND = "airflow_dag"
_DAG_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_CRON_FIELDS = (5, 6)
_PRESETS = {"@once", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@continuous"}
_MAX_TAG_LENGTH = 100
_NAME_IN_KEYS = 115  # what the template keeps of a DAG's name where the keys of its executions would be too long
_ASSET = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2,}")


class Upstream(enum.StrEnum):
    """What a run has to do with the tables that its job reads."""

    NONE = "none"
    ASSETS = "assets"
    SENSORS = "sensors"


@frozen(kw_only=True)
class AirflowDag:
    """A DAG of one task that runs a CoreETL job.

    Args:
        dag_id: Scoped to the environment: ``Environment.scoped("daily_orders_dag")``.
        job_id: The job it runs, scoped too.
        schedule: Cron of five fields or an Airflow preset, in UTC; None for runs by hand only.
        start_date: The first day scheduled, UTC.
        catchup: Whether runs missed since ``start_date`` are made up for.
        retries: How often Airflow tries again.
        retry_delay_s: Before the first of these, in seconds; twice as long before each of the others.
        max_retry_delay_s: And no longer than this.
        timeout_s: How long a try may take, in seconds; the job is stopped when it is over. None for any time.
        owner: The owning team.
        tier: 1 (most critical) and up.
        description: For people.
        tags: More tags, beside those of owner, tier and environment.
        params: Handed to the job.
        paused_on_creation: Whether a new DAG waits for somebody to switch it on; True in playgrounds.
        writes: The table that the job fills, ``catalog.namespace.table``: an asset of Airflow.
        reads: By table as the job names it, the tables that this may be, ``catalog.namespace.table``.
        upstream: Whether a run is started by the update of what it reads (assets), or waits for it (sensors).
        waits_for: Those of ``reads`` that this is about.
        upstream_timeout_s: How long a run waits for them, with sensors.
    """

    dag_id: str
    job_id: str
    schedule: str | None = None
    start_date: datetime.date | None = None
    catchup: bool = False
    retries: int = 2
    retry_delay_s: int = 300
    max_retry_delay_s: int = 3600
    timeout_s: int | None = None
    owner: str
    tier: int | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    params: Mapping[str, str] = Factory(dict)
    paused_on_creation: bool = False
    writes: str | None = None
    reads: Mapping[str, tuple[str, ...]] = Factory(dict)
    upstream: Upstream = field(default=Upstream.NONE, converter=Upstream)
    waits_for: tuple[str, ...] = ()
    upstream_timeout_s: int = 86_400

    def resource(
        self,
        logical_plan: LogicalPlan,
        *,
        depends_on: Iterable[ResourceKey] = (),
        path: tuple[str | int, ...] | None = None,
    ) -> Resource:
        """The resource that ``logical_plan`` wants."""
        return Resource(
            kind=KIND,
            name=self.dag_id,
            manifest_id=logical_plan.id,
            environment=logical_plan.environment,
            spec=documents.to_json(self),
            depends_on=tuple(depends_on),
            path=path,
        )


def check_dag_id(dag_id: str) -> str:
    """A name that Airflow takes and that is a file name and nothing else.

    Raises:
        InvalidSpecError: It is neither.
    """
    if not _DAG_ID.fullmatch(dag_id) or ".." in dag_id:
        raise InvalidSpecError(
            f"{dag_id!r} is not a DAG id", hint="letters, digits, _, - and single dots, at most 200 characters"
        )
    return dag_id


def key_prefixes(dag_id: str) -> tuple[str, ...]:
    """What the idempotency keys of the executions that a DAG has begun start with: one of these."""
    return f"{dag_id}/", f"{dag_id[:_NAME_IN_KEYS]}/"


def schedule_of(resource: Resource) -> str | None:
    """Cron or a preset, in UTC; None where it has none."""
    return documents.spec_of(resource, AirflowDag).schedule


def values_of(resource: Resource, *, deferrable: bool = True) -> dict[str, JsonValue]:
    """What the DAG file holds as ``DAG_SPEC``.

    Args:
        deferrable: Whether its tasks wait without a worker, in Airflow's triggerer.

    Raises:
        InvalidSpecError: The spec contradicts itself or Airflow would not load it.
    """
    dag = documents.spec_of(resource, AirflowDag)
    check_dag_id(dag.dag_id)
    if dag.dag_id != resource.name:
        raise InvalidSpecError(f"the DAG {dag.dag_id} is wanted under another name", where=resource.name)
    _check_schedule(dag)
    _check_times(dag)
    _check_tables(dag)
    return {
        "dag_id": dag.dag_id,
        "job_id": dag.job_id,
        "environment": resource.environment,
        "manifest": resource.manifest_id,
        "schedule": dag.schedule,
        "start_date": dag.start_date.isoformat() if dag.start_date else None,
        "catchup": dag.catchup,
        "retries": dag.retries,
        "retry_delay_s": dag.retry_delay_s,
        "max_retry_delay_s": dag.max_retry_delay_s,
        "timeout_s": dag.timeout_s,
        "deferrable": deferrable,
        "owner": dag.owner,
        "tier": dag.tier,
        "description": dag.description or None,
        "tags": _tags(dag, resource),
        "params": dict(sorted(dag.params.items())),
        "paused_on_creation": dag.paused_on_creation,
        "writes": dag.writes,
        "reads": {table: list(names) for table, names in sorted(dag.reads.items())},
        "upstream": dag.upstream.value,
        "waits_for": sorted(dag.waits_for),
        "upstream_timeout_s": dag.upstream_timeout_s,
    }


def runs_by_itself(values: Mapping[str, JsonValue]) -> bool:
    """Whether a DAG of these values has anything that starts it, so that there is something to pause."""
    return values["schedule"] is not None or values["upstream"] == Upstream.ASSETS


def _check_schedule(dag: AirflowDag) -> None:
    if dag.schedule is not None and dag.schedule not in _PRESETS and len(dag.schedule.split()) not in _CRON_FIELDS:
        raise InvalidSpecError(
            f"schedule {dag.schedule!r} is neither cron nor a preset",
            where=dag.dag_id,
            hint='five fields as "0 * * * *", or one of ' + ", ".join(sorted(_PRESETS)),
        )
    if dag.schedule == "@continuous" and dag.upstream is Upstream.ASSETS:
        raise InvalidSpecError("a DAG that always runs does not wait for assets", where=dag.dag_id)
    if dag.catchup and dag.start_date is None:
        raise InvalidSpecError("catchup needs a start_date to begin at", where=dag.dag_id)


def _check_times(dag: AirflowDag) -> None:
    if dag.retries < 0:
        raise InvalidSpecError(f"retries is {dag.retries}, less than 0", where=dag.dag_id)
    times = {name: getattr(dag, name) for name in ("retry_delay_s", "max_retry_delay_s", "upstream_timeout_s")}
    for name, seconds in {**times, "timeout_s": 1 if dag.timeout_s is None else dag.timeout_s}.items():
        if seconds <= 0:
            raise InvalidSpecError(f"{name} is {seconds}, not more than 0", where=dag.dag_id)


def _check_tables(dag: AirflowDag) -> None:
    writes = () if dag.writes is None else (dag.writes,)
    for name in (*writes, *(name for names in dag.reads.values() for name in names)):
        if not _ASSET.fullmatch(name):
            raise InvalidSpecError(f"{name!r} is not of the form catalog.namespace.table", where=dag.dag_id)
    unknown = sorted(table for table in dag.waits_for if not dag.reads.get(table))
    if unknown:
        raise InvalidSpecError(f"it waits for {unknown[0]}, which its job does not read", where=dag.dag_id)
    if dag.upstream is not Upstream.NONE and not dag.waits_for:
        raise InvalidSpecError(f"with {dag.upstream} there is nothing that it waits for", where=dag.dag_id)


def _tags(dag: AirflowDag, resource: Resource) -> list[str]:
    wanted = ["dcp", f"environment:{resource.environment}", f"owner:{dag.owner}"]
    if dag.tier is not None:
        wanted.append(f"tier:{dag.tier}")
    # Airflow refuses the whole file for one tag that is too long.
    return sorted({tag[:_MAX_TAG_LENGTH] for tag in (*wanted, *dag.tags)})
