"""One topic of a Kafka cluster, read from given offsets: no consumer group, nothing is written to the broker.

Messages of transactions that were not committed are left out. Whoever reads needs ``Describe`` and ``Read`` on the
topic.

Must not keep an address or a password anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import frozen

from coreetl_driver.kafka_probing import is_refused
from coreetl_driver.kafka_settings import KafkaSettings, quieten
from dcp_core.errors import DcpError, NotFoundError, PermanentError, TransientError

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

_MAX_RECORDS = 5000
_PARTITION_BYTES = 8 * 1024 * 1024  # of one answer; a message that is longer comes all the same
_UNKNOWN_TOPIC = 3
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)


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
    """Reads one topic; a context manager. Connects on first use."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        from kafka import KafkaAdminClient, KafkaConsumer

        quieten()
        self._settings = settings
        self._topic = topic
        options = settings.client_options()
        with self._reaching():
            self._admin = KafkaAdminClient(**options, bootstrap_timeout_ms=settings.timeout_ms)
        try:
            with self._reaching():
                self._consumer = KafkaConsumer(
                    **options,
                    bootstrap_timeout_ms=settings.timeout_ms,
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
        for pause_s in _PAUSES_S:
            try:
                return self._identity()
            except TransientError:
                time.sleep(pause_s)
        return self._identity()

    def beginnings(self, partitions: tuple[int, ...]) -> dict[int, int]:
        """The offset of the oldest message of each partition, or of the next one where there is none."""
        with self._reaching():
            return self._numbered(self._consumer.beginning_offsets(self._named(partitions)))

    def ends(self, partitions: tuple[int, ...]) -> dict[int, int]:
        """The offset after the newest message of each partition that no open transaction holds back."""
        with self._reaching():
            return self._numbered(self._consumer.end_offsets(self._named(partitions)))

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

    @staticmethod
    def _numbered(offsets: Mapping[Any, int]) -> dict[int, int]:
        return {named.partition: offset for named, offset in offsets.items()}

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        from kafka.errors import KafkaError

        try:
            yield
        except KafkaError as error:
            raise self._typed(error) from None
        except OSError as error:
            raise TransientError(f"Kafka at {self._settings.servers} cannot be reached: {error}") from None

    def _typed(self, error: Exception) -> DcpError:
        from kafka import errors as kafka_errors

        servers, said = self._settings.servers, _words(error)
        match error:
            case kafka_errors.OffsetOutOfRangeError():
                return PermanentError(
                    f"messages of topic {self._topic} are gone before they were read: {said}",
                    hint="retention has deleted them while the run was reading; run it again to be told how many",
                )
            case kafka_errors.SaslAuthenticationFailedError() | kafka_errors.UnsupportedSaslMechanismError():
                return self._not_let_in(said)
            case kafka_errors.KafkaTimeoutError() if is_refused(self._settings):  # it tries again, and gives up
                return self._not_let_in("it does not take the user and password")
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


def _words(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
