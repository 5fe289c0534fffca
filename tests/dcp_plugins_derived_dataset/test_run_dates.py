"""Dates of the run in a manifest: what is refused and where, and which resources get the schedule."""

from __future__ import annotations

from typing import Any

import pytest

from dcp_core.errors import InvalidManifestError

SQL = "SELECT order_id, total_amount, order_ts FROM raw.orders WHERE order_ts >= CAST(:day AS DATE)"
CASE = "tests:\n  - {{name: t, inputs: {{raw.orders: []}}, expected: [], {}}}\n"


@pytest.fixture
def dated(bench: Any) -> Any:
    """``:day`` in the SQL; give its value."""

    def make(value: str, name: str = "day") -> Any:
        bench.replace("  sql: daily", f"  params: {{{name}: {value}}}\n  sql: daily")
        bench.sql = SQL.replace(":day", f":{name}")
        return bench

    return make


def test_a_macro_in_a_parameter_is_kept_as_it_is_and_the_job_knows_the_schedule(dated: Any) -> None:
    bench = dated('"{{ ds }}"')
    assert bench.codes() == []
    _, job, dag = bench.plugin.decompose(bench.plan())
    assert job.spec["params"] == dag.spec["params"] == {"day": "{{ ds }}"}
    assert job.spec["schedule"] == "0 * * * *"


def test_every_job_knows_its_schedule_since_others_ask_up_to_when_its_table_is_complete(bench: Any) -> None:
    _, job, _ = bench.plugin.decompose(bench.plan())
    assert job.spec["schedule"] == "0 * * * *"


def test_a_parameter_may_be_given_dates_for_one_run_so_that_its_job_knows_the_schedule_too(dated: Any) -> None:
    bench = dated("2026-01-01")
    _, job, _ = bench.plugin.decompose(bench.plan())
    assert job.spec["schedule"] == "0 * * * *"


def test_space_around_a_schedule_is_none_of_it(dated: Any) -> None:
    bench = dated('"{{ ds }}"')
    bench.replace('"0 * * * *"', '" @daily "')
    assert bench.codes() == []
    _, job, dag = bench.plugin.decompose(bench.plan())
    assert (job.spec["schedule"], dag.spec["schedule"]) == ("@daily", "@daily")


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ('"{{ dss }}"', "there is no 'dss'", "did you mean 'ds'?"),
        ("'since {{ ds | tss }}'", "there is no filter 'tss'", "did you mean 'ts'?"),
        ('"{{ ds }"', "the braces are not closed", "write {{ ds }}"),
    ],
)
def test_a_macro_that_cannot_be_filled_in_is_an_error_at_the_value(
    dated: Any, value: str, message: str, hint: str
) -> None:
    (found,) = dated(value).findings()
    assert (found.code, found.file, found.line, found.column) == (
        "params.macro",
        "manifests/derived_dataset/daily_orders.yaml",
        12,
        17,
    )
    assert message in found.message
    assert found.hint == hint


def test_the_names_of_the_interval_are_no_names_of_parameters(dated: Any) -> None:
    (found,) = dated('"{{ data_interval_start }}"', "data_interval_start").findings()
    assert (found.code, found.line) == ("params.reserved", 12)
    assert 'start_at: "{{ data_interval_start }}"' in str(found.hint)


def test_braces_without_quotes_are_a_mapping_to_yaml_and_the_error_says_so(dated: Any) -> None:
    (found,) = dated("{{ ds }}").findings()
    assert (found.code, found.hint) == ("yaml.key", 'quote text with double braces: "{{ ds }}"')


def test_a_macro_and_the_date_of_a_case_are_looked_at_too(dated: Any) -> None:
    bench = dated('"{{ ds }}"').add(CASE.format("params: {day: '{{ dt }}'}"))
    assert [(each.code, each.line) for each in bench.findings()] == [("params.macro", 15)]


@pytest.mark.parametrize(("date", "code"), [("2026-02-30", "tests.date"), ("soon", "schema.pattern")])
def test_the_date_of_a_case_is_a_day_of_the_calendar(dated: Any, date: str, code: str) -> None:
    bench = dated('"{{ ds }}"').add(CASE.format(f"date: {date}"))
    (found,) = bench.findings()
    assert found.code == code
    if code == "schema.pattern":
        with pytest.raises(InvalidManifestError):
            bench.plan()
