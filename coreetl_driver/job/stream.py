"""The stream job: messages of a topic, made rows or dead letters, in micro-batches of one commit a table.

The offsets are in the same commit as the rows, and the next run begins where they say: nothing is lost and nothing
comes twice, wherever a run is killed. Dead letters are committed before the rows of their batch, and the table for them
has offsets of its own, so that a batch that is read again does not add them again.

Must not keep an address or a password anywhere.
"""

from __future__ import annotations

import datetime
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field

from coreetl_driver import offsets
from coreetl_driver.api import Column
from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.job.engine_errors import JobError, readable
from coreetl_driver.job.session import Session
from coreetl_driver.job.standstill import Standstill
from coreetl_driver.job.stream_start import starting_offsets
from coreetl_driver.job.stream_table import DEAD_LETTER_COLUMNS, StreamTable
from coreetl_driver.job_sources import SourceTopic, source_from_json
from coreetl_driver.kafka_settings import KafkaSettings
from coreetl_driver.sources import ReadColumn
from coreetl_driver.sources.json_events import UnreadableMessageError, row_of
from coreetl_driver.sources.topic import TopicIdentity, TopicReader
from coreetl_driver.stream_specs import ACCEPT_LOSS, FROM_BEGINNING, committed, is_continuous
from dcp_core.errors import DcpError, TransientError
from dcp_core.settings import MASK

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

Log = Callable[[str], None]
Note = Callable[[Mapping[str, Any]], None]
T = TypeVar("T")
MAX_BATCH_MESSAGES = 200_000
MAX_BATCH_BYTES = 64 * 1024 * 1024  # as they came; rows take some times more memory
_POLL_S = 0.5
_SILENCE_S = 60.0  # without a message where there should be some
_LOOK_AGAIN_S = 30.0  # for new partitions, when nothing comes
_LAST_MOMENT_MS = 253_402_300_799_999


@define
class _Batch:
    """What has been read and not committed."""

    began_at: float
    rows: list[list[Any]] = field(factory=list)
    letters: list[tuple[Any, ...]] = field(factory=list)
    messages: int = 0
    size_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return self.messages >= MAX_BATCH_MESSAGES or self.size_bytes >= MAX_BATCH_BYTES


def stream(
    session: Session,
    request: Mapping[str, Any],
    catalogs: Mapping[str, Mapping[str, str]],
    note: Note,
    log: Log,
    stopping: threading.Event,
) -> dict[str, Any]:
    """Do one run of a stream.

    Args:
        request: ``source``, ``broker``, ``columns``, ``sink`` and ``params``.
        catalogs: ``uri`` and ``token`` of the endpoint's catalogs, by name.
        note: Takes what belongs into a commit's summary, before the commit.
        stopping: Set when the run is to end after a last commit.

    Returns:
        ``rows``: how many were written to the stream's table; ``stopped``: whether it was asked to end.

    Raises:
        JobError: It cannot go on; what was committed before stays.
    """
    broker = KafkaSettings.from_json(request["broker"])

    def scrubbed(text: str) -> str:
        for secret in broker.secrets:
            text = text.replace(secret, MASK)
        return text

    try:
        return _Run(session, request, catalogs, note, lambda text: log(scrubbed(text)), stopping).run(broker)
    except (JobError, DcpError) as error:
        hint = f" ({error.hint})" if isinstance(error, DcpError) and error.hint else ""
        raise JobError(scrubbed(f"{error}{hint}")) from None
    except Exception as error:
        print(scrubbed(traceback.format_exc()), file=sys.stderr, flush=True)
        raise JobError(scrubbed(readable(error))) from None


