"""How a dataset's DAG follows the tables that its query reads."""

from __future__ import annotations

from typing import Any

import pytest

from dcp_primitives.airflow.spec import values_of

CRON = '  schedule: "0 * * * *"\n'
SQL = "SELECT order_id, total_amount, order_ts FROM {} JOIN raw.orders USING (order_id)"
OWN, OTHERS = "pedregal-playground-alice", "pedregal"


@pytest.fixture
def bench(bench: Any) -> Any:
    """Reads a dataset's table and a plain source."""
    bench.sql = SQL.format("derived_datasets.items")
    return bench


def following(bench: Any, lines: str = "", *plan: Any, **options: Any) -> Any:
    """The DAG's values when the workflow has these lines more."""
    bench.replace(CRON, CRON + lines)
    return values_of(bench.plugin.decompose(bench.plan(*plan, **options))[2])


def test_by_default_airflow_is_told_what_is_read_and_filled_and_no_more(bench: Any) -> None:
    values = following(bench)
    assert values["writes"] == "pedregal.derived_datasets.daily_orders"
    assert values["reads"] == {
        "derived_datasets.items": ["pedregal.derived_datasets.items"],
        "raw.orders": ["pedregal.raw.orders"],
    }
    assert (values["upstream"], values["waits_for"]) == ("none", [])


def test_assets_are_those_that_only_datasets_fill_unless_they_are_named(bench: Any) -> None:
    assert following(bench, "  upstream: assets\n")["waits_for"] == ["derived_datasets.items"]
    assert following(bench, "  upstream_tables: [Raw.Orders]\n")["waits_for"] == ["raw.orders"]


def test_sensors_are_about_all_that_is_read_for_the_driver_knows_who_fills_it(bench: Any) -> None:
    values = following(bench, "  upstream: sensors\n  upstream_timeout: 90m\n")
    assert values["waits_for"] == ["derived_datasets.items", "raw.orders"]
    assert values["upstream_timeout_s"] == 5400


def test_a_playground_follows_production_and_with_an_overlay_whichever_it_will_read(bench: Any) -> None:
    values = following(bench, "  upstream: assets\n", "playground_alice")
    assert values["writes"] == f"{OWN}.derived_datasets.daily_orders"
    assert values["reads"]["derived_datasets.items"] == [f"{OTHERS}.derived_datasets.items"]
    values = following(bench, "", "playground_alice", overlay=True)
    assert values["reads"]["derived_datasets.items"] == [
        f"{OWN}.derived_datasets.items",
        f"{OTHERS}.derived_datasets.items",
    ]


def test_with_assets_there_is_a_dag_without_a_schedule(bench: Any) -> None:
    bench.replace(CRON, "  upstream: assets\n")
    _, job, dag = bench.plugin.decompose(bench.plan())
    assert (values_of(dag)["schedule"], job.spec["schedule"]) == (None, None)
    assert bench.codes() == []


def test_a_try_may_have_a_time_that_it_must_not_exceed(bench: Any) -> None:
    assert following(bench)["timeout_s"] is None
    assert following(bench, "  timeout: 2h\n")["timeout_s"] == 7200


def test_what_has_no_plain_name_is_no_asset(bench: Any) -> None:
    bench.sql = SQL.format("derived_datasets.`daily items`")
    assert list(following(bench)["reads"]) == ["raw.orders"]


@pytest.mark.parametrize(
    ("lines", "sql", "code", "path"),
    [
        ("  upstream: assets\n", SQL.format("raw.items"), "upstream.nothing", ("workflow", "upstream")),
        (
            "  upstream: assets\n  upstream_tables: [raw.itens]\n",
            SQL.format("raw.items"),
            "upstream.not_read",
            ("workflow", "upstream_tables", 0),
        ),
        ("  timeout: 500ms\n", SQL.format("raw.items"), "workflow.duration", ("workflow", "timeout")),
        ("  upstream_timeout: 1ms\n", SQL.format("raw.items"), "workflow.duration", ("workflow", "upstream_timeout")),
    ],
)
def test_what_would_never_run_is_refused_at_its_place(bench: Any, lines: str, sql: str, code: str, path: Any) -> None:
    bench.sql = sql
    bench.replace(CRON, CRON + lines)
    found = {finding.code: finding for finding in bench.findings()}
    assert found[code].path == path


def test_sensors_need_a_schedule(bench: Any) -> None:
    bench.replace(CRON, "  upstream: sensors\n")
    assert [finding.code for finding in bench.findings()] == ["upstream.no_schedule"]


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ("  upstream: assets\n  upstream_timeout: 2h\n", 1),
        ("  upstream_timeout: 2h\n", 1),
        ("  upstream: sensors\n  upstream_timeout: 2h\n", 0),
        ("  upstream: assets\n  upstream_timeout: 1d\n", 0),
    ],
)
def test_a_time_to_wait_without_sensors_is_a_warning(bench: Any, lines: str, count: int) -> None:
    bench.replace(CRON, CRON + lines)
    assert [(each.code, each.path) for each in bench.findings()] == [
        ("upstream.unused", ("workflow", "upstream_timeout"))
    ] * count


@pytest.mark.parametrize(
    ("lines", "table", "codes"),
    [
        ("", "raw.items", ["upstream.plain"]),
        ("", "derived_datasets.items", []),
        ("  upstream_tables: [raw.items]\n", "raw.items", []),
    ],
)
def test_sensors_on_what_may_be_filled_by_nobody_are_a_warning_until_it_is_named(
    bench: Any, lines: str, table: str, codes: list[str]
) -> None:
    bench.sql = SQL.format(table)
    bench.replace(CRON, CRON + "  upstream: sensors\n" + lines)
    assert bench.codes() == codes


def test_tables_that_nothing_is_done_with_are_a_warning(bench: Any) -> None:
    bench.replace(CRON, CRON + "  upstream_tables: [raw.orders]\n")
    assert bench.codes() == ["upstream.unused"]
