"""The interval of a run, and what the driver makes of it: resolved once, before submission, and recorded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreetl_driver import JobSpec, wire
from coreetl_driver.driver import Driver
from coreetl_driver.run_dates import check_schedule, run_interval
from coreetl_driver.specs import check_spec, chosen_parameters
from dcp_core.errors import InvalidSpecError
from dcp_core.intervals import END, RESERVED, START, Interval, parse_moment
from tests.coreetl_driver.conftest import ENVIRONMENT, Project

NOW = datetime(2026, 1, 31, 4, 30, 0, 250_000, tzinfo=UTC)
SQL = "SELECT order_id, qty FROM raw.orders WHERE CAST(:day AS DATE) = CAST(:again AS DATE)"
PARAMS = {"day": "{{ ds }}", "again": "{{ macros.ds_add(data_interval_end | ds, -1) }}"}


def told(schedule: str | None, params: dict[str, str]) -> tuple[str, str]:
    interval = run_interval(params, schedule, NOW)
    return f"{interval.start:%Y-%m-%dT%H:%M}", f"{interval.end:%Y-%m-%dT%H:%M}"


@pytest.mark.parametrize(
    ("schedule", "params", "expected"),
    [
        (None, {}, ("2026-01-31T00:00", "2026-02-01T00:00")),
        (" @daily\n", {}, ("2026-01-30T00:00", "2026-01-31T00:00")),
        ("0 * * * *", {}, ("2026-01-31T03:00", "2026-01-31T04:00")),
        ("30 4 * * *", {}, ("2026-01-30T04:30", "2026-01-31T04:30")),  # it has just ended
        ("31 4 * * *", {}, ("2026-01-29T04:31", "2026-01-30T04:31")),
        ("0 0 * * mon,thu", {}, ("2026-01-26T00:00", "2026-01-29T00:00")),
        ("@daily", {}, ("2026-01-30T00:00", "2026-01-31T00:00")),
        ("@quarterly", {}, ("2025-10-01T00:00", "2026-01-01T00:00")),
        ("0 0 L * *", {}, ("2025-12-31T00:00", "2026-01-31T00:00")),
        ("@daily", {END: "2026-01-10"}, ("2026-01-09T00:00", "2026-01-10T00:00")),
        ("@daily", {END: "2026-01-10T23:59:59.999+01:00"}, ("2026-01-09T00:00", "2026-01-10T00:00")),
        ("@monthly", {START: "2026-01-10"}, ("2026-01-10T00:00", "2026-02-01T00:00")),
        (None, {END: "2026-01-10T06:00:00Z"}, ("2026-01-09T00:00", "2026-01-10T00:00")),
        (None, {END: "2026-01-10"}, ("2026-01-09T00:00", "2026-01-10T00:00")),
        (None, {START: "2026-01-10"}, ("2026-01-10T00:00", "2026-01-11T00:00")),
        ("@daily", {START: "2026-01-10", END: "2026-01-10T01:00+02:00"}, None),
        ("@daily", {START: "2026-01-10", END: "2026-01-10T03:00+02:00"}, ("2026-01-10T00:00", "2026-01-10T01:00")),
    ],
)
def test_the_interval_is_the_callers_or_the_last_of_the_schedule(
    schedule: str | None, params: dict[str, str], expected: tuple[str, str] | None
) -> None:
    if expected is None:
        with pytest.raises(InvalidSpecError, match="not after its start"):
            told(schedule, params)
    else:
        assert told(schedule, params) == expected


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["*/7 * * * *", "0 */5 * * *", "15 3 * * 1-5", "0 0 1,15 * *", "@weekly", "0 12 29 2 *"]),
    st.datetimes(datetime(1990, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC)),
)
def test_the_last_intervals_follow_one_another_without_a_gap(schedule: str, now: datetime) -> None:
    last = run_interval({}, schedule, now)
    assert last.start < last.end <= now
    assert run_interval({}, schedule, last.end) == last
    assert run_interval({}, schedule, last.end - timedelta(seconds=1)).end == last.start
    assert run_interval({START: last.start.isoformat()}, schedule, now) == last
    assert Interval.told(last.to_params()) == last


@pytest.mark.parametrize("text", ["", "yesterday", "20260131", "2026-W05-6", "2026-02-30", "0001-01-01T00:00+12:00"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpecError, match="not a date or a timestamp"):
        parse_moment(text)


def test_the_calendar_has_an_end() -> None:
    with pytest.raises(InvalidSpecError, match="end of the calendar"):
        Interval.of_day(date.max)
    with pytest.raises(InvalidSpecError, match="end of the calendar"):
        run_interval({END: "0001-01-01"}, None, NOW)


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "hourly",
        "* * * *",
        "0 0 * * * *",
        "61 * * * *",
        "@reboot",
        "@once",
        "R R * * *",
        "H H * * *",
        "0 0 * * 1,5#2",
    ],
)
def test_a_schedule_that_is_none_is_refused_when_the_job_is_made(schedule: str, project: Project) -> None:
    with pytest.raises(InvalidSpecError, match="is not a cron expression"):
        check_spec(project.spec(SQL, params=PARAMS, schedule=schedule))


def test_a_schedule_that_never_fires_needs_an_interval(project: Project) -> None:
    check_schedule("0 0 30 2 *")
    spec = project.spec(SQL, params=PARAMS, schedule="0 0 30 2 *")
    with pytest.raises(InvalidSpecError, match="has no interval before"):
        chosen_parameters(spec, {}, NOW)
    assert chosen_parameters(spec, Interval.of_day(date(2026, 1, 1)).to_params(), NOW)["day"] == "2026-01-01"


def test_values_are_resolved_and_the_interval_is_told_only_where_a_value_depends_on_it(project: Project) -> None:
    spec = project.spec(SQL, params=PARAMS, schedule="@daily")
    interval = {START: "2026-01-30T00:00:00+00:00", END: "2026-01-31T00:00:00+00:00"}
    assert chosen_parameters(spec, {}, NOW) == {"day": "2026-01-30", "again": "2026-01-30", **interval}
    given = {"day": "{{ data_interval_end | ds }}"}  # as a DAG's run hands on what a user typed
    assert chosen_parameters(spec, given, NOW) == {"day": "2026-01-31", "again": "2026-01-30", **interval}
    assert chosen_parameters(spec, {"day": "a", "again": "b"}, NOW) == {"day": "a", "again": "b"}
    plain = project.spec("SELECT order_id, qty FROM raw.orders")
    assert chosen_parameters(plain, interval, NOW) == {}
    with pytest.raises(InvalidSpecError, match="not after its start"):
        chosen_parameters(plain, {START: "2026-01-02", END: "2026-01-01"}, NOW)
    with pytest.raises(InvalidSpecError, match=r"parameter day: .*there is no 'dt'"):
        chosen_parameters(spec, {"day": "{{ dt }}"}, NOW)


@pytest.mark.parametrize(
    ("params", "words"),
    [({"day": "{{ dt }}"}, "parameter day: {{ dt }}: there is no 'dt'"), ({START: "x"}, "says a run's interval")],
)
def test_a_job_with_parameters_that_cannot_be_is_not_registered(
    driver: Driver, project: Project, params: dict[str, str], words: str
) -> None:
    spec = project.spec("SELECT order_id, qty FROM raw.orders WHERE :day = ''", params=params)
    with pytest.raises(InvalidSpecError) as caught:
        driver.create_job("a_job", ENVIRONMENT, "a job", spec, {})
    assert words in caught.value.message


def test_an_execution_shows_what_it_runs_with_and_its_key_keeps_the_values(driver: Driver, project: Project) -> None:
    driver.create_job("a_job", ENVIRONMENT, "a job", project.spec(SQL, params=PARAMS, schedule="@daily"), {})
    january = Interval.of_day(date(2026, 1, 5)).to_params()
    first = driver.run_job("a_job", ENVIRONMENT, params=january, idempotency_key="dag/run")
    assert first.params == {"day": "2026-01-05", "again": "2026-01-05", **january}
    later = driver.run_job("a_job", ENVIRONMENT, idempotency_key="dag/run")
    assert (later.execution_id, later.params) == (first.execution_id, first.params)
    done = driver.wait(first.execution_id, 120)
    assert (done.status.value, done.rows_written, done.error) == ("SUCCEEDED", 3, None)
    assert driver.get_job("a_job", ENVIRONMENT).spec.params == PARAMS, "the specification keeps its macros"
    other = driver.run_job("a_job", ENVIRONMENT, params={"day": "1999-01-01"}, idempotency_key="dag/other")
    assert set(other.params) == {"day", "again", *RESERVED}
    assert driver.wait(other.execution_id, 120).rows_written == 0


def test_the_schedule_goes_with_the_job_wherever_it_goes(project: Project) -> None:
    spec = project.spec(SQL, params=PARAMS, schedule="0 6 * * *")
    assert JobSpec.from_json(spec.to_json()) == spec
    assert wire.spec_from_message(wire.spec_to_message(spec)) == spec
    assert "schedule" not in project.spec(SQL).to_json(), "the digest of a job without one is what it was"
