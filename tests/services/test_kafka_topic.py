"""Topics on a real Kafka: made, changed, guarded, counted, and found again after an outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource
from kafka.errors import KafkaError

from dcp_core.context import Context
from dcp_core.errors import ConflictError, InvalidSpecError, PermanentError, TransientError
from dcp_core.model import Effect, Environment, FieldChange, LogicalPlan, Metadata, Resource, Source, State
from dcp_core.settings import Settings
from dcp_primitives.kafka.marks import Mark
from dcp_primitives.kafka.reading import Broker
from dcp_primitives.kafka_topic import KafkaTopic, KafkaTopicPrimitive, TopicAcl
from tests.end_to_end.projects import PLAYGROUND, Answer, Project
from tests.services import servers
from tests.services.kafka_broker import PASSWORDS, Kafka, started
from tests.services.kafka_contract import KafkaTopicContract
from tests.services.kafka_counting import CountingProxy, changing

EVENTS = """\
manifest_type: gr_ingestion
metadata: {technical_owner: web-data}
topic:
  name: %s
  partitions: %d
  retention: 7d
  acls:
    - {principal: "User:web", operations: [write]}
dataset:
  name: %s
  fields:
    - {name: view_id, type: string}
workflow: {maintenance: null}
"""


class TestContract(KafkaTopicContract):
    """The public one."""


@define
class Topics:
    """The life of topics as a plan drives it, and Kafka as others see it."""

    kafka: Kafka
    ctx: Context
    primitive: KafkaTopicPrimitive = field(factory=KafkaTopicPrimitive)

    def resource(self, topic: str, manifest: str = "events/views", **spec: Any) -> Resource:
        environment = self.ctx.environment.name
        plan = LogicalPlan("events", manifest, environment, {}, Metadata("web"), Source("x.yaml", "sha256:0"))
        return KafkaTopic(topic=self.ctx.environment.scoped(topic), **spec).resource(plan)

    def actual(self, resource: Resource) -> State | None:
        return self.primitive.get_actual_states((resource,), self.ctx)[resource.key]

    def changes(self, resource: Resource) -> tuple[FieldChange, ...]:
        actual = self.actual(resource)
        return self.primitive.compare(resource, self.primitive.get_desired_state(resource, self.ctx), actual)

    def apply(self, resource: Resource) -> tuple[FieldChange, ...]:
        actual = self.actual(resource)
        desired = self.primitive.get_desired_state(resource, self.ctx)
        changes = self.primitive.compare(resource, desired, actual)
        if actual is None:
            self.primitive.create(resource, desired, self.ctx)
        else:
            self.primitive.update(resource, desired, actual, self.ctx)
        assert self.actual(resource) == desired
        assert self.changes(resource) == ()
        return changes

    def admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(**self.kafka.client())

    def alter(self, topic: str, **config: Any) -> None:
        """By hand, past DCP."""
        with self.admin() as admin:
            wanted = {name.replace("_", "."): value for name, value in config.items()}
            admin.alter_configs([ConfigResource("TOPIC", topic, wanted)])

    def produce(self, topic: str, count: int, user: str | None = None, **message: Any) -> None:
        producer = KafkaProducer(**self.kafka.client(user), acks="all", max_block_ms=5000, delivery_timeout_ms=40000)
        try:
            for number in range(count):
                producer.send(topic, value=b"x" * 100, **{"key": str(number).encode(), **message}).get(10)
        finally:
            producer.close(timeout=1)


@pytest.fixture
def topics_for(kafka: Kafka, tmp_path: Path) -> Iterator[Callable[..., Topics]]:
    made: list[Context] = []

    def make(environment: str = "production", settings: Mapping[str, Any] | None = None) -> Topics:
        values = kafka.settings() if settings is None else settings
        ctx = Context(Environment.named(environment), "alice", Settings(tmp_path, values, {}))
        made.append(ctx)
        return Topics(kafka, ctx)

    yield make
    for ctx in made:
        ctx.shared_objects.close()


@pytest.fixture
def topics(topics_for: Callable[..., Topics]) -> Topics:
    return topics_for()


@pytest.fixture
def project(kafka: Kafka, tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("dcp.toml", f'[kafka]\nbootstrap_servers = ["{kafka.server}"]\ncluster_id = "{kafka.cluster_id}"\n')
    return made


def test_looking_creates_nothing_although_the_broker_makes_topics_by_itself(topics: Topics) -> None:
    resource = topics.resource("looked-at")
    assert topics.actual(resource) is None
    assert [each.field for each in topics.changes(resource)] == ["partitions", "replication"]
    with topics.admin() as admin:
        assert "looked-at" not in admin.list_topics()


def test_retention_that_is_shorter_says_how_many_messages_go(topics: Topics) -> None:
    resource = topics.resource("aging", retention_ms=7 * 86_400_000)
    topics.apply(resource)
    old = int(time.time() * 1000) - 3 * 86_400_000
    topics.produce("aging", 5, timestamp_ms=old)
    topics.produce("aging", 2)
    (change,) = topics.changes(topics.resource("aging", retention_ms=86_400_000))
    assert change.effect is Effect.DESTRUCTIVE
    assert change.why is not None
    assert change.why.startswith("retention goes from 7 days to 24 hours: 5 of 7 messages (")
    (longer,) = topics.changes(topics.resource("aging", retention_ms=8 * 86_400_000))
    assert longer.effect is Effect.UPDATE
    (forever,) = topics.changes(topics.resource("aging", retention_ms=-1))
    assert forever.effect is Effect.UPDATE


def test_taking_retention_out_is_shorter_where_the_brokers_default_is(topics: Topics) -> None:
    topics.apply(topics.resource("kept", retention_ms=-1))
    (change,) = topics.changes(topics.resource("kept"))
    assert change.effect is Effect.DESTRUCTIVE
    assert "from for ever to 7 days, the broker's default," in str(change.why)


def test_switching_compaction_is_destructive_in_the_direction_that_loses(topics: Topics) -> None:
    topics.apply(topics.resource("compacted", config={"cleanup.policy": "delete"}))
    topics.produce("compacted", 3)
    (change,) = topics.changes(topics.resource("compacted", config={"cleanup.policy": "compact"}))
    assert change.effect is Effect.DESTRUCTIVE
    assert "compaction keeps only the last message of each key: of 3 messages" in str(change.why)
    topics.apply(topics.resource("compacted", config={"cleanup.policy": "compact,delete"}))
    (back,) = topics.changes(topics.resource("compacted", config={"cleanup.policy": "compact"}))
    assert back.effect is Effect.UPDATE


def test_fewer_partitions_would_be_another_topic(topics: Topics) -> None:
    topics.apply(topics.resource("shrinking", partitions=3))
    topics.produce("shrinking", 4)
    smaller = topics.resource("shrinking", partitions=2)
    (change,) = topics.changes(smaller)
    assert change.effect is Effect.REPLACE
    assert "4 messages" in str(change.why)
    actual, desired = topics.actual(smaller), topics.primitive.get_desired_state(smaller, topics.ctx)
    assert actual is not None
    with pytest.raises(InvalidSpecError, match="takes no partitions away"):
        topics.primitive.update(smaller, desired, actual, topics.ctx)
    (gone,) = topics.primitive.compare(smaller, None, actual)
    assert (gone.effect, gone.why) == (Effect.DESTRUCTIVE, f"deletes the topic shrinking with {_held(actual)}")


def _held(actual: State) -> str:
    return f"4 messages ({actual.info['bytes']} bytes)"


def test_what_the_broker_would_refuse_is_refused_before_anything_is_done(
    topics: Topics, kafka_requests: CountingProxy
) -> None:
    resource = topics.resource(
        "refused", replication=3, config={"retention.mss": "5", "max.message.bytes": "many", "compresion.type": "zstd"}
    )
    topics.actual(topics.resource("warm"))
    kafka_requests.counted()
    found = {each.field: each for each in topics.changes(resource) if each.effect is Effect.REFUSED}
    assert str(found["config.retention.mss"].why).endswith('did you mean "retention.ms"?')
    assert str(found["config.compresion.type"].why).endswith('did you mean "compression.type"?')
    assert set(changing(kafka_requests.counted())) == {"CreateTopics"}, "validated only"
    with pytest.raises(InvalidSpecError):
        topics.primitive.create(resource, topics.primitive.get_desired_state(resource, topics.ctx), topics.ctx)
    assert topics.actual(resource) is None
    for wrong, where, said in (
        ({"config": {"max.message.bytes": "many"}}, "config.max.message.bytes", "Not a number of type INT"),
        ({"replication": 3}, "replication", "only 1 broker"),
    ):
        (change,) = [each for each in topics.changes(topics.resource("refused", **wrong)) if each.why]
        assert (change.field, change.effect) == (where, Effect.REFUSED)
        assert said in str(change.why)


def test_a_bad_change_of_a_topic_that_exists_leaves_it_as_it_was(topics: Topics) -> None:
    before = topics.resource("steady", partitions=1, retention_ms=1000)
    topics.apply(before)
    (change, *_) = [
        each for each in topics.changes(topics.resource("steady", partitions=2, config={"segment.bytes": "-5"}))
        if each.effect is Effect.REFUSED
    ]  # fmt: skip
    assert change.field == "config.segment.bytes"
    assert topics.changes(before) == ()


def test_names_that_the_metrics_cannot_tell_apart_are_refused(topics: Topics) -> None:
    topics.apply(topics.resource("shop.views"))
    (change,) = [each for each in topics.changes(topics.resource("shop_views")) if each.why]
    assert change.effect is Effect.REFUSED
    assert "collides" in str(change.why)


def test_a_topic_made_by_hand_is_nobodys_and_one_made_again_too(topics: Topics) -> None:
    resource = topics.resource("by-hand")
    with topics.admin() as admin:
        admin.create_topics({"by-hand": {"num_partitions": 1, "replication_factor": 1}})
        admin.wait_for_topics(["by-hand"])
        actual = topics.actual(resource)
        assert actual is not None
        assert actual.owner is None
        topics.apply(resource)  # adopts it
        admin.delete_topics(["by-hand"])
        admin.create_topics({"by-hand": {"num_partitions": 1, "replication_factor": 1}})
        admin.wait_for_topics(["by-hand"])
    again = topics.actual(resource)
    assert again is not None
    assert again.owner is None, "the mark is of the one that is gone"


def test_a_crash_right_after_creating_leaves_a_topic_of_ours(topics: Topics) -> None:
    resource = topics.resource("crashed", partitions=2)
    desired = topics.primitive.get_desired_state(resource, topics.ctx)
    from dcp_primitives.kafka.marks import digest_of_values

    broker = Broker.of(topics.ctx)
    assert desired.owner is not None
    broker.marks.write("crashed", Mark(desired.owner, None, digest_of_values(desired.values)))
    with topics.admin() as admin:
        admin.create_topics({"crashed": {"num_partitions": 2, "replication_factor": 1}})
        admin.wait_for_topics(["crashed"])
    assert [each.field for each in topics.changes(resource)] == ["ownership"]
    topics.apply(resource)
    topics.alter("crashed", retention_ms="5000")
    actual = topics.actual(resource)
    assert actual is not None
    assert actual.owner == desired.owner, "its mark is of the topic now, whatever it becomes"


def test_acls_are_given_enforced_and_taken(topics: Topics) -> None:
    topics.apply(topics.resource("guarded", acls=()))
    with pytest.raises(KafkaError):
        topics.produce("guarded", 1, user="web")
    topics.apply(topics.resource("guarded", acls=(TopicAcl("User:web", ("write", "describe")),)))
    topics.produce("guarded", 1, user="web")
    with pytest.raises(KafkaError):
        topics.produce("guarded", 1, user="stranger")
    (change,) = topics.apply(topics.resource("guarded", acls=()))
    assert (change.actual, change.desired) == (["User:web may describe", "User:web may write"], [])
    with pytest.raises(KafkaError):
        topics.produce("guarded", 1, user="web")


def test_deleting_a_topic_takes_its_acls_along(topics: Topics) -> None:
    from dcp_primitives.kafka import acls

    resource = topics.resource("leaving", acls=(TopicAcl("User:web", ("write",)),))
    topics.apply(resource)
    topics.primitive.delete(resource, topics.ctx)
    with topics.admin() as admin:
        found, _ = admin.describe_acls(acls.all_of_topics())
    assert [each for each in found if each.resource_pattern.resource_name == "leaving"] == []


def test_another_cluster_than_the_pinned_one_is_refused(topics_for: Callable[..., Topics], kafka: Kafka) -> None:
    wrong = topics_for(settings=kafka.settings(cluster_id="AAAAAAAAAAAAAAAAAAAAAA"))
    with pytest.raises(ConflictError, match=f"is cluster {kafka.cluster_id}, and .* AAAAAAAAAAAAAAAAAAAAAA") as refused:
        wrong.actual(wrong.resource("x"))
    assert refused.value.code == "kafka.wrong_cluster"
    unpinned = topics_for(settings=kafka.settings(cluster_id=""))
    resource = unpinned.resource("elsewhere")
    desired = unpinned.primitive.get_desired_state(resource, unpinned.ctx)
    elsewhere = State(desired.values, desired.owner, info={**desired.info, "cluster_id": "another"})
    with pytest.raises(ConflictError, match="the plan was made for another"):
        unpinned.primitive.create(resource, elsewhere, unpinned.ctx)
    assert unpinned.actual(resource) is None


def test_without_an_authorizer_acls_are_refused_and_another_cluster_takes_no_plan_of_this_one(
    project: Project, kafka: Kafka, topics_for: Callable[..., Topics], tmp_path: Path
) -> None:
    project.write("manifests/ingestion/moved.yaml", EVENTS % ("moved", 1, "moved"))
    assert project.pretzel("plan", "manifests", "-e", PLAYGROUND, "--out", "plan.json").status == 0
    folder = tmp_path / "other"
    folder.mkdir()
    with started(kafka.jars, folder, has_authorizer=False) as other:
        open_to_all = topics_for(settings=other.settings())
        (change,) = [
            each
            for each in open_to_all.changes(open_to_all.resource("x", acls=(TopicAcl("User:web", ("write",)),)))
            if each.effect is Effect.REFUSED
        ]
        assert (change.field, "no authorizer" in str(change.why)) == ("acls", True)
        open_to_all.apply(open_to_all.resource("x", acls=()))
        project.write("dcp.toml", f'[kafka]\nbootstrap_servers = ["{other.server}"]\n')
        applied = project.pretzel("apply", "--plan", "plan.json")
        assert applied.status == 1
        assert f"the plan was made for {kafka.cluster_id}" in applied.out + applied.err
        assert not other.topics() & {f"{PLAYGROUND}__moved"}


def test_a_wrong_password_is_told_without_the_password(
    topics_for: Callable[..., Topics], kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    right = topics_for(settings=kafka.signing_in("dcp"))
    assert right.actual(right.resource("seen")) is None
    settings = kafka.signing_in("dcp")
    settings["kafka"] |= {"sasl_password": "hunter2-is-wrong", "timeout_s": 3}
    wrong = topics_for(settings=settings)
    with pytest.raises((PermanentError, TransientError)) as refused:
        wrong.actual(wrong.resource("x"))
    assert isinstance(refused.value, PermanentError), refused.value
    said = f"{refused.value!r} {refused.value} {caplog.text}"
    for secret in ("hunter2-is-wrong", PASSWORDS["dcp"]):
        assert secret not in said


def test_who_may_not_look_is_told_what_is_missing(topics_for: Callable[..., Topics], kafka: Kafka) -> None:
    stranger = topics_for(settings=kafka.signing_in("stranger"))
    with pytest.raises(PermanentError) as refused:
        stranger.actual(stranger.resource("x"))
    assert refused.value.code == "kafka.not_authorized"
    assert "docs/kafka.md" in str(refused.value.hint)


def test_three_hundred_topics_are_planned_with_a_handful_of_requests(
    topics: Topics, kafka_requests: CountingProxy
) -> None:
    wanted = [topics.resource(f"many-{number}", partitions=2, retention_ms=1000) for number in range(300)]
    kafka_requests.counted()
    assert set(topics.primitive.get_actual_states(wanted, topics.ctx).values()) == {None}
    for each in wanted:
        topics.primitive.get_desired_state(each, topics.ctx)
    absent = kafka_requests.counted()
    assert absent.total() <= 15, absent
    for each in wanted:
        topics.primitive.create(each, topics.primitive.get_desired_state(each, topics.ctx), topics.ctx)
    kafka_requests.counted()
    found = topics.primitive.get_actual_states(wanted, topics.ctx)
    for each in wanted:
        desired = topics.primitive.get_desired_state(each, topics.ctx)
        assert topics.primitive.compare(each, desired, found[each.key]) == ()
        assert found[each.key] == desired
    present = kafka_requests.counted()
    assert present.total() <= 20, present
    assert changing(present) == {"CreateTopics": 1}, "the check, which makes nothing"


def test_replication_is_moved_by_the_brokers(kafka: Kafka, topics: Topics) -> None:
    one = topics.resource("moving", partitions=3, replication=1)
    topics.apply(one)
    kafka.add(2)
    kafka.start(2)
    try:
        two = topics.resource("moving", partitions=3, replication=2)
        (change,) = topics.apply(two)
        assert (change.field, change.actual, change.desired) == ("replication", 1, 2)
        with topics.admin() as admin:

            def are_moved() -> bool:
                """The controller knows before the brokers tell it."""
                (told,) = admin.describe_topics(["moving"])
                in_sync = [sorted(each["isr_nodes"]) for each in told["partitions"]]
                return in_sync == [[1, 2]] * 3 and not admin.list_partition_reassignments()

            servers.wait_until(are_moved, "the replicas on both brokers", kafka.folder / "node-1.log")
        topics.apply(one)
    finally:
        kafka.stop(2)


def undone(answer: Answer) -> set[str]:
    """What an apply did not do. The streaming job is the driver's to refuse for as long as it has none."""
    operations = answer.document.get("operations", [answer.document])
    results = [each for operation in operations for each in operation["results"]]
    assert results
    return {
        f"{each['label']} {each['error']}"
        for each in results
        if each["status"] not in ("SUCCEEDED", "NOOP") and not each["label"].endswith("_JOB")
    }


