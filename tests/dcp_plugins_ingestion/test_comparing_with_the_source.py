"""Lint of a table ingestion: the declared schema against the real one."""

from __future__ import annotations

import pytest

from dcp_core.diagnostics import Severity
from tests.dcp_plugins_ingestion.workbench import Workbench


def recreate(bench: Workbench, columns: str) -> None:
    bench.shop.execute("DROP TABLE orders", f"CREATE TABLE orders ({columns})")


def test_a_source_that_is_as_declared_gives_no_finding(bench: Workbench) -> None:
    assert bench.findings() == ()


def test_an_unknown_connection_is_an_error_with_the_nearest_name(bench: Workbench) -> None:
    bench.replace("connection: shop", "connection: shpo")
    (found,) = bench.findings()
    assert (found.code, found.severity, found.line, found.column) == ("connection.unknown", Severity.ERROR, 5, 15)
    assert found.hint == 'did you mean "shop"?'


def test_without_any_connection_the_hint_shows_how_one_is_written(bench: Workbench) -> None:
    bench.connections = {}
    (found,) = bench.findings()
    assert "[connections.shop]" in (found.hint or "")


def test_an_unknown_key_of_the_connection_is_an_error(bench: Workbench) -> None:
    bench.connections["shop"]["pasword"] = "hunter2"
    (found,) = bench.findings()
    assert (found.severity, found.line) == (Severity.ERROR, 5)
    assert "pasword" in found.message
    assert "hunter2" not in str(found)


def test_an_unknown_table_is_an_error_with_the_nearest_name(bench: Workbench) -> None:
    bench.replace("table: orders", "table: order")
    (found,) = bench.findings()
    assert (found.code, found.severity, found.line, found.column) == ("source.unknown_table", Severity.ERROR, 6, 10)
    assert found.hint == 'did you mean "orders"?'


def test_the_tables_are_listed_when_none_is_near(bench: Workbench) -> None:
    bench.replace("table: orders", "table: zzz")
    assert bench.told()["source.unknown_table"].hint == "its tables: orders"


def test_an_empty_database_has_no_tables(bench: Workbench) -> None:
    bench.shop.execute("DROP TABLE orders")
    assert bench.told()["source.unknown_table"].hint == "it has no tables"


def test_a_missing_column_is_an_error_at_its_field(bench: Workbench) -> None:
    bench.replace("{name: amount,", "{name: amuont,")
    found = bench.told()["source.missing_column"]
    assert (found.severity, found.line, found.column) == (Severity.ERROR, 13, 14)
    assert 'did you mean "amount"?' in (found.hint or "")


def test_a_missing_column_is_an_error_where_it_is_mapped(bench: Workbench) -> None:
    bench.replace("created_at", "creted_at")
    found = bench.told()["source.missing_column"]
    assert (found.line, found.column) == (7, 23)
    assert 'did you mean "created_at"?' in (found.hint or "")


def test_a_type_that_cannot_be_read_is_an_error_at_the_fields_type(bench: Workbench) -> None:
    bench.replace("decimal(10, 2)", "date")
    found = bench.told()["source.type"]
    assert (found.severity, found.line, found.column) == (Severity.ERROR, 13, 28)
    assert "DECIMAL(10, 2)" in found.message
    assert found.hint == "declare it as decimal(10,2)"


@pytest.mark.parametrize(
    ("column", "declared", "hint"),
    [
        ("amount SMALLINT", "date", "declare it as long"),
        ("amount TEXT", "boolean", "declare it as string"),
        ("amount BLOB", "string", "declare it as binary"),
        ("amount NUMERIC", "date", "leave it out, or read a view of the source that casts it"),
    ],
)
def test_the_type_that_would_fit_is_suggested(bench: Workbench, column: str, declared: str, hint: str) -> None:
    recreate(bench, f"order_id INTEGER NOT NULL, {column}, created_at TEXT NOT NULL")
    bench.replace("decimal(10, 2)", declared)
    assert bench.told()["source.type"].hint == hint


def test_a_nested_type_no_column_can_fill_is_an_error(bench: Workbench) -> None:
    bench.replace("decimal(10, 2)", "struct<a: int>")
    assert bench.told()["source.type"].severity is Severity.ERROR


def test_not_null_on_one_side_only_is_told(bench: Workbench) -> None:
    recreate(bench, "order_id INTEGER, amount DECIMAL(10, 2), created_at TEXT NOT NULL")
    (found,) = bench.findings()
    assert (found.code, found.severity, found.line, found.column) == ("source.maybe_null", Severity.INFO, 12, 46)


