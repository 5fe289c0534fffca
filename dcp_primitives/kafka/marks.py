"""Whose a topic is: Kafka has no place for that on a topic, so it is in a compacted topic of its own.

One message for each topic, its name the key, last one wins: the manifest, the environment, and Kafka's id of the topic.
A topic that somebody deletes and makes again has another id, so it is nobody's until it is adopted. Before a topic is
created its mark is written without an id, with a digest of what it will be: so a crash in between leaves no orphan, and
a topic that somebody else makes meanwhile is not taken for ours unless it is just the same.

Whoever may write to this topic can say whose topics are: only DCP's principal should.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from coreetl_driver.kafka_clients import connected
from dcp_core.digests import JsonValue, digest_of
from dcp_core.errors import TransientError
from dcp_core.model import Owner
from dcp_primitives.kafka.cluster import Cluster
from dcp_primitives.kafka.reaching import reaching, refused

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer

_PARTITION = 0
_POLL_MS = 500
_ALREADY_EXISTS = 36
_CONFIG = {"cleanup.policy": "compact"}


@frozen
class Mark:
    """What is known of one topic.

    Args:
        owner: Who wants it.
        topic_id: Kafka's id of it; None when it was about to be created.
        made_of: ``digest_of_values`` of what was about to be created.
    """

    owner: Owner
    topic_id: str | None
    made_of: str = ""

    def is_of(self, topic_id: str, made_of: str) -> bool:
        """Whether it marks the topic that is there now."""
        return self.topic_id == topic_id or (self.topic_id is None and self.made_of == made_of)


def digest_of_values(values: JsonValue) -> str:
    """Of what one request creates: ACLs and schemas come after it."""
    return digest_of({name: values[name] for name in ("partitions", "replication", "config")})


@define
class Marks:
    """All marks, kept in memory and read on from where they were read last; thread-safe."""

    _cluster: Cluster
    _found: dict[str, Mark] = field(factory=dict)
    _consumer: KafkaConsumer | None = None
    _producer: KafkaProducer | None = None
    _topic_id: str | None = None
    _lock: threading.RLock = field(factory=threading.RLock)

    @property
    def topic(self) -> str:
        """Where they are."""
        return self._cluster.settings.ownership_topic

    def read(self, topic_id: str | None) -> dict[str, Mark]:
        """All of them, as of now.

        Args:
            topic_id: Kafka's id of the topic where they are; None when there is no such topic.

        Raises:
            TransientError: The broker that has them cannot be reached.
        """
        with self._lock:
            if topic_id != self._topic_id:
                self._forget()
                self._topic_id = topic_id
            if topic_id is not None:
                try:
                    with reaching(self._cluster.settings.servers):
                        self._read_on()
                except BaseException:
                    self._forget()
                    raise
            return dict(self._found)

    def write(self, name: str, mark: Mark | None) -> None:
        """Put one, or take it away; it is kept on as many brokers as Kafka asks for when this returns.

        Raises:
            TransientError: It may or may not have been kept.
            PermanentError: We may not write there.
        """
        from kafka.errors import KafkaError

        value = None if mark is None else _encode(mark)
        with self._lock, reaching(self._cluster.settings.servers):
            try:
                sent = self._producing().send(self.topic, value, name.encode(), partition=_PARTITION)
                sent.get(self._cluster.settings.timeout_s)
            except KafkaError:
                self._forget()
                raise

    def close(self) -> None:
        """End both connections."""
        with self._lock:
            self._forget()

    def _read_on(self) -> None:
        from kafka import KafkaConsumer, TopicPartition

        where = TopicPartition(self.topic, _PARTITION)
        if self._consumer is None:
            self._consumer = connected(
                KafkaConsumer,
                self._cluster.settings,
                group_id=None,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                fetch_max_wait_ms=_POLL_MS,
            )
            self._consumer.assign([where])
            self._consumer.seek_to_beginning(where)
        deadline = time.monotonic() + self._cluster.settings.timeout_s
        end = self._consumer.end_offsets([where])[where]
        while self._consumer.position(where) < end:
            for messages in self._consumer.poll(_POLL_MS).values():
                for message in messages:
                    self._take(message)
            if time.monotonic() > deadline:
                raise TransientError(f"topic {self.topic} cannot be read to its end", where=self.topic)

    def _take(self, message: Any) -> None:
        name = (message.key or b"").decode("utf-8", "replace")
        mark = _decode(message.value)
        if mark is None:
            self._found.pop(name, None)
        else:
            self._found[name] = mark

    def _producing(self) -> KafkaProducer:
        from kafka import KafkaProducer

        if self._producer is None:
            self._ensure_topic()
            self._producer = connected(
                KafkaProducer,
                self._cluster.settings,
                acks="all",
                allow_auto_create_topics=False,
                max_block_ms=self._cluster.settings.timeout_ms,
                delivery_timeout_ms=2 * self._cluster.settings.timeout_ms,
            )
        return self._producer

    def _ensure_topic(self) -> None:
        if self._cluster.topics([self.topic]):
            return
        wanted = {
            "num_partitions": 1,
            "replication_factor": self._cluster.settings.ownership_replication,
            "configs": _CONFIG,
        }
        with self._cluster.admin() as admin:
            (told,) = admin.create_topics({self.topic: wanted}, raise_errors=False)["topics"]
        if told["error_code"] not in (0, _ALREADY_EXISTS):
            raise refused(told["error_code"], told["error_message"], self._cluster.settings.servers)
        self._cluster.wait_until(lambda: bool(self._cluster.topics([self.topic])), f"there is no {self.topic} yet")

    def _forget(self) -> None:
        """Start anew next time: what a connection was told before an outage may not be what is there after it."""
        consumer, producer = self._consumer, self._producer
        self._consumer = self._producer = self._topic_id = None
        self._found.clear()
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=0)
        if producer is not None:
            producer.close(timeout=0)


def _encode(mark: Mark) -> bytes:
    document = {"manifest": mark.owner.manifest_id, "environment": mark.owner.environment, "topic_id": mark.topic_id}
    if mark.topic_id is None:
        document["made_of"] = mark.made_of
    return json.dumps(document, sort_keys=True).encode()


def _decode(value: bytes | None) -> Mark | None:
    """A message that is no mark marks nothing: the topic is then nobody's, which is safe."""
    if value is None:
        return None
    try:
        document = json.loads(value)
        owner = Owner(str(document["manifest"]), str(document["environment"]))
        topic_id = document["topic_id"]
        return Mark(owner, None if topic_id is None else str(topic_id), str(document.get("made_of", "")))
    except (ValueError, KeyError, TypeError):
        return None
