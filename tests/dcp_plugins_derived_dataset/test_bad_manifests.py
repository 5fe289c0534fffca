"""Bad manifests, one mistake each: the code, the place and a way out of every one."""

from __future__ import annotations

from typing import Any

import pytest

from dcp_core.diagnostics import Severity

YAML, SQL = "manifests/derived_dataset/daily_orders.yaml", "manifests/derived_dataset/daily_orders.sql"
# old text, new text, code, line, column (all in the manifest)
EDITS: list[tuple[str, str, str, int, int]] = [
    ("tier: 1", "tier: 6", "schema.maximum", 3, 9),
    ("tier: 1", "tier: high", "schema.type", 3, 9),
    ("  technical_owner: logistics-de\n", "", "schema.required", 2, 3),
    ("logistics-de", '"logistics de"', "schema.pattern", 2, 20),
    ("  tier: 1", "  teir: 1", "schema.unknown_key", 3, 3),
    ("metadata:", "metadatas:", "schema.required", 1, 1),
    ("name: daily_orders", "name: ../x", "schema.pattern", 5, 9),
    ("name: daily_orders", "name: DailyOrders", "schema.pattern", 5, 9),
    ("name: daily_orders", "name: 7", "schema.type", 5, 9),
    ("name: daily_orders", f"name: {'a' * 64}", "schema.maxLength", 5, 9),
    ("type: string}", "type: decmal}", "schema.enum", 7, 30),
    ("type: decimal}", "type: 'decimal(50, 2)'}", "type.invalid", 8, 34),
    ("type: decimal}", "type: 'array<strin>'}", "type.invalid", 8, 34),
    ("type: decimal}", "type: 'map<string'}", "type.invalid", 8, 34),
    ("type: decimal}", "typ: decimal}", "schema.required", 8, 7),
    ("{name: total_amount,", "{name: 'total amount',", "schema.pattern", 8, 14),
    ("{name: total_amount,", "{name: order_id,", "fields.duplicate", 8, 14),
    ("{name: total_amount,", "{name: Order_ID,", "fields.duplicate", 8, 14),
    ("{name: total_amount,", "{name: _file,", "fields.reserved", 8, 14),
    ("type: decimal}", "type: decimal, renamed_from: order_id}", "fields.renamed_from", 8, 57),
    ("type: decimal}", "type: decimal, renamed_from: total_amount}", "fields.renamed_from", 8, 57),
    ("type: decimal}", "type: decimal, nullable: maybe}", "schema.type", 8, 53),
    ("workflow:", "  partition_by: [day(order_dt)]\nworkflow:", "partition_by.unknown_field", 10, 18),
    ("workflow:", "  partition_by: [days_of(order_ts)]\nworkflow:", "partition_by.syntax", 10, 18),
    ("workflow:", "  partition_by: [bucket(order_id)]\nworkflow:", "partition_by.syntax", 10, 18),
    ("workflow:", "  partition_by: ['bucket(0, order_id)']\nworkflow:", "partition_by.syntax", 10, 18),
    ("workflow:", "  partition_by: [day(order_id)]\nworkflow:", "partition_by.type", 10, 18),
    ("workflow:", "  partition_by: [order_id, order_id]\nworkflow:", "partition_by.duplicate", 10, 28),
    ("workflow:", "  partition_by: [7]\nworkflow:", "schema.anyOf", 10, 18),
    ("workflow:", "  partition_by: [day(order_ts) desc]\nworkflow:", "partition_by.syntax", 10, 18),
    ("workflow:", "  sort_by: [order_id down]\nworkflow:", "sort_by.syntax", 10, 13),
    ("workflow:", "  sort_by: [ordr_id desc]\nworkflow:", "sort_by.unknown_field", 10, 13),
    ("workflow:", "  sort_by: [order_id, order_id desc]\nworkflow:", "sort_by.duplicate", 10, 23),
    ("workflow:", "  primary_key: [id]\nworkflow:", "primary_key.unknown_field", 10, 17),
    ("workflow:", "  primary_key: []\nworkflow:", "schema.minItems", 10, 16),
    ("workflow:", "  properties: {dcp.manifest: x}\nworkflow:", "schema.pattern", 10, 16),
    ("  sql: daily", "  mode: merge\n  sql: daily", "mode.merge_without_key", 12, 9),
    ("  sql: daily", "  mode: overwrite_partitions\n  sql: daily", "mode.no_partitions", 12, 9),
    ("  sql: daily", "  mode: upsert\n  sql: daily", "schema.enum", 12, 9),
    ("  sql: daily_orders.sql", "  sql: daily_order.sql", "file.missing", 12, 8),
    ("  sql: daily_orders.sql", "  sql: ../../../outside.sql", "file.outside", 12, 8),
    ("  sql: daily_orders.sql", "  sql: daily_orders.txt", "schema.pattern", 12, 8),
    ("  sql: daily_orders.sql", "  query: daily_orders.sql", "schema.required", 11, 3),
    ('"0 * * * *"', '"0 * * *"', "schedule.cron", 11, 13),
    ('"0 * * * *"', '"61 * * * *"', "schedule.cron", 11, 13),
    ('"0 * * * *"', '"0 6-2 * * *"', "schedule.cron", 11, 13),
    ('"0 * * * *"', '"0 6 * * MOM"', "schedule.cron", 11, 13),
    ('"0 * * * *"', '"@dayly"', "schedule.cron", 11, 13),
    ('"0 * * * *"', "7", "schema.type", 11, 13),
    ("  sql: daily", "  start_date: 2026-02-30\n  sql: daily", "schedule.start_date", 12, 15),
    ("  sql: daily", "  start_date: soon\n  sql: daily", "schema.pattern", 12, 15),
    ("  sql: daily", "  retries: -1\n  sql: daily", "schema.minimum", 12, 12),
    ("  sql: daily", "  params: {Day: x}\n  sql: daily", "schema.pattern", 12, 12),
    ("  sql: daily", "  compute: {size: huge}\n  sql: daily", "schema.enum", 12, 19),
    ("metadata:", "manifest_type: ingestion\nmetadata:", "schema.enum", 1, 16),
]
# the SQL, code, line, column (all in the SQL file; None: at the file's start)
QUERIES: list[tuple[str, str, int, int]] = [
    ("SELECT order_id FROM\nraw.orders WHERE (", "sql.syntax", 2, 18),
    ("", "sql.not_one_query", 1, 1),
    ("SELECT 1; SELECT 2", "sql.not_one_query", 1, 1),
    ("INSERT INTO raw.orders SELECT 1", "sql.not_a_query", 1, 1),
    ("DROP TABLE raw.orders", "sql.not_a_query", 1, 1),
    ("CREATE TABLE x.y LOCATION '/tmp/x' AS SELECT 1", "sql.not_a_query", 1, 1),
    ("SELECT order_id, total_amount, order_ts FROM text.`/etc/passwd`", "sql.path", 1, 46),
    ("SELECT order_id, total_amount, order_ts\nFROM `/etc/passwd`", "sql.path", 2, 6),
    ("SELECT order_id, total_amount, order_ts FROM read_files('/etc')", "sql.function", 1, 46),
    ("SELECT order_id, total_amount, order_ts FROM orders", "sql.unqualified_table", 1, 46),
    ("SELECT order_id, total_amount, order_ts FROM lake.raw.orders", "sql.catalog", 1, 46),
    ("SELECT order_id, total_amount, order_ts, x FROM raw.orders", "sql.undeclared_column", 1, 42),
    ("SELECT order_id, total_amount, order_ts, order_id FROM raw.orders", "sql.duplicate_column", 1, 42),
    ("SELECT order_id, total_amount, order_ts, a + 1 FROM raw.orders", "sql.unnamed_column", 1, 42),
    ("SELECT order_id, total_amount, order_ts FROM derived_datasets.daily_orders", "sql.reads_itself", 1, 46),
    ("SELECT order_id, total_amount, order_ts FROM raw.orders\nWHERE x = :day", "sql.unknown_parameter", 2, 11),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "line", "column"), EDITS)
