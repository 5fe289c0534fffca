"""How long a server that has gone away is waited for, and what people are told meanwhile."""

from __future__ import annotations

import pytest

from dcp_core.errors import TransientError
from dcp_graph_runner.client.patience import Patience

AWAY = TransientError("the server has gone away")


class Time:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


def waited(patience: Patience, times: int) -> None:
    for _ in range(times):
        patience.wait(AWAY)


def test_the_error_comes_out_when_the_limit_is_over_and_not_much_later(time: Time) -> None:
    patience = Patience(30.0, lambda words: None, time.sleep, time.clock)
    with pytest.raises(TransientError) as ended:
        waited(patience, 1000)
    assert ended.value is AWAY
    assert sum(time.slept_s) == pytest.approx(30.0)


def test_pauses_grow_and_differ(time: Time) -> None:
    patience = Patience(1000.0, lambda words: None, time.sleep, time.clock)
    waited(patience, 12)
    assert time.slept_s[0] <= 0.1
    assert all(1.5 <= each <= 3.0 for each in time.slept_s[-5:])
    assert len(set(time.slept_s)) == 12


def test_people_are_told_once_and_of_what_is_back_at_once_not_at_all(time: Time) -> None:
    told: list[str] = []
    patience = Patience(60.0, told.append, time.sleep, time.clock)
    waited(patience, 1)
    patience.seen()
    assert told == []
    waited(patience, 5)
    assert told == ["the server has gone away; trying again for up to 60 s"]
    patience.seen()
    assert told[1:] == ["the server is back"]
    waited(patience, 5)
    assert len(told) == 2


def test_a_sign_of_life_starts_the_limit_anew(time: Time) -> None:
    patience = Patience(10.0, lambda words: None, time.sleep, time.clock)
    for _ in range(5):
        while time.now_s % 20 < 8:
            patience.wait(AWAY)
        patience.seen()
        time.now_s += 20 - time.now_s % 20
    assert time.now_s >= 200


def test_a_stream_that_was_open_for_long_is_a_sign_of_life_though_nothing_happened_on_it(time: Time) -> None:
    patience = Patience(30.0, lambda words: None, time.sleep, time.clock)
    for _ in range(5):
        time.now_s += 3600
        patience.wait(AWAY, open_s=3600)
    time.now_s += 31
    with pytest.raises(TransientError):
        patience.wait(AWAY, open_s=31)


def test_without_any_patience_the_error_comes_out_at_once(time: Time) -> None:
    with pytest.raises(TransientError):
        Patience(0.0, lambda words: None, time.sleep, time.clock).wait(AWAY)
