"""What a manifest wants of a Kafka topic: the typed spec of kind ``kafka_topic``, and the names that Kafka takes.

The primitive that manages topics is a package of its own to come; until it is installed a plan says so.

Source: design.md section 11; Apache Kafka documentation, "Topic Configs"; ``org.apache.kafka.common.internals.Topic``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from attrs import Factory, frozen

from dcp_core import documents
from dcp_core.digests import JsonValue
from dcp_core.errors import InvalidSpecError
from dcp_core.model import LogicalPlan, Resource, ResourceKey

KIND = "kafka_topic"
MAX_NAME_LENGTH = 249
FOREVER_MS = -1
OPERATIONS = ("read", "write", "describe", "describe_configs", "alter_configs", "delete", "all")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_PRINCIPAL = re.compile(r"[A-Za-z]+:\S.*")
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
    """

    topic: str
    partitions: int = 1
    replication: int = 1
    retention_ms: int | None = None
    config: Mapping[str, str] = Factory(dict)
    acls: tuple[TopicAcl, ...] | None = None

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
    return documents.spec_of(resource, KafkaTopic)


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
    return {
        "partitions": topic.partitions,
        "replication": topic.replication,
        "config": dict(sorted(config.items())),
        "acls": None if topic.acls is None else [_acl(acl, topic) for acl in topic.acls],
    }


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
