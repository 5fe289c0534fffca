"""The queue's rules, for any order of calls."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dcp_graph_runner.controller.queueing import FairQueue, Key

keys = st.tuples(st.sampled_from(["production", "playground_a", "playground_b"]), st.sampled_from("abcdefgh"))


@given(st.lists(keys))
def test_each_key_comes_out_once_and_none_is_lost(put: list[Key]) -> None:
    queue = FairQueue()
    for key in put:
        queue.put(key)
    assert len(queue) == len(set(put))
    taken = []
    while key := queue.take():
        taken.append(key)
        queue.done(key)
    assert Counter(taken) == Counter(set(put))
    assert len(queue) == 0


@given(st.lists(keys, min_size=1))
def test_environments_take_turns(put: list[Key]) -> None:
    """As long as another environment waits, nobody is served twice in between."""
    queue = FairQueue()
    for key in put:
        queue.put(key)
    left = Counter(environment for environment, _ in set(put))
    while left:
        round_of = []
        for _ in range(len(left)):
            key = queue.take()
            assert key is not None
            round_of.append(key[0])
        assert Counter(round_of) == dict.fromkeys(left, 1)
        left = left - Counter(round_of)


def test_one_that_has_many_keeps_nobody_waiting() -> None:
    queue = FairQueue()
    for number in range(10_000):
        queue.put(("production", f"m{number}"))
    queue.take()
    queue.put(("playground_a", "only"))
    assert ("playground_a", "only") in (queue.take(), queue.take())


@given(st.lists(st.tuples(st.sampled_from(["put", "take", "done"]), keys)))
def test_no_key_is_worked_on_twice_at_once_and_what_is_put_meanwhile_comes_again(calls: list[tuple[str, Key]]) -> None:
    queue, working, owed = FairQueue(), set[Key](), set[Key]()
    for call, key in calls:
        if call == "put":
            queue.put(key)
            owed.add(key)
        elif call == "take" and (taken := queue.take()):
            assert taken not in working
            working.add(taken)
            owed.remove(taken)
        elif call == "done" and key in working:
            queue.done(key)
            working.remove(key)
    for key in working:
        queue.done(key)
    while taken := queue.take():
        owed.remove(taken)
        queue.done(taken)
    assert not owed


@given(st.sets(keys))
def test_what_is_forgotten_never_comes(put: set[Key]) -> None:
    queue = FairQueue()
    for key in put:
        queue.put(key)
    queue.forget()
    assert queue.take() is None
    assert not any(queue.has_any(environment) for environment, _ in put)
