"""The ``kafka_topic`` primitive: topics of the cluster that ``[kafka]`` names, with their ACLs and schemas.

What each change does to the events is in ``kafka.comparing``, the order in which changes are made in
``kafka.changing``, how whose a topic is can be known in ``kafka.marks``.

Source: design.md sections 6, 8 and 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dcp_core.context import Context
from dcp_core.interfaces import Primitive
from dcp_core.model import FieldChange, Resource, ResourceKey, State
from dcp_core.planning import owner_of
from dcp_primitives.kafka.settings import KafkaSettings
from dcp_primitives.kafka.spec import (
    COMPATIBILITIES,
    FOREVER_MS,
    KIND,
    MAX_NAME_LENGTH,
    OPERATIONS,
    SCHEMA_PARTS,
    SCHEMA_TYPES,
    KafkaTopic,
    TopicAcl,
    TopicSchema,
    check_environment,
    check_topic_name,
    collides,
    topic_of,
    values_of,
)

__all__ = [
    "COMPATIBILITIES",
    "FOREVER_MS",
    "KIND",
    "MAX_NAME_LENGTH",
    "OPERATIONS",
    "SCHEMA_PARTS",
    "SCHEMA_TYPES",
    "KafkaSettings",
    "KafkaTopic",
    "KafkaTopicPrimitive",
    "TopicAcl",
    "TopicSchema",
    "check_topic_name",
    "collides",
    "topic_of",
    "values_of",
]


class KafkaTopicPrimitive(Primitive):
    """Manages topics; ``Resource.name`` is the topic's name, scoped to the environment."""

    kind = KIND

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        """The canonical values of the spec, marked; in ``info`` which cluster, and why it would not take them.

        The broker is asked only when ``get_actual_states`` has not asked already.

        Raises:
            InvalidSpecError: The spec contradicts itself, or the name is not of the environment.
            UnknownKindError: No broker is configured.
            TransientError: The brokers cannot be reached.
        """
        from dcp_primitives.kafka.reading import Broker

        topic = topic_of(resource)
        values = values_of(topic)
        check_environment(resource)
        return State(values, owner_of(resource), info=Broker.of(ctx).desired_info(topic))

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        return self.get_actual_states((resource,), ctx)[resource.key]

    def get_actual_states(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, State | None]:
        """A handful of requests for all of them together; see ``kafka.reading``.

        Raises:
            UnknownKindError: No broker is configured, or no client for it is installed.
            ConflictError: The broker belongs to another cluster than ``[kafka] cluster_id``.
            TransientError: The brokers cannot be reached.
        """
        from dcp_primitives.kafka.reading import Broker

        if not resources:
            return {}
        found = Broker.of(ctx).read(resources, ctx.clock())
        return {key: each.state if each is not None else None for key, each in found.items()}

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        """See ``kafka.comparing`` for what is an update, destructive or refused."""
        from dcp_primitives.kafka.comparing import compare_topics, creation, deletion

        if desired is None:
            return () if actual is None else deletion(resource.name, actual)
        return creation(desired) if actual is None else compare_topics(desired, actual)

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        """See ``kafka.changing.create``."""
        from dcp_primitives.kafka import changing

        changing.create(resource, desired, ctx)

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        """See ``kafka.changing.update``."""
        from dcp_primitives.kafka import changing

        changing.update(resource, desired, actual, ctx)

    def delete(self, resource: Resource, ctx: Context) -> None:
        """See ``kafka.changing.delete``."""
        from dcp_primitives.kafka import changing

        changing.delete(resource, ctx)