def topics_of(answer: Answer) -> list[dict[str, Any]]:
    """The actions of a plan on topics."""
    manifests = answer.document["manifests"]
    return [each for one in manifests for each in one["actions"] if each["primitive"] == "kafka_topic"]


def test_drift_is_seen_and_healed_through_plan_and_apply(project: Project, topics_for: Callable[..., Topics]) -> None:
    project.write("manifests/ingestion/drifting.yaml", EVENTS % ("drifting", 2, "drifting"))
    name = f"{PLAYGROUND}__drifting"
    words = ("manifests", "-e", PLAYGROUND, "-o", "json")
    assert undone(project.pretzel("apply", *words)) == set()
    assert [each["label"] for each in topics_of(project.pretzel("plan", *words))] == ["NOOP_TOPIC"]
    topics = topics_for(PLAYGROUND)
    topics.alter(name, retention_ms="123456789", max_message_bytes="1234")
    (action,) = topics_of(project.pretzel("plan", *words))
    assert action["label"] == "UPDATE_TOPIC"
    assert {each["field"]: each["actual"] for each in action["changes"]} == {
        "config.retention.ms": "123456789",
        "config.max.message.bytes": "1234",
    }
    assert undone(project.pretzel("apply", *words)) == set()
    assert [each["label"] for each in topics_of(project.pretzel("plan", *words))] == ["NOOP_TOPIC"]
    topics.produce(name, 3)
    project.write("manifests/ingestion/drifting.yaml", (EVENTS % ("drifting", 2, "drifting")).replace("7d", "1h"))
    (action,) = topics_of(project.pretzel("plan", *words))
    assert (action["label"], action["destructive"]) == ("BLOCKED_TOPIC", True)
    assert "retention goes from 7 days to 60 minutes: 0 of 3 messages" in action["reason"] + str(action)
    destroyed = project.pretzel("destroy", "manifests", "-e", PLAYGROUND, "--yes")
    assert destroyed.status == 0, destroyed.out + destroyed.err
    assert name not in topics.kafka.topics()


def test_a_broker_that_goes_in_the_middle_of_an_apply_and_comes_back(project: Project, kafka: Kafka) -> None:
    count = 12
    for number in range(count):
        text = EVENTS % (f"outage-{number}", 1, f"outage_{number}")
        project.write(f"manifests/ingestion/outage_{number}.yaml", text)

    def stopped_and_started() -> None:
        while sum("outage-" in name for name in kafka.topics()) < 3:
            time.sleep(0.05)
        kafka.kill(1)
        time.sleep(3)
        kafka.start(1)

    outage = threading.Thread(target=stopped_and_started)
    outage.start()
    words = ("manifests", "-e", PLAYGROUND, "-o", "json")
    applied = project.pretzel("apply", *words, timeout_s=280)
    outage.join()
    assert all("Kafka" in each or "was not done" in each for each in undone(applied)), undone(applied)
    assert undone(project.pretzel("apply", *words, timeout_s=280)) == set()
    assert {each["label"] for each in topics_of(project.pretzel("plan", *words))} == {"NOOP_TOPIC"}
    assert sum("outage-" in name for name in kafka.topics()) == count
