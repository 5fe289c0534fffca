"""Cron expressions: against croniter as a peer, and the errors by their words."""

from __future__ import annotations

from datetime import datetime

import pytest
from croniter import CroniterBadDateError, CroniterError, croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from coreetl_driver.cron import FIELDS, PRESETS, CronField, check_cron, five_fields


def _items(field: CronField) -> st.SearchStrategy[str]:
    numbers = st.integers(field.low, field.high)
    names = st.sampled_from([*field.names, *(name.upper() for name in field.names)]) if field.names else st.nothing()
    ranges = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.integers(1, field.high).map(lambda step: f"*/{step}")
    own = {"day of month": st.just("L"), "day of week": st.builds("{}#{}".format, numbers, st.integers(1, 5))}
    return st.one_of(numbers.map(str), names, ranges, steps, st.just("*"), own.get(field.name, st.nothing()))


VALID = st.tuples(*(st.lists(_items(field), min_size=1, max_size=3).map(",".join) for field in FIELDS)).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(VALID)
def test_what_is_accepted_is_what_croniter_schedules(expression: str) -> None:
    problem = check_cron(expression)
    try:
        croniter(expression, datetime(2026, 1, 1)).get_next()
    except CroniterBadDateError:
        assert problem is not None, expression
        assert problem.never_fires
    except CroniterError:
        assert problem is not None, expression
    else:
        assert problem is None, (expression, problem)


@pytest.mark.parametrize(
    "expression",
    ["R R * * *", "r(0-5) * * * *", "H H * * *", "0 0 * * L5", "0 0 ? * *", "٣ * * * *", "² * * * *", "@midnight"],
)
def test_what_croniter_knows_beyond_cron_is_no_schedule(expression: str) -> None:
    problem = check_cron(expression)
    assert problem is not None
    assert not problem.never_fires


@pytest.mark.parametrize("expression", ["0 0 * * 1,5#2", "0 0 31 2 1,2#3", "0 0 * * 5#2,MON"])
def test_a_list_that_croniter_cannot_read_is_refused_in_its_words(expression: str) -> None:
    problem = check_cron(expression)
    assert problem is not None
    assert "does not support mixing" in problem.message
    assert expression not in problem.message


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_stands_for_five_fields(preset: str) -> None:
    assert check_cron(preset) is check_cron(f" {preset}\n") is None
    assert check_cron(five_fields(f" {preset}\n")) is None
    assert len(five_fields(preset).split()) == 5


@pytest.mark.parametrize(
    ("expression", "says", "hint"),
    [
        ("* * * *", "5 fields, this has 4", "0 6 * * *"),
        ("0 0 * * * *", "5 fields, this has 6", "seconds"),
        ("", "this has 0", "minute hour"),
        ("60 * * * *", 'minute "60": 60 is not between 0 and 59', None),
        ("* 24 * * *", 'hour "24": 24 is not between 0 and 23', None),
        ("* * 0 * *", 'day of month "0": 0 is not between 1 and 31', None),
        ("* * * 13 *", 'month "13"', None),
        ("* * * * 8", 'day of week "8"', None),
        ("*/0 * * * *", 'step "0" is not a positive number', None),
        ("*/90 * * * *", "larger than the whole range", None),
        ("5-1 * * * *", "range 5-1 runs backwards", "1-5"),
        ("a * * * *", '"a" is not a number from 0 to 59', None),
        ("* * * FEV *", '"FEV" is not a name', '"FEB"'),
        ("1,,2 * * * *", "empty item", "comma"),
        ("-1 * * * *", "is not a number", None),
        ("* * * * 5#6", "week 6", "5#2"),
        ("@every_day", "not a preset", None),
        ("@Daily", "not a preset", "@daily"),
    ],
)
def test_an_error_says_which_part_is_wrong(expression: str, says: str, hint: str | None) -> None:
    problem = check_cron(expression)
    assert problem is not None
    assert not problem.never_fires
    assert says in problem.message
    if hint:
        assert hint in (problem.hint or "")


@pytest.mark.parametrize(
    "expression", ["0 0 L * *", "0 0 * * 5#2", "0 0 * * FRI#2", "15/20 * * * *", "0 0 1 JAN-MAR *"]
)
def test_airflows_additions_are_accepted(expression: str) -> None:
    assert check_cron(expression) is None
    assert croniter(expression, datetime(2026, 1, 1)).get_next()


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 2,4,6 *", "0 0 30-31 FEB *"])
def test_a_day_that_never_comes_is_told(expression: str) -> None:
    problem = check_cron(expression)
    assert problem is not None
    assert problem.never_fires
