"""Which resources a dataset wants: the table, the job that fills it, the DAG that runs the job.

Pure; imports typed specs only, no platform library.

Source: design.md section 12.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from coreetl_driver.api import Column, SinkMode
from coreetl_driver.column_types import parse_type
from dcp_core.model import Environment, LogicalPlan, Resource
from dcp_plugins_base import upstream
from dcp_plugins_base.dataset import Dataset, QueryDataset
from dcp_plugins_base.durations import whole_seconds
from dcp_plugins_base.layout import parse_partition, parse_sort


def query_resources(
    dataset: QueryDataset,
    logical_plan: LogicalPlan,
    sql: str | None = None,
    params: Mapping[str, str] | None = None,
) -> tuple[Resource, ...]:
    """Table, job, DAG of a dataset that a query fills, in this order; no DAG without a schedule.

    Args:
        sql: What the job computes, where that is not the dataset's query as it is.
        params: The parameters of that query; None for the dataset's.
    """
    params = dataset.params if params is None else params
    table = table_resource(dataset, logical_plan)
    job = job_resource(
        dataset,
        logical_plan,
        table,
        reads=[name for name in dataset.reads if name.lower() != dataset.table],
        sql=dataset.sql if sql is None else sql,
        params=params,
        # For the dates of a run, and for those who want to know up to when the table is complete.
        schedule=dataset.schedule,
        read_overlay=dataset.read_overlay,
    )
    return (table, job, *dag_resources(dataset, logical_plan, job, params=params, following=_following(dataset, job)))


def _following(dataset: QueryDataset, job: Resource) -> dict[str, Any]:
    """How the DAG of a query follows what this reads: attributes of ``AirflowDag``."""
    environment = Environment.named(job.environment, overlay=dataset.read_overlay)
    assets = {table: upstream.assets_of(table, environment) for table in job.reads}
    reads = {table: names for table, names in assets.items() if names}
    return {
        "reads": reads,
        "upstream": dataset.upstream,
        "waits_for": upstream.waited_for(dataset.upstream, dataset.upstream_tables, reads),
        "upstream_timeout_s": whole_seconds(dataset.upstream_timeout),
    }


def table_resource(dataset: Dataset, logical_plan: LogicalPlan) -> Resource:
    """The Iceberg table.

    Raises:
        InvalidSpecError: The plan contradicts itself, which compiling the manifest would have refused.
    """
    from dcp_primitives.iceberg_table import IcebergTable, PartitionField, SortField, TableColumn

    columns: Any = [  # mypy does not see through the converter of the attribute
        TableColumn(
            name=field.name,
            type=str(parse_type(field.type)),
            required=not field.nullable,
            doc=field.description,
            renamed_from=field.renamed_from,
        )
        for field in dataset.fields
    ]
    spec = IcebergTable(
        table=dataset.table,
        columns=columns,
        partition_by=tuple(
            PartitionField(dataset.declared_name(partition.column), partition.iceberg_transform)
            for partition in map(parse_partition, dataset.partition_by)
        ),
        sort_by=tuple(
            SortField(dataset.declared_name(sort.column), sort.direction, sort.nulls)
            for sort in map(parse_sort, dataset.sort_by)
        ),
        primary_key=tuple(map(dataset.declared_name, dataset.primary_key)),
        properties=dataset.properties,
        doc=dataset.description,
        # A playground is its owner's: who may read production's table is nothing to it, nor is where that lies.
        grants=dataset.grants if Environment.named(logical_plan.environment).is_production else {},
    )
    return spec.resource(logical_plan, protect=dataset.protect, path=(dataset.section,))


def job_resource(
    dataset: Dataset,
    logical_plan: LogicalPlan,
    table: Resource,
    *,
    reads: Iterable[str] = (),
    depends_on: Iterable[Resource] = (),
    **work: Any,
) -> Resource:
    """The CoreETL job ``dataset.job_name`` that fills ``table``.

    Args:
        reads: Names of the data that it reads: their manifests come first.
        depends_on: Resources that must be there before it, beside the table.
        work: What it does: the attributes of ``CoreetlJob`` beyond what the dataset says, such as ``sql``.
    """
    from dcp_primitives.coreetl_job import CoreetlJob

    mode = SinkMode(dataset.mode)
    compute = dict(dataset.compute)
    if logical_plan.metadata.tier is not None:
        compute.setdefault("tier", logical_plan.metadata.tier)
    columns: Any = [
        Column(field.name, str(parse_type(field.type)), not field.nullable, field.description)
        for field in dataset.fields
    ]
    spec = CoreetlJob(
        job_id=Environment.named(logical_plan.environment).scoped(dataset.job_name),
        columns=columns,
        table=dataset.table,
        mode=mode,
        keys=tuple(map(dataset.declared_name, dataset.primary_key)) if mode is SinkMode.MERGE else (),
        compute=compute,
        sink_uri=f"iceberg://{dataset.table_name}",
        **work,
    )
    needed = (table.key, *(each.key for each in depends_on))
    return spec.resource(logical_plan, depends_on=needed, reads=tuple(reads), path=("workflow",))


def dag_resources(
    dataset: Dataset,
    logical_plan: LogicalPlan,
    job: Resource,
    *,
    params: Mapping[str, str] | None = None,
    following: Mapping[str, Any] | None = None,
) -> tuple[Resource, ...]:
    """The Airflow DAG ``dataset.dag_name`` that runs ``job``; none when nothing would ever start it.

    Args:
        params: Handed to the job.
        following: How it follows the tables that the job reads: attributes of ``AirflowDag``.
    """
    from dcp_primitives.airflow_dag import AirflowDag

    following = following or {}
    if dataset.schedule is None and following.get("upstream") != upstream.ASSETS:
        return ()
    environment = Environment.named(logical_plan.environment)
    metadata = logical_plan.metadata
    spec = AirflowDag(
        dag_id=environment.scoped(dataset.dag_name),
        job_id=job.name,
        schedule=dataset.schedule,
        start_date=_date(dataset.start_date),
        catchup=dataset.catchup,
        retries=dataset.retries,
        timeout_s=None if dataset.timeout is None else whole_seconds(dataset.timeout),
        owner=metadata.technical_owner,
        tier=metadata.tier,
        description=dataset.description or metadata.description or f"Fills {dataset.table}",
        tags=(dataset.manifest_type, f"owner:{metadata.technical_owner}"),
        params=params or {},
        paused_on_creation=not environment.is_production,
        writes=upstream.asset_name(dataset.table, environment.catalog),
        **following,
    )
    return (spec.resource(logical_plan, depends_on=(job.key,), path=dataset.schedule_path),)


def _date(text: str | None) -> datetime.date | None:
    return datetime.date.fromisoformat(text) if text else None
