"""What a manifest wants of an Airflow DAG: the typed spec, its checks and its canonical values."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping

from attrs import Factory, frozen

from dcp_core import documents
from dcp_core.digests import JsonValue
from dcp_core.errors import InvalidSpecError
from dcp_core.model import LogicalPlan, Resource, ResourceKey

KIND = "airflow_dag"
_DAG_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_CRON_FIELDS = (5, 6)
_PRESETS = {"@once", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@continuous"}
_MAX_TAG_LENGTH = 100


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
        owner: The owning team.
        tier: 1 (most critical) and up.
        description: For people.
        tags: More tags, beside those of owner, tier and environment.
        params: Handed to the job.
        paused_on_creation: Whether a new DAG waits for somebody to switch it on; True in playgrounds.
    """

    dag_id: str
    job_id: str
    schedule: str | None = None
    start_date: datetime.date | None = None
    catchup: bool = False
    retries: int = 2
    owner: str
    tier: int | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    params: Mapping[str, str] = Factory(dict)
    paused_on_creation: bool = False

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


def values_of(resource: Resource) -> dict[str, JsonValue]:
    """What the DAG file holds as ``DAG_SPEC``.

    Raises:
        InvalidSpecError: The spec contradicts itself or Airflow would not load it.
    """
    dag = documents.spec_of(resource, AirflowDag)
    check_dag_id(dag.dag_id)
    if dag.dag_id != resource.name:
        raise InvalidSpecError(f"the DAG {dag.dag_id} is wanted under another name", where=resource.name)
    if dag.schedule is not None and dag.schedule not in _PRESETS and len(dag.schedule.split()) not in _CRON_FIELDS:
        raise InvalidSpecError(
            f"schedule {dag.schedule!r} is neither cron nor a preset",
            where=dag.dag_id,
            hint='five fields as "0 * * * *", or one of ' + ", ".join(sorted(_PRESETS)),
        )
    if dag.retries < 0:
        raise InvalidSpecError(f"retries is {dag.retries}, less than 0", where=dag.dag_id)
    if dag.catchup and dag.start_date is None:
        raise InvalidSpecError("catchup needs a start_date to begin at", where=dag.dag_id)
    return {
        "dag_id": dag.dag_id,
        "job_id": dag.job_id,
        "environment": resource.environment,
        "schedule": dag.schedule,
        "start_date": dag.start_date.isoformat() if dag.start_date else None,
        "catchup": dag.catchup,
        "retries": dag.retries,
        "owner": dag.owner,
        "tier": dag.tier,
        "description": dag.description or None,
        "tags": _tags(dag, resource),
        "params": dict(sorted(dag.params.items())),
        "paused_on_creation": dag.paused_on_creation,
    }


def _tags(dag: AirflowDag, resource: Resource) -> list[str]:
    wanted = ["dcp", f"environment:{resource.environment}", f"owner:{dag.owner}"]
    if dag.tier is not None:
        wanted.append(f"tier:{dag.tier}")
    # Airflow refuses the whole file for one tag that is too long.
    return sorted({tag[:_MAX_TAG_LENGTH] for tag in (*wanted, *dag.tags)})
