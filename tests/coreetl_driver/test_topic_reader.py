"""What a reader of a topic makes of what kafka-python says, without a broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from coreetl_driver.job.standstill import Standstill
from coreetl_driver.kafka_settings import KafkaSettings
from coreetl_driver.sources import topic
from coreetl_driver.sources.topic import TopicReader
from dcp_core.errors import PermanentError, TransientError

SETTINGS = KafkaSettings(bootstrap_servers=("127.0.0.1:1",))
FIRST, SECOND = TopicPartition("views", 0), TopicPartition("views", 1)


@define
class Client:
    """Both of kafka-python's clients: each call is answered by the next of ``answers``, the last one for ever."""

    answers: list[Any] = field(factory=list)

    def __call__(self, **_options: Any) -> Client:
        return self

    def _next(self, *_given: Any, **_more: Any) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    beginning_offsets = end_offsets = poll = describe_topics = _next


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TopicReader]:
    monkeypatch.setattr(topic, "_PAUSES_S", (0.0, 0.0))

    def make(*answers: Any, settings: KafkaSettings = SETTINGS) -> TopicReader:
        client = Client(list(answers))
        monkeypatch.setattr("kafka.KafkaAdminClient", client)
        monkeypatch.setattr("kafka.KafkaConsumer", client)
        return TopicReader(settings, "views")

    return make


@pytest.mark.parametrize("ask", [TopicReader.beginnings, TopicReader.ends])
def test_a_partition_without_a_leader_is_asked_again_and_then_told(
    reader: Callable[..., TopicReader], ask: Callable[[TopicReader, tuple[int, ...]], Mapping[int, int]]
) -> None:
    assert ask(reader(KeyError(SECOND), {FIRST: 3, SECOND: 5}), (0, 1)) == {0: 3, 1: 5}
    with pytest.raises(TransientError) as told:
        ask(reader(KeyError(SECOND)), (0, 1))
    assert str(told.value) == "partition 1 of topic views has no leader, or is not known to its brokers yet"


def test_a_look_for_standstills_asks_once_as_the_reading_waits_for_it(reader: Callable[..., TopicReader]) -> None:
    said: list[str] = []
    minutes = iter(range(0, 600, 61))
    standstill = Standstill(said.append, lambda: next(minutes))
    led = [{"partitions": [{"partition_index": each, "leader_id": 1} for each in (0, 1)]}]
    asked = reader(led, led, KeyError(SECOND), {FIRST: 3, SECOND: 5})
    for _ in range(2):
        standstill.look(asked, {0: 3, 1: 5})
    assert said == ["partition 1 of topic views has no leader, or is not known to its brokers yet; it is waited for"]


def test_partitions_without_a_leader_are_known(reader: Callable[..., TopicReader]) -> None:
    partitions = [{"partition_index": 0, "leader_id": 1}, {"partition_index": 1, "leader_id": -1}]
    assert reader([{"partitions": partitions}]).leaderless() == {1}


def test_a_truncated_log_ends_the_reading_with_where(reader: Callable[..., TopicReader]) -> None:
    lost = {FIRST: OffsetAndMetadata(5, "", 1), SECOND: None}
    with pytest.raises(PermanentError) as told:
        reader(kafka_errors.LogTruncationError(lost)).poll(0.1)
    assert str(told.value) == (
        "the log of topic views was truncated below what was read: partition 0 from offset 5 on; partition 1"
    )


def test_a_timeout_blames_the_password_only_while_the_clients_sign_in(
    reader: Callable[..., TopicReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic, "is_refused", lambda _settings: True)
    with pytest.raises(TransientError, match="cannot be reached"):
        reader(kafka_errors.KafkaTimeoutError("too slow")).poll(0.1)

    def refuse(**_options: Any) -> None:
        raise kafka_errors.KafkaTimeoutError("gave up")

    monkeypatch.setattr("kafka.KafkaAdminClient", refuse)
    with pytest.raises(PermanentError, match="does not take the user and password"):
        TopicReader(SETTINGS, "views")


@pytest.mark.parametrize("name", ["ssl_cafile", "ssl_certfile", "ssl_keyfile"])
def test_a_file_of_a_certificate_that_is_not_there_is_the_settings_fault(tmp_path: Path, name: str) -> None:
    files: dict[str, Any] = {name: str(tmp_path / "gone.pem")}
    settings = KafkaSettings(bootstrap_servers=("127.0.0.1:1",), security_protocol="SSL", timeout_s=1.0, **files)
    with pytest.raises(PermanentError) as told:
        TopicReader(settings, "views")
    assert str(told.value) == f"[kafka] {name}: there is no file {tmp_path / 'gone.pem'}"
