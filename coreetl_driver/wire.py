"""The driver's data to and from ``coreetl.v1`` messages: the only module that knows both.

Importing it costs protobuf; only the gRPC service and client do.
"""

from __future__ import annotations

import datetime
from typing import Any

from attrs import asdict
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from coreetl_driver.api import Column, Execution, ExecutionStatus, Job, JobSpec, Sink, SinkMode
from coreetl_driver.job_sources import JobSource, SourceColumn, SourceTable, SourceTopic
from coreetl_driver.proto import coreetl_pb2 as pb
from coreetl_driver.upstream import UpstreamTable
from dcp_core.errors import InvalidSpecError


def spec_to_message(spec: JobSpec) -> pb.JobSpec:
    """A specification, for the wire."""
    compute = Struct()
    compute.update(dict(spec.compute))
    message = pb.JobSpec(
        sql=spec.sql,
        columns=[pb.Column(name=c.name, type=c.type, required=c.required, doc=c.doc) for c in spec.columns],
        sink=pb.Sink(
            catalog=spec.sink.catalog,
            table=spec.sink.table,
            mode=f"SINK_MODE_{spec.sink.mode.name}",
            keys=spec.sink.keys,
        ),
        catalogs={name: pb.CatalogProperties(properties=dict(held)) for name, held in spec.catalogs.items()},
        default_catalog=spec.default_catalog,
        read_overlay=spec.read_overlay,
        params=dict(spec.params),
        compute=compute,
        kind=spec.kind,
        schedule=spec.schedule,
    )
    if isinstance(spec.source, SourceTable):
        message.source_table.CopyFrom(
            pb.SourceTable(
                connection=spec.source.connection,
                table=spec.source.table,
                columns=[pb.SourceColumn(name=column.name, source=column.source) for column in spec.source.columns],
                cursor=spec.source.cursor,
                lookback=spec.source.lookback,
                chunk_rows=spec.source.chunk_rows,
                key=spec.source.key,
            )
        )
    elif isinstance(spec.source, SourceTopic):
        message.source_topic.CopyFrom(pb.SourceTopic(**asdict(spec.source)))
    return message


def spec_from_message(message: pb.JobSpec) -> JobSpec:
    """A specification, from the wire.

    Raises:
        InvalidSpecError: The sink has no mode.
    """
    if message.sink.mode == pb.SINK_MODE_UNSPECIFIED:
        raise InvalidSpecError("the sink has no mode")
    return JobSpec(
        sql=message.sql,
        columns=[Column(c.name, c.type, c.required, c.doc if c.HasField("doc") else None) for c in message.columns],
        sink=Sink(
            message.sink.catalog,
            message.sink.table,
            SinkMode[pb.SinkMode.Name(message.sink.mode).removeprefix("SINK_MODE_")],
            message.sink.keys,
        ),
        catalogs={name: dict(held.properties) for name, held in message.catalogs.items()},
        default_catalog=message.default_catalog,
        read_overlay=message.read_overlay,
        params=dict(message.params),
        compute={key: _whole(value) for key, value in MessageToDict(message.compute).items()},
        kind=message.kind or "query",
        source=_source(message),
        schedule=message.schedule if message.HasField("schedule") else None,
    )


def _source(message: pb.JobSpec) -> JobSource | None:
    if message.HasField("source_table"):
        table = message.source_table
        columns = [SourceColumn(column.name, column.source) for column in table.columns]
        cursor = table.cursor if table.HasField("cursor") else None
        return SourceTable(table.connection, table.table, columns, cursor, table.lookback, table.chunk_rows, table.key)
    if message.HasField("source_topic"):
        topic = message.source_topic
        return SourceTopic(topic.topic, topic.format, topic.dead_letter_table, topic.checkpoint_interval_s)
    return None


def job_to_message(job: Job) -> pb.Job:
    """A job, for the wire."""
    return pb.Job(
        job_id=job.job_id,
        environment=job.environment,
        name=job.name,
        version=job.version,
        spec=spec_to_message(job.spec),
        labels=dict(job.labels),
        digest=job.digest,
    )


def job_from_message(message: pb.Job) -> Job:
    """A job, from the wire."""
    return Job(
        message.job_id,
        message.environment,
        message.name,
        message.version,
        spec_from_message(message.spec),
        dict(message.labels),
        message.digest,
    )


def execution_to_message(execution: Execution) -> pb.Execution:
    """An execution, for the wire."""
    return pb.Execution(
        execution_id=execution.execution_id,
        job_id=execution.job_id,
        job_version=execution.job_version,
        environment=execution.environment,
        backend=execution.backend,
        status=f"EXECUTION_STATUS_{execution.status.name}",
        rows_written=execution.rows_written,
        error=execution.error,
        attempt=execution.attempt,
        created_at=timestamp_of(execution.created_at),
        started_at=timestamp_of(execution.started_at),
        finished_at=timestamp_of(execution.finished_at),
        idempotency_key=execution.idempotency_key,
        user=execution.user,
        params=dict(execution.params),
    )


def execution_from_message(message: pb.Execution) -> Execution:
    """An execution, from the wire."""

    def optional(name: str) -> Any:
        return getattr(message, name) if message.HasField(name) else None

    return Execution(
        execution_id=message.execution_id,
        job_id=message.job_id,
        job_version=message.job_version,
        environment=message.environment,
        backend=message.backend,
        status=ExecutionStatus[pb.ExecutionStatus.Name(message.status).removeprefix("EXECUTION_STATUS_")],
        rows_written=optional("rows_written"),
        error=optional("error"),
        attempt=message.attempt,
        created_at=moment_from(message, "created_at"),
        started_at=moment_from(message, "started_at"),
        finished_at=moment_from(message, "finished_at"),
        idempotency_key=optional("idempotency_key"),
        user=optional("user"),
        params=dict(message.params),
    )


def upstream_to_message(table: UpstreamTable) -> pb.UpstreamTable:
    """A table that a job reads, for the wire."""
    return pb.UpstreamTable(
        catalog=table.catalog,
        table=table.table,
        is_filled=table.is_filled,
        job_id=table.job_id,
        environment=table.environment,
        due=timestamp_of(table.due),
        is_complete=table.is_complete,
        reason=table.reason,
    )


def upstream_from_message(message: pb.UpstreamTable) -> UpstreamTable:
    """A table that a job reads, from the wire."""
    return UpstreamTable(
        catalog=message.catalog,
        table=message.table,
        is_filled=message.is_filled,
        job_id=message.job_id if message.HasField("job_id") else None,
        environment=message.environment if message.HasField("environment") else None,
        due=moment_from(message, "due"),
        is_complete=message.is_complete,
        reason=message.reason,
    )


def moment_from(message: Any, name: str) -> datetime.datetime | None:
    """A moment of a message, UTC; None where it has none.

    Raises:
        InvalidSpecError: It is out of the calendar. Never retried.
    """
    if not message.HasField(name):
        return None
    try:
        found: datetime.datetime = getattr(message, name).ToDatetime(datetime.UTC)
    except (ValueError, OverflowError):
        raise InvalidSpecError(f"{name} is not a moment of the calendar") from None
    return found


def timestamp_of(moment: datetime.datetime | None) -> Timestamp | None:
    """A moment, for the wire."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _whole(value: Any) -> Any:
    """A Struct holds floats only; what was an integer is one again, so that digests stay equal."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value
