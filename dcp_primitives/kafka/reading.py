"""What there is: the states of many topics in a handful of requests, with what a deletion would lose.

Requests: the cluster, the topics, their configuration, the check of what is wanted; whose they are (two, once they have
been read); the first and the last offsets and the sizes (a request to each broker). Reassignments only where a topic
has another number of replicas than wanted, ACLs only where a manifest manages any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import define, evolve, field, frozen

from dcp_core.context import Context
from dcp_core.digests import JsonValue, digest_of
from dcp_core.errors import InvalidSpecError, NotSupportedError
from dcp_core.model import Resource, ResourceKey, State
from dcp_primitives.kafka import acls, schemas, sizes
from dcp_primitives.kafka.assigning import Replicas, uniform
from dcp_primitives.kafka.checking import RISKY, Check, Problem, check_topics, in_json
from dcp_primitives.kafka.cluster import Cluster, Partitions, Topology
from dcp_primitives.kafka.marks import Mark, Marks, digest_of_values
from dcp_primitives.kafka.settings import kafka_settings
from dcp_primitives.kafka.spec import KafkaTopic, canonical_config, topic_of, values_of

PENDING = "pending"
_MOST_CHECKS = 100_000
_OVERRIDE = "DYNAMIC_TOPIC_CONFIG"
_NO_AUTHORIZER = Problem("acls", "the brokers have no authorizer, so there are no ACLs (authorizer.class.name)")
# Kafka's own tools set and clear these while they move replicas.
_OF_OPERATORS = frozenset({"leader.replication.throttled.replicas", "follower.replication.throttled.replicas"})


@frozen
class Found:
    """One topic as it is.

    Args:
        partitions: Of the brokers' metadata; replicas that are being taken away are left out.
        state: What plans compare.
    """

    partitions: Partitions
    state: State


@define
class Broker:
    """A cluster with what is known of its topics."""

    cluster: Cluster
    marks: Marks
    checks: dict[tuple[str, str], tuple[str, Check]] = field(factory=dict)

    @classmethod
    def of(cls, ctx: Context) -> Broker:
        """The one that the settings name.

        Raises:
            BrokerMissingError: They name none.
        """
        kafka_settings(ctx)
        return ctx.shared("kafka.broker", lambda: _broker(ctx))

    def close(self) -> None:
        """End its connections."""
        self.marks.close()
        self.cluster.close()

    def desired_info(self, topic: KafkaTopic) -> dict[str, JsonValue]:
        """What the broker says of a wanted topic: asked when ``read`` has not asked already."""
        key = _key(topic)
        if key not in self.checks:
            topology = self.cluster.topology()
            there = self.cluster.topics([topic.topic])
            self._check(topology, [topic], there, self._acls([topic]) is not None)
        cluster_id, check = self.checks[key]
        return {
            "cluster_id": cluster_id,
            "problems": in_json(check.problems),
            "effective": canonical_config(check.effective),
        }

    def read(self, resources: Sequence[Resource], now: datetime | None = None) -> dict[ResourceKey, Found | None]:
        """The topics that exist, None for those that do not.

        Args:
            resources: Their specs say what is to be compared and checked.
            now: When set, also what deleting or changing a topic would lose, and whether the broker would take what
                is wanted; None for the states alone.

        Raises:
            ConflictError: It is another cluster than the settings mean.
            TransientError: The brokers cannot be reached.
        """
        topology = self.cluster.topology()
        own = self.marks.topic
        names = [resource.name for resource in resources]
        topics = self.cluster.topics(list(dict.fromkeys([*names, own])))
        marks_id = topics[own].topic_id if own in topics else None
        marks = self.cluster.patiently(lambda: self.marks.read(marks_id))
        topics = {name: each for name, each in topics.items() if name in set(names)}
        wanted = {resource.key: _topic(resource) for resource in resources}
        configs = self.cluster.configs(list(topics))
        topics = self._without_leaving(topics, wanted.values())
        allowed = self._acls(wanted.values())
        if now is not None:
            sound = [each for each in wanted.values() if each is not None]
            self._check(topology, sound, topics, allowed is not None)
        found: dict[ResourceKey, Found | None] = {}
        for resource in resources:
            partitions = topics.get(resource.name)
            if partitions is None:
                found[resource.key] = None
                continue
            values = _values(partitions, configs.get(resource.name, {}))
            mark = marks.get(resource.name)
            is_marked = mark is not None and mark.is_of(partitions.topic_id, digest_of_values(values))
            topic = wanted[resource.key]
            managed = topic is not None and topic.acls is not None
            values["acls"] = (allowed or {}).get(resource.name, []) if managed else None
            state = State(
                values,
                mark.owner if mark is not None and is_marked else None,
                info=_info(topology, partitions, configs.get(resource.name, {}), mark if is_marked else None),
            )
            found[resource.key] = Found(partitions, schemas.with_actual(topic, state, self.cluster))
        return found if now is None else self._with_sizes(found, wanted, now)

    def _with_sizes(
        self, found: dict[ResourceKey, Found | None], wanted: Mapping[ResourceKey, KafkaTopic | None], now: datetime
    ) -> dict[ResourceKey, Found | None]:
        there = {key.name: each.partitions for key, each in found.items() if each is not None}
        shorter = {
            key.name: sizes.shorter_retention_ms(
                each.state.info["effective"], canonical_config(self.checks[_key(topic)][1].effective)
            )
            for key, each in found.items()
            if each is not None and (topic := wanted[key]) is not None
        }
        measured = sizes.measure(there, {name: ms for name, ms in shorter.items() if ms is not None}, now, self.cluster)
        return {
            key: each and evolve(each, state=evolve(each.state, info={**each.state.info, **measured[key.name]}))
            for key, each in found.items()
        }

    def _without_leaving(
        self, topics: Mapping[str, Partitions], wanted: Iterable[KafkaTopic | None]
    ) -> dict[str, Partitions]:
        """A replica that is being moved away is gone as far as a plan goes."""
        replication = {topic.topic: topic.replication for topic in wanted if topic is not None}
        odd = {
            name: each
            for name, each in topics.items()
            if uniform(tuple(each.replicas.values())) != replication.get(name)
        }
        if not odd:
            return dict(topics)
        asked = {name: list(each.replicas) for name, each in odd.items()}
        moving = self.cluster.ask(lambda admin: admin.list_partition_reassignments(asked))
        changed: dict[str, dict[int, Replicas]] = {}
        for where, told in moving.items():
            staying = tuple(each for each in told["replicas"] if each not in told["removing_replicas"])
            changed.setdefault(where.topic, {})[where.partition] = staying
        return {
            name: evolve(each, replicas={**each.replicas, **changed.get(name, {})}) for name, each in topics.items()
        }

    def _acls(self, wanted: Iterable[KafkaTopic | None]) -> Mapping[str, JsonValue] | None:
        """By topic; None of a broker without an authorizer."""
        if not any(topic is not None and topic.acls is not None for topic in wanted):
            return {}
        try:
            told, _ = self.cluster.ask(lambda admin: admin.describe_acls(acls.all_of_topics()))
        except NotSupportedError:
            return None
        return acls.by_topic(told)

    def _check(
        self, topology: Topology, wanted: Sequence[KafkaTopic], there: Iterable[str], has_authorizer: bool
    ) -> None:
        if len(self.checks) > _MOST_CHECKS:
            self.checks.clear()
        found = check_topics(wanted, there, self.cluster)
        for topic in wanted:
            check = found[topic.topic]
            lacking = () if has_authorizer or not topic.acls else (_NO_AUTHORIZER,)
            check = evolve(check, problems=(*check.problems, *lacking, *schemas.problems(topic, self.cluster)))
            self.checks[_key(topic)] = topology.cluster_id, check


def _topic(resource: Resource) -> KafkaTopic | None:
    """The spec where it makes sense; one that does not is refused where it is wanted."""
    try:
        topic = topic_of(resource)
        values_of(topic)
    except InvalidSpecError:
        return None
    return topic


def _broker(ctx: Context) -> Broker:
    cluster = Cluster.of(ctx)
    return Broker(cluster, Marks(cluster))


def _key(topic: KafkaTopic) -> tuple[str, str]:
    return topic.topic, digest_of(values_of(topic))


def _values(partitions: Partitions, config: Mapping[str, Mapping[str, Any]]) -> dict[str, JsonValue]:
    """What one request creates; everything else is added by whoever reads it."""
    overridden = {
        name: each["value"]
        for name, each in config.items()
        if each["config_source"] == _OVERRIDE and each["value"] is not None and name not in _OF_OPERATORS
    }
    return {
        "partitions": len(partitions.replicas),
        "replication": uniform(tuple(partitions.replicas.values())),
        "config": canonical_config(overridden),
    }


def _info(
    topology: Topology, partitions: Partitions, config: Mapping[str, Mapping[str, Any]], mark: Mark | None
) -> dict[str, JsonValue]:
    info: dict[str, JsonValue] = {
        "cluster_id": topology.cluster_id,
        "topic_id": partitions.topic_id,
        "effective": canonical_config(
            {name: config[name]["value"] for name in RISKY if name in config and config[name]["value"] is not None}
        ),
    }
    if mark is not None and mark.topic_id is None:
        info[PENDING] = True
    return info
