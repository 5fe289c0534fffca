"""The test hook on the real embedded engine, over tables in a real catalog; one engine for the whole module."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dcp_core.context import SharedObjects
from dcp_core.diagnostics import Severity
from dcp_core.settings import Settings

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "examples" / "manifests" / "derived_dataset").glob("*.yaml"))


def generator() -> Any:
    """``examples/generate_source.py`` as a module."""
    spec = importlib.util.spec_from_file_location("generate_source", REPOSITORY / "examples" / "generate_source.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, SharedObjects]]:
    """A catalog with the examples' source rows, and the objects that its control plane shares."""
    root = tmp_path_factory.mktemp("project")
    settings = Settings(root, {}, {})
    generator().write(settings, 300)
    shared = SharedObjects()
    yield settings, shared
    shared.close()


@pytest.fixture
def engine_bench(bench: Any, project: tuple[Settings, SharedObjects]) -> Any:
    """The workbench over that catalog, its dataset made of columns that raw.orders has."""
    bench.settings, bench.shared = project
    bench.manifest = bench.manifest.replace("total_amount, type: decimal}", "quantity, type: int}")
    bench.manifest = bench.manifest.replace("order_ts", "ordered_at")
    bench.sql = "SELECT order_id, quantity, ordered_at FROM raw.orders\n"
    yield bench
    bench.shared = SharedObjects()  # the module's own are closed at its end


def test_a_right_query_is_analysed_planned_and_run_for_no_rows(engine_bench: Any) -> None:
    report = engine_bench.test()
    assert [(test.name, test.ok) for test in report.tests] == [
        ("schema analysis", True),
        ("EXPLAIN", True),
        ("LIMIT 0", True),
    ]
    assert report.diagnostics == ()
    assert report.engine.startswith("sail ")


def test_a_playground_reads_production(engine_bench: Any) -> None:
    assert all(test.ok for test in engine_bench.test("playground_alice").tests)


def test_an_unknown_source_is_an_error_and_the_cases_still_run(engine_bench: Any) -> None:
    engine_bench.sql = "SELECT order_id, quantity, ordered_at FROM raw.order_archive"
    engine_bench.add(
        "tests:\n  - name: rows pass through\n    inputs:\n      raw.order_archive:\n"
        "        columns: {order_id: string, quantity: int, ordered_at: timestamp}\n"
        "        rows: [{order_id: a, quantity: 2, ordered_at: '2026-01-01T00:00:00Z'}]\n"
        "    expected: [{order_id: a, quantity: 2, ordered_at: '2026-01-01T01:00:00+01:00'}]\n"
    )
    report = engine_bench.test()
    (finding,) = report.diagnostics
    assert (finding.code, finding.severity, finding.file, finding.line, finding.column) == (
        "sql.unknown_table",
        Severity.ERROR,
        "daily_orders.sql",
        1,
        44,
    )
    assert finding.hint == 'did you mean "raw.orders"?'
    assert [(test.name, test.ok) for test in report.tests] == [("rows pass through", True)]


def test_without_its_source_the_output_is_still_checked_by_the_types_of_a_case(engine_bench: Any) -> None:
    engine_bench.sql = "SELECT order_id, quantity, ordered_at FROM raw.order_archive"
    engine_bench.add(
        "tests:\n  - name: text for a number\n    inputs:\n      raw.order_archive:\n"
        "        columns: {order_id: string, quantity: string, ordered_at: timestamp}\n"
        "        rows: []\n    expected: []\n"
    )
    findings = {finding.code: finding for finding in engine_bench.test().diagnostics}
    assert findings.keys() == {"sql.unknown_table", "sql.type_mismatch"}
    assert findings["sql.type_mismatch"].path == ("dataset", "fields", 1, "type")


def test_a_source_that_only_the_playground_has_is_read_with_overlay(engine_bench: Any) -> None:
    from pyiceberg.catalog import load_catalog
    from pyiceberg.schema import Schema

    name = "pedregal-playground-alice"
    catalog = load_catalog(name, **engine_bench.settings.catalog_properties(name))
    catalog.create_namespace_if_not_exists("derived_datasets")
    source = load_catalog("pedregal", **engine_bench.settings.catalog_properties("pedregal")).load_table("raw.orders")
    catalog.create_table("derived_datasets.copies", Schema(*source.schema().fields))
    engine_bench.sql = "SELECT order_id, quantity, ordered_at FROM derived_datasets.copies"
    (finding,) = engine_bench.test("playground_alice").diagnostics
    assert finding.code == "sql.unknown_table"
    assert "--reads overlay" in finding.hint
    plan = engine_bench.plan("playground_alice", overlay=True)
    report = engine_bench.plugin.test(plan, engine_bench.context("playground_alice", overlay=True))
    assert [test.ok for test in report.tests] == [True, True, True], report


