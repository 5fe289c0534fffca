"""Each warning has SQL that earns it, at its place, and SQL close to it that does not."""

from __future__ import annotations

from typing import Any

import pytest

from dcp_core.diagnostics import Severity
from dcp_plugins_base.lints.running import ALL_OF_A_QUERY as LINTS
from dcp_plugins_base.queries import parse_query

DECIMAL = {"a": "decimal(10, 2)"}
LONG = {"a": "long"}
DAY = {"a": "date"}
# code, declared fields, SQL that earns it, line and column, SQL that does not
ENGINE: list[tuple[str, dict[str, str], str, int, int, str]] = [
    ("engine.decimal_division", DECIMAL, "SELECT x / y AS a FROM r.t", 1, 8, "SELECT x * y AS a FROM r.t"),
    (
        "engine.decimal_division",
        LONG,
        "SELECT CAST(CAST(x AS DECIMAL(9, 2)) / 3 AS BIGINT) AS a FROM r.t",
        1,
        18,
        "SELECT CAST(CAST(x AS DOUBLE) / 3 AS BIGINT) AS a FROM r.t",
    ),
    ("engine.avg_truncates", DECIMAL, "SELECT\n  AVG(x) AS a FROM r.t", 2, 3, "SELECT MAX(x) AS a FROM r.t"),
    (
        "engine.avg_truncates",
        DECIMAL,
        "SELECT AVG(x) AS a FROM r.t",
        1,
        8,
        "SELECT CAST(AVG(CAST(x AS DOUBLE)) AS DECIMAL(10, 2)) AS a FROM r.t",
    ),
    ("engine.sum_overflow", LONG, "SELECT SUM(x) AS a FROM r.t", 1, 8, "SELECT COUNT(x) AS a FROM r.t"),
    (
        "engine.sum_overflow",
        LONG,
        "SELECT SUM(x) AS a FROM r.t",
        1,
        8,
        "SELECT SUM(CASE WHEN x THEN 1 ELSE 0 END) AS a FROM r.t",
    ),
    (
        "engine.date_plus_bigint",
        DAY,
        "SELECT DATE '2026-01-01' + CAST(x AS BIGINT) AS a FROM r.t",
        1,
        13,
        "SELECT DATE '2026-01-01' + CAST(x AS INT) AS a FROM r.t",
    ),
    (
        "engine.unpivot_nulls",
        {"k": "string", "v": "long"},
        "SELECT k, v FROM r.t UNPIVOT (v FOR k IN (x, y))",
        1,
        22,
        "SELECT k, v FROM r.t UNPIVOT INCLUDE NULLS (v FOR k IN (x, y))",
    ),
    (
        "engine.percentile_approx",
        LONG,
        "SELECT percentile_approx(x, 0.5) AS a FROM r.t",
        1,
        26,
        "SELECT percentile(x, 0.5) AS a FROM r.t",
    ),
    ("engine.bround", DECIMAL, "SELECT bround(x) AS a FROM r.t", 1, 8, "SELECT round(x) AS a FROM r.t"),
    (
        "engine.qualify",
        LONG,
        "SELECT a FROM r.t\nQUALIFY ROW_NUMBER() OVER (ORDER BY a) = 1",
        2,
        1,
        "SELECT a FROM (SELECT a, ROW_NUMBER() OVER (ORDER BY a) AS n FROM r.t) WHERE n = 1",
    ),
    ("engine.group_by_all", LONG, "SELECT a FROM r.t\nGROUP BY ALL", 2, 1, "SELECT a FROM r.t GROUP BY a"),
    (
        "engine.star_in_union",
        LONG,
        "SELECT 1 AS a UNION ALL\n(SELECT * FROM r.t)",
        2,
        9,
        "WITH n AS (SELECT x AS a FROM r.t) SELECT * FROM n UNION ALL SELECT a FROM (SELECT * FROM r.t)",
    ),
    (
        "engine.star_in_union",
        LONG,
        "SELECT t.* FROM r.t INTERSECT SELECT 1",
        1,
        8,
        "SELECT a FROM (SELECT 1 AS a UNION SELECT COUNT(*) FROM r.t) CROSS JOIN r.t",
    ),
    ("engine.star_except", LONG, "SELECT * EXCEPT (b) FROM r.t", 1, 8, "SELECT * FROM r.t"),
    (
        "engine.recursive_cte",
        LONG,
        "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 9) SELECT a FROM n",
        1,
        6,
        "WITH n AS (SELECT a FROM r.t) SELECT a FROM n",
    ),
    (
        "engine.pivot_for",
        {"x": "long"},
        "SELECT x FROM r.t PIVOT (SUM(v) FOR k IN ('x'))",
        1,
        37,
        "SELECT x FROM r.t PIVOT (SUM(v) FOR (k) IN ('x'))",
    ),
    (
        "engine.using_qualified",
        LONG,
        "SELECT t.a FROM r.t JOIN r.u USING (a)",
        1,
        8,
        "SELECT a FROM r.t JOIN r.u USING (a) WHERE t.b = 1",
    ),
    (
        "engine.lateral_alias",
        {"b": "long", "c": "long"},
        "SELECT x + 1 AS b, b * 2 AS c FROM r.t",
        1,
        20,
        "SELECT UPPER(b) AS b, LENGTH(b) AS c FROM r.t",
    ),
    (
        "engine.correlated_lateral",
        LONG,
        "SELECT q.a FROM r.t, LATERAL (SELECT u.a FROM r.u WHERE u.x = t.x) q",
        1,
        63,
        "SELECT q.a FROM r.t, LATERAL (SELECT u.a FROM r.u WHERE u.x = 1) q",
    ),
]


