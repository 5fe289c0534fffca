"""Spans of time."""

from __future__ import annotations

import datetime

import pytest

from dcp_core.errors import InvalidSpecError
from dcp_plugins_base.durations import parse_duration, whole_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1s", 1), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)],
)
def test_a_number_and_a_unit_are_a_span(text: str, seconds: float) -> None:
    assert parse_duration(text) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "d", "0d", "-1d", "1", "1 d", "1y", "1.5h", "1d\n", "1D", "١d"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(InvalidSpecError, match="not a span of time") as refused:
        parse_duration(text)
    assert refused.value.hint == "a whole number and ms, s, m, h, d or w: 30d"


@pytest.mark.parametrize("text", ["36501d", "999999999w"])
def test_more_than_a_century_is_a_slip(text: str) -> None:
    with pytest.raises(InvalidSpecError, match="more than a hundred years"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("2000ms", 2), ("90m", 5400), ("1d", 86_400)])
def test_a_span_of_whole_seconds_is_a_number_of_them(text: str, seconds: int) -> None:
    assert whole_seconds(text) == seconds


@pytest.mark.parametrize(("text", "near"), [("500ms", "1s"), ("1500ms", "1s"), ("60001ms", "60s")])
def test_a_span_between_two_seconds_is_not_rounded(text: str, near: str) -> None:
    with pytest.raises(InvalidSpecError, match="not a whole number of seconds") as refused:
        whole_seconds(text)
    assert (refused.value.code, refused.value.hint) == ("duration.seconds", near)


def test_what_is_no_span_is_no_number_of_seconds() -> None:
    with pytest.raises(InvalidSpecError, match="not a span of time"):
        whole_seconds("1.5s")