class _Run:
    def __init__(
        self,
        session: Session,
        request: Mapping[str, Any],
        catalogs: Mapping[str, Mapping[str, str]],
        note: Note,
        log: Log,
        stopping: threading.Event,
    ) -> None:
        source = source_from_json(request["source"])
        assert isinstance(source, SourceTopic), "the driver checks it"
        sink = request["sink"]
        columns = [Column(**column) for column in request["columns"]]
        self._columns = tuple(
            ReadColumn(each.name, each.name, parse_engine_type(each.type), each.required) for each in columns
        )
        self._source, self._log, self._stopping = source, log, stopping
        self._is_continuous = is_continuous(request["params"])
        self._accept_loss = request["params"].get(ACCEPT_LOSS) == "true"
        self._from_beginning = request["params"].get(FROM_BEGINNING) == "true"
        self._table = StreamTable(session, sink, catalogs, source.topic, self._columns, note, log)
        letters = {"catalog": sink["catalog"], "table": source.dead_letter_table}
        self._letters = StreamTable(session, letters, catalogs, source.topic, DEAD_LETTER_COLUMNS, note, log)
        self._known_letters: Mapping[int, int] = {}
        self._rows = self._dead = 0

    def run(self, broker: KafkaSettings) -> dict[str, Any]:
        for table in (self._table, self._letters):
            table.look()
            table.check_columns()
        with TopicReader(broker, self._source.topic) as reader:
            identity = reader.identity()
            following = self._begin(reader, identity)
            goal = None if self._is_continuous else reader.ends(identity.partitions)
            self._log(
                f"reading {len(following)} partition(s) of topic {self._source.topic}, "
                + ("until it is stopped" if goal is None else f"{_left(following, goal)} offsets to go")
            )
            self._read(reader, identity, following, goal)
        self._log(f"done: {self._rows} rows, {self._dead} dead letters")
        return {"rows": self._rows, "stopped": self._stopping.is_set()}

    def _begin(self, reader: TopicReader, identity: TopicIdentity) -> dict[int, int]:
        if self._table.has_unknown_rows and not self._from_beginning:
            raise JobError(
                f"table {self._table.name} has rows, and none of its snapshots says how far the stream has come: "
                f"reading all that topic {self._source.topic} has could add rows twice (run once with "
                f"{FROM_BEGINNING}=true, which does)"
            )
        # Once the table has offsets the parameter means nothing: a run that is begun again with it, after a crash or a
        # change, goes on.
        known = self._table.offsets
        beginnings = self._waited_for(lambda: reader.beginnings(identity.partitions))
        ends = self._waited_for(lambda: reader.ends(identity.partitions))
        following = starting_offsets(
            known, identity, self._source.topic, beginnings, ends, self._log, accept_loss=self._accept_loss
        )
        letters = self._letters.offsets
        if letters is not None and (letters.cluster, letters.topic_id) == (identity.cluster, identity.topic_id):
            self._known_letters = letters.next
        reader.begin(following)
        return following

    def _read(
        self, reader: TopicReader, identity: TopicIdentity, following: dict[int, int], goal: Mapping[int, int] | None
    ) -> None:
        """Poll and commit until the goal is reached, or for ever when there is none, or until it is to stop."""
        batch, moved_at, looked_at = _Batch(time.monotonic()), time.monotonic(), time.monotonic()
        standstill = Standstill(self._log)
        while True:
            is_done = self._stopping.is_set() or (goal is not None and not _left(following, goal))
            age_s = time.monotonic() - batch.began_at
            if batch.messages and (is_done or batch.is_full or age_s >= self._source.checkpoint_interval_s):
                identity = self._checked(reader, identity)
                self._commit(batch, identity, following)
                batch = _Batch(time.monotonic())
            if is_done:
                return
            if goal is None and not batch.messages and time.monotonic() - looked_at > _LOOK_AGAIN_S:
                looked_at = time.monotonic()
                identity = self._grown(reader, self._checked(reader, identity), following)
            records = self._polled(reader)
            positions = {**following, **reader.positions()}
            if not batch.messages:
                batch.began_at = time.monotonic()
            for record in records:
                self._take(record, batch)
            if positions != following:
                moved_at = time.monotonic()
                following.update(positions)
            elif goal is not None and time.monotonic() - moved_at > _SILENCE_S:
                raise TransientError(
                    f"nothing of topic {self._source.topic} has come for {_SILENCE_S:g} s, though there are "
                    f"{_left(following, goal)} offsets to go: its partitions may have no leader"
                )
            if goal is None:
                standstill.look(reader, following)

    def _polled(self, reader: TopicReader) -> list[ConsumerRecord]:
        try:
            return reader.poll(_POLL_S)
        except TransientError as error:
            if not self._is_continuous:
                raise
            self._log(f"{error}; it is tried again")
            self._stopping.wait(_POLL_S * 4)
            return []

    def _waited_for(self, ask: Callable[[], T]) -> T:
        """An answer; a run that goes on until it is stopped waits for brokers that are away."""
        while True:
            try:
                return ask()
            except TransientError as error:
                if not self._is_continuous or self._stopping.is_set():
                    raise
                self._log(f"{error}; it is tried again")

    def _checked(self, reader: TopicReader, identity: TopicIdentity) -> TopicIdentity:
        """Which topic it is now.

        Raises:
            JobError: It was deleted and made again while its messages were read.
        """
        now = self._waited_for(reader.identity)
        if (now.cluster, now.topic_id) != (identity.cluster, identity.topic_id):
            raise JobError(
                f"topic {self._source.topic} was deleted and made again while it was read: the last batch is not "
                f"written; run again with {ACCEPT_LOSS}=true to read the new one"
            )
        return now

    def _grown(self, reader: TopicReader, identity: TopicIdentity, following: dict[int, int]) -> TopicIdentity:
        """With the partitions that are new, from their beginning."""
        new = tuple(each for each in identity.partitions if each not in following)
        if new:
            try:
                following.update(reader.beginnings(new))
            except TransientError as error:  # the others are not to wait for them
                self._log(f"{error}; the topic's new partitions are looked for again later")
                return identity
            reader.begin(following)
            self._log(f"the topic has {len(new)} new partition(s), which are read too")
        return identity

    def _take(self, record: ConsumerRecord, batch: _Batch) -> None:
        batch.messages += 1
        batch.size_bytes += len(record.value or b"") + len(record.key or b"")
        try:
            batch.rows.append(row_of(record.value, self._columns))
        except UnreadableMessageError as problem:
            if record.offset >= self._known_letters.get(record.partition, 0):
                batch.letters.append(_letter(record, problem))

    def _commit(self, batch: _Batch, identity: TopicIdentity, following: Mapping[int, int]) -> None:
        of = (identity.cluster, self._source.topic, identity.topic_id, following)
        if batch.letters:
            self._letters.add(batch.letters, offsets.marks(*of, len(batch.letters), self._letters.others))
            self._dead += len(batch.letters)
            self._known_letters = dict(following)
        self._table.add(batch.rows, offsets.marks(*of, len(batch.rows), self._table.others))
        self._rows += len(batch.rows)
        self._log(committed(len(batch.rows), len(batch.letters), batch.messages))


def _left(following: Mapping[int, int], goal: Mapping[int, int]) -> int:
    return sum(max(0, end - following.get(partition, end)) for partition, end in goal.items())


def _letter(record: ConsumerRecord, problem: UnreadableMessageError) -> tuple[Any, ...]:
    moment = None
    if record.timestamp is not None and 0 <= record.timestamp <= _LAST_MOMENT_MS:
        moment = datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(milliseconds=record.timestamp)
    return (
        record.topic, record.partition, record.offset, moment, record.key, record.value, problem.code, problem.message,
        datetime.datetime.now(datetime.UTC),
    )  # fmt: skip
