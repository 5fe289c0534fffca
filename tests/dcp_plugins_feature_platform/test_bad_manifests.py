"""What users get wrong in a feature view: the code and the place of each mistake; through the command line too."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcp_core.diagnostics import Severity
from pretzel.__main__ import main

from .conftest import ENVIRONMENT, FOLDER, MANIFEST, SQL, Workbench

YAML, QUERY = f"{FOLDER}/customer_orders.yaml", f"{FOLDER}/customer_orders.sql"
KEY = "{name: customer_id, type: string}"
TOTAL = "{name: orders_total, type: 'decimal(18, 2)', default: 0}"
COUNT = "{name: orders_count, type: long}"
SOURCE = "  sql: customer_orders.sql\n"

# old text, new text, code, line, column in the manifest
EDITS: list[tuple[str, str, str, int, int]] = [
    ("name: customer_orders\n", "name: Customer Orders\n", "schema.pattern", 5, 9),
    ("name: customer_orders\n", f"name: {'a' * 64}\n", "schema.maxLength", 5, 9),
    ("  name: customer_orders\n", "", "schema.required", 5, 3),
    ("  entity: customer\n", "", "schema.required", 5, 3),
    ("entity: customer\n", "entity: [customer]\n", "schema.type", 6, 11),
    ("feature_view:", "feature_views:", "schema.required", 1, 1),
    ("  ttl: 30d", "  tll: 30d", "schema.unknown_key", 10, 3),
    ("ttl: 30d", "ttl: 30", "schema.type", 10, 8),
    ("ttl: 30d", "ttl: 30 days", "schema.pattern", 10, 8),
    ("ttl: 30d", "ttl: 0d", "schema.pattern", 10, 8),
    ("ttl: 30d", "ttl: -5d", "schema.pattern", 10, 8),
    ("ttl: 30d", "ttl: 1M", "schema.pattern", 10, 8),
    ("ttl: 30d", "ttl: 5300w", "duration.range", 10, 8),
    (f"\n    - {KEY}", " []", "schema.minItems", 7, 14),
    (KEY, "customer_id", "schema.type", 8, 7),
    (KEY, "{name: customer_id}", "schema.required", 8, 7),
    (KEY, "{name: customer id, type: string}", "schema.pattern", 8, 14),
    (KEY, "{name: customer_id, type: strng}", "schema.enum", 8, 33),
    (KEY, "{name: customer_id, type: double}", "join_keys.type", 8, 33),
    (KEY, "{name: customer_id, type: 'array<string>'}", "join_keys.type", 8, 33),
    (KEY, "{name: customer_id, type: 'struct<a: int>'}", "join_keys.type", 8, 33),
    (KEY, "{name: customer_id, type: string, nullable: true}", "schema.unknown_key", 8, 41),
    ("event_timestamp: event_ts\n", "event_timestamp: 7\n", "schema.anyOf", 9, 20),
    ("event_timestamp: event_ts\n", "event_timestamp: {type: timestamp}\n", "schema.required", 9, 20),
    ("event_timestamp: event_ts\n", "event_timestamp: {name: event_ts, type: date}\n", "event_timestamp.type", 9, 43),
    ("event_timestamp: event_ts\n", "event_timestamp: {name: event_ts, type: tmstmp}\n", "schema.enum", 9, 43),
    ("event_timestamp: event_ts\n", "event_timestamp: customer_id\n", "fields.duplicate", 9, 20),
    (COUNT, "{name: Orders_Total, type: long}", "fields.duplicate", 13, 14),
    (COUNT, "{name: EVENT_TS, type: long}", "fields.duplicate", 13, 14),
    (COUNT, "{name: customer_id, type: string}", "fields.duplicate", 13, 14),
    (COUNT, "{name: _file, type: long}", "fields.reserved", 13, 14),
    (COUNT, "{name: orders_count, type: long, default: many}", "features.default", 13, 49),
    (COUNT, "{name: orders_count, type: long, default: 1.5}", "features.default", 13, 49),
    (COUNT, "{name: orders_count, type: int, default: 3000000000}", "features.default", 13, 48),
    (COUNT, "{name: orders_count, type: long, default: true}", "features.default", 13, 49),
    (COUNT, "{name: orders_count, type: string, default: 0}", "features.default", 13, 51),
    (COUNT, "{name: orders_count, type: date, default: '2026-02-30'}", "features.default", 13, 49),
    (COUNT, "{name: orders_count, type: 'array<int>', default: ''}", "features.default", 13, 57),
    (COUNT, "{name: orders_count, type: long, default: [0]}", "schema.type", 13, 49),
    (TOTAL, "{name: orders_total, type: 'decimal(18, 2)', default: 0.005}", "features.default", 12, 61),
    (TOTAL, "{name: orders_total, type: 'decimal(38, 9)', default: 12345678901234567.89}", "features.default", 12, 61),
    (TOTAL, "{name: orders_total, type: 'decimal(38, 9)', default: 12345678901234500.01}", "features.default", 12, 61),
    (TOTAL, "{name: orders_total, type: 'decimal(38, 9)', default: -1234567.123456789}", "features.default", 12, 61),
    (COUNT, "{name: orders_count, type: float, default: 1e300}", "features.default", 13, 50),
    (COUNT, "{name: orders_count, type: float, default: -3.5e38}", "features.default", 13, 50),
    (COUNT, "{name: orders_count, type: float, default: 1e-300}", "features.default", 13, 50),
    (COUNT, "{name: orders_count, type: double, default: '1e999'}", "features.default", 13, 51),
    (TOTAL, "{name: orders_total, type: 'decimal(2, 2)', default: 1}", "features.default", 12, 60),
    (TOTAL, "{name: orders_total, type: 'decimal(40, 2)'}", "type.invalid", 12, 34),
    (SOURCE, "  {}\n", "source.choice", 15, 3),
    (SOURCE, SOURCE + "  table: raw.orders\n", "source.choice", 16, 10),
    (SOURCE, SOURCE + "  columns: {event_ts: paid_at}\n", "source.columns", 16, 12),
    (SOURCE, "  table: orders\n", "schema.pattern", 15, 10),
    (SOURCE, "  table: raw.`or;ders`\n", "schema.pattern", 15, 10),
    (SOURCE, "  table: raw.orders\n  columns: {event_tz: paid_at}\n", "source.unknown_column", 16, 23),
    (SOURCE, "  table: raw.orders\n  columns: {event_ts: 'a`, b'}\n", "schema.pattern", 16, 23),
    (SOURCE, "  sql: customer_order.sql\n", "file.missing", 15, 8),
    (SOURCE, "  sql: ../../../../etc/passwd.sql\n", "file.outside", 15, 8),
    ('"30 6 * * *"', '"30 25 * * *"', "schedule.cron", 17, 13),
    ("backfill_window: 30d", "backfill_window: a month", "schema.pattern", 18, 20),
    ("backfill_window: 30d", "backfill_window: 500ms", "duration.seconds", 18, 20),
    ("backfill_window: 30d", "backfill_window: 1500ms", "duration.seconds", 18, 20),
    ("backfill_window: 30d", "backfill_window: 99999w", "duration.range", 18, 20),
    ("backfill_window: 30d", "backfill_window: 30d\n  params: {since: x}", "backfill_window.parameter", 19, 19),
    ("backfill_window: 30d", "mode: append", "schema.unknown_key", 18, 3),
]
# the query, code, line, column in the SQL file or, where it is the manifest's fault, there
QUERIES: list[tuple[str, str, str, int, int]] = [
    (SQL.replace("customer AS customer_id,\n", ""), "sql.missing_column", YAML, 8, 14),
    (SQL.replace("paid_at AS event_ts,\n", ""), "sql.missing_column", YAML, 9, 20),
    (SQL.replace("total AS orders_total,\n", ""), "sql.missing_column", YAML, 12, 14),
    (SQL.replace("orders AS orders_count", "orders AS orders_count, 1 AS more"), "sql.undeclared_column", QUERY, 5, 27),
    (SQL.replace("customer AS", "CAST(customer AS INT) AS"), "sql.type_mismatch", QUERY, 2, 8),
    (SQL.replace("raw.orders", "parquet.`/tmp/x`"), "sql.path", QUERY, 6, 6),
    (SQL.replace("FROM", "FORM"), "sql.syntax", QUERY, 6, 0),
    ("DROP TABLE features.customer_orders", "sql.not_a_query", QUERY, 1, 1),
    (SQL.replace("paid_at AS", "DATE_TRUNC('DAY', paid_at) AS"), "event_timestamp.truncated", QUERY, 3, 0),
    (
        SQL.replace("paid_at AS", "CAST(CAST(paid_at AS DATE) AS TIMESTAMP) AS"),
        "event_timestamp.truncated", QUERY, 3, 0,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "line", "column"), EDITS)
def test_a_mistake_is_named_at_its_place(
    bench: Workbench, old: str, new: str, code: str, line: int, column: int
) -> None:
    found = {finding.code: finding for finding in bench.replace(old, new).findings()}
    assert code in found, found
    finding = found[code]
    assert (finding.file, finding.line, finding.column) == (YAML, line, column)
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize(("query", "code", "file", "line", "column"), QUERIES)
def test_a_mistake_in_the_query_is_named_at_its_place(
    bench: Workbench, query: str, code: str, file: str, line: int, column: int
) -> None:
    bench.sql = query
    found = {finding.code: finding for finding in bench.findings()}
    assert code in found, found
    assert (found[code].file, found[code].line) == (file, line)
    assert column in (0, found[code].column)


def test_the_good_one_is_good(bench: Workbench) -> None:
    assert bench.findings() == []


def test_all_mistakes_come_at_once(bench: Workbench) -> None:
    bench.replace(KEY, "{name: customer_id, type: float}").replace(COUNT, "{name: orders_total, type: lnog}")
    bench.replace(SOURCE, SOURCE + "  table: raw.orders\n")
    assert set(bench.codes()) == {"join_keys.type", "fields.duplicate", "schema.enum", "source.choice"}


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [(old, new, f"{YAML}:{line}:{column}: error[{code}]", code) for old, new, code, line, column in EDITS[::3]],
)
def test_the_command_line_refuses_and_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    place: str,
    said: str,
) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    (tmp_path / "dcp.toml").write_text("")
    (folder / "customer_orders.yaml").write_text(MANIFEST.replace(old, new))
    (folder / "customer_orders.sql").write_text(SQL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCP_IDENTITY_USER", "alice")
    assert main(["apply", "manifests", "-e", ENVIRONMENT]) == 1
    printed = "".join(capsys.readouterr())
    assert place in printed, printed
    assert "Traceback" not in printed
    assert not list((tmp_path / ".dcp").glob("catalog*"))
    assert not (tmp_path / ".dcp" / "dags").exists()
