"""Where a stream's run begins, and what it refuses to pass over."""

from __future__ import annotations

import pytest

from coreetl_driver.job.engine_errors import JobError
from coreetl_driver.job.stream_start import starting_offsets
from coreetl_driver.offsets import OFFSETS, Offsets, last_offsets, marks, offsets_by_topic
from coreetl_driver.sources.topic import TopicIdentity

NOW = TopicIdentity("c1", "t1", (0, 1))
KNOWN = Offsets(7, "c1", "views", "t1", {0: 10, 1: 20})


def begun(
    known: Offsets | None = KNOWN,
    identity: TopicIdentity = NOW,
    beginnings: tuple[int, ...] = (0, 0),
    ends: tuple[int, ...] = (30, 30),
    *,
    accept_loss: bool = False,
) -> dict[int, int]:
    said: list[str] = []
    return starting_offsets(
        known, identity, "views", dict(enumerate(beginnings)), dict(enumerate(ends)), said.append,
        accept_loss=accept_loss,
    )  # fmt: skip


def refusal(**changes: object) -> str:
    with pytest.raises(JobError) as caught:
        begun(**changes)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_run_goes_on_where_the_table_says() -> None:
    assert begun() == {0: 10, 1: 20}


def test_a_table_without_offsets_takes_all_that_there_is() -> None:
    assert begun(None, beginnings=(3, 4)) == {0: 3, 1: 4}


def test_a_new_partition_is_read_from_its_beginning() -> None:
    assert begun(identity=TopicIdentity("c1", "t1", (0, 1, 2)), beginnings=(0, 0, 2), ends=(30, 30, 30))[2] == 2


def test_all_has_been_read_and_then_deleted_which_is_no_loss() -> None:
    assert begun(beginnings=(10, 20), ends=(10, 20)) == {0: 10, 1: 20}


def test_what_is_gone_is_told_by_partition_and_passed_over_when_that_is_accepted() -> None:
    told = refusal(beginnings=(12, 0))
    assert "offsets 10 to 11 of partition 0 are gone" in told
    assert "accept_loss=true" in told
    assert begun(beginnings=(12, 0), accept_loss=True) == {0: 12, 1: 20}


def test_a_topic_that_ends_before_what_was_read_has_lost_messages() -> None:
    assert "partition 1 ends at offset 15, and the table has come to 20" in refusal(ends=(30, 15))
    assert begun(ends=(30, 15), accept_loss=True) == {0: 10, 1: 15}


def test_many_losses_are_counted() -> None:
    identity = TopicIdentity("c1", "t1", tuple(range(8)))
    known = Offsets(7, "c1", "views", "t1", dict.fromkeys(range(8), 1))
    assert "; and 3 more" in refusal(known=known, identity=identity, beginnings=(5,) * 8, ends=(9,) * 8)


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        (TopicIdentity("c1", "t2", (0, 1)), "was deleted and made again since: its id is t2"),
        (TopicIdentity("c2", "t1", (0, 1)), "this is Kafka cluster c2, and the table's offsets are of c1"),
    ],
)
def test_offsets_of_another_topic_say_nothing(identity: TopicIdentity, told: str) -> None:
    assert told in refusal(identity=identity)
    assert begun(identity=identity, beginnings=(1, 2), accept_loss=True) == {0: 1, 1: 2}


def metadata(current: int, *snapshots: tuple[int, int | None, dict[str, str]]) -> dict[str, object]:
    listed = [{"snapshot-id": id_, "parent-snapshot-id": parent, "summary": said} for id_, parent, said in snapshots]
    return {"current-snapshot-id": current, "snapshots": listed}


def test_offsets_are_those_of_the_nearest_ancestor_that_has_some() -> None:
    first, second = marks("c", "views", "t", {0: 1, 10: 5}, 6), marks("c", "views", "t", {0: 9}, 8)
    history: tuple[tuple[int, int | None, dict[str, str]], ...] = ((1, None, first), (2, 1, {}), (3, 1, second))
    found = last_offsets(metadata(2, *history))  # 3 was rolled back, 2 is a compaction
    assert found == Offsets(1, "c", "views", "t", {0: 1, 10: 5})
    assert found.is_of(first)
    assert not found.is_of(second)
    assert last_offsets(metadata(2, (2, 1, {}))) is None
    assert last_offsets({}) is None


def test_a_stream_that_comes_back_to_a_topic_goes_on_with_that_topics_offsets() -> None:
    history: tuple[tuple[int, int | None, dict[str, str]], ...]
    history = ((1, None, marks("c", "views", "t", {0: 1}, 1)), (2, 1, marks("c", "other", "u", {0: 5}, 1)))
    assert (last_offsets(metadata(2, *history)) or KNOWN).topic == "other"
    found = last_offsets(metadata(2, *history), "views")
    assert found is not None
    assert (found.snapshot_id, found.next) == (1, {0: 1})
    assert OFFSETS in history[0][2]


def test_the_offsets_of_an_earlier_topic_outlive_the_snapshot_that_said_them() -> None:
    history: tuple[tuple[int, int | None, dict[str, str]], ...]
    history = ((1, None, marks("c", "views", "t", {0: 1, 10: 7}, 1)),)
    for snapshot in (2, 3):
        others = offsets_by_topic(metadata(snapshot - 1, *history)).values()
        history = (*history, (snapshot, snapshot - 1, marks("c", "other", "u", {0: snapshot}, 1, others)))
    kept = metadata(3, history[-1])  # the others have expired
    assert last_offsets(kept) == Offsets(3, "c", "other", "u", {0: 3})
    assert last_offsets(kept, "views") == Offsets(3, "c", "views", "t", {0: 1, 10: 7})
    assert history[-1][2][OFFSETS].count('"other"') == 1