def test_a_source_that_another_manifest_will_make_is_a_warning(engine_bench: Any) -> None:
    engine_bench.sql = "SELECT order_id, quantity, ordered_at FROM derived_datasets.lines"
    engine_bench.provided = frozenset({"derived_datasets.lines"})
    (finding,) = engine_bench.test().diagnostics
    assert (finding.code, finding.severity) == ("sql.table_not_applied", Severity.WARNING)


@pytest.mark.parametrize(
    ("sql", "code", "says"),
    [
        ("SELECT order_id, quantity, nope AS ordered_at FROM raw.orders", "engine.refused", "no column 'nope'"),
        ("SELECT order_id, quantity, ordered_at FROM raw.orders QUALIFY 1 = 1", "engine.refused", "found QUALIFY"),
        (
            "SELECT order_id, 'x' AS quantity, ordered_at FROM raw.orders",
            "sql.type_mismatch",
            "string cannot become int",
        ),
        ("SELECT order_id, quantity FROM raw.orders", "sql.missing_column", '"ordered_at"'),
        ("SELECT *, 1 AS x FROM raw.orders", "sql.undeclared_column", '"x"'),
    ],
)
def test_what_the_engine_refuses_or_types_otherwise_is_an_error(
    engine_bench: Any, sql: str, code: str, says: str
) -> None:
    engine_bench.sql = sql
    report = engine_bench.test()
    assert not report.tests[0].ok
    errors = [finding for finding in report.diagnostics if finding.severity is Severity.ERROR]
    assert any(finding.code == code and says in finding.message for finding in errors), errors


def test_an_engines_refusal_has_its_place_in_the_sql(engine_bench: Any) -> None:
    engine_bench.sql = "SELECT order_id, quantity,\n  nope AS ordered_at\nFROM raw.orders"
    (finding,) = engine_bench.test().diagnostics
    assert (finding.file, finding.line, finding.column) == ("daily_orders.sql", 2, 3)


def test_a_required_field_that_may_be_null_is_mentioned(engine_bench: Any) -> None:
    engine_bench.replace("quantity, type: int}", "quantity, type: int, nullable: false}")
    (finding,) = engine_bench.test().diagnostics
    assert (finding.code, finding.severity) == ("sql.maybe_null", Severity.INFO)


def test_hostile_sql_reaches_no_engine(engine_bench: Any) -> None:
    engine_bench.sql = "SELECT order_id, quantity, ordered_at FROM text.`/etc/passwd`"
    report = engine_bench.test()
    assert [finding.code for finding in report.diagnostics] == ["sql.path"]
    assert report.tests == ()
    assert report.engine is None


CASES = """
tests:
  - name: types come from the real table
    inputs:
      raw.orders:
        - {order_id: a, quantity: 1, ordered_at: '2026-01-01'}
        - {order_id: b, quantity: 5, ordered_at: '2026-01-02'}
    expected: [{order_id: b, quantity: 5}, {order_id: a, quantity: 1}]
  - name: wrong on purpose
    inputs: {raw.orders: [{order_id: a, quantity: 1, ordered_at: '2026-01-01'}]}
    expected: [{order_id: a, quantity: 2}]
  - name: no rows
    inputs: {raw.orders: []}
    expected: []
  - name: in order
    inputs:
      raw.orders:
        - {order_id: a, quantity: 1, ordered_at: '2026-01-01'}
        - {order_id: b, quantity: 5, ordered_at: '2026-01-02'}
    expected: [{order_id: b}, {order_id: a}]
    ordered: true
  - name: a column that is not there
    inputs: {raw.orders: [{order: a}]}
    expected: []
"""


def test_cases_compare_what_the_query_returns_for_their_rows(engine_bench: Any) -> None:
    engine_bench.sql = "SELECT o.order_id, quantity, ordered_at FROM raw.orders AS o ORDER BY quantity DESC;"
    report = engine_bench.add(CASES).test()
    results = {test.name: test for test in report.tests}
    passed = [name for name, test in results.items() if test.ok]
    assert passed == ["schema analysis", "EXPLAIN", "LIMIT 0", "types come from the real table", "no rows", "in order"]
    assert results["wrong on purpose"].message == (
        "1 missing row and 1 unexpected row\n"
        "  - {order_id: a, quantity: 2}\n"
        "  + {order_id: a, quantity: 1}"
    )  # fmt: skip
    assert 'no column "order"' in results["a column that is not there"].message


def test_parameters_of_a_case_override_the_workflows(engine_bench: Any) -> None:
    engine_bench.replace("  sql: daily", "  params: {least: 3}\n  sql: daily")
    engine_bench.sql = "SELECT order_id, quantity, ordered_at FROM raw.orders WHERE quantity >= CAST(:least AS INT)"
    rows = (
        "[{order_id: a, quantity: 1, ordered_at: '2026-01-01'}, {order_id: b, quantity: 5, ordered_at: '2026-01-02'}]"
    )
    engine_bench.add(
        f"tests:\n  - {{name: default, inputs: {{raw.orders: {rows}}}, expected: [{{order_id: b}}]}}\n"
        f"  - {{name: none, inputs: {{raw.orders: {rows}}}, params: {{least: 9}}, expected: []}}\n"
    )
    report = engine_bench.test()
    assert [test.ok for test in report.tests] == [True] * 5, report.tests


