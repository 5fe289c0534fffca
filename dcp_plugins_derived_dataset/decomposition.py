"""Which resources a derived dataset wants: the table, the job that fills it, the DAG that runs the job.

Pure; imports typed specs only, no platform library.

Source: design.md section 12.
"""

from __future__ import annotations

import datetime
from typing import Any

from coreetl_driver.api import Column, SinkMode
from coreetl_driver.column_types import parse_type
from dcp_core.errors import InvalidSpecError
from dcp_core.model import Environment, LogicalPlan, Resource
from dcp_plugins_derived_dataset.layout import parse_partition, parse_sort
from dcp_plugins_derived_dataset.spec import Dataset


def resources_of(logical_plan: LogicalPlan) -> tuple[Resource, ...]:
    """Table, job, DAG, in this order; no DAG without a schedule.

    Raises:
        InvalidSpecError: The plan contradicts itself, which ``parse_manifest`` would have refused.
    """
    dataset = Dataset.of(logical_plan)
    table = _table(dataset, logical_plan)
    job = _job(dataset, logical_plan, table)
    if dataset.schedule is None:
        return (table, job)
    return (table, job, _dag(dataset, logical_plan, job))


def _table(dataset: Dataset, logical_plan: LogicalPlan) -> Resource:
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
            PartitionField(_declared(dataset, partition.column), partition.iceberg_transform)
            for partition in map(parse_partition, dataset.partition_by)
        ),
        sort_by=tuple(
            SortField(_declared(dataset, sort.column), sort.direction, sort.nulls)
            for sort in map(parse_sort, dataset.sort_by)
        ),
        primary_key=tuple(_declared(dataset, name) for name in dataset.primary_key),
        properties=dataset.properties,
        doc=dataset.description,
    )
    return spec.resource(logical_plan, protect=dataset.protect, path=("dataset",))


def _job(dataset: Dataset, logical_plan: LogicalPlan, table: Resource) -> Resource:
    from dcp_primitives.coreetl_job import CoreetlJob

    environment = Environment.named(logical_plan.environment)
    mode = SinkMode(dataset.mode)
    compute = dict(dataset.compute)
    if logical_plan.metadata.tier is not None:
        compute.setdefault("tier", logical_plan.metadata.tier)
    columns: Any = [
        Column(field.name, str(parse_type(field.type)), not field.nullable, field.description)
        for field in dataset.fields
    ]
    spec = CoreetlJob(
        job_id=environment.scoped(f"{dataset.table_name}_job"),
        sql=dataset.sql,
        columns=columns,
        table=dataset.table,
        mode=mode,
        keys=tuple(_declared(dataset, name) for name in dataset.primary_key) if mode is SinkMode.MERGE else (),
        read_overlay=dataset.read_overlay,
        params=dataset.params,
        compute=compute,
        sink_uri=f"iceberg://{dataset.table_name}",
    )
    reads = tuple(name for name in dataset.reads if name.lower() != dataset.table)
    return spec.resource(logical_plan, depends_on=(table.key,), reads=reads, path=("workflow",))


def _dag(dataset: Dataset, logical_plan: LogicalPlan, job: Resource) -> Resource:
    from dcp_primitives.airflow_dag import AirflowDag

    environment = Environment.named(logical_plan.environment)
    metadata = logical_plan.metadata
    spec = AirflowDag(
        dag_id=environment.scoped(f"{dataset.table_name}_dag"),
        job_id=job.name,
        schedule=dataset.schedule,
        start_date=_date(dataset.start_date),
        catchup=dataset.catchup,
        retries=dataset.retries,
        owner=metadata.technical_owner,
        tier=metadata.tier,
        description=dataset.description or metadata.description or f"Fills {dataset.table}",
        tags=("derived_dataset", f"owner:{metadata.technical_owner}"),
        params=dataset.params,
        paused_on_creation=not environment.is_production,
    )
    return spec.resource(logical_plan, depends_on=(job.key,), path=("workflow", "schedule"))


def _declared(dataset: Dataset, name: str) -> str:
    """The field's name as it is declared: Iceberg's names have a case, Spark's have none."""
    field = dataset.field_named(name)
    if field is None:
        raise InvalidSpecError(f'"{name}" is not a field of {dataset.table}', where=dataset.table)
    return field.name


def _date(text: str | None) -> datetime.date | None:
    return datetime.date.fromisoformat(text) if text else None