def test_a_bad_manifest_is_one_clear_error_at_its_place(
    bench: Any, old: str, new: str, code: str, line: int, column: int
) -> None:
    findings = bench.replace(old, new).findings()
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    assert code in [finding.code for finding in errors], errors
    finding = next(finding for finding in errors if finding.code == code)
    assert (finding.file, finding.line, finding.column) == (YAML, line, column)
    assert finding.message


def test_a_name_that_is_too_long_is_one_error_that_says_how_long_it_may_be(bench: Any) -> None:
    (finding,) = bench.replace("name: daily_orders", f"name: {'a' * 300}").findings()
    assert finding.message == "dataset.name has 300 characters; expected at most 63"


@pytest.mark.parametrize(("sql", "code", "line", "column"), QUERIES)
def test_bad_sql_is_one_clear_error_at_its_place(bench: Any, sql: str, code: str, line: int, column: int) -> None:
    bench.sql = sql
    errors = [finding for finding in bench.findings() if finding.severity is Severity.ERROR]
    finding = next((finding for finding in errors if finding.code == code), None)
    assert finding is not None, errors
    assert (finding.file, finding.line, finding.column) == (SQL, line, column)
    assert finding.message


def test_a_missing_column_points_at_the_field_that_wants_it(bench: Any) -> None:
    bench.sql = "SELECT order_id, total_amout, order_ts FROM raw.orders"
    by_code = {finding.code: finding for finding in bench.findings()}
    missing = by_code["sql.missing_column"]
    assert (missing.file, missing.line, missing.column) == (YAML, 8, 14)
    assert missing.hint == 'the query returns "total_amout"'
    assert by_code["sql.undeclared_column"].hint == 'did you mean "total_amount"?'


def test_all_errors_of_manifest_and_sql_come_at_once(bench: Any) -> None:
    bench.replace("type: decimal}", "type: decmal}").replace("0 * * * *", "0 25 * * *")
    bench.sql = "SELECT order_id, total_amount, order_ts, extra FROM raw.orders"
    assert {"schema.enum", "schedule.cron", "sql.undeclared_column"} <= set(bench.codes())


def test_a_wrong_type_reads_as_the_design_shows_it(bench: Any) -> None:
    (finding,) = bench.replace("type: decimal}", "type: decmal}").findings()
    lines = str(finding).splitlines()
    assert lines[0] == f'{YAML}:8:34: error[schema.enum]: dataset.fields[1].type is "decmal"'
    assert lines[1].startswith("  expected one of: boolean, int, long,")
    assert lines[2] == '  hint: did you mean "decimal"?'


def test_a_manifest_without_a_mistake_has_no_finding(bench: Any) -> None:
    assert bench.findings() == ()
