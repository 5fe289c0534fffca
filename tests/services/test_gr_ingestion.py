"""An event ingestion on a real broker, by the command line: made, filled, changed, killed, destroyed."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.end_to_end.projects import Project
from tests.services.kafka_broker import Kafka
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

    it.events([2])
    assert it.run()["rows_written"] == 1
    assert (it.ids(), len(it.letters())) == ([1, 2], 2)
    assert it.run()["rows_written"] == 0

    destroyed = it.pretzel("destroy", "--yes")
    assert destroyed.status == 0, destroyed.out + destroyed.err
    assert it.topic not in it.kafka.topics()
    assert not it.project.catalog().table_exists("events.clicks")
