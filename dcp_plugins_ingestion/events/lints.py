"""What is wrong with a stream of events: its topic, its fields, and what it shares names with.

Source: Apache Kafka documentation, "Topic Configs"; RFC 8259 for what JSON can carry.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from coreetl_driver.column_types import ArrayType, ColumnType, MapType, ScalarType, StructType
from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic
from dcp_core.errors import InvalidSpecError
from dcp_core.model import Environment, LogicalPlan
from dcp_plugins_base.lints.running import lint_dataset
from dcp_plugins_base.lints.subject import Lint, Subject, error, warning
from dcp_plugins_base.neighbours import of_the_call
from dcp_plugins_ingestion.events.spec import CHECKPOINT, DEAD_LETTER_SUFFIX, DEFAULT_SCHEMA_TYPE, RETENTION, EventTable
from dcp_primitives.kafka_topic import FOREVER_MS, MAX_NAME_LENGTH, check_topic_name, collides

_NAME = ("topic", "name")
_LONGEST_PREFIX = len("playground_" + "u" * 32 + "__")
_SAFE_RETENTION_MS = 24 * 3_600_000
_MAX_CHECKPOINT_S = 24 * 3600
_MANAGED = {"retention.ms": "retention", "partitions": "partitions", "replication.factor": "replication"}
_KNOWN_CONFIG = frozenset(
    {
        "cleanup.policy", "compression.gzip.level", "compression.lz4.level", "compression.type",
        "compression.zstd.level", "delete.retention.ms", "file.delete.delay.ms", "flush.messages", "flush.ms",
        "follower.replication.throttled.replicas", "index.interval.bytes", "leader.replication.throttled.replicas",
        "local.retention.bytes", "local.retention.ms", "max.compaction.lag.ms", "max.message.bytes",
        "message.timestamp.after.max.ms", "message.timestamp.before.max.ms", "message.timestamp.type",
        "min.cleanable.dirty.ratio", "min.compaction.lag.ms", "min.insync.replicas", "preallocate",
        "remote.log.copy.disable", "remote.log.delete.on.disable", "remote.storage.enable", "retention.bytes",
        "segment.bytes", "segment.index.bytes", "segment.jitter.ms", "segment.ms", "unclean.leader.election.enable",
    }
)  # fmt: skip


def topic_name(subject: Subject) -> Iterator[Diagnostic]:
    """Kafka takes the name, in this environment."""
    name = _events(subject).topic.name
    try:
        check_topic_name(name)  # by itself first: a playground's prefix must not hide what is wrong with it
        check_topic_name(Environment.named(subject.environment).scoped(name))
    except InvalidSpecError as refused:
        yield error("topic.name", refused.message, _NAME, hint=refused.hint)


def topic_name_elsewhere(subject: Subject) -> Iterator[Diagnostic]:
    """The name has room for a playground's prefix, and Kafka's metrics can tell it from others."""
    name = _events(subject).topic.name
    room = MAX_NAME_LENGTH - _LONGEST_PREFIX
    if len(name) > room:
        message = f"the topic's name has {len(name)} characters: with more than {room} it may not fit in a playground"
        yield warning("topic.name_length", message, _NAME)
    if "." in name and "_" in name:
        yield warning(
            "topic.mixed_name",
            f"{name} has both '.' and '_', which Kafka's metrics cannot tell apart",
            _NAME,
            hint=f"write {name.replace('_', '-')}",
        )


def checkpoint(subject: Subject) -> Iterator[Diagnostic]:
    """Commits are not hardly ever; a second, the least, is what a manifest can say."""
    if _events(subject).checkpoint_interval_s > _MAX_CHECKPOINT_S:
        message = "checkpoint_interval is more than a day"
        yield error("stream.checkpoint", message, CHECKPOINT, hint="from 1s to 24h: 60s")


def retention(subject: Subject) -> Iterator[Diagnostic]:
    """Events are kept longer than it takes to read them."""
    events = _events(subject)
    kept_ms = events.topic.retention_ms
    if kept_ms is None or kept_ms == FOREVER_MS:
        return
    if kept_ms <= events.checkpoint_interval_s * 1000:
        yield error(
            "topic.retention",
            "events are gone before they are committed: retention is not longer than the checkpoint interval",
            RETENTION,
            hint="keep them for days: 7d",
        )
    elif kept_ms < _SAFE_RETENTION_MS:
        yield warning(
            "topic.short_retention",
            "with less than a day of retention an outage of the job over night loses events",
            RETENTION,
            hint="keep them for days: 7d",
        )


def managed_config(subject: Subject) -> Iterator[Diagnostic]:
    """What has a key of its own is not set under another name."""
    for name in _events(subject).topic.config:
        if name in _MANAGED:
            message = f"{name} has a key of its own"
            yield error("topic.config", message, ("topic", "config", name), hint=f"set topic.{_MANAGED[name]}")


def replicas(subject: Subject) -> Iterator[Diagnostic]:
    """Producers that wait for enough copies can write."""
    topic = _events(subject).topic
    wanted = topic.config.get("min.insync.replicas")
    if wanted is not None and wanted.isdigit() and int(wanted) > topic.replication:
        yield error(
            "topic.insync",
            f"min.insync.replicas is {wanted}, more than the {topic.replication} copies that there are: nobody who "
            "waits for them could write",
            ("topic", "config", "min.insync.replicas"),
            hint="raise topic.replication",
        )
    if topic.replication == 1:
        yield warning(
            "topic.one_copy",
            "with replication 1 the events of a broker are gone with it",
            ("topic", "replication"),
            hint="replication: 3, with min.insync.replicas: 2",
        )


def unknown_config(subject: Subject) -> Iterator[Diagnostic]:
    """Configuration is spelled as Kafka does; the broker has the last word, since versions differ."""
    for name in _events(subject).topic.config:
        if name not in _KNOWN_CONFIG and name not in _MANAGED:
            near = difflib.get_close_matches(name, _KNOWN_CONFIG, n=1)
            yield warning(
                "topic.unknown_config",
                f"{name} is no configuration of topics that we know",
                ("topic", "config", name),
                hint=f'did you mean "{near[0]}"?' if near else None,
            )


def compaction(subject: Subject) -> Iterator[Diagnostic]:
    """A compacted topic forgets events while the table is meant to have them all."""
    if "compact" in _events(subject).topic.config.get("cleanup.policy", ""):
        yield warning(
            "topic.compacted",
            "a compacted topic drops all but the last event of a key, also those that the table has not read yet",
            ("topic", "config", "cleanup.policy"),
            hint="cleanup.policy: delete, with a retention",
        )


def json_types(subject: Subject) -> Iterator[Diagnostic]:
    """JSON can carry a value of each field."""
    for index, field in enumerate(subject.dataset.fields):
        of = field.parsed_type()
        problem = _not_in_json(of) if of is not None else None
        if problem:
            path = (*subject.dataset.field_path(index), "type")
            yield error("stream.json_type", f'"{field.name}" is {of}: {problem}', path, hint="declare it as string")


def value_schema(subject: Subject) -> Iterator[Diagnostic]:
    """What producers are told to write is what the stream reads."""
    found = (_events(subject).topic.schemas or {}).get("value")
    if found is not None and found.type != DEFAULT_SCHEMA_TYPE:
        yield error(
            "stream.schema_type",
            f"the value's schema is {found.type}, and the stream reads messages of format {_events(subject).format}",
            ("topic", "schemas", "value", "type"),
            hint=f"type: {DEFAULT_SCHEMA_TYPE}",
        )


def dead_letter_name(subject: Subject) -> Iterator[Diagnostic]:
    """A table is not named like the dead letters of another."""
    if subject.dataset.table_name.endswith(DEAD_LETTER_SUFFIX):
        yield warning(
            "stream.dead_letter_name",
            f"{subject.dataset.table} is named like the unreadable messages of another stream",
            ("dataset", "name"),
            hint="give it another name",
        )


def lint_events(events: EventTable, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
    """The manifest by itself, then beside the other streams of the call."""

    beside = of_the_call(ctx, "gr_ingestion.topics", _by_metric)

    def beside_others(_subject: Subject) -> Iterator[Diagnostic]:
        name = events.topic.name
        for other, plan in beside.get(_metric(name), ()):
            if plan.id != logical_plan.id and collides(name, other):
                yield error(
                    "topic.collides",
                    f"Kafka's metrics cannot tell {name} from {other} of {plan.id} ({plan.source.file}), so it refuses "
                    "one",
                    _NAME,
                    hint="use '-' where one has '.' and the other '_'",
                )

    return lint_dataset(events, logical_plan, (*OF_THE_EVENTS, beside_others))


def _by_metric(logical_plans: Sequence[LogicalPlan]) -> Mapping[str, Sequence[tuple[str, LogicalPlan]]]:
    """The topics of all streams, with their plans, by what Kafka's metrics make of their names."""
    found: defaultdict[str, list[tuple[str, LogicalPlan]]] = defaultdict(list)
    for plan in logical_plans:
        if plan.plugin_type == EventTable.manifest_type:
            name = EventTable.of(plan).topic.name
            found[_metric(name)].append((name, plan))
    return found


def _metric(name: str) -> str:
    return name.replace(".", "_")


def _not_in_json(of: ColumnType) -> str | None:
    match of:
        case ScalarType("binary"):
            return "JSON has no bytes"
        case MapType(key, value):
            if key != ScalarType("string"):
                return "the names of JSON members are strings"
            return _not_in_json(value)
        case ArrayType(element):
            return _not_in_json(element)
        case StructType(fields):
            return next((problem for _, inner in fields if (problem := _not_in_json(inner))), None)
    return None


def _events(subject: Subject) -> EventTable:
    return cast(EventTable, subject.dataset)


OF_THE_STRUCTURE: tuple[Lint, ...] = (
    topic_name,
    checkpoint,
    retention,
    managed_config,
    replicas,
    json_types,
    value_schema,
)
"""Compiling the manifest refuses their errors."""

OF_THE_EVENTS: tuple[Lint, ...] = (
    *OF_THE_STRUCTURE,
    topic_name_elsewhere,
    unknown_config,
    compaction,
    dead_letter_name,
)
