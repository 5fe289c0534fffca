"""OpenLineage events as JSON. Pure.

Source: https://openlineage.io/spec/2-0-2/OpenLineage.json and the facets beside it, in the versions named here.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import attrs

from dcp_core.errors import InvalidSpecError
from dcp_core.intervals import Interval
from dcp_core.records import Execution, ExecutionStatus, Operation, OperationStatus

Json = dict[str, Any]

START, COMPLETE, FAIL, ABORT = "START", "COMPLETE", "FAIL", "ABORT"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = {
    "columnLineage": ("1-2-0", "ColumnLineageDatasetFacet"),
    "documentation": ("1-1-0", "DocumentationJobFacet"),
    "errorMessage": ("1-0-1", "ErrorMessageRunFacet"),
    "jobType": ("2-0-4", "JobTypeJobFacet"),
    "nominalTime": ("1-0-1", "NominalTimeRunFacet"),
    "outputStatistics": ("1-0-2", "OutputStatisticsOutputDatasetFacet"),
    "ownership": ("1-0-1", "OwnershipJobFacet"),
    "datasetOwnership": ("1-0-1", "OwnershipDatasetFacet"),
    "parent": ("1-2-0", "ParentRunFacet"),
    "schema": ("1-2-0", "SchemaDatasetFacet"),
    "sql": ("1-1-0", "SQLJobFacet"),
}
_OF_EXECUTIONS = {
    ExecutionStatus.SUCCEEDED: COMPLETE,
    ExecutionStatus.FAILED: FAIL,
    ExecutionStatus.CANCELLED: ABORT,
}
_RUN_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "https://openlineage.io/dcp")


@attrs.frozen
class Job:
    """What runs.

    Args:
        namespace: ``<namespace>/<environment>``.
        name: The resource, or the manifest.
        kind: ``JOB`` or ``MANIFEST``.
        owner: The owning team.
        description: For people; None when there is none.
        sql: Its query; None when it has none.
    """

    namespace: str
    name: str
    kind: str
    owner: str
    description: str | None = None
    sql: str | None = None


def run_id(id: str) -> str:
    """The UUID of an execution or an operation: its own where it is one, else derived from it, always the same."""
    try:
        return str(uuid.UUID(id))
    except ValueError:
        return str(uuid.uuid5(_RUN_IDS, id))


def of_execution(
    execution: Execution,
    job: Job,
    parent: tuple[str, Job] | None,
    inputs: Sequence[Json],
    outputs: Sequence[Json],
    now: datetime,
    *,
    begins: bool = False,
) -> Json:
    """START of an execution, or its end.

    Args:
        execution: As it stands.
        job: What runs.
        parent: Id and job of the operation that it belongs to.
        inputs: Datasets.
        outputs: Datasets.
        now: For what the platform tells no time of; UTC.
        begins: Whether it is the START; else the execution is final.
    """
    kind = START if begins else _OF_EXECUTIONS[execution.status]
    at = (execution.started_at or execution.created_at) if begins else execution.finished_at
    facets: Json = {}
    if parent is not None:
        whose = {"run": {"runId": run_id(parent[0])}, "job": {"namespace": parent[1].namespace, "name": parent[1].name}}
        facets["parent"] = _facet("parent", **whose, root=whose)
    interval = _interval(execution.params)
    if interval is not None:
        facets["nominalTime"] = _facet(
            "nominalTime", nominalStartTime=_moment(interval.start), nominalEndTime=_moment(interval.end)
        )
    if kind == FAIL:
        facets["errorMessage"] = _error(execution.error)
    if not begins and execution.rows_written is not None:
        counted = _facet("outputStatistics", rowCount=execution.rows_written)
        outputs = [{**each, "outputFacets": {"outputStatistics": counted}} for each in outputs[:1]] + list(outputs[1:])
    return _event(kind, at or now, execution.id, facets, job, inputs, outputs)


def of_operation(operation: Operation, job: Job, now: datetime, *, begins: bool = False) -> Json:
    """START of a run of a manifest, or its end; what it reads and writes is said by its executions."""
    if begins:
        return _event(START, operation.created_at or now, operation.id, {}, job, (), ())
    kind = {OperationStatus.SUCCEEDED: COMPLETE, OperationStatus.CANCELLED: ABORT}.get(operation.status, FAIL)
    facets = {"errorMessage": _error(operation.error)} if kind == FAIL else {}
    return _event(kind, operation.finished_at or now, operation.id, facets, job, (), ())


def dataset(
    namespace: str,
    name: str,
    *,
    columns: Sequence[tuple[str, str | None]] = (),
    lineage: Mapping[str, Sequence[tuple[str, str, str, str]]] | None = None,
    owner: str | None = None,
) -> Json:
    """One dataset.

    Args:
        namespace: As OpenLineage has it.
        name: In the namespace.
        columns: Names and types; () when they are not known.
        lineage: By column: namespace, name and column of what it is made from, and the transformation.
        owner: The owning team; None when nobody is known.
    """
    facets: Json = {}
    if columns:
        fields = [{"name": each, **({} if type_ is None else {"type": type_})} for each, type_ in columns]
        facets["schema"] = _facet("schema", fields=fields)
    if lineage:
        facets["columnLineage"] = _facet(
            "columnLineage",
            fields={
                column: {
                    "inputFields": [
                        {
                            "namespace": where,
                            "name": what,
                            "field": field,
                            "transformations": [{"type": "DIRECT", "subtype": how}],
                        }
                        for where, what, field, how in sources
                    ]
                }
                for column, sources in lineage.items()
            },
        )
    if owner is not None:
        facets["ownership"] = _facet("datasetOwnership", owners=_owners(owner))
    return {"namespace": namespace, "name": name, "facets": facets}


def _event(
    kind: str, at: datetime, id: str, facets: Json, job: Job, inputs: Sequence[Json], outputs: Sequence[Json]
) -> Json:
    return {
        "eventType": kind,
        "eventTime": _moment(at),
        "producer": _producer(),
        "schemaURL": SCHEMA,
        "run": {"runId": run_id(id), "facets": facets},
        "job": {"namespace": job.namespace, "name": job.name, "facets": _job_facets(job)},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }


def _job_facets(job: Job) -> Json:
    facets = {
        "jobType": _facet("jobType", processingType="BATCH", integration="DCP", jobType=job.kind),
        "ownership": _facet("ownership", owners=_owners(job.owner)),
    }
    if job.description:
        facets["documentation"] = _facet("documentation", description=job.description)
    if job.sql:
        facets["sql"] = _facet("sql", query=job.sql, dialect="spark")
    return facets


def _owners(team: str) -> list[Json]:
    return [{"name": f"team:{team}", "type": "OWNER"}]


def _error(message: str | None) -> Json:
    return _facet("errorMessage", message=message or "it failed without a word", programmingLanguage="SQL")


def _interval(params: Mapping[str, str]) -> Interval | None:
    try:
        return Interval.told(params)
    except InvalidSpecError:
        return None


def _facet(name: str, **content: Any) -> Json:
    version_, cls = _FACETS[name]
    return {
        "_producer": _producer(),
        "_schemaURL": f"https://openlineage.io/spec/facets/{version_}/{cls}.json#/$defs/{cls}",
        **content,
    }


def _producer() -> str:
    """A URI, as the specification wants it."""
    return f"urn:dcp:dcp-graph-runner:{version('dcp-graph-runner')}"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