@pytest.mark.parametrize(("code", "fields", "earns", "line", "column", "does_not"), ENGINE)
def test_a_difference_between_the_engines_is_named_at_its_place_and_only_there(
    bench: Any, with_fields: Any, code: str, fields: dict[str, str], earns: str, line: int, column: int, does_not: str
) -> None:
    findings = [finding for finding in with_fields(bench, fields, earns).findings() if finding.code == code]
    assert [(finding.line, finding.column) for finding in findings] == [(line, column)]
    assert findings[0].severity is not Severity.ERROR
    assert findings[0].hint
    bench.sql = does_not
    assert code not in bench.codes()
    assert not any(finding.severity is Severity.ERROR for finding in bench.findings())


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("logistics-de", "Logistics_DE", "owner.naming"),
        ("{name: order_ts,", "{name: orderTs,", "fields.naming"),
        ('"0 * * * *"', '"0 0 30 2 *"', "schedule.never_fires"),
        ('"0 * * * *"', '"0 0 31 4,6 *"', "schedule.never_fires"),
        ("  sql: daily", "  catchup: true\n  sql: daily", "schedule.catchup"),
        ("  sql: daily", "  params: {day: x}\n  sql: daily", "params.unused"),
        ("workflow:", "  primary_key: [order_id]\nworkflow:", "primary_key.nullable"),
        ("workflow:", "checks: [{not_null: [order_id]}]\nworkflow:", "checks.never_run"),
        ("workflow:", "lint: {ignore: [{code: engine.qualify, reason: x}]}\nworkflow:", "lint.unused_ignore"),
    ],
)
def test_a_warning_of_the_manifest_keeps_it_valid(bench: Any, old: str, new: str, code: str) -> None:
    bench.sql = bench.sql.replace("order_ts", "orderTs") if "orderTs" in new else bench.sql
    assert [(f.code, f.severity) for f in bench.replace(old, new).findings()] == [(code, Severity.WARNING)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"0 * * * *"', '"0 0 30 2 MON"'),  # cron fires on either of the two days
        ('"0 * * * *"', '"0 0 29 2 *"'),
        ('"0 * * * *"', "null"),
        ('"0 * * * *"', '"@daily"'),
        ("type: timestamp}", "type: timestamp, renamed_from: [ts, order_time]}"),
        ("workflow:", "  partition_by: [days(order_ts), 'bucket(8, order_id)']\nworkflow:"),
        ("workflow:", "  partition_by: [{column: order_ts, transform: hour}]\nworkflow:"),
        ("workflow:", "  sort_by: [order_ts DESC NULLS LAST, {column: order_id}]\nworkflow:"),
        ("  sql: daily", "  compute: {backend: local, size: small}\n  sql: daily"),
    ],
)
def test_what_is_right_has_no_finding(bench: Any, old: str, new: str) -> None:
    assert bench.replace(old, new).findings() == ()


def test_columns_are_matched_whatever_their_order_and_case(bench: Any) -> None:
    bench.sql = "SELECT ORDER_TS, Total_Amount, order_id FROM raw.orders"
    assert bench.findings() == ()


def test_a_very_deep_expression_is_linted_without_resolving_it(bench: Any) -> None:
    bench.sql = f"SELECT {'x + ' * 3000}1 AS order_id, total_amount, order_ts FROM raw.orders"
    logical_plan = bench.plan()
    assert parse_query(logical_plan.plugin_spec["sql"]).typed_tree is parse_query(logical_plan.plugin_spec["sql"]).tree
    assert bench.findings() == ()


