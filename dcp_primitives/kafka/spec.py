"""What a manifest wants of a Kafka topic: the typed spec of kind ``kafka_topic``, and the names that Kafka takes.

Source: design.md section 11; Apache Kafka documentation, "Topic Configs"; ``org.apache.kafka.common.internals.Topic``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import Factory, frozen

from dcp_core import documents
from dcp_core.digests import JsonValue
from dcp_core.errors import InvalidSpecError
from dcp_core.model import PLAYGROUND_PREFIX, PRODUCTION, LogicalPlan, Resource, ResourceKey

KIND = "kafka_topic"
MAX_NAME_LENGTH = 249
FOREVER_MS = -1
CLEANUP_POLICY = "cleanup.policy"
OPERATIONS = ("read", "write", "describe", "describe_configs", "alter_configs", "delete", "all")
SCHEMA_PARTS = ("key", "value")
SCHEMA_TYPES = ("AVRO", "JSON", "PROTOBUF")
COMPATIBILITIES = (
    "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", "NONE",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_PRINCIPAL = re.compile(r"[A-Za-z]+:\S.*")
_INTEGER = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_MAX_REPLICATION = 2**15 - 1
_INSTEAD = {"retention.ms": "retention_ms", "partitions": "partitions", "replication.factor": "replication"}


@frozen
class TopicAcl:
    """What one principal may do with the topic.

    Args:
        principal: As the broker's authorizer knows it: ``User:shop``.
        operations: Of ``OPERATIONS``.
        host: Where it may come from; ``*`` for anywhere.
    """

    principal: str
    operations: tuple[str, ...]
    host: str = "*"


@frozen
class TopicSchema:
    """What the keys or the values of a topic's messages look like, for its schema registry.

    Args:
        schema: Its text.
        type: Of ``SCHEMA_TYPES``.
        compatibility: What the registry demands of the next version, ``BACKWARD``; None leaves it to the registry.
    """

    schema: str
    type: str = "AVRO"
    compatibility: str | None = None


@frozen(kw_only=True)
class KafkaTopic:
    """A topic.

    Args:
        topic: Scoped to the environment: ``Environment.scoped("shop.orders")``.
        partitions: They can only grow.
        replication: On how many brokers each partition is kept.
        retention_ms: How long events are kept, in milliseconds; ``FOREVER_MS`` for ever, None as the broker does.
        config: More topic configuration, values as text; retention apart.
        acls: Who may do what; None leaves the topic's ACLs alone.
        schemas: Of ``key`` and ``value``, under the subject ``<topic>-<part>``; None leaves them alone.
    """

    topic: str
    partitions: int = 1
    replication: int = 1
    retention_ms: int | None = None
    config: Mapping[str, str] = Factory(dict)
    acls: tuple[TopicAcl, ...] | None = None
    schemas: Mapping[str, TopicSchema] | None = None

    def resource(
        self,
        logical_plan: LogicalPlan,
        *,
        depends_on: Iterable[ResourceKey] = (),
        protect: bool | None = None,
        path: tuple[str | int, ...] | None = None,
    ) -> Resource:
        """The resource that ``logical_plan`` wants."""
        return Resource(
            kind=KIND,
            name=self.topic,
            manifest_id=logical_plan.id,
            environment=logical_plan.environment,
            spec=documents.to_json(self),
            depends_on=tuple(depends_on),
            protect=protect,
            path=path,
        )


def topic_of(resource: Resource) -> KafkaTopic:
    """The typed spec of a resource.

    Raises:
        InvalidSpecError: The spec has another shape.
    """
    topic = documents.spec_of(resource, KafkaTopic)
    if topic.topic != resource.name:
        raise InvalidSpecError(f"the topic {topic.topic} is wanted under another name", where=resource.name)
    return topic


def values_of(topic: KafkaTopic) -> dict[str, JsonValue]:
    """The values of the desired state, canonical: retention among the configuration, names sorted.

    Raises:
        InvalidSpecError: Kafka takes no such topic.
    """
    check_topic_name(topic.topic)
    if topic.partitions < 1:
        raise InvalidSpecError(f"partitions is {topic.partitions}, less than 1", where=topic.topic)
    if not 1 <= topic.replication <= _MAX_REPLICATION:
        raise InvalidSpecError(
            f"replication is {topic.replication}, not from 1 to {_MAX_REPLICATION}", where=topic.topic
        )
    for name in topic.config:
        if name in _INSTEAD:
            raise InvalidSpecError(f"{name} is no configuration here: set {_INSTEAD[name]}", where=topic.topic)
    config = dict(topic.config)
    if topic.retention_ms is not None:
        if topic.retention_ms < FOREVER_MS:
            raise InvalidSpecError(f"retention_ms is {topic.retention_ms}, less than -1", where=topic.topic)
        config["retention.ms"] = str(topic.retention_ms)
    values: dict[str, JsonValue] = {
        "partitions": topic.partitions,
        "replication": topic.replication,
        "config": canonical_config(config),
        "acls": None if topic.acls is None else canonical_acls([_acl(acl, topic) for acl in topic.acls]),
    }
    if topic.schemas is not None:
        values["schemas"] = {part: _schema(part, topic.schemas[part], topic) for part in sorted(topic.schemas)}
    return values


def canonical_schema(type: str, text: str) -> str:
    """The same text for what says the same: JSON without spaces, anything else without them at its ends."""
    if type in ("AVRO", "JSON"):
        try:
            return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
        except ValueError:
            return text.strip()
    return text.strip()


def canonical_config(config: Mapping[str, str]) -> dict[str, str]:
    """The same configuration as Kafka means it, names sorted: `` TRUE`` is ``true``, and ``0.50`` is ``0.5``.

    Brokers give values back as they were set or as they read them, which differs by their version.
    """
    return {name: canonical_value(name, config[name]) for name in sorted(config)}


def canonical_value(name: str, text: str) -> str:
    """One value of it. The order of the parts of a list tells nothing, where the list is a set."""
    value = text.strip()
    if value.lower() in ("true", "false"):
        return value.lower()
    if _INTEGER.fullmatch(value):
        return str(int(value))
    if _DECIMAL.fullmatch(value):
        return repr(float(value))
    if "," in value or name == CLEANUP_POLICY:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        joined = ",".join(sorted(set(parts)) if name == CLEANUP_POLICY else parts)
        # A list of one is that one: "00," is 0.
        return joined if "," in joined or "," not in value else canonical_value(name, joined)
    return value


def canonical_acls(acls: Iterable[Mapping[str, JsonValue]]) -> list[JsonValue]:
    """One entry for each principal and host, operations joined; sorted."""
    joined: dict[tuple[str, str], set[str]] = {}
    for acl in acls:
        joined.setdefault((acl["principal"], acl["host"]), set()).update(acl["operations"])
    return [
        {"principal": principal, "operations": sorted(operations), "host": host}
        for (principal, host), operations in sorted(joined.items())
    ]


def check_environment(resource: Resource) -> None:
    """Names of playgrounds are apart: each begins with its own prefix, and nothing of production does.

    Raises:
        InvalidSpecError: The name is not of the resource's environment.

    Source: design.md section 8.
    """
    prefix = f"{resource.environment}__"
    if resource.environment == PRODUCTION:
        if resource.name.startswith(PLAYGROUND_PREFIX):
            raise InvalidSpecError(f"names that start with {PLAYGROUND_PREFIX} are playgrounds'", where=resource.name)
    elif not resource.name.startswith(prefix):
        raise InvalidSpecError(
            f"a topic of {resource.environment} has a name that starts with {prefix}",
            where=resource.name,
            hint="Environment.scoped gives it",
        )


def colliding(names: Sequence[str]) -> dict[str, str]:
    """Of several names: each that Kafka refuses beside another, with that other one."""
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.replace(".", "_"), name)
        if other != name:
            found[name], found[other] = other, name
    return found


def check_topic_name(name: str) -> str:
    """A name that Kafka takes.

    Raises:
        InvalidSpecError: It does not; says why.
    """
    if name in (".", "..") or not _NAME.fullmatch(name):
        raise InvalidSpecError(
            f"{name!r} is not a topic's name", hint="ASCII letters, digits, '.', '_' and '-'; not '.' or '..' alone"
        )
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidSpecError(
            f"the topic's name has {len(name)} characters, and Kafka takes {MAX_NAME_LENGTH}", where=name
        )
    if name.startswith("__"):
        raise InvalidSpecError("names that start with __ are Kafka's own", where=name)
    return name


def collides(name: str, other: str) -> bool:
    """Whether Kafka refuses one topic beside the other: its metrics cannot tell ``.`` from ``_``."""
    return name != other and name.replace(".", "_") == other.replace(".", "_")


def _schema(part: str, schema: TopicSchema, topic: KafkaTopic) -> dict[str, JsonValue]:
    if part not in SCHEMA_PARTS:
        raise InvalidSpecError(f"messages have no {part}", where=topic.topic, hint="key or value")
    if schema.type not in SCHEMA_TYPES:
        raise InvalidSpecError(
            f"{schema.type!r} is no type of schemas", where=topic.topic, hint=f"one of: {', '.join(SCHEMA_TYPES)}"
        )
    if schema.compatibility is not None and schema.compatibility not in COMPATIBILITIES:
        raise InvalidSpecError(
            f"{schema.compatibility!r} is no compatibility of schemas",
            where=topic.topic,
            hint=f"one of: {', '.join(COMPATIBILITIES)}",
        )
    return {
        "type": schema.type,
        "schema": canonical_schema(schema.type, schema.schema),
        "compatibility": schema.compatibility,
    }


def _acl(acl: TopicAcl, topic: KafkaTopic) -> dict[str, JsonValue]:
    if not _PRINCIPAL.fullmatch(acl.principal):
        raise InvalidSpecError(f"{acl.principal!r} is not a principal", where=topic.topic, hint="User:shop")
    unknown = [each for each in acl.operations if each not in OPERATIONS]
    if unknown or not acl.operations:
        raise InvalidSpecError(
            f"{unknown[0]!r} is not an operation" if unknown else f"{acl.principal} may do nothing",
            where=topic.topic,
            hint=f"one of: {', '.join(OPERATIONS)}",
        )
    return {"principal": acl.principal, "operations": sorted(set(acl.operations)), "host": acl.host}
