"""Findings about a valid feature view, and between several of one call."""

from __future__ import annotations

import pytest

from dcp_core.diagnostics import Severity

from .conftest import FOLDER, MANIFEST, SQL, Workbench

TABLE = "source:\n  table: derived_datasets.daily_orders\n"


def second_view(bench: Workbench, manifest: str) -> None:
    """Another manifest beside the first, with a query that fits the first's columns."""
    (bench.folder / "second.yaml").write_text(manifest.replace("customer_orders", "second"))
    (bench.folder / "second.sql").write_text(SQL)


def test_a_window_without_a_schedule_leaves_events_out(bench: Workbench) -> None:
    bench.replace('  schedule: "30 6 * * *"\n', "")
    (finding,) = bench.findings()
    assert (finding.code, finding.line, finding.column) == ("backfill_window.unscheduled", 17, 20)
    assert finding.severity is Severity.WARNING


def test_features_of_one_name_in_two_manifests_are_told_in_both(bench: Workbench) -> None:
    other = MANIFEST.replace("{name: orders_total", "{name: Orders_Total").replace("orders_count", "visits")
    second_view(bench, other)
    (bench.folder / "second.sql").write_text(SQL.replace("orders_count", "visits"))
    repeated = [finding for finding in bench.findings() if finding.code == "features.repeated"]
    assert [(finding.file, finding.line, finding.column) for finding in repeated] == [
        (f"{FOLDER}/customer_orders.yaml", 12, 14),
        (f"{FOLDER}/second.yaml", 12, 14),
    ]
    assert repeated[0].message == 'feature "orders_total" is also one of features.second'
    assert {finding.severity for finding in repeated} == {Severity.WARNING}


def test_a_repeated_name_can_be_lived_with(bench: Workbench) -> None:
    ignore = "lint:\n  ignore:\n    - {code: features.repeated, reason: full names are used}\n"
    second_view(bench, MANIFEST + ignore)
    bench.add(ignore)
    assert bench.codes() == []


def test_one_manifest_alone_repeats_nothing(bench: Workbench) -> None:
    second_view(bench, MANIFEST)
    bench.write()
    environment = bench.control_plane.environment("playground_alice")
    loaded = bench.control_plane.load([bench.folder / "customer_orders.yaml"], environment).loaded
    assert bench.control_plane.lint(loaded, environment) == ()


def test_one_entity_has_one_way_to_be_identified(bench: Workbench) -> None:
    other = MANIFEST.replace("customer_id, type: string", "customer_id, type: long")
    other = other.replace("orders_total", "spent").replace("orders_count", "visits")
    second_view(bench, other)
    sql = SQL.replace("orders_total", "spent").replace("orders_count", "visits")
    (bench.folder / "second.sql").write_text(sql)
    findings = bench.findings()
    assert [(finding.code, finding.line) for finding in findings] == [("entity.keys", 8), ("entity.keys", 8)]
    assert findings[0].message == (
        '"customer" is identified by customer_id string here, and otherwise in features.second, by customer_id long'
    )
    second_view(bench, other.replace("entity: customer", "entity: shopper"))
    (bench.folder / "second.sql").write_text(sql)
    assert bench.findings() == []


def test_every_call_sees_its_own_manifests(bench: Workbench) -> None:
    second_view(bench, MANIFEST)
    assert "features.repeated" in bench.codes()
    (bench.folder / "second.yaml").unlink()
    assert bench.codes() == []


def test_a_table_as_it_is_needs_no_query(bench: Workbench) -> None:
    bench.replace("source:\n  sql: customer_orders.sql\n", TABLE)
    assert bench.findings() == []
    bench.add("tests:\n  - {name: a, inputs: {raw.orders: []}, expected: []}\n")
    assert sorted(bench.codes()) == ["tests.missing_input", "tests.unknown_input"]


def test_what_is_wrong_with_a_table_is_told_where_the_table_is_named(bench: Workbench) -> None:
    bench.replace("source:\n  sql: customer_orders.sql\n", "source:\n  table: features.customer_orders\n")
    (finding,) = [each for each in bench.findings() if each.code == "sql.reads_itself"]
    assert (finding.file, finding.line, finding.column) == (f"{FOLDER}/customer_orders.yaml", 15, 10)
    assert "of the SQL" not in finding.message


@pytest.mark.parametrize(
    "moment",
    [
        "paid_at",
        "DATE_TRUNC('HOUR', paid_at) + INTERVAL 1 HOUR",
        "CAST(DATE_ADD(CAST(paid_at AS DATE), 1) AS TIMESTAMP)",
    ],
)
def test_the_end_of_a_period_is_a_good_moment(bench: Workbench, moment: str) -> None:
    bench.sql = SQL.replace("paid_at AS", f"{moment} AS")
    assert bench.codes() == []


def test_a_feature_may_be_renamed(bench: Workbench) -> None:
    bench.replace("{name: orders_count, type: long}", "{name: orders_count, type: long, renamed_from: orders}")
    assert bench.codes() == []


@pytest.mark.parametrize(
    ("type", "default"),
    [
        ("string", "'0'"), ("'decimal(4, 2)'", "-99.99"), ("double", "0.5"), ("double", "1"), ("boolean", "false"),
        ("'decimal(38, 9)'", "'12345678901234567.89'"), ("'decimal(38, 9)'", "12345678901234567"),
        ("'decimal(38, 9)'", "-123456.123456789"), ("'decimal(38, 9)'", "0.1"), ("float", "0.0"), ("float", "3.4e38"),
        ("float", "-0.1"), ("double", "1e300"),
        ("date", "2026-01-31"), ("timestamp", "'2026-01-31T06:00:00+02:00'"),
        ("timestamp_ntz", "'2026-01-31 06:00:00'"),
        ("int", "-2147483648"), ("long", "9223372036854775807"),
    ],
)  # fmt: skip
def test_a_default_of_the_features_type_is_good(bench: Workbench, type: str, default: str) -> None:
    bench.replace("{name: orders_count, type: long}", f"{{name: orders_count, type: {type}, default: {default}}}")
    bench.sql = SQL.replace("orders AS", f"CAST(orders AS {type.strip(chr(39))}) AS")
    assert bench.codes() == []
    assert "orders_count" in bench.plan().plugin_spec["defaults"]