def test_a_cursor_that_may_be_null_is_a_warning_at_the_cursor(bench: Workbench) -> None:
    recreate(bench, "order_id INTEGER NOT NULL, amount DECIMAL(10, 2), created_at TEXT")
    (found,) = bench.findings()
    assert (found.code, found.severity, found.line) == ("source.cursor_nullable", Severity.WARNING, 17)


def test_columns_that_nobody_declares_are_told_in_one_line(bench: Workbench) -> None:
    bench.shop.execute("ALTER TABLE orders ADD COLUMN note TEXT", "ALTER TABLE orders ADD COLUMN colour TEXT")
    (found,) = bench.findings()
    assert (found.code, found.severity, found.line) == ("source.undeclared_columns", Severity.INFO, 6)
    assert "2 of the source's 5 columns are not read: note, colour" in found.message


def test_a_finding_about_the_source_can_be_ignored(bench: Workbench) -> None:
    bench.shop.execute("ALTER TABLE orders ADD COLUMN note TEXT")
    bench.manifest += "lint:\n  ignore:\n    - {code: source.undeclared_columns, reason: nobody needs them}\n"
    assert bench.findings() == ()


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ({"uri": "sqlite:///{root}/nowhere.db"}, "there is no file"),
        ({"uri": "${SHOP_URI}"}, "SHOP_URI"),
        ({"uri": "postgresql://reader@127.0.0.1:1/shop", "password": "hunter2"}, "127.0.0.1"),
        ({"uri": "postgresql://reader@127.0.0.1:1/shop", "password": "${SHOP_PASSWORD}"}, "SHOP_PASSWORD"),
        ({"uri": "gopher://reader:hunter2@127.0.0.1/shop"}, "gopher"),
        ({"username": "reader"}, "has no uri"),
    ],
    ids=["no file", "no variable", "nobody listens", "no password", "no driver", "no address"],
)
def test_a_source_that_cannot_be_read_is_a_warning_in_lint_and_an_error_in_test(
    bench: Workbench, connection: dict[str, str], said: str
) -> None:
    bench.connections["shop"] = connection
    (found,) = bench.findings()
    assert (found.code, found.severity) == ("source.not_compared", Severity.WARNING)
    assert (found.line, found.column) == (5, 15)
    assert said in found.message
    report = bench.test()
    (failed,) = report.diagnostics
    assert failed.severity is Severity.ERROR
    assert said in failed.message
    assert "hunter2" not in f"{found!r}{report!r}"


def test_a_view_is_a_source_too(bench: Workbench) -> None:
    bench.shop.execute("CREATE VIEW paid AS SELECT order_id, amount, created_at FROM orders")
    bench.replace("table: orders", "table: paid")
    assert all(each.severity is not Severity.ERROR for each in bench.findings())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("  primary_key: [order_id]\n", ""), "cursor.append"),
        (("nullable: false", "nullable: true"), "primary_key.nullable"),
        (("sales-data", "Sales_Data"), "owner.naming"),
    ],
    ids=["rows are only added", "a key that may be NULL", "the owner's name"],
)
def test_what_is_doubtful_is_a_warning(bench: Workbench, change: tuple[str, str], told: str) -> None:
    bench.replace(*change)
    if told == "cursor.append":
        bench.replace("  lookback: 3600\n", "")
    assert bench.told()[told].severity is Severity.WARNING


@pytest.mark.parametrize("type", ["timestamp", "timestamp_ntz"])
def test_a_key_without_lookback_misses_what_is_committed_late(bench: Workbench, type: str) -> None:
    bench.replace("  lookback: 3600\n", "").replace("type: timestamp}", f"type: {type}}}")
    (found,) = bench.findings()
    assert (found.code, found.severity) == ("cursor.no_lookback", Severity.INFO)
    assert (found.line, found.column) == (17, 11)
    assert "rows committed late are missed" in found.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  primary_key: [order_id]\n", ""),
        ("cursor: order_ts", "cursor: order_id"),
        ("  mode: incremental\n  cursor: order_ts\n", "  mode: snapshot\n"),
        ("metadata:\n", "lint: {ignore: [{code: cursor.no_lookback, reason: one writer}]}\nmetadata:\n"),
    ],
    ids=["no key", "a number", "a snapshot", "lived with"],
)
def test_what_needs_no_lookback_is_not_told_of_one(bench: Workbench, old: str, new: str) -> None:
    bench.replace("  lookback: 3600\n", "").replace(old, new)
    assert "cursor.no_lookback" not in bench.told()
    assert "lint.unused_ignore" not in bench.told()
