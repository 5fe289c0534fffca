"""The primitive ``kafka_topic`` under the public contract; ``test_kafka_topic`` runs it on a real broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dcp_core.model import Resource
from dcp_core.testing import PrimitiveContract
from dcp_primitives.kafka import acls
from dcp_primitives.kafka_topic import KafkaTopicPrimitive
from tests.services.kafka_broker import Kafka

OWNERS = "_contract_owners"


class KafkaTopicContract(PrimitiveContract):
    """A broker outlives a test, so each leaves nothing behind."""

    primitive = KafkaTopicPrimitive
    name = "playground_contract__sample"
    absent_name = "playground_contract__absent"
    spec: ClassVar[Mapping[str, Any]] = {
        "partitions": 2,
        "retention_ms": 3_600_000,
        "config": {"cleanup.policy": "delete, compact", "min.cleanable.dirty.ratio": "0.60"},
        "acls": [{"principal": "User:web", "operations": ["write", "describe"]}],
    }
    changed_spec: ClassVar[Mapping[str, Any]] = {
        "partitions": 3,
        "retention_ms": 7_200_000,
        "config": {"cleanup.policy": "delete", "max.message.bytes": "2000000"},
        "acls": [{"principal": "User:web", "operations": ["read"], "host": "10.0.0.1"}],
    }
    kafka: Kafka

    @pytest.fixture(autouse=True)
    def on_a_broker(self, kafka: Kafka) -> Iterator[None]:
        from kafka import KafkaAdminClient

        self.kafka = kafka
        yield
        admin = KafkaAdminClient(**kafka.client())
        admin.delete_topics([self.name, OWNERS], raise_errors=False)
        admin.delete_acls([acls.all_of_topics()])
        admin.close()

    def settings(self, tmp_path: Path) -> Mapping[str, Any]:
        return self.kafka.settings(ownership_topic=OWNERS)

    def resource(self, spec: Mapping[str, Any], name: str, manifest_id: str = "contract/sample") -> Resource:
        whole = {**spec, "topic": name} if "partitions" in spec else spec
        return super().resource(whole, name, manifest_id)
