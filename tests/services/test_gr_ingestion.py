"""An event ingestion on a real broker, by the command line: made, filled, changed, killed, destroyed."""

from __future__ import annotations

import datetime
import os
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.end_to_end.projects import Project
from tests.services.kafka_broker import PASSWORDS, Kafka
from tests.services.streaming import Stream, event

Make = Callable[..., Stream]


@pytest.fixture
def stream(kafka: Kafka, tmp_path: Path) -> Make:
    return lambda name, **more: Stream(Project(tmp_path), kafka, name, **more)


def test_events_become_rows_and_malformed_ones_dead_letters(stream: Make) -> None:
    it = stream("clicks", partitions=2)
    linted = it.pretzel("lint")
    assert linted.status == 0, linted.out
    planned = it.pretzel("plan")
    assert [each["label"] for each in planned.document["manifests"][0]["actions"]] == [
        "CREATE_TOPIC", "CREATE_TABLE", "CREATE_TABLE", "CREATE_JOB",
    ]  # fmt: skip
    it.apply()
    assert it.run()["rows_written"] == 0

    good = event(1, campaign={"source": "mail"}, items=[{"sku": "a", "qty": 2}, None], unknown=5)
    bad = b'{"view_id": 7, \xff'
    it.produce(good, partition=0)
    it.produce(bad, partition=1, key=b"\x00key", timestamp_ms=1_700_000_000_123)
    it.produce(None, partition=1, key=b"gone")
    ran = it.run()
    assert (ran["status"], ran["rows_written"], ran["backend"]) == ("SUCCEEDED", 1, "local")
    (row,) = it.rows()
    assert row == {
        "view_id": "v1",
        "viewed_at": datetime.datetime(2026, 11, 23, 10, 0, 0, 500_000, tzinfo=datetime.UTC),
        "amount": Decimal("12.30"),
        "campaign": [("source", "mail")],
        "items": [{"sku": "a", "qty": 2}, None],
    }
    unreadable, tombstone = it.letters()
    moment = datetime.datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=datetime.UTC)
    assert unreadable.pop("failed_at") > moment
    assert unreadable == {
        "topic": it.topic, "partition": 1, "offset": 0, "timestamp": moment, "key": b"\x00key", "value": bad,
        "error_code": "json.encoding", "error": "the value is not UTF-8 at byte 15",
    }  # fmt: skip
    assert (tombstone["offset"], tombstone["value"], tombstone["error_code"]) == (1, None, "message.no_value")
    it.produce(bad, partition=1)
    told = it.project.pretzel("run", it.file, timeout_s=180)
    assert "1 dead letter in events.clicks_dead_letter, messages that could not be read" in told.out + told.err

    it.events([2])
    assert it.run()["rows_written"] == 1
    assert (it.ids(), len(it.letters())) == ([1, 2], 3)
    assert it.run()["rows_written"] == 0

    destroyed = it.pretzel("destroy", "--yes")
    assert destroyed.status == 0, destroyed.out + destroyed.err
    assert it.topic not in it.kafka.topics()
    assert not it.project.catalog().table_exists("events.clicks")


def test_killed_in_the_middle_again_and_again_each_event_is_there_once(stream: Make) -> None:
    it = stream("kills", partitions=2)
    it.apply()
    made, commits = 0, 0
    for _ in range(3):
        it.events(range(made, made + 40))
        made += 40
        running = it.start_running(continuous="true")
        deadline = time.monotonic() + 240
        while it.commits() <= commits:
            it.events(range(made, made + 3))
            made += 3
            assert time.monotonic() < deadline, "nothing is committed"
            time.sleep(0.2)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(30)
        it.produce(b"[]")
        commits = it.commits()
    it.run()
    assert it.ids() == list(range(made))
    assert [each["value"] for each in it.letters()] == [b"[]"] * 3


def test_a_continuous_run_takes_what_comes_until_it_is_stopped_and_is_the_only_one(stream: Make) -> None:
    it = stream("going", partitions=1)
    it.apply()
    running = it.start_running(continuous="true")
    it.events(range(3))
    it.wait_for(lambda: it.ids() == [0, 1, 2], "the first events")
    assert "runs already" in it.failure()
    it.grow(2)
    it.events(range(3, 6), partition=1)
    it.wait_for(lambda: it.ids() == list(range(6)), "the events of the new partition")
    it.events(range(6, 9))
    time.sleep(0.3)
    stopped = it.project.pretzel("ops", "stop", it.file, "-o", "json")
    assert stopped.status == 0, stopped.out + stopped.err
    running.wait(60)
    assert it.run()["rows_written"] == 0, "the stop was without a last commit"
    assert it.ids() == list(range(9))


