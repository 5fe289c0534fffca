"""What ``test`` does: some rows of the source, through the conversion that the job uses.

Nothing is written and no job is submitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from coreetl_driver.api import Column, SinkMode
from coreetl_driver.sources import ReadColumn, Source, ValueProblemError, read_columns
from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic, FieldPath, Severity
from dcp_core.errors import DcpError, TransientError
from dcp_core.records import TestReport, TestResult
from dcp_plugins_base.lints.subject import error, warning
from dcp_plugins_ingestion.taulu.comparing import CONNECTION, TABLE, differences, unknown_connection
from dcp_plugins_ingestion.taulu.sources import open_sources
from dcp_plugins_ingestion.taulu.spec import IngestedTable

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 1000
_MOST_SHOWN = 3


def test_source(table: IngestedTable, ctx: Context) -> TestReport:
    """The source's schema, and the values of at most ``SAMPLE_ROWS`` rows, against what is declared."""
    unknown = tuple(unknown_connection(table, ctx))
    if unknown:
        return TestReport(diagnostics=unknown)
    try:
        with open_sources(ctx).reading(table.connection, ctx) as source:
            return _report(table, source)
    except DcpError as unread:
        kind = "unavailable" if isinstance(unread, TransientError) else "unreadable"
        return TestReport(diagnostics=(error(f"source.{kind}", unread.message, CONNECTION, hint=unread.hint),))


test_source.__test__ = False  # type: ignore[attr-defined]  # not a test itself, whatever pytest thinks of its name


def _report(table: IngestedTable, source: Source) -> TestReport:
    engine = f"{source.dialect} (connection {table.connection})"
    schema = tuple(differences(table, source))
    wrong = [each for each in schema if each.severity is Severity.ERROR]
    tests = [TestResult("source schema", not wrong, "\n".join(each.message for each in wrong))]
    bad_paths = {each.path[:3] if each.path else () for each in wrong}
    if TABLE in bad_paths:
        return TestReport(tuple(tests), schema, engine)
    columns = [
        (index, column)
        for index, column in enumerate(_columns(table))
        if table.field_path(index) not in bad_paths and table.source_path(index)[:3] not in bad_paths
    ]
    rows, findings = _sample(table, source, columns) if columns else (None, [])
    if rows is not None:
        findings += [*_of_rows(table, rows)]
    failed = [each.message for each in findings if each.severity is Severity.ERROR]
    count = f"{rows.num_rows} rows" if rows is not None else f"up to {SAMPLE_ROWS} rows"
    if columns:
        tests.append(TestResult(f"sample of {count}", not failed, "\n".join(failed)))
    return TestReport(tuple(tests), (*schema, *findings), engine)


def _columns(table: IngestedTable) -> tuple[ReadColumn, ...]:
    """As the job reads them: a cursor is never NULL, for nobody could tell whether such a row is new."""
    cursor = (table.cursor or "").lower()
    declared = [
        Column(field.name, field.type, not field.nullable or field.name.lower() == cursor) for field in table.fields
    ]
    return read_columns(declared, table.source())


def _sample(
    table: IngestedTable, source: Source, columns: Sequence[tuple[int, ReadColumn]]
) -> tuple[pa.Table | None, list[Diagnostic]]:
    """The rows; None when a value does not fit, and then what is wrong with each column by itself.

    Raises:
        DcpError: The source cannot be read.
    """
    try:
        return source.sample(table.source_table, [column for _, column in columns], SAMPLE_ROWS), []
    except ValueProblemError:
        findings = []
        for index, column in columns:
            try:
                source.sample(table.source_table, [column], SAMPLE_ROWS)
            except ValueProblemError as problem:
                place, hint = _advice(table, source, column)
                path: FieldPath = (*table.field_path(index), place)
                findings.append(error(problem.code, problem.message, path, hint=hint))
        return None, findings


def _advice(table: IngestedTable, source: Source, column: ReadColumn) -> tuple[str, str]:
    """Which key of the field a value that does not fit is about, and what to do; names are the source's."""
    try:
        source.sample(table.source_table, [attrs.evolve(column, required=False)], SAMPLE_ROWS)
    except ValueProblemError:
        return (
            "type",
            f"mend the value in the source, or declare a type that {column.source} fits into, string for any text",
        )
    if table.cursor is not None and column.name.lower() == table.cursor.lower():
        return "name", "choose a cursor that is never NULL, or mode: snapshot"
    return "nullable", f"fill {column.source} in the source, or declare the field with nullable: true"


def _of_rows(table: IngestedTable, rows: pa.Table) -> Iterator[Diagnostic]:
    if rows.num_rows == 0:
        yield Diagnostic(
            Severity.INFO, "source.empty", f"table {table.source_table} has no rows, so no value was looked at", TABLE
        )
        return
    yield from _keys(table, rows)


def _keys(table: IngestedTable, rows: pa.Table) -> Iterator[Diagnostic]:
    import pyarrow.compute as pc

    names = [name for name in map(table.declared_name, table.primary_key) if name in rows.column_names]
    if not names or len(names) < len(table.primary_key):
        return
    path = (table.section, "primary_key")
    # Merging by such keys fails; otherwise they only mislead whoever relies on them.
    said = error if table.mode == SinkMode.MERGE else warning
    for name in names:
        count = rows.column(name).null_count
        if count:
            yield said("source.null_key", f"{name} is NULL in {count} of {rows.num_rows} rows, and is a key", path)
    grouped = rows.select(names).group_by(names).aggregate([([], "count_all")])
    twice = grouped.filter(pc.greater(grouped.column("count_all"), 1))
    if twice.num_rows:
        shown = "; ".join(
            ", ".join(f"{name}={value!r}" for name, value in row.items() if name != "count_all")
            for row in twice.slice(0, _MOST_SHOWN).to_pylist()
        )
        more = ", …" if twice.num_rows > _MOST_SHOWN else ""
        yield said(
            "source.duplicate_key",
            f"{twice.num_rows} keys are there more than once in {rows.num_rows} rows: {shown}{more}",
            path,
            hint="name all fields that together identify a row",
        )
