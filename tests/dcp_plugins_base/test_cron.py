"""Cron expressions: against croniter as a peer, and the errors by their words."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp_plugins_base.cron import FIELDS, CronField, check_cron


def _items(field: CronField) -> st.SearchStrategy[str]:
    numbers = st.integers(field.low, field.high)
    names = st.sampled_from([*field.names, *(name.upper() for name in field.names)]) if field.names else st.nothing()
    ranges = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.integers(1, field.high).map(lambda step: f"*/{step}")
    return st.one_of(numbers.map(str), names, ranges, steps, st.just("*"))


VALID = st.tuples(*(st.lists(_items(field), min_size=1, max_size=3).map(",".join) for field in FIELDS)).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(VALID)
def test_what_croniter_schedules_is_accepted_and_what_never_comes_is_told(expression: str) -> None:
    peer = pytest.importorskip("croniter", reason="croniter, which Airflow uses, is the judge")
    problem = check_cron(expression)
    try:
        peer.croniter(expression, datetime(2026, 1, 1)).get_next()
    except peer.CroniterError:
        return  # it is stricter about some odd lists; what it accepts is what matters
    assert problem is None, (expression, problem)


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
    peer = pytest.importorskip("croniter", reason="croniter, which Airflow uses, is the judge")
    assert peer.croniter(expression, datetime(2026, 1, 1)).get_next()


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 2,4,6 *", "0 0 30-31 FEB *"])
def test_a_day_that_never_comes_is_told(expression: str) -> None:
    problem = check_cron(expression)
    assert problem is not None
    assert problem.never_fires
