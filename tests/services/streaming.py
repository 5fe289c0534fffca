"""A project with one event ingestion on a real broker, and a plain Kafka client that makes its events."""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ACL, ACLOperation, ACLPermissionType, NewPartitions, NewTopic, ResourcePattern, ResourceType

from tests.end_to_end.projects import PLAYGROUND, Answer, Project
from tests.services.kafka_broker import Kafka

_LONGEST = 20_000_000
FILE = "manifests/ingestion/{name}.yaml"
MANIFEST = """\
manifest_type: gr_ingestion
metadata: {{technical_owner: web-data, tier: 3}}
topic:
  name: shop.{topic}
  partitions: {partitions}
  config: {config}
dataset:
  name: {name}
  fields:
    - {{name: view_id, type: string, nullable: false}}
    - {{name: viewed_at, type: timestamp}}
    - {{name: amount, type: 'decimal(10, 2)'}}
    - {{name: campaign, type: 'map<string, string>'}}
    - {{name: items, type: 'array<struct<sku: string, qty: int>>'}}
  partition_by: ["day(viewed_at)"]
workflow:
  checkpoint_interval: {interval}
  maintenance: {maintenance}
"""


def event(number: int, **more: Any) -> bytes:
    """A good one."""
    members = {"view_id": f"v{number}", "viewed_at": "2026-11-23T10:00:00.5Z", "amount": "12.30", **more}
    return json.dumps(members).encode()


@define
class Stream:
    """One ingestion in alice's playground.

    Args:
        name: Of its table; its topic's name is made of it.
    """

    project: Project
    kafka: Kafka
    name: str
    partitions: int = 1
    config: dict[str, str] = field(factory=dict)
    maintenance: str = "null"
    environment: str = PLAYGROUND
    interval: str = "1s"
    kafka_section: dict[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.configure({**self.kafka.settings()["kafka"], **self.kafka_section})
        self.write()

    def elsewhere(self, environ: Mapping[str, str]) -> Stream:
        """The same, whose commands have these variables."""
        other = copy.copy(self)
        other.project = Project(self.project.root, environ)
        return other

    def configure(self, section: Mapping[str, Any], more: str = "") -> None:
        """Write the project's section about the broker, and what else its settings say."""
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in section.items())
        self.project.write("dcp.toml", f"[kafka]\n{lines}{more}")

    @property
    def file(self) -> str:
        return FILE.format(name=self.name)

    @property
    def topic(self) -> str:
        """In the playground."""
        return f"{PLAYGROUND}__shop.{self.name.replace('_', '-')}"

    @property
    def job(self) -> str:
        return f"{PLAYGROUND}__{self.name}_stream_job"

    def write(self) -> None:
        text = MANIFEST.format(
            name=self.name,
            topic=self.name.replace("_", "-"),
            partitions=self.partitions,
            config=json.dumps(self.config),
            maintenance=self.maintenance,
            interval=self.interval,
        )
        self.project.write(self.file, text)

    def pretzel(self, verb: str, *more: str) -> Answer:
        return self.project.pretzel(verb, self.file, *more, "-o", "json", timeout_s=180)

    def apply(self) -> None:
        answer = self.pretzel("apply")
        assert answer.status == 0, answer.out + answer.err

    def run(self, **params: str) -> dict[str, Any]:
        """One run that succeeds."""
        given = [word for name, value in params.items() for word in ("--param", f"{name}={value}")]
        answer = self.pretzel("run", *given)
        assert answer.status == 0, answer.out + answer.err
        document: dict[str, Any] = answer.document
        return document

    def start_running(self, **params: str) -> subprocess.Popen[bytes]:
        """One run in a process group of its own, which goes on."""
        given = [word for name, value in params.items() for word in ("--param", f"{name}={value}")]
        return self.start("run", self.file, *given)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A command in a process group of its own."""
        return subprocess.Popen(
            self.project.command(*command),
            cwd=self.project.root,
            env=self.project.process_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def log(self) -> str:
        """Of all its runs so far."""
        files = sorted((self.project.root / ".dcp" / "coreetl" / "executions").rglob("log.txt"))
        return "".join(file.read_text() for file in files)

    def wait_for(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 240
        while not true():
            assert time.monotonic() < deadline, what
            time.sleep(0.2)

    def commits(self) -> int:
        """To the events' table."""
        return len(self.project.catalog().load_table(f"events.{self.name}").metadata.snapshots)

    def failure(self) -> str:
        """Why a run fails."""
        answer = self.pretzel("run")
        assert answer.status == 1, answer.out
        return str(answer.document["error"])

    def produce(self, *values: bytes | None, partition: int | None = None, **message: Any) -> None:
        producer = KafkaProducer(**self.kafka.client(), acks="all", max_request_size=_LONGEST)
        try:
            for value in values:
                producer.send(self.topic, value=value, partition=partition, **message)
            producer.flush(30)
        finally:
            producer.close()

    def events(self, numbers: Iterable[int], partition: int | None = None) -> None:
        self.produce(*map(event, numbers), partition=partition)

    def in_transaction(self, values: Sequence[bytes], *, commit: bool) -> None:
        producer = KafkaProducer(**self.kafka.client(), acks="all", transactional_id=f"{self.name}-producer")
        try:
            producer.init_transactions()
            producer.begin_transaction()
            for value in values:
                producer.send(self.topic, value=value)
            producer.flush(30)
            (producer.commit_transaction if commit else producer.abort_transaction)()
        finally:
            producer.close()

    def delete_records(self, before: int, partition: int = 0) -> None:
        """As retention does."""
        with KafkaAdminClient(**self.kafka.client()) as admin:
            admin.delete_records({TopicPartition(self.topic, partition): before})

    def make_topic_again(self) -> None:
        """By hand."""
        with KafkaAdminClient(**self.kafka.client()) as admin:
            admin.delete_topics([self.topic])
            self.wait_for(lambda: self.topic not in self.kafka.topics(), "the end of the topic")
            admin.create_topics([NewTopic(self.topic, num_partitions=self.partitions, replication_factor=1)])
            self.wait_for(lambda: self.topic in self.kafka.topics(), "the topic")

    def sign_in(self, user: str, **more: str) -> None:
        """From now on the project is this user of the broker."""
        section = {**self.kafka.signing_in(user)["kafka"], **{f"sasl_{name}": value for name, value in more.items()}}
        self.configure(section)

    def allow(self, user: str, *operations: str) -> None:
        pattern = ResourcePattern(ResourceType.TOPIC, self.topic)
        with KafkaAdminClient(**self.kafka.client()) as admin:
            admin.create_acls(
                [ACL(f"User:{user}", "*", ACLOperation[each], ACLPermissionType.ALLOW, pattern) for each in operations]
            )

    def grow(self, partitions: int) -> None:
        with KafkaAdminClient(**self.kafka.client()) as admin:
            admin.create_partitions({self.topic: NewPartitions(partitions)})

    def rows(self) -> list[dict[str, Any]]:
        return sorted(self.project.rows(f"events.{self.name}"), key=lambda row: str(row["view_id"]))

    def ids(self) -> list[int]:
        """Sorted; one that is there twice comes twice."""
        return sorted(int(row["view_id"][1:]) for row in self.rows())

    def letters(self) -> list[dict[str, Any]]:
        found = self.project.rows(f"events.{self.name}_dead_letter")
        return sorted(found, key=lambda row: (row["partition"], row["offset"]))