def test_what_only_a_transaction_could_tell_is_not_read(stream: Make) -> None:
    it = stream("paid", partitions=1)
    it.apply()
    it.in_transaction([event(1)], commit=False)
    it.in_transaction([event(2)], commit=True)
    assert it.run()["rows_written"] == 1
    assert it.ids() == [2]
    it.in_transaction([event(3)], commit=False)
    assert it.run()["rows_written"] == 0


def test_a_topic_with_more_partitions_or_long_messages_is_read_whole(stream: Make) -> None:
    it = stream("grown", partitions=1, config={"max.message.bytes": "12000000"})
    it.apply()
    it.events([1])
    it.run()
    it.partitions = 3
    it.write()
    it.apply()
    it.produce(event(2, campaign={"long": "x" * 10_000_000}), partition=2)
    it.events([3], partition=1)
    assert it.run()["rows_written"] == 2
    assert it.ids() == [1, 2, 3]


def test_messages_that_are_gone_and_a_topic_made_again_are_told_and_never_passed_over(stream: Make) -> None:
    it = stream("gone", partitions=1)
    it.apply()
    it.events(range(2))
    it.run()
    it.events(range(2, 8))
    it.delete_records(before=5)
    assert it.failure() == (
        f"messages of topic {it.topic} were lost before they were read: offsets 2 to 4 of partition 0 are gone "
        "from it; run once with accept_loss=true to go on without them"
    )
    assert it.ids() == [0, 1]
    assert it.run(accept_loss="true")["rows_written"] == 3
    assert it.ids() == [0, 1, 5, 6, 7]

    it.make_topic_again()
    it.events(range(20, 22))
    told = it.failure()
    assert f"topic {it.topic} was deleted and made again since" in told
    assert "accept_loss=true" in told
    assert it.run(accept_loss="true")["rows_written"] == 2
    assert it.ids() == [0, 1, 5, 6, 7, 20, 21]


def test_a_table_that_does_not_know_how_far_its_stream_is_takes_nothing_twice_unasked(stream: Make) -> None:
    it = stream("adopted", partitions=1)
    it.apply()
    for number in (0, 1):
        it.events([number])
        it.run()
    table = it.project.catalog().load_table("events.adopted")
    table.delete("view_id == 'v0'")  # a commit of somebody else
    newest = table.metadata.current_snapshot_id
    table.maintenance.expire_snapshots().by_ids(
        [each.snapshot_id for each in table.metadata.snapshots if each.snapshot_id != newest]
    ).commit()
    it.events([2])
    assert "none of its snapshots says how far the stream has come" in it.failure()
    assert it.ids() == [1]
    assert it.run(from_beginning="true")["rows_written"] == 3
    assert it.ids() == [0, 1, 1, 2]
    it.events([3])
    assert it.run(from_beginning="true")["rows_written"] == 1  # the table knows now


def test_a_rollback_takes_the_offsets_along(stream: Make) -> None:
    it = stream("rolled", partitions=1)
    it.apply()
    it.events([1])
    it.run()
    table = it.project.catalog().load_table("events.rolled")
    first = table.metadata.current_snapshot_id
    it.events([2])
    it.produce(b"bad")
    it.run()
    table.refresh().manage_snapshots().rollback_to_snapshot(first).commit()
    assert it.ids() == [1]
    it.events([3])
    assert it.run()["rows_written"] == 2
    assert (it.ids(), len(it.letters())) == ([1, 2, 3], 1)


def test_a_user_who_may_only_read_the_topic_can_run_it_and_no_secret_is_left_anywhere(stream: Make) -> None:
    it = stream("guarded", partitions=1)
    it.apply()
    it.events([1])
    it.sign_in("stranger")
    assert "the principal of [kafka] needs Describe and Read on the topic" in it.failure()
    it.allow("stranger", "READ", "DESCRIBE")
    assert it.run()["rows_written"] == 1
    it.sign_in("stranger", password="not-the-password")
    assert "does not let stranger in" in it.failure()
    kept = [file for file in it.project.root.rglob("*") if file.is_file() and file.name != "dcp.toml"]
    assert any(file.name == "log.txt" for file in kept)
    for file in kept:
        text = file.read_bytes()
        assert PASSWORDS["stranger"].encode() not in text, file
        assert b"not-the-password" not in text, file
