"""Drift of topics on a real Kafka: the controller tells it, heals it or leaves it alone, and waits for the broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from dcp_core.control_plane import ControlPlane
from dcp_core.drift import DriftMode, DriftPolicy
from dcp_core.interfaces import Plugin
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Metadata, Resource, Source
from dcp_core.records import OperationStatus
from dcp_core.registry import PLUGINS
from dcp_graph_runner.controller.conditions import Condition, Conditions
from dcp_graph_runner.controller.controller import Controller, Once
from dcp_primitives.kafka_topic import KIND, KafkaTopic
from tests.dcp_graph_runner.controller import platforms
from tests.dcp_graph_runner.controller.platforms import EAGER
from tests.end_to_end.projects import PLAYGROUND, Project
from tests.services.kafka_broker import Kafka

DAY_MS = 86_400_000


class Topics(Plugin):
    """A manifest type whose manifests are a topic and nothing else."""

    manifest_type = "topics"

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        raise AssertionError("these manifests have no files")

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        spec = dict(logical_plan.plugin_spec)
        topic = Environment.named(logical_plan.environment).scoped(spec.pop("topic"))
        return (KafkaTopic(topic=topic, **spec).resource(logical_plan),)


@define
class Shop:
    """A project whose topics are on the broker, and what other people do to these."""

    project: Project
    kafka: Kafka

    @contextmanager
    def opened(self) -> Iterator[ControlPlane]:
        with self.project.control_plane() as dcp:
            dcp.registry.register(PLUGINS, Topics.manifest_type, Topics)
            yield dcp

    def apply(self, name: str, drift: DriftPolicy | None = None, **spec: Any) -> str:
        """Apply a manifest of one topic; gives the topic's name at the broker."""
        wanted = {"topic": name, "retention_ms": 7 * DAY_MS, **spec}
        plan = LogicalPlan(
            Topics.manifest_type, f"topics/{name}", PLAYGROUND, wanted, Metadata("web", drift=drift),
            Source(f"{name}.yaml", "sha256:0"),
        )  # fmt: skip
        with self.opened() as dcp:
            (done,) = dcp.apply(dcp.plan([plan]))
        assert done.status is OperationStatus.SUCCEEDED, done
        return Environment.named(PLAYGROUND).scoped(name)

    def once(self) -> Once:
        with self.opened() as dcp:
            return Controller(dcp, EAGER).once()

    def conditions(self, manifest_id: str) -> dict[str, Condition]:
        """By kind."""
        with self.opened() as dcp:
            found = Conditions.of(dcp.store).all(PLAYGROUND, [manifest_id])
        return {each.key.kind: each for each in found.get(manifest_id, ())}

    def condition(self, name: str) -> Condition:
        return self.conditions(f"topics/{name}")[KIND]

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        made = KafkaAdminClient(**self.kafka.client())
        try:
            yield made
        finally:
            made.close()

    def alter(self, topic: str, **config: str) -> None:
        """By hand, past DCP."""
        with self.admin() as admin:
            wanted = {name.replace("_", "."): value for name, value in config.items()}
            admin.alter_configs([ConfigResource("TOPIC", topic, wanted)])

    def retention_ms(self, topic: str) -> int:
        """As the broker has it."""
        with self.admin() as admin:
            told = admin.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all")
        return int(told["topic"][topic]["retention.ms"]["value"])

    def audited(self) -> list[tuple[str, str, str]]:
        with self.opened() as dcp:
            return [(each.user, each.kind, str(each.outcome)) for each in reversed(dcp.store.audit_records(limit=100))]


@pytest.fixture
def shop(kafka: Kafka, tmp_path: Path) -> Shop:
    made = Project(tmp_path)
    made.write(
        "dcp.toml",
        f'[kafka]\nbootstrap_servers = ["{kafka.server}"]\ncluster_id = "{kafka.cluster_id}"\ntimeout_s = 10.0\n',
    )
    return Shop(made, kafka)


HEAL = DriftPolicy(DriftMode.HEAL)


def test_retention_that_a_hand_has_shortened_is_seen_and_healed_where_the_manifest_says_so(shop: Shop) -> None:
    healed, told = shop.apply("healed", HEAL), shop.apply("told")
    assert shop.once().passes[0].counts == {"InSync": 2}
    for topic in (healed, told):
        shop.alter(topic, retention_ms=str(DAY_MS))
    done = shop.once()
    assert [each.key for each in done.healed] == [(PLAYGROUND, "topics/healed")]
    assert (shop.retention_ms(healed), shop.retention_ms(told)) == (7 * DAY_MS, DAY_MS)
    assert shop.condition("healed").status == "InSync"
    seen = shop.condition("told")
    assert (seen.status, seen.reason) == ("Drifted", "changed")
    assert [(each.field, each.actual, each.desired) for each in seen.changes] == [
        ("config.retention.ms", str(DAY_MS), str(7 * DAY_MS))
    ]
    assert shop.audited()[-1] == ("controller", "apply", "SUCCEEDED")
    assert shop.once().healed == ()


def test_what_healing_would_lose_is_told_and_left_alone(shop: Shop) -> None:
    longer, gone = shop.apply("longer", HEAL), shop.apply("gone", HEAL)
    shop.once()
    shop.alter(longer, retention_ms=str(30 * DAY_MS))
    with shop.admin() as admin:
        admin.delete_topics([gone])
    assert shop.once().healed == ()
    kept, vanished = shop.condition("longer"), shop.condition("gone")
    assert (kept.status, kept.reason) == ("Drifted", "destructive")
    assert shop.retention_ms(longer) == 30 * DAY_MS
    assert (vanished.status, vanished.reason) == ("Drifted", "vanished")
    assert "would be empty" in vanished.message
    assert gone not in shop.kafka.topics()


def test_a_broker_that_is_away_marks_topics_alone_and_what_drifted_is_healed_when_it_is_back(shop: Shop) -> None:
    platforms.apply(shop.project, "orders")
    topic = shop.apply("views", HEAL)
    shop.once()
    shop.alter(topic, retention_ms=str(DAY_MS))
    shop.kafka.kill()
    try:
        done = shop.once()
    finally:
        shop.kafka.start()
    assert set(done.passes[0].down) == {KIND}
    assert done.healed == ()
    away = shop.condition("views")
    assert (away.status, away.reason) == ("Unknown", "service_down")
    others = shop.conditions("derived_dataset/orders")
    assert {kind: each.status for kind, each in others.items()} == dict.fromkeys(others, "InSync")
    assert len(others) == 3
    assert [each.key for each in shop.once().healed] == [(PLAYGROUND, "topics/views")]
    assert shop.retention_ms(topic) == 7 * DAY_MS
    assert shop.condition("views").status == "InSync"
