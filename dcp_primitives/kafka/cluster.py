"""The cluster that the settings name: connected once, pinned to its id, asked in bulk.

Every method is one request, or one to each broker, however many topics it is about. Nothing here creates a topic by
looking for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field, frozen

from coreetl_driver.kafka_clients import connected
from coreetl_driver.kafka_probing import is_refused, why_closed, why_no_tls, why_not_understood
from dcp_core.context import Context
from dcp_core.errors import ConflictError, DcpError, PermanentError, TransientError
from dcp_primitives.kafka.reaching import NOT_AUTHENTICATED, reaching, refused
from dcp_primitives.kafka.settings import KafkaSettings, kafka_settings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

T = TypeVar("T")
WRONG_CLUSTER = "kafka.wrong_cluster"
_UNKNOWN_TOPIC = 3
_DOOR = "see security_protocol, bootstrap_servers and ssl_cafile in [kafka]"
_PAUSES_S = (0.1, 0.4, 1.0, 2.0, 3.0, 4.0)
_POLL_S = 0.02
_MAX_POLL_S = 0.5


class UnreachableError(TransientError):
    """No broker answered for as long as the settings allow."""

    code = "kafka.unreachable"


@frozen
class Topology:
    """What a cluster is made of.

    Args:
        cluster_id: As Kafka generated it when it was set up.
        racks: Each broker that is up, and where it stands.
    """

    cluster_id: str
    racks: Mapping[int, str | None]


@frozen
class Partitions:
    """A topic as the brokers' metadata has it.

    Args:
        topic_id: Kafka's own, another one when the topic is deleted and made again.
        replicas: The brokers of each partition, the preferred leader first.
        leaders: Of each partition; -1 where there is none for the moment.
    """

    topic_id: str
    replicas: Mapping[int, tuple[int, ...]]
    leaders: Mapping[int, int]


@define
class Cluster:
    """One connection for the life of the control plane; thread-safe."""

    settings: KafkaSettings
    _admin: KafkaAdminClient | None = None
    _lock: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def of(cls, ctx: Context) -> Cluster:
        """The one that the settings name; not connected yet.

        Raises:
            BrokerMissingError: They name none.
        """
        settings = kafka_settings(ctx)
        return ctx.shared("kafka.cluster", lambda: cls(settings))

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """kafka-python's client; what it raises within the block becomes typed.

        Raises:
            TransientError: No broker answers, or the one that was asked does not any more.
        """
        admin = None
        try:
            with reaching(self.settings.servers):
                admin = self._connected()
                yield admin
        except TransientError:
            # kafka-python goes on asking the broker that it once took for the controller: begin anew.
            self._drop(admin)
            raise

    def ask(self, question: Callable[[KafkaAdminClient], T]) -> T:
        """What a question that changes nothing is answered.

        Raises:
            TransientError: Nobody answers.
        """

        def once() -> T:
            with self.admin() as admin:
                return question(admin)

        return self.patiently(once)

    def patiently(self, reading: Callable[[], T]) -> T:
        """Read again when a broker has just gone: the others tell clients of it until its session has expired, which
        is nine seconds by default.

        Raises:
            UnreachableError: There is nobody to ask at all, which has been waited for already.
            TransientError: It is still so.
        """
        for pause_s in _PAUSES_S:
            try:
                return reading()
            except UnreachableError:
                raise
            except TransientError:
                time.sleep(pause_s)
        return reading()

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        self._drop(self._admin)

    def topology(self, expected: str | None = None) -> Topology:
        """What the cluster is made of, once it is known to be the right one.

        Args:
            expected: The id of the cluster that a plan was made for.

        Raises:
            ConflictError: It is another cluster than the settings or the plan mean.
        """
        told = self.ask(lambda admin: admin.describe_cluster())
        found = told["cluster_id"]
        pinned = self.settings.cluster_id
        for wanted, whose in ((pinned, "[kafka] cluster_id is"), (expected, "the plan was made for")):
            if wanted and found != wanted:
                raise ConflictError(
                    f"Kafka at {self.settings.servers} is cluster {found}, and {whose} {wanted}",
                    hint="bootstrap_servers in [kafka] leads to another cluster; nothing was changed there",
                    code=WRONG_CLUSTER,
                )
        return Topology(found, {each["broker_id"]: each["rack"] for each in told["brokers"] if _is_up(each)})

    def topics(self, names: Sequence[str]) -> dict[str, Partitions]:
        """Those of the topics that exist."""
        if not names:
            return {}
        told = self.ask(lambda admin: admin.describe_topics(list(names)))
        found = {}
        for each in told:
            if each["error_code"] == _UNKNOWN_TOPIC:
                continue
            if each["error_code"] and not each["partitions"]:
                raise refused(each["error_code"], f"reading topic {each['name']}", self.settings.servers)
            parts = each["partitions"]
            found[each["name"]] = Partitions(
                str(each["topic_id"]),
                {part["partition_index"]: tuple(part["replica_nodes"]) for part in parts},
                {part["partition_index"]: part["leader_id"] for part in parts},
            )
        return found

    def configs(self, names: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """The whole configuration of topics, by topic and name: ``value``, ``config_source`` and more.

        Raises:
            PermanentError: We may not read it.
        """
        from kafka.admin import ConfigResource

        if not names:
            return {}
        asked = [ConfigResource("TOPIC", name) for name in names]
        told = self.ask(lambda admin: admin.describe_configs(asked, config_filter="all"))
        found: dict[str, dict[str, dict[str, Any]]] = told.get("topic", {})
        return found

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Ask again and again: what a controller has decided reaches brokers a little later.

        Raises:
            TransientError: Not within the time that the settings give.
        """
        deadline = time.monotonic() + self.settings.timeout_s
        pause_s = _POLL_S
        while not ready():
            if time.monotonic() > deadline:
                raise TransientError(
                    f"Kafka took it, but after {self.settings.timeout_s:g} s {what}", where=self.settings.servers
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_POLL_S)

    def _drop(self, admin: KafkaAdminClient | None) -> None:
        with self._lock:
            is_current = admin is not None and admin is self._admin
            if is_current:
                self._admin = None  # unless another thread has been here before
        if is_current and admin is not None:
            admin.close()

    def _connected(self) -> KafkaAdminClient:
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaTimeoutError

        with self._lock:
            if self._admin is None:
                closed = why_closed(self.settings)
                if closed:
                    raise UnreachableError(
                        f"Kafka cannot be reached: {closed}",
                        where=self.settings.servers,
                        hint="see bootstrap_servers in [kafka]",
                    )
                why = why_no_tls(self.settings)
                if why:
                    raise UnreachableError(f"Kafka cannot be reached: {why}", where=self.settings.servers, hint=_DOOR)
                try:
                    self._admin = connected(KafkaAdminClient, self.settings)
                except KafkaTimeoutError:
                    raise _why_not(self.settings) from None
            return self._admin


def _why_not(settings: KafkaSettings) -> DcpError:
    """Of brokers that could not be connected to within the time that the settings give."""
    if is_refused(settings):
        return PermanentError(
            f"Kafka at {settings.servers} does not let {settings.sasl_username} in",
            hint="see security_protocol, sasl_mechanism, sasl_username and sasl_password in [kafka]",
            code=NOT_AUTHENTICATED,
        )
    why = why_not_understood(settings)
    said = f"Kafka at {settings.servers} does not answer within {settings.timeout_s:g} s"
    return UnreachableError(
        f"{said}: {why}" if why else said,
        where=settings.servers,
        hint=_DOOR if why else None,
    )


def _is_up(broker: Mapping[str, Any]) -> bool:
    return not broker.get("is_fenced", False)