def test_a_star_over_a_subquery_is_expanded_and_over_a_table_left_alone(bench: Any) -> None:
    bench.sql = "WITH t AS (SELECT order_id, total_amount FROM raw.orders) SELECT * FROM t"
    assert bench.codes() == ["sql.missing_column"]
    bench.sql = "SELECT * FROM raw.orders"
    assert bench.findings() == ()
    bench.sql = "SELECT order_id, total_amount, order_ts FROM raw.a UNION ALL SELECT x, y, z FROM raw.b"
    assert bench.findings() == ()


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("COUNT(*)", False),
        ("UPPER(order_id)", True),
        ("CAST(x AS STRING)", True),
        ("CAST(x AS BIGINT)", False),
        ("TRUE", False),
        ("x", True),
    ],
)
def test_a_type_that_the_text_tells_is_compared(bench: Any, expression: str, fits: bool) -> None:
    bench.sql = f"SELECT {expression} AS order_id, total_amount, order_ts FROM raw.orders"
    assert ("sql.type_mismatch" in bench.codes()) is not fits


def test_reading_its_own_table_is_an_error_when_replacing_and_a_warning_when_adding(bench: Any) -> None:
    bench.sql = "SELECT order_id, total_amount, order_ts FROM pedregal.derived_datasets.daily_orders"
    assert [finding.severity for finding in bench.findings()] == [Severity.ERROR]
    bench.replace("  sql: daily", "  mode: append\n  sql: daily")
    assert [finding.severity for finding in bench.findings()] == [Severity.WARNING]


def test_an_ignored_warning_is_not_told_and_an_error_cannot_be_ignored(bench: Any) -> None:
    bench.replace("logistics-de", "Logistics")
    bench.add("lint:\n  ignore:\n    - {code: owner.naming, reason: an old team}\n")
    assert bench.findings() == ()
    bench.replace("owner.naming", "sql.undeclared_column").sql = bench.sql.replace("order_ts", "order_ts, x")
    assert set(bench.codes()) == {"owner.naming", "sql.undeclared_column", "lint.error_ignored"}


@pytest.mark.parametrize(
    ("case", "code", "line", "column"),
    [
        ("inputs: {raw.order: []}, expected: []", "tests.unknown_input", 14, 33),
        ("inputs: {}, expected: []", "tests.missing_input", 14, 23),
        ("inputs: {raw.orders: []}, expected: [{id: 1}]", "tests.unknown_column", 14, 56),
        ("inputs: {raw.orders: {rows: [{b: 1}], columns: {a: int}}}, expected: []", "tests.unknown_column", 14, 45),
        ("inputs: {raw.orders: {rows: [], columns: {a: in}}}, expected: []", "schema.enum", 14, 59),
        ("inputs: {raw.orders: []}, params: {day: 1}, expected: []", "tests.unknown_parameter", 14, 56),
        ("inputs: {raw.orders: 7}, expected: []", "schema.anyOf", 14, 36),
        ("inputs: {raw.orders: []}", "schema.required", 14, 5),
    ],
)
def test_a_test_case_that_cannot_be_right_is_an_error(bench: Any, case: str, code: str, line: int, column: int) -> None:
    bench.add(f"tests:\n  - {{name: a, {case}}}\n")
    errors = [finding for finding in bench.findings() if finding.code == code]
    assert errors, bench.findings()
    assert (errors[0].line, errors[0].severity) == (line, Severity.ERROR)


@pytest.mark.parametrize(
    ("check", "code"),
    [
        ("{not_null: [order_idd]}", "checks.unknown_field"),
        ("{unique: [x]}", "checks.unknown_field"),
        ("{accepted_values: {field: x, values: [1]}}", "checks.unknown_field"),
        ("{expression: 'total > 0'}", "checks.unknown_field"),
        ("{expression: 'total_amount >'}", "checks.expression"),
        ("{expression: 'total_amount > (SELECT 1)'}", "checks.expression"),
        ("{}", "schema.minProperties"),
        ("{not_nul: [order_id]}", "schema.unknown_key"),
    ],
)
def test_a_check_that_cannot_be_right_is_an_error(bench: Any, check: str, code: str) -> None:
    bench.add(f"tests: [{{name: a, inputs: {{raw.orders: []}}, expected: []}}]\nchecks:\n  - {check}\n")
    assert bench.codes() == [code]


def test_every_lint_says_what_it_holds() -> None:
    assert len({lint.__name__ for lint in LINTS}) == len(LINTS)
    assert all(lint.__doc__ for lint in LINTS)
