"""Everything that ``test`` says about one dataset that a query fills."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from coreetl_driver.api import Column
from coreetl_driver.column_types import parse_engine_type, parse_type
from coreetl_driver.writing import problem_writing
from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.errors import PermanentError
from dcp_core.model import LogicalPlan
from dcp_core.records import TestReport, TestResult
from dcp_plugins_base.checking.cases import params_on, run_case
from dcp_plugins_base.checking.engines import SharedEngine, engine_for
from dcp_plugins_base.dataset import CASE_DATE, QueryDataset
from dcp_plugins_base.known_tables import known_tables
from dcp_plugins_base.lints.running import query_subject
from dcp_plugins_base.lints.sql import near_table, one_query
from dcp_plugins_base.lints.subject import QuerySubject, nearest
from dcp_plugins_base.queries import Place, source_name

_AT_LINE = re.compile(r"at line (\d+), column (\d+)")
_NO_COLUMN = re.compile(r"there is no column '([^']+)'")
Sources = dict[str, tuple[Column, ...] | None]


def test_query(dataset: QueryDataset, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
    """Sources exist, the query analyses, plans and runs for no rows, its output is as declared; cases and checks.

    Where a source does not exist the query cannot be analysed, but the cases, which bring their rows, still run.

    Raises:
        TransientError: The engine does not start, or died.
    """
    subject = query_subject(dataset, logical_plan, ctx)
    refused = tuple(one_query(subject))
    if refused:
        return TestReport(diagnostics=refused)
    engine = engine_for(ctx)
    sources, diagnostics = _read_sources(engine, subject, ctx)
    tests: list[TestResult] = []
    is_analysed = all(columns is not None for columns in sources.values())
    if is_analysed:
        for result, findings in _analysis(engine, subject):
            tests.append(result)
            diagnostics.extend(findings)
    for case in dataset.tests:
        outcome = run_case(engine, dataset, case, sources)
        tests.extend(outcome.results)
        if outcome.columns is not None and not is_analysed:
            # Types that the case declares tell as much; whether a value may be NULL they do not.
            found = check_output(subject, outcome.columns)
            diagnostics.extend(finding for finding in found if finding.severity is Severity.ERROR)
            is_analysed = True
    return TestReport(tuple(tests), tuple(diagnostics), engine.name)


test_query.__test__ = False  # type: ignore[attr-defined]  # not a test itself, whatever pytest thinks of its name


def _read_sources(engine: SharedEngine, subject: QuerySubject, ctx: Context) -> tuple[Sources, list[Diagnostic]]:
    sources: Sources = {}
    diagnostics = []
    for source in subject.query.sources:
        name = source_name(source)
        if name in sources:
            continue
        try:
            sources[name] = engine.columns_of(name)
        except PermanentError as error:
            sources[name] = None
            place = Place(source.line, source.column)
            diagnostics.append(subject.in_sql(Severity.ERROR, "sql.unreadable_table", error.message, place, error.hint))
            continue
        if sources[name] is None:
            diagnostics.append(_missing(subject, name, Place(source.line, source.column), ctx))
    return sources, diagnostics


def _missing(subject: QuerySubject, name: str, place: Place, ctx: Context) -> Diagnostic:
    environment = ctx.environment
    where = "" if environment.is_production else f" in {environment.reads}"
    overlay = attrs.evolve(environment, overlay=True)
    is_in_playground = name in (known_tables(ctx.settings, overlay) or ())
    hint = "the playground has a copy: --reads overlay prefers it" if is_in_playground else None
    if name in ctx.provided or name == subject.dataset.table:
        return subject.in_sql(
            Severity.WARNING,
            "sql.table_not_applied",
            f'table "{name}" does not exist yet{where}: the query was not analysed on it',
            place,
            hint or "one of these manifests makes it: apply that first",
        )
    message = f'table "{name}" does not exist{where}'
    return subject.in_sql(Severity.ERROR, "sql.unknown_table", message, place, hint or near_table(subject, name))


def _analysis(engine: SharedEngine, subject: QuerySubject) -> Iterator[tuple[TestResult, list[Diagnostic]]]:
    """Schema analysis, EXPLAIN, LIMIT 0; the first that fails is the last."""
    sql = subject.dataset.sql
    try:
        columns = engine.analyze(sql)
    except PermanentError as error:
        yield TestResult("schema analysis", False, error.message), [_refused(subject, error)]
        return
    findings = list(check_output(subject, columns))
    wrong = [finding.message for finding in findings if finding.severity is Severity.ERROR]
    yield TestResult("schema analysis", not wrong, "\n".join(wrong)), findings
    try:
        engine.explain(sql)
    except PermanentError as error:
        yield TestResult("EXPLAIN", False, error.message), [_refused(subject, error)]
        return
    yield TestResult("EXPLAIN", True), []
    try:
        engine.rows(sql, {}, 0, params_on(CASE_DATE, subject.dataset.params))
    except PermanentError as error:
        yield TestResult("LIMIT 0", False, error.message), [_refused(subject, error)]
        return
    yield TestResult("LIMIT 0", True), []


def check_output(subject: QuerySubject, columns: Sequence[Column]) -> Iterator[Diagnostic]:
    """The query's columns, as the engine knows them, against the declared fields."""
    by_name = {column.name.lower(): column for column in columns}
    for index, field in enumerate(subject.dataset.fields):
        path = subject.dataset.field_path(index)
        column = by_name.get(field.name.lower())
        if column is None:
            message = f'the query does not return the field "{field.name}"'
            hint = nearest(field.name, [each.name for each in columns]) or "add it to the SELECT"
            yield Diagnostic(Severity.ERROR, "sql.missing_column", message, path=(*path, "name"), hint=hint)
            continue
        problem = problem_writing(parse_engine_type(column.type), parse_type(field.type))
        if problem:
            message = f'"{field.name}" is {column.type} in the query: {problem}'
            hint = f"CAST(… AS {field.type}), or declare it as {column.type}"
            yield Diagnostic(Severity.ERROR, "sql.type_mismatch", message, path=(*path, "type"), hint=hint)
        if not field.nullable and not column.required:
            message = f'"{field.name}" must not be NULL, but the query may return NULL: such a run fails'
            yield Diagnostic(
                Severity.INFO, "sql.maybe_null", message, path=(*path, "name"), hint="COALESCE, or filter them out"
            )
    for column in columns:
        if subject.dataset.field_named(column.name) is None:
            message = f'output column "{column.name}" is not a declared field'
            place = subject.query.place_of_words(column.name)
            hint = nearest(column.name, subject.dataset.field_names) or "declare it, or leave it out of the SELECT"
            yield subject.in_sql(Severity.ERROR, "sql.undeclared_column", message, place, hint)


def _refused(subject: QuerySubject, error: PermanentError) -> Diagnostic:
    """The engine's refusal, at the place that its message tells."""
    place = None
    at_line, no_column = _AT_LINE.search(error.message), _NO_COLUMN.search(error.message)
    if at_line:
        place = Place(int(at_line.group(1)), int(at_line.group(2)))
    elif no_column:
        place = subject.query.place_of_words(no_column.group(1).rpartition(".")[2])
    return subject.in_sql(Severity.ERROR, error.code, error.message, place, error.hint)
