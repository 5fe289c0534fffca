"""The declared schema against the real one of the source: what lint, plan and test all say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import attrs

from coreetl_driver.column_types import ScalarType, parse_type
from coreetl_driver.sources import Source, SourceColumnInfo, problem_extracting, require_connection
from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic, FieldPath, Severity
from dcp_core.errors import DcpError, InvalidSpecError
from dcp_plugins_base.dataset import Field
from dcp_plugins_base.lints.subject import error, nearest, shortened, warning
from dcp_plugins_ingestion.taulu.sources import open_sources
from dcp_plugins_ingestion.taulu.spec import IngestedTable

CONNECTION: FieldPath = ("source", "connection")
TABLE: FieldPath = ("source", "table")
_MOST_NAMED = 5


@attrs.frozen
class Compared:
    """What comparing found.

    Args:
        findings: Errors are what the job would fail on.
        unread: Why the source could not be read; None when it was.
    """

    findings: tuple[Diagnostic, ...] = ()
    unread: DcpError | None = None

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The findings that are errors."""
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)


def compared(table: IngestedTable, ctx: Context) -> Compared:
    """Look at the source; whatever keeps it from being read is in the result, not raised."""
    try:
        with open_sources(ctx).reading(table.connection, ctx) as source:
            return Compared(tuple(differences(table, source)))
    except DcpError as unread:
        return Compared(unread=unread)


def unknown_connection(table: IngestedTable, ctx: Context) -> Iterator[Diagnostic]:
    """The connection is none of ``dcp.toml``, or its section has a key that means nothing."""
    try:
        require_connection(ctx.settings, table.connection)
    except DcpError as unknown:
        yield error(unknown.code, unknown.message, CONNECTION, hint=unknown.hint)


def differences(table: IngestedTable, source: Source) -> Iterator[Diagnostic]:
    """What the source's table has and the declared one does not, and the other way round.

    Raises:
        DcpError: The source cannot be read.
    """
    found = source.columns(table.source_table)
    if found is None:
        tables = source.tables()
        known = f"its tables: {shortened(tables)}" if tables else "it has no tables"
        yield error(
            "source.unknown_table",
            f"connection {table.connection} has no table {table.source_table}",
            TABLE,
            hint=nearest(table.source_table, tables) or known,
        )
        return
    for index, field in enumerate(table.fields):
        yield from _of_field(table, index, field, found)
    yield from _undeclared(table, found)


def _of_field(
    table: IngestedTable, index: int, field: Field, found: Sequence[SourceColumnInfo]
) -> Iterator[Diagnostic]:
    name = table.source_column(field)
    column = next((each for each in found if each.name == name), None)
    if column is None:
        names = [each.name for each in found]
        hint = nearest(name, names) or f"its columns: {shortened(names)}"
        yield error(
            "source.missing_column",
            f"table {table.source_table} of connection {table.connection} has no column {name}",
            table.source_path(index),
            hint=f"{hint}; source.columns says which column a field comes from",
        )
        return
    of = field.parsed_type()
    problem = problem_extracting(column, of) if of is not None else None
    if problem:
        yield error(
            "source.type",
            f'source column {name} cannot fill "{field.name}": {problem}',
            (*table.field_path(index), "type"),
            hint=_fitting(column),
        )
    is_cursor = table.cursor is not None and field.name.lower() == table.cursor.lower()
    if not field.nullable and column.nullable and not is_cursor:
        yield Diagnostic(
            Severity.INFO,
            "source.maybe_null",
            f'"{field.name}" must not be NULL, but source column {name} may be: such a run fails',
            (*table.field_path(index), "nullable"),
            hint="declare it NOT NULL in the source too, or nullable: true here",
        )
    if is_cursor and column.nullable:
        yield warning(
            "source.cursor_nullable",
            f"cursor {field.name}: source column {name} may be NULL: a run that reads such a row fails, for nobody can "
            "tell whether it is new",
            ("workflow", "cursor"),
            hint="declare it NOT NULL in the source",
        )


def _fitting(column: SourceColumnInfo) -> str:
    """What to declare instead."""
    for of in (column.type, ScalarType("string")):
        if of is not None and problem_extracting(column, of) is None:
            with contextlib.suppress(InvalidSpecError):  # a time of day, say, which no table has
                return f"declare it as {parse_type(str(of))}"
    return "leave it out, or read a view of the source that casts it"


def _undeclared(table: IngestedTable, found: Sequence[SourceColumnInfo]) -> Iterator[Diagnostic]:
    read = {table.source_column(field) for field in table.fields}
    others = [each.name for each in found if each.name not in read]
    if others:
        yield Diagnostic(
            Severity.INFO,
            "source.undeclared_columns",
            f"{len(others)} of the source's {len(found)} columns are not read: {shortened(others)}",
            TABLE,
            hint="declare those that are wanted as fields",
        )


def in_one_line(errors: Sequence[Diagnostic]) -> str:
    """Several findings for a place that has room for one."""
    told = "; ".join(each.message for each in errors[:_MOST_NAMED])
    more = len(errors) - _MOST_NAMED
    return f"{told}; and {more} more" if more > 0 else told
