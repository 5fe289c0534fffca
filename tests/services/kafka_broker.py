"""A real Apache Kafka in KRaft mode, on loopback: one node that is broker and controller, more brokers when asked for.

It has an authorizer. Whoever comes in by the plain door is a superuser, and so is who comes by the one with TLS without
a certificate of their own; the third door wants a password and lets each do what ACLs allow. Topics come into being by
themselves, as is Kafka's default, when somebody asks for them carelessly.

Source: https://kafka.apache.org/documentation/#kraft
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define, field

from tests.coreetl_driver.certifying import Authority
from tests.services import servers

PASSWORDS = {"dcp": "dcp-password", "web": "web-password", "stranger": "stranger-password"}
_JAVA = ["java", "-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
_USERS = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
SCRAM = "SCRAM-SHA-512"
_SCRAM_USERS = [
    part
    for name, password in PASSWORDS.items()
    for part in ("--add-scram", f"{SCRAM}=[name={name},password={password}]")
]
_SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_LOGIN = f"org.apache.kafka.common.security.plain.PlainLoginModule required {_USERS};"


def _new_id() -> str:
    """As Kafka makes them; one that starts with a hyphen its own programs take for an option."""
    return "d" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


@define
class Node:
    """One process of the cluster.

    Args:
        id: Its number; 1 is the controller too.
        plain: Port of the plain door.
        sasl: Port of the one that wants a password.
        tls: Port of the one that is encrypted.
        advertised: Port of the plain door that clients are told of: a proxy's, or its own.
    """

    id: int
    plain: int
    sasl: int
    tls: int
    advertised: int
    process: subprocess.Popen[bytes] | None = None


@define
class Kafka:
    """A cluster for as long as a test needs it.

    Args:
        jars: Of the broker.
        folder: Empty; all that it writes goes there.
        has_authorizer: Without one everybody may do everything.
        authority: Who signs the certificates of the brokers and of their clients.
    """

    jars: Path
    folder: Path
    has_authorizer: bool = True
    cluster_id: str = field(factory=_new_id)
    controller: int = field(factory=lambda: servers.free_ports(1)[0])
    nodes: dict[int, Node] = field(factory=dict)
    authority: Authority = Factory(lambda self: Authority(self.folder), takes_self=True)

    @property
    def server(self) -> str:
        """The plain door of the first node."""
        return f"127.0.0.1:{self.nodes[1].advertised}"

    @property
    def sasl_server(self) -> str:
        """The door that wants a password."""
        return f"127.0.0.1:{self.nodes[1].sasl}"

    @property
    def tls_server(self) -> str:
        """The door that is encrypted."""
        return f"127.0.0.1:{self.nodes[1].tls}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Section ``[kafka]`` of whoever works on it as a superuser."""
        return {"kafka": {"bootstrap_servers": [self.server], "cluster_id": self.cluster_id, **more}}

    def signing_in(self, user: str) -> dict[str, Any]:
        """The same for a user of the other door."""
        return self.settings(
            bootstrap_servers=[self.sasl_server],
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username=user,
            sasl_password=PASSWORDS[user],
        )

    def client(self, user: str | None = None) -> dict[str, Any]:
        """What kafka-python's own clients take: a superuser's, or a user's."""
        if user is None:
            return {"bootstrap_servers": self.server}
        return {
            "bootstrap_servers": self.sasl_server,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": user,
            "sasl_plain_password": PASSWORDS[user],
        }

    def add(self, id: int, advertised: int | None = None, plain: int | None = None) -> Node:
        """A node more; not started yet."""
        free, sasl, tls = servers.free_ports(3)
        own = plain or free
        self.nodes[id] = Node(id, own, sasl, tls, advertised or own)
        return self.nodes[id]

    def start(self, id: int = 1) -> None:
        """Start a node, anew or with the data it had, and wait until it serves."""
        node, file, log = self.nodes[id], self.folder / f"node-{id}.properties", self.folder / f"node-{id}.log"
        is_new = not file.exists()
        file.write_text("".join(f"{key}={value}\n" for key, value in self._properties(node).items()))
        certificate, key = self.authority.issue(f"node-{id}")
        (self.folder / "broker.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
        java = [*_JAVA, "-cp", f"{self.jars}/*"]
        if is_new:
            subprocess.run(
                [*java, "kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(file), *_SCRAM_USERS],
                check=True, capture_output=True, cwd=self.folder, timeout=120,
            )  # fmt: skip
        with log.open("ab") as output:
            node.process = subprocess.Popen(
                [*java, "kafka.Kafka", str(file)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        servers.wait_until(lambda: servers.listens(node.plain), f"the start of node {id}", log, [node.process])
        servers.wait_until(lambda: id in self._brokers(), f"node {id} among the brokers", log, [node.process])

    def kill(self, id: int = 1) -> None:
        """Its process is gone at once, with no word to anybody."""
        node = self.nodes[id]
        if node.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(node.process.pid, signal.SIGKILL)
            node.process.wait()
            node.process = None

    def stop(self, id: int) -> None:
        """It takes its leave, and nobody counts on it any more: a new topic would else be put on it."""
        node = self.nodes.pop(id)
        if node.process is not None:
            os.killpg(node.process.pid, signal.SIGTERM)
            node.process.wait(60)
        log = self.folder / f"node-{id}.log"
        servers.wait_until(lambda: id not in self._brokers(), f"the end of node {id}", log)

    def topics(self) -> set[str]:
        """All there are."""
        from kafka import KafkaAdminClient

        admin = KafkaAdminClient(**self.client())
        try:
            return set(admin.list_topics())
        finally:
            admin.close()

    def _brokers(self) -> set[int]:
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        try:
            admin = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self.nodes[1].plain}", bootstrap_timeout_ms=2000)
            try:
                return {each["broker_id"] for each in admin.describe_cluster()["brokers"] if not each["is_fenced"]}
            finally:
                admin.close()
        except KafkaError:
            return set()

    def _properties(self, node: Node) -> Mapping[str, str]:
        others = f"SASL_PLAINTEXT://127.0.0.1:{node.sasl},SSL://127.0.0.1:{node.tls}"
        doors, told = (
            f"PLAINTEXT://127.0.0.1:{node.plain},{others}",
            f"PLAINTEXT://127.0.0.1:{node.advertised},{others}",
        )
        is_controller = node.id == 1
        authorizer = {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:dcp",
        }
        return (authorizer if self.has_authorizer else {}) | {
            "process.roles": "broker,controller" if is_controller else "broker",
            "node.id": str(node.id),
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{doors},CONTROLLER://127.0.0.1:{self.controller}" if is_controller else doors,
            "advertised.listeners": told,
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": f"PLAIN,{SCRAM}",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": _LOGIN,
            f"listener.name.sasl_plaintext.{SCRAM.lower()}.sasl.jaas.config": _SCRAM_LOGIN,
            "listener.name.ssl.ssl.keystore.type": "PEM",
            "listener.name.ssl.ssl.keystore.location": str(self.folder / "broker.pem"),
            "listener.name.ssl.ssl.truststore.type": "PEM",
            "listener.name.ssl.ssl.truststore.location": str(self.authority.ca),
            "listener.name.ssl.ssl.client.auth": "requested",
            "log.dirs": str(self.folder / f"data-{node.id}"),
            "default.replication.factor": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "log.retention.check.interval.ms": "300000",
        }


@contextmanager
def started(
    jars: Path,
    folder: Path,
    *,
    advertised: int | None = None,
    plain: int | None = None,
    has_authorizer: bool = True,
) -> Iterator[Kafka]:
    """A cluster of one node, for as long as the block lasts."""
    kafka = Kafka(jars, folder, has_authorizer)
    kafka.add(1, advertised, plain)
    try:
        kafka.start()
        yield kafka
    finally:
        for id in kafka.nodes:
            kafka.kill(id)
