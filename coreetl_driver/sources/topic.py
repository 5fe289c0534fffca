"""One topic of a Kafka cluster, read from given offsets: no consumer group, nothing is written to the broker.

Messages of transactions that were not committed are left out. Whoever reads needs ``Describe`` and ``Read`` on the
topic.

Must not keep an address or a password anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from coreetl_driver.kafka_clients import connected
from coreetl_driver.kafka_probing import is_refused, why_no_tls
from coreetl_driver.kafka_settings import KafkaSettings, words_of
from dcp_core.errors import DcpError, NotFoundError, PermanentError, TransientError

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord
    from kafka.errors import LogTruncationError

_MAX_RECORDS = 5000
_PARTITION_BYTES = 8 * 1024 * 1024  # of one answer; a message that is longer comes all the same
_UNKNOWN_TOPIC = 3
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")

T = TypeVar("T")


@frozen
class TopicIdentity:
    """Which topic it is that has the name now.

    Args:
        cluster: Kafka's id of the cluster.
        topic_id: Another one when the topic is deleted and made again.
        partitions: Their numbers.
    """

    cluster: str
    topic_id: str
    partitions: tuple[int, ...]


class TopicReader:
    """Reads one topic; a context manager.

    Raises:
        PermanentError: The settings cannot be used, or nobody lets us in.
        TransientError: No broker answers.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        from kafka import KafkaAdminClient, KafkaConsumer

        _check_files(settings)
        why = why_no_tls(settings)
        if why:
            raise TransientError(f"Kafka cannot be reached: {why}", hint="see security_protocol in [kafka]")
        self._settings = settings
        self._topic = topic
        with self._reaching(signing_in=True):
            self._admin = connected(KafkaAdminClient, settings)
        try:
            with self._reaching(signing_in=True):
                self._consumer = connected(
                    KafkaConsumer,
                    settings,
                    group_id=None,
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    isolation_level="read_committed",
                    allow_auto_create_topics=False,
                    max_poll_records=_MAX_RECORDS,
                    max_partition_fetch_bytes=_PARTITION_BYTES,
                )
        except BaseException:
            self._admin.close()
            raise

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End both connections."""
        self._consumer.close(autocommit=False)
        self._admin.close()

    def identity(self) -> TopicIdentity:
        """Which topic it is; asked again for some seconds where a broker has just gone.

        Raises:
            NotFoundError: There is no such topic.
            TransientError: No broker answers.
        """
        return _patiently(self._identity)

    def beginnings(self, partitions: tuple[int, ...]) -> dict[int, int]:
        """The offset of the oldest message of each partition, or of the next one where there is none.

        Raises:
            TransientError: One of them has no leader, for some seconds; no broker answers.
        """
        return _patiently(lambda: self._offsets(self._consumer.beginning_offsets, partitions))

    def ends(self, partitions: tuple[int, ...]) -> dict[int, int]:
        """The offset after the newest message of each partition that no open transaction holds back.

        Raises:
            TransientError: One of them has no leader, for some seconds; no broker answers.
        """
        return _patiently(lambda: self.ends_now(partitions))

    def ends_now(self, partitions: tuple[int, ...]) -> dict[int, int]:
        """As ``ends``, asked once: for whoever holds up the reading meanwhile.

        Raises:
            TransientError: One of them has no leader at the moment; no broker answers.
        """
        return self._offsets(self._consumer.end_offsets, partitions)

    def leaderless(self) -> frozenset[int]:
        """The partitions that nobody can read now, as a broker knows them."""
        with self._reaching():
            (told,) = self._admin.describe_topics([self._topic])
        return frozenset(each["partition_index"] for each in told["partitions"] if each["leader_id"] < 0)

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions, each from its offset on."""
        with self._reaching():
            self._consumer.assign(self._named(tuple(offsets)))
            for partition, named in zip(offsets, self._named(tuple(offsets)), strict=True):
                self._consumer.seek(named, offsets[partition])

    def poll(self, timeout_s: float) -> list[ConsumerRecord]:
        """What has come, each partition in its order; [] when nothing has within the time.

        Raises:
            PermanentError: An offset is not there any more; we may not read.
        """
        with self._reaching():
            found = self._consumer.poll(timeout_ms=max(1, int(timeout_s * 1000)))
        return [record for records in found.values() for record in records]

    def positions(self) -> dict[int, int]:
        """The offset of the next message of each partition that is read, beyond what leaves no message."""
        with self._reaching():
            return {named.partition: self._consumer.position(named) for named in self._consumer.assignment()}

    def _identity(self) -> TopicIdentity:
        with self._reaching():
            cluster = self._admin.describe_cluster()["cluster_id"]
            (told,) = self._admin.describe_topics([self._topic])
        if told["error_code"] == _UNKNOWN_TOPIC:
            raise NotFoundError(f"there is no topic {self._topic} (apply first)")
        if told["error_code"] and not told["partitions"]:
            from kafka import errors as kafka_errors

            with self._reaching():
                raise kafka_errors.for_code(told["error_code"])(f"reading topic {self._topic}")
        if self._settings.cluster_id and cluster != self._settings.cluster_id:
            raise PermanentError(
                f"Kafka at {self._settings.servers} is cluster {cluster}, and [kafka] cluster_id is "
                f"{self._settings.cluster_id}: nothing was read"
            )
        return TopicIdentity(
            cluster, str(told["topic_id"]), tuple(sorted(each["partition_index"] for each in told["partitions"]))
        )

    def _named(self, partitions: tuple[int, ...]) -> list[Any]:
        from kafka import TopicPartition

        return [TopicPartition(self._topic, partition) for partition in partitions]

    def _offsets(self, ask: Callable[[list[Any]], Mapping[Any, int]], partitions: tuple[int, ...]) -> dict[int, int]:
        try:
            with self._reaching():
                return {named.partition: offset for named, offset in ask(self._named(partitions)).items()}
        except KeyError as missing:  # kafka-python leaves out those whose leader is away while another has one
            named = missing.args[0]
            raise TransientError(
                f"partition {named.partition} of topic {self._topic} has no leader, or is not known to its brokers yet"
            ) from None

    @contextmanager
    def _reaching(self, *, signing_in: bool = False) -> Iterator[None]:
        from kafka.errors import KafkaError, KafkaTimeoutError

        try:
            yield
        except KafkaError as error:
            # It tries to sign in again until it gives up. Whom a broker has let in once has only waited too long.
            if signing_in and isinstance(error, KafkaTimeoutError) and is_refused(self._settings):
                raise self._not_let_in("it does not take the user and password") from None
            raise self._typed(error) from None
        except OSError as error:
            raise TransientError(f"Kafka at {self._settings.servers} cannot be reached: {error}") from None

    def _typed(self, error: Exception) -> DcpError:
        from kafka import errors as kafka_errors

        servers, said = self._settings.servers, words_of(error)
        match error:
            case kafka_errors.OffsetOutOfRangeError():
                return PermanentError(
                    f"messages of topic {self._topic} are gone before they were read: {said}",
                    hint="retention has deleted them while the run was reading; run it again to be told how many",
                )
            case kafka_errors.LogTruncationError():  # told once only, and the reading would go on from the old offset
                return PermanentError(
                    f"the log of topic {self._topic} was truncated below what was read: {_divergent(error)}",
                    hint="a broker that did not have all messages has become the leader. What took the place of the "
                    "lost ones, up to where the table has come to, is not read",
                )
            case kafka_errors.SaslAuthenticationFailedError() | kafka_errors.UnsupportedSaslMechanismError():
                return self._not_let_in(said)
            case kafka_errors.AuthorizationError():
                return PermanentError(
                    f"Kafka at {servers} does not let us read topic {self._topic}: {said}",
                    hint="the principal of [kafka] needs Describe and Read on the topic",
                )
            case kafka_errors.KafkaConfigurationError() | kafka_errors.IllegalArgumentError():
                return PermanentError(f"[kafka] cannot be used: {said}")
            case kafka_errors.CorruptRecordError() | kafka_errors.UnsupportedCodecError():
                return PermanentError(f"a message of topic {self._topic} cannot be unpacked: {said}")
        return TransientError(f"Kafka at {servers} cannot be reached: {said}")

    def _not_let_in(self, said: str) -> DcpError:
        return PermanentError(
            f"Kafka at {self._settings.servers} does not let {self._settings.sasl_username} in: {said}",
            hint="see sasl_mechanism, sasl_username and sasl_password in [kafka]",
        )


def _check_files(settings: KafkaSettings) -> None:
    """Refuse files that are not there: what connects would only say that it cannot, and without their name.

    Raises:
        PermanentError: One is missing.
    """
    for name in _FILES if settings.security_protocol.endswith("SSL") else ():
        file = getattr(settings, name)
        if file and not Path(file).is_file():
            raise PermanentError(f"[kafka] {name}: there is no file {file}")


def _patiently(ask: Callable[[], T]) -> T:
    for pause_s in _PAUSES_S:
        try:
            return ask()
        except TransientError:
            time.sleep(pause_s)
    return ask()


def _divergent(error: LogTruncationError) -> str:
    return "; ".join(
        f"partition {named.partition}" + ("" if found is None else f" from offset {found.offset} on")
        for named, found in error.divergent_offsets.items()
    )
