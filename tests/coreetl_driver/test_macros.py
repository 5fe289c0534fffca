"""Run dates in parameters: against Jinja, whose syntax they have, and the errors by their words."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreetl_driver import macros
from dcp_core.errors import InvalidSpecError
from dcp_core.intervals import Interval

JANUARY = Interval(datetime(2026, 1, 31, 4, 30, tzinfo=UTC), datetime(2026, 2, 1, 4, 30, tzinfo=UTC))
MOMENTS = ("data_interval_start", "data_interval_end", "logical_date")
TEXTS = st.text(st.characters(exclude_characters="{}\\'\"", exclude_categories=["Cc"], codec="ascii"), max_size=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ ds }}", "2026-01-31"),
        ("{{ds_nodash}}", "20260131"),
        ("{{ ts }}", "2026-01-31T04:30:00+00:00"),
        ("{{ ts_nodash }} {{ ts_nodash_with_tz }}", "20260131T043000 20260131T043000+0000"),
        ("{{ data_interval_start }}", "2026-01-31T04:30:00+00:00"),
        ("{{ data_interval_end | ds }}", "2026-02-01"),
        ("{{ logical_date|ds_nodash }}", "20260131"),
        ("{{ macros.ds_add(ds, -31) }}", "2025-12-31"),
        ("{{ macros.ds_add(data_interval_end | ds, 28) }}", "2026-03-01"),
        ('{{ macros.ds_format(ds, "%Y-%m-%d", "%Y/%m") }}', "2026/01"),
        ("day={{ ds }}/part={{ ds_nodash }}", "day=2026-01-31/part=20260131"),
        ("{{ '{{ ds }}' }}", "{{ ds }}"),
        ("{ds} }} $ % :ds", "{ds} }} $ % :ds"),
        ("", ""),
    ],
)
def test_the_dates_of_a_run_are_filled_in(text: str, expected: str) -> None:
    assert macros.check(text) == ()
    assert macros.resolve(text, JANUARY) == expected


def expressions() -> st.SearchStrategy[str]:
    """What the language has, in braces, with text around it."""
    moments, filters = st.sampled_from(MOMENTS), st.sampled_from(macros.FILTERS)
    filtered = st.tuples(moments, filters).map(" | ".join)
    days = st.one_of(st.just("ds"), moments.map("{} | ds".format))
    added = st.tuples(days, st.integers(-4000, 4000)).map(lambda pair: f"macros.ds_add({pair[0]}, {pair[1]})")
    inside = st.one_of(filters, filtered, added, TEXTS.map("'{}'".format), st.integers(0, 10**6).map(str))
    piece = st.one_of(inside.map("{{{{ {} }}}}".format), inside.map("{{{{{}}}}}".format), TEXTS)
    return st.lists(piece, max_size=4).map("".join)


@settings(max_examples=300, deadline=None)
@given(expressions(), st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)))
def test_jinja_reads_the_same_in_it(text: str, start: datetime) -> None:
    """Jinja knows no dates of runs: names and filters are given to it as Airflow's documentation describes them."""
    jinja = pytest.importorskip("jinja2.sandbox", reason="Jinja, which Airflow uses, is the judge")
    interval = Interval(start, start + timedelta(hours=1))
    environment = jinja.SandboxedEnvironment(keep_trailing_newline=True)
    forms = {
        "ds": lambda moment: moment.date().isoformat(),
        "ds_nodash": lambda moment: moment.date().isoformat().replace("-", ""),
        "ts": lambda moment: moment.isoformat(),
        "ts_nodash": lambda moment: f"{moment:%Y%m%dT%H%M%S}",
        "ts_nodash_with_tz": lambda moment: f"{moment:%Y%m%dT%H%M%S}+0000",
    }
    environment.filters.update(forms)
    names: dict[str, Any] = {name: form(start) for name, form in forms.items()}
    names |= {"data_interval_start": start, "data_interval_end": interval.end, "logical_date": start}

    class Functions:
        @staticmethod
        def ds_add(ds: str, days: int) -> str:
            return (date.fromisoformat(ds) + timedelta(days=days)).isoformat()

    expected = environment.from_string(text).render(**names, macros=Functions)
    assert macros.check(text) == ()
    assert macros.resolve(text, interval) == expected


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("{{ dss }}", "there is no 'dss'", "did you mean 'ds'?"),
        ("{{ DS }}", "there is no 'DS'", "did you mean 'ds'?"),
        ("{{ execution_date }}", "there is no 'execution_date'", "write {{ logical_date }}"),
        ("{{ yesterday_ds }}", "there is no 'yesterday_ds'", "macros.ds_add(ds, -1)"),
        ("{{ ds_add(ds, 1) }}", "this is no name", "there are: ds, "),
        ("{{ data_interval_end | day }}", "there is no filter 'day'", "filters: ds, "),
        ("{{ ds | ds_nodash }}", "filter 'ds_nodash' takes a moment", "data_interval_end | ds"),
        ("{{ macros.ds_ad(ds, 1) }}", "there is no function macros.ds_ad", "macros.ds_add?"),
        ("{{ macros.ds_add(ds, '1') }}", "not used as it is meant", "macros.ds_add(ds, -3)"),
        ("{{ macros.ds_add('soon', 1) }}", "'soon' is not a day", "YYYY-MM-DD"),
        ("{{ macros.ds_add(ds, 99999999999) }}", "out of the calendar", None),
        ('{{ macros.ds_format(ds, "%d.%m.%Y", "%Y") }}', "is not of the form", None),
        ('{{ macros.ds_format(ds, "%Y-%m-%d", "%99999999d") }}', "a directive that is not supported", "%Y-%m-%d"),
        ("{{ ds", "the braces are not closed", "{{ ds }}"),
        ("{{ }}", "this cannot be read", "there are: ds"),
        ("{% if ds %}", "statements and comments of templates are not supported", "{{ ds }}"),
        ("{{ var.value.token }}", "this is no name", None),
        ("{{ ''.__class__ }}", "this is no name", None),
        ("{{ 'a' * 1000000000 }}", "this is no name", None),
        ("{{ 9 ** 9 ** 9 }}", "this is no name", None),
        ("{{ macros.ds_add.__globals__ }}", "this is no name", None),
        ("{{ [ds for ds in ds] }}", "this is no name", None),
        ("{{ '\\x41' }}", "a backslash has no meaning", None),
        ("{{" + "(" * 100_000 + "}}", "longer than 200 characters", None),
        ("{{ ds }}" * 51, "more than 50 macros", None),
        ("{{ ds }} and {{ " + "-" * 150 + "1 }}", "this is no name", None),
    ],
)
def test_what_cannot_be_filled_in_is_told_with_a_suggestion(text: str, says: str, hint: str | None) -> None:
    (problem,) = macros.check(text)
    assert says in problem.message
    assert hint is None or hint in (problem.hint or "")
    with pytest.raises(InvalidSpecError) as caught:
        macros.resolve(text, JANUARY)
    assert says in caught.value.message


