"""Which resources a stream of events wants: topic, table, dead-letter table, streaming job, maintenance DAG.

Pure; imports typed specs only, no platform library.

Source: design.md sections 11 and 12.
"""

from __future__ import annotations

import attrs

from coreetl_driver.job_sources import SourceTopic
from dcp_core.lineage import ColumnLineage
from dcp_core.model import Environment, LogicalPlan, Resource
from dcp_plugins_base.dataset import Dataset, Field
from dcp_plugins_base.decomposition import dag_resources, job_resource, table_resource
from dcp_plugins_base.lineage import copied_lineage
from dcp_plugins_ingestion.events.spec import EventTable

DEAD_LETTER_FIELDS = (
    Field("topic", "string", nullable=False, description="Where the message came from"),
    Field("partition", "int", nullable=False, description="Of the topic"),
    Field("offset", "long", nullable=False, description="Of the message in its partition"),
    Field("timestamp", "timestamptz", description="Of the message, as Kafka has it"),
    Field("key", "binary", description="The message's key, byte for byte"),
    Field("value", "binary", description="The message's value, byte for byte"),
    Field("error_code", "string", nullable=False, description="What is wrong, as a stable code"),
    Field("error", "string", nullable=False, description="What is wrong, in words"),
    Field("failed_at", "timestamptz", nullable=False, description="When it was put here"),
)


def event_resources(events: EventTable, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
    """Topic, table, dead-letter table, job, DAG, in this order; no DAG without a maintenance schedule."""
    topic = _topic(events, logical_plan)
    table = table_resource(events, logical_plan)
    dead_letter = table_resource(_dead_letter(events), logical_plan)
    source = SourceTopic(
        topic=topic.name,
        format=events.format,
        dead_letter_table=events.dead_letter_table,
        checkpoint_interval_s=events.checkpoint_interval_s,
    )
    needs, schedule = (topic, dead_letter), events.schedule
    job = job_resource(
        events, logical_plan, table, depends_on=needs, kind="stream", sql="", source=source, schedule=schedule
    )
    maintenance = attrs.evolve(events, description=f"Keeps the job that fills {events.table} going")
    return (topic, table, dead_letter, job, *dag_resources(maintenance, logical_plan, job))


def event_lineage(events: EventTable, logical_plan: LogicalPlan) -> tuple[ColumnLineage, ...]:
    """The table's fields are those of the messages; a dead letter is the message as a whole, with facts about it."""
    source = f"topic://{_topic(events, logical_plan).name}"
    letters = {name: name for name in ("key", "value")}
    return (
        *copied_lineage(events, source, {name: name for name in events.field_names}),
        *copied_lineage(_dead_letter(events), source, letters),
    )


def _topic(events: EventTable, logical_plan: LogicalPlan) -> Resource:
    from dcp_primitives.kafka_topic import KafkaTopic, TopicAcl, TopicSchema

    topic = events.topic
    spec = KafkaTopic(
        topic=Environment.named(logical_plan.environment).scoped(topic.name),
        partitions=topic.partitions,
        replication=topic.replication,
        retention_ms=topic.retention_ms,
        config=topic.config,
        acls=None
        if topic.acls is None
        else tuple(TopicAcl(acl.principal, acl.operations, acl.host) for acl in topic.acls),
        schemas=None
        if topic.schemas is None
        else {part: TopicSchema(each.text, each.type, each.compatibility) for part, each in topic.schemas.items()},
    )
    return spec.resource(logical_plan, protect=events.protect, path=("topic",))


def _dead_letter(events: EventTable) -> Dataset:
    return attrs.evolve(
        events,
        table_name=events.dead_letter_name,
        fields=DEAD_LETTER_FIELDS,
        description=f"Messages of {events.topic.name} that {events.table} cannot hold",
        partition_by=("day(failed_at)",),
        sort_by=(),
        primary_key=(),
        properties={},
    )
