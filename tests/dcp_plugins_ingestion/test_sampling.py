"""``test`` of a table ingestion: some rows of the real source, through the job's own conversion."""

from __future__ import annotations

from dcp_core.diagnostics import Severity
from dcp_core.records import TestReport
from dcp_plugins_ingestion.taulu.sampling import SAMPLE_ROWS
from tests.dcp_plugins_ingestion.workbench import Workbench

GOOD = [(1, 1.25, "2026-01-01 10:00:00"), (2, 2.5, "2026-01-02 10:00:00")]


def errors(report: TestReport) -> dict[str, str]:
    """The messages of the errors, by where they are."""
    found = [each for each in report.diagnostics if each.severity is Severity.ERROR]
    return {".".join(map(str, each.path or ())): each.message for each in found}


def test_rows_that_fit_pass_and_the_report_says_what_they_were_read_from(bench: Workbench) -> None:
    bench.shop.insert("orders", *GOOD)
    report = bench.test()
    assert [(each.name, each.ok) for each in report.tests] == [("source schema", True), ("sample of 2 rows", True)]
    assert report.diagnostics == ()
    assert report.engine == "sqlite (connection shop)"


def test_only_so_many_rows_are_read(bench: Workbench) -> None:
    bench.shop.insert("orders", *[(number, 1.0, "2026-01-01 10:00:00") for number in range(SAMPLE_ROWS + 500)])
    assert bench.test().tests[-1].name == f"sample of {SAMPLE_ROWS} rows"


def test_every_column_that_does_not_convert_is_named_with_a_value(bench: Workbench) -> None:
    bench.shop.insert("orders", *GOOD, (3, "cheap", "tomorrow"))
    report = bench.test()
    found = errors(report)
    assert set(found) == {"dataset.fields.1.type", "dataset.fields.2.type"}
    assert "'cheap'" in found["dataset.fields.1.type"]
    assert "row 3" in found["dataset.fields.1.type"]
    assert "'tomorrow'" in found["dataset.fields.2.type"]
    assert [each.ok for each in report.tests] == [True, False]


def test_null_where_it_is_refused_is_an_error(bench: Workbench) -> None:
    bench.shop.execute(
        "DROP TABLE orders", "CREATE TABLE orders (order_id INTEGER, amount DECIMAL(10, 2), created_at TEXT)"
    )
    bench.shop.insert("orders", *GOOD, (None, 1, None))
    found = errors(bench.test())
    assert "NULL" in found["dataset.fields.0.nullable"]
    assert "NULL" in found["dataset.fields.2.name"], "a cursor is never NULL"


def test_keys_that_are_there_twice_are_an_error_where_rows_are_merged_by_them(bench: Workbench) -> None:
    bench.shop.insert("orders", *GOOD, (1, 9, "2026-01-03 10:00:00"), (2, 9, "2026-01-03 10:00:00"))
    report = bench.test()
    (found,) = report.diagnostics
    assert (found.code, found.severity) == ("source.duplicate_key", Severity.ERROR)
    assert "2 keys are there more than once in 4 rows: order_id=1; order_id=2" in found.message
    assert not report.tests[-1].ok


def test_keys_that_are_there_twice_are_a_warning_in_a_snapshot(bench: Workbench) -> None:
    bench.replace("  mode: incremental\n  cursor: order_ts\n  lookback: 3600\n", "")
    bench.shop.insert("orders", *GOOD, (1, 9, "2026-01-03 10:00:00"))
    report = bench.test()
    assert [(each.code, each.severity) for each in report.diagnostics] == [("source.duplicate_key", Severity.WARNING)]
    assert all(each.ok for each in report.tests)


def test_a_null_key_is_an_error_where_rows_are_merged_by_it(bench: Workbench) -> None:
    bench.shop.execute(
        "DROP TABLE orders",
        "CREATE TABLE orders (order_id INTEGER, amount DECIMAL(10, 2), created_at TEXT NOT NULL)",
    )
    bench.replace("type: long, nullable: false", "type: long")
    bench.shop.insert("orders", (None, 1, "2026-01-01 10:00:00"))
    assert "source.null_key" in [each.code for each in bench.test().diagnostics]


def test_an_empty_source_passes_and_says_that_nothing_was_seen(bench: Workbench) -> None:
    report = bench.test()
    assert [each.ok for each in report.tests] == [True, True]
    assert [(each.code, each.severity) for each in report.diagnostics] == [("source.empty", Severity.INFO)]


def test_a_column_with_the_wrong_type_fails_and_the_others_are_still_sampled(bench: Workbench) -> None:
    bench.replace("decimal(10, 2)", "date")
    bench.shop.insert("orders", *GOOD, (3, 1, "tomorrow"))
    found = errors(bench.test())
    assert "DECIMAL(10, 2)" in found["dataset.fields.1.type"]
    assert "'tomorrow'" in found["dataset.fields.2.type"]


def test_a_missing_column_fails_and_the_others_are_still_sampled(bench: Workbench) -> None:
    bench.replace("created_at", "nowhere")
    bench.shop.insert("orders", (1, "cheap", "2026-01-01 10:00:00"))
    found = errors(bench.test())
    assert "has no column nowhere" in found["source.columns.order_ts"]
    assert "'cheap'" in found["dataset.fields.1.type"]


def test_an_unknown_table_or_connection_is_an_error(bench: Workbench) -> None:
    bench.replace("table: orders", "table: order")
    assert "source.table" in errors(bench.test())
    bench.replace("connection: shop", "connection: shpo")
    assert "source.connection" in errors(bench.test())


def test_testing_changes_nothing_in_the_source_or_beside_it(bench: Workbench) -> None:
    bench.shop.insert("orders", *GOOD)
    before = {path.name: path.read_bytes() for path in bench.root.glob("shop.db*")}
    bench.test()
    bench.shared.close()
    assert {path.name: path.read_bytes() for path in bench.root.glob("shop.db*")} == before