def test_every_problem_of_a_text_is_told_at_its_place() -> None:
    found = macros.check("{{ one }} {{ ds }} {{ two }}")
    assert [(problem.offset, problem.message.split(":")[0]) for problem in found] == [
        (0, "{{ one }}"),
        (19, "{{ two }}"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "1if 1else 2",
        "0x1for x in ds",
        "1_0or 2",
        "f'{1if 1else 2}'",
        "rb'1'",
        "'''a' '''1if 1else'",
        "ds # '\n1if '",
        "'1if",
    ],
)
def test_what_python_would_warn_of_is_refused_in_silence(source: str) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        (problem,) = macros.check(f"{{{{ {source} }}}}")
    assert told == []
    assert "this cannot be read" in problem.message or "the braces are not closed" in problem.message


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from(["1", "if ", "else ", "0x1", "f", "'", '"', "ds", " ", "_", "#", "\n", "(", ")"]), max_size=12
    )
)
def test_nothing_that_is_typed_makes_python_warn(pieces: list[str]) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        macros.check(f"{{{{ {''.join(pieces)} }}}}")
    assert told == []


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("{}%# \"'|.,()-+*dst_1\\\nmacros"), max_size=40))
def test_any_text_is_filled_in_or_refused_in_words(text: str) -> None:
    if macros.check(text):
        with pytest.raises(InvalidSpecError):
            macros.resolve(text, JANUARY)
    elif not macros.has_macros(text):
        assert macros.resolve(text, JANUARY) == text
