"""What a change of a topic does to its events, and where its replicas go; no broker is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dcp_core.errors import InvalidSpecError
from dcp_core.model import Effect, FieldChange, Owner, State
from dcp_primitives.kafka import acls
from dcp_primitives.kafka.assigning import reassigned, uniform
from dcp_primitives.kafka.comparing import compare_topics, creation, deletion
from dcp_primitives.kafka.reading import PENDING
from dcp_primitives.kafka.spec import canonical_acls, canonical_config, canonical_value

OWNER = Owner("events/views", "production")
DEFAULTS = {"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1"}
HOLDING = {"records": 1200, "bytes": 35_100, "partition_bytes": [30_000, 5100], "records_older": 800}


def desired(config: Mapping[str, str] | None = None, *, partitions: int = 2, **info: Any) -> State:
    values = {"partitions": partitions, "replication": 1, "config": config or {}, "acls": None}
    return State(values, OWNER, info={"effective": {**DEFAULTS, **(config or {})}, "problems": [], **info})


def actual(config: Mapping[str, str] | None = None, *, partitions: int = 2, **info: Any) -> State:
    values = {"partitions": partitions, "replication": 1, "config": config or {}, "acls": None}
    return State(values, OWNER, info={"effective": {**DEFAULTS, **(config or {})}, **HOLDING, **info})


def change(wanted: State, there: State) -> FieldChange:
    (found,) = compare_topics(wanted, there)
    return found


@pytest.mark.parametrize(
    ("before", "after", "effect", "said"),
    [
        ({"retention.ms": "1000"}, {"retention.ms": "2000"}, Effect.UPDATE, None),
        ({"retention.ms": "1000"}, {"retention.ms": "-1"}, Effect.UPDATE, None),
        ({"retention.ms": "1000"}, {}, Effect.UPDATE, None),
        ({}, {"retention.ms": "60000"}, Effect.DESTRUCTIVE, "7 days to 60 seconds: 800 of 1,200 messages (35.1 kB)"),
        ({"retention.ms": "-1"}, {}, Effect.DESTRUCTIVE, "for ever to 7 days, the broker's default,: 800 of"),
        ({}, {"retention.bytes": "6000"}, Effect.DESTRUCTIVE, "each partition keeps 6.0 kB: 24.0 kB of 1,200 messages"),
        ({"retention.bytes": "6000"}, {}, Effect.UPDATE, None),
        ({"retention.bytes": "6000"}, {"retention.bytes": "9000"}, Effect.UPDATE, None),
        ({}, {"cleanup.policy": "compact"}, Effect.DESTRUCTIVE, "only the last message of each key: of 1,200"),
        ({}, {"cleanup.policy": "compact,delete"}, Effect.DESTRUCTIVE, "only the last message of each key"),
        ({"cleanup.policy": "compact,delete"}, {"cleanup.policy": "delete"}, Effect.UPDATE, None),
        ({"cleanup.policy": "compact,delete"}, {"cleanup.policy": "compact"}, Effect.UPDATE, None),
        ({"cleanup.policy": "compact"}, {}, Effect.DESTRUCTIVE, "by age where they were kept by key"),
        ({"max.message.bytes": "9"}, {"max.message.bytes": "5"}, Effect.UPDATE, None),
    ],
)
def test_what_a_configuration_takes_away(
    before: dict[str, str], after: dict[str, str], effect: Effect, said: str | None
) -> None:
    found = change(desired(after), actual(before))
    assert found.effect is effect
    assert (said or "") in (found.why or "")
    assert (found.why is None) is (effect is Effect.UPDATE)


def test_a_shorter_retention_takes_nothing_where_only_keys_count() -> None:
    compacted = {"cleanup.policy": "compact"}
    found = change(desired({**compacted, "retention.ms": "1"}), actual(compacted))
    assert (found.field, found.effect) == ("config.retention.ms", Effect.UPDATE)


def test_figures_that_could_not_be_had_are_said_to_be_unknown() -> None:
    found = change(desired({"retention.ms": "1"}), actual(records=None, bytes=None, records_older=None))
    assert "an unknown number of an unknown number of messages are older and go" in str(found.why)
    (gone,) = deletion("views", actual(records=1, bytes=None))
    assert (gone.effect, gone.why) == (Effect.DESTRUCTIVE, "deletes the topic views with 1 message")


def test_partitions_grow_and_anything_less_is_another_topic() -> None:
    more, fewer = change(desired(partitions=3), actual()), change(desired(partitions=1), actual())
    assert (more.effect, fewer.effect) == (Effect.UPDATE, Effect.REPLACE)
    assert "messages of one key may be in two partitions" in str(more.why)
    assert "1,200 messages (35.1 kB)" in str(fewer.why)


def test_a_problem_refuses_the_change_that_asks_for_it_and_nothing_else() -> None:
    problem = {"field": "config.segment.ms", "message": "no such number"}
    found = change(desired({"segment.ms": "x"}, problems=[problem]), actual())
    assert (found.effect, found.desired, found.why) == (Effect.REFUSED, "x", "no such number")
    away = {"field": "replication", "message": "only 1 broker"}
    assert compare_topics(desired(problems=[away]), actual()) == (), "as it is, it is fine"
    refused = [each.field for each in creation(desired(problems=[away])) if each.effect is Effect.REFUSED]
    assert refused == ["replication"]


def test_a_mark_that_is_only_announced_is_a_change() -> None:
    assert change(desired(), actual(**{PENDING: True})).field == "ownership"


def test_acls_are_told_in_words() -> None:
    given_acls = canonical_acls([{"principal": "User:web", "host": "10.0.0.1", "operations": ["write", "read"]}])
    wanted, there = desired(), actual()
    found = change(
        State({**wanted.values, "acls": given_acls}, OWNER, info=wanted.info),
        State({**there.values, "acls": []}, OWNER, info=there.info),
    )
    assert found.desired == ["User:web may read from 10.0.0.1", "User:web may write from 10.0.0.1"]


NAMES = st.sampled_from(["User:a", "User:b"])
ACLS = st.lists(
    st.fixed_dictionaries(
        {
            "principal": NAMES,
            "host": st.sampled_from(["*", "10.0.0.1"]),
            "operations": st.lists(st.sampled_from(["read", "write"]), min_size=1),
        }
    )
)


@given(ACLS)
def test_canonical_acls_say_the_same_and_are_canonical(given_acls: list[dict[str, Any]]) -> None:
    canonical = canonical_acls(given_acls)
    assert acls.entries(canonical) == acls.entries(given_acls)
    assert canonical_acls(canonical) == canonical
    assert canonical_acls(list(reversed(given_acls))) == canonical


@given(st.text(alphabet="0123456789.,+-eE truefalsTRUEcompact", max_size=12))
@example("00,")
def test_a_canonical_value_stays_as_it_is(text: str) -> None:
    value = canonical_value("cleanup.policy", text)
    assert canonical_value("cleanup.policy", value) == value
    other = canonical_value("segment.ms", text)
    assert canonical_value("segment.ms", other) == other


def test_values_that_mean_the_same_are_the_same() -> None:
    assert canonical_config({"b": " TRUE", "a": "0.50", "c": "+07", "cleanup.policy": "delete, compact"}) == {
        "a": "0.5",
        "b": "true",
        "c": "7",
        "cleanup.policy": "compact,delete",
    }


@given(
    st.dictionaries(
        st.integers(0, 8), st.lists(st.integers(1, 5), min_size=1, max_size=5, unique=True).map(tuple), min_size=1
    ),
    st.integers(1, 6),
)
def test_reassigning_gives_each_partition_its_replicas_and_moves_no_more(
    partitions: dict[int, tuple[int, ...]], replication: int
) -> None:
    racks = {1: "a", 2: "a", 3: "b", 4: "b", 5: None, 6: None}
    changed = reassigned(partitions, replication, racks)
    after = {**partitions, **changed}
    assert uniform(tuple(after.values())) == replication
    for partition, replicas in changed.items():
        before = partitions[partition]
        assert len(set(replicas)) == len(replicas)
        shared = min(len(before), replication)
        assert replicas[:shared] == before[:shared], "what is there stays"
    assert reassigned(after, replication, racks) == {}


def test_a_new_replica_goes_to_another_rack_and_the_least_used_broker() -> None:
    racks = {1: "a", 2: "a", 3: "b", 4: "b"}
    assert reassigned({0: (1,), 1: (1,)}, 2, racks) == {0: (1, 3), 1: (1, 4)}
    with pytest.raises(InvalidSpecError, match="replication is 5, and there are 4 brokers"):
        reassigned({0: (1,)}, 5, racks)


def test_meddled_partitions_show_all_their_numbers() -> None:
    assert uniform(((1, 2), (1,))) == [1, 2]