def test_a_case_runs_for_a_stated_day_whatever_the_schedule_and_the_clock(engine_bench: Any) -> None:
    params = """{start: "{{ ds }}", end: "{{ data_interval_end | ds }}"}"""
    engine_bench.replace("  sql: daily", f"  params: {params}\n  sql: daily")
    engine_bench.sql = (
        "SELECT order_id, quantity, ordered_at FROM raw.orders WHERE CAST(ordered_at AS TIMESTAMP) >= "
        "CAST(:start AS DATE) AND CAST(ordered_at AS TIMESTAMP) < CAST(:end AS DATE)"
    )
    days = [f"{{order_id: {name}, quantity: 1, ordered_at: '{day}'}}" for name, day in DAYS.items()]
    inputs = f"inputs: {{raw.orders: [{', '.join(days)}]}}"
    engine_bench.add(
        f"tests:\n  - {{name: default, {inputs}, expected: [{{order_id: a}}]}}\n"
        f"  - {{name: dated, date: 2026-02-28, {inputs}, expected: [{{order_id: b}}]}}\n"
        f"  - {{name: until later, params: {{end: '{{{{ macros.ds_add(ds, 90) }}}}'}}, {inputs}, "
        "expected: [{order_id: a}, {order_id: b}]}\n"
    )
    report = engine_bench.test()
    assert [test.ok for test in report.tests] == [True] * 6, report.tests


DAYS = {"a": "2026-01-01", "b": "2026-02-28", "c": "1999-12-31"}


def test_checks_hold_or_say_what_does_not(engine_bench: Any) -> None:
    rows = (
        "[{order_id: a, quantity: 1, ordered_at: '2026-01-01'}, {order_id: a, quantity: -1, ordered_at: '2026-01-01'},"
        " {quantity: 7, ordered_at: '2026-01-01'}]"
    )
    engine_bench.manifest += (
        f"tests:\n  - {{name: t, inputs: {{raw.orders: {rows}}}, expected: "
        "[{quantity: 1}, {quantity: -1}, {quantity: 7}]}\n"
        "checks:\n"
        "  - {name: present, not_null: [order_id]}\n"
        "  - {name: single, unique: [order_id]}\n"
        "  - {name: pair, unique: [order_id, quantity]}\n"
        "  - {name: some, accepted_values: {field: quantity, values: [1, -1]}}\n"
        "  - {name: all, accepted_values: {field: quantity, values: [1, -1, 7]}}\n"
        "  - {name: positive, expression: quantity > 0}\n"
        "  - {name: small, expression: 'quantity < 8 AND ordered_at IS NOT NULL'}\n"
    )
    results = {test.name: test.message for test in engine_bench.test().tests if not test.ok}
    assert results == {
        "t: present": "order_id is NULL in 1 of 3 rows",
        "t: single": "order_id is not unique: ['a']",
        "t: some": "quantity has other values: 7",
        "t: positive": "1 of 3 rows do not satisfy quantity > 0",
    }


def test_many_manifests_share_one_engine(engine_bench: Any) -> None:
    engine_bench.test()
    assert [name for name in engine_bench.shared._objects if name.startswith("coreetl.engine.production")] == [
        "coreetl.engine.production.production"
    ]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_lint_clean_and_pass_their_tests(engine_bench: Any, file: Path) -> None:
    engine_bench.manifest = file.read_text()
    engine_bench.sql = file.with_suffix(".sql").read_text()
    engine_bench.replace(f"sql: {file.stem}.sql", "sql: daily_orders.sql") if file.stem != "daily_orders" else None
    engine_bench.provided = frozenset({"derived_datasets.order_lines"})
    assert engine_bench.findings() == ()
    report = engine_bench.test()
    assert all(test.ok for test in report.tests), report.tests
    assert not [finding for finding in report.diagnostics if finding.severity is Severity.ERROR]
    assert report.tests


def test_the_generator_gives_the_same_rows_again_and_replaces_them(tmp_path: Path) -> None:
    module = generator()
    assert module.generate(500, 7).equals(module.generate(500, 7))
    assert not module.generate(500, 7).equals(module.generate(500, 8))
    settings = Settings(tmp_path, {}, {})
    assert module.write(settings, 40) == 40
    assert module.write(settings, 25) == 25
    assert module.open_catalog(settings).load_table("raw.orders").scan().to_arrow().num_rows == 25
    assert module.write(settings, 0) == 0
