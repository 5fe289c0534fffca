"""A run that goes on until it is stopped waits for partitions that nobody leads, and says so."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, cast

import pytest
from attrs import define, field

from coreetl_driver.job.standstill import Standstill
from coreetl_driver.job.stream import _Run
from coreetl_driver.job_sources import SourceTopic, source_to_json
from coreetl_driver.sources.topic import TopicIdentity, TopicReader
from dcp_core.errors import TransientError

AWAY = TransientError("partition 1 of topic views has no leader, or is not known to its brokers yet")
NOW = TopicIdentity("c", "t", (0, 1))


@define
class Topic:
    """A topic of two partitions: as many questions for offsets are refused as ``refusals``;
    whom nobody leads, ``away``, may not be known yet."""

    refusals: int = 0
    away: frozenset[int] = frozenset()
    is_known: bool = True
    at: Mapping[int, int] = field(factory=lambda: {0: 10, 1: 20})
    begun: Mapping[int, int] = field(factory=dict)

    def beginnings(self, partitions: tuple[int, ...]) -> dict[int, int]:
        if self.refusals:
            self.refusals -= 1
            raise AWAY
        return dict.fromkeys(partitions, 0)

    def ends_now(self, partitions: tuple[int, ...]) -> dict[int, int]:
        if self.away.intersection(partitions):
            raise AWAY
        return {each: self.at[each] for each in partitions}

    ends = ends_now

    def leaderless(self) -> frozenset[int]:
        return self.away if self.is_known else frozenset()

    def begin(self, offsets: Mapping[int, int]) -> None:
        self.begun = dict(offsets)


def run(said: list[str], **params: str) -> _Run:
    request: dict[str, Any] = {
        "source": source_to_json(SourceTopic("views", dead_letter_table="events.views_dead")),
        "sink": {"catalog": "pedregal", "table": "events.views"},
        "columns": [{"name": "id", "type": "long"}],
        "params": params,
    }
    return _Run(cast(Any, None), request, {}, lambda _note: None, said.append, threading.Event())


def reading(topic: Topic) -> TopicReader:
    return cast(TopicReader, topic)


def test_a_run_begins_when_all_partitions_can_be_asked() -> None:
    said: list[str] = []
    topic = Topic(refusals=2)
    assert run(said, continuous="true")._begin(reading(topic), NOW) == {0: 0, 1: 0}
    assert said[:2] == [f"{AWAY}; it is tried again"] * 2
    with pytest.raises(TransientError):
        run([])._begin(reading(Topic(refusals=1)), NOW)


def test_a_new_partition_without_a_leader_is_looked_for_later_and_does_not_end_the_run() -> None:
    said: list[str] = []
    it, topic, following = run(said, continuous="true"), Topic(refusals=1), {0: 4}
    it._grown(reading(topic), NOW, following)
    assert following == {0: 4}
    assert said == [f"{AWAY}; the topic's new partitions are looked for again later"]
    it._grown(reading(topic), NOW, following)
    assert following == topic.begun == {0: 4, 1: 0}


@define
class Minutes:
    """Looks at a topic, a minute after the other."""

    topic: Topic
    said: list[str] = field(factory=list)
    now_s: float = 0.0
    standstill: Standstill = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.standstill = Standstill(self.said.append, lambda: self.now_s)

    def look(self, first: int, second: int, after_s: float = 61.0) -> list[str]:
        """What is newly said when the run has come to these offsets."""
        self.now_s += after_s
        before = len(self.said)
        self.standstill.look(reading(self.topic), {0: first, 1: second})
        return self.said[before:]


def test_a_partition_that_nobody_leads_is_told_once_a_minute_while_it_stands_still() -> None:
    it = Minutes(Topic(away=frozenset({1})))
    assert it.look(5, 7) == []
    assert it.look(9, 7) == ["partition 1 has no leader; the reading goes on without it"]
    assert it.look(10, 7, after_s=1) == []
    assert it.look(10, 7) == ["partition 1 has no leader; the reading goes on without it"]
    assert it.look(10, 8) == []


def test_a_partition_of_which_nothing_comes_though_it_has_more_is_told() -> None:
    it = Minutes(Topic())
    for _ in range(2):
        assert it.look(10, 7) == []
    (told,) = it.look(10, 7)
    assert told == "nothing of partition 1 comes after offset 7, and it ends at 20; the reading goes on without it"


def test_a_partition_that_was_read_whole_and_has_just_got_more_is_not_standing_still() -> None:
    it = Minutes(Topic())
    for _ in range(3):
        assert it.look(10, 20) == []
    it.topic.at = {0: 11, 1: 21}
    assert it.look(10, 20) == []


def test_brokers_that_are_away_are_told_and_asked_again() -> None:
    it = Minutes(Topic())
    it.look(10, 7)
    it.topic.away, it.topic.is_known = frozenset({0}), False
    assert it.look(10, 7) == [f"{AWAY}; it is waited for"]
