"""The typed spec of a topic, and the names that Kafka takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp_core.errors import InvalidSpecError
from dcp_core.model import LogicalPlan, Metadata, Source
from dcp_primitives.kafka_topic import KafkaTopic, TopicAcl, check_topic_name, collides, topic_of, values_of

PLAN = LogicalPlan("events", "events/views", "production", {}, Metadata("web-data"), Source("x.yaml", "sha256:0"))
ACL = TopicAcl("User:web", ("write", "describe", "write"), "10.0.0.1")


@given(
    st.builds(
        KafkaTopic,
        topic=st.sampled_from(["views", "shop.views"]),
        partitions=st.integers(1, 9),
        replication=st.integers(1, 3),
        retention_ms=st.none() | st.integers(-1, 10**15),
        config=st.dictionaries(st.sampled_from(["max.message.bytes", "cleanup.policy"]), st.just("1")),
        acls=st.none() | st.lists(st.just(ACL), max_size=2).map(tuple),
    )
)
def test_a_resource_holds_the_whole_spec(topic: KafkaTopic) -> None:
    resource = topic.resource(PLAN, protect=True, path=("topic",))
    assert topic_of(resource) == topic
    assert (resource.kind, resource.name, resource.noun) == ("kafka_topic", topic.topic, "TOPIC")
    assert (resource.manifest_id, resource.protect, resource.path) == ("events/views", True, ("topic",))


def test_the_values_are_canonical() -> None:
    topic = KafkaTopic(topic="views", partitions=6, replication=3, retention_ms=1000, config={"z.z": "1", "a.a": "2"})
    assert values_of(topic) == {
        "partitions": 6,
        "replication": 3,
        "config": {"a.a": "2", "retention.ms": "1000", "z.z": "1"},
        "acls": None,
    }
    assert list(values_of(topic)["config"]) == ["a.a", "retention.ms", "z.z"]
    assert values_of(KafkaTopic(topic="views", acls=(ACL,)))["acls"] == [
        {"principal": "User:web", "operations": ["describe", "write"], "host": "10.0.0.1"}
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"topic": "a b"}, "not a topic's name"),
        ({"partitions": 0}, "partitions is 0"),
        ({"replication": 0}, "replication is 0"),
        ({"replication": 40_000}, "replication is 40000"),
        ({"retention_ms": -2}, "retention_ms is -2"),
        ({"config": {"retention.ms": "1"}}, "set retention_ms"),
        ({"config": {"replication.factor": "1"}}, "set replication"),
        ({"acls": (TopicAcl("web", ("read",)),)}, "'web' is not a principal"),
        ({"acls": (TopicAcl("User:web", ("dance",)),)}, "'dance' is not an operation"),
        ({"acls": (TopicAcl("User:web", ()),)}, "may do nothing"),
    ],
)
def test_what_kafka_cannot_have_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpecError, match=said):
        values_of(KafkaTopic(**{"topic": "views", **wrong}))


@pytest.mark.parametrize("name", ["views", "shop.page-views_2", "a" * 249, "_views", "...", "0"])
def test_names_that_kafka_takes(name: str) -> None:
    assert check_topic_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "a" * 250, "__consumer_offsets", "a\n", "a:b"])
def test_names_that_kafka_refuses(name: str) -> None:
    with pytest.raises(InvalidSpecError):
        check_topic_name(name)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [("a.b", "a_b", True), ("a.b_c", "a_b.c", True), ("a.b", "a-b", False), ("a.b", "a.b", False), ("a", "b", False)],
)
def test_dot_and_underscore_collide(one: str, other: str, wanted: bool) -> None:
    assert collides(one, other) is wanted
    assert collides(other, one) is wanted
