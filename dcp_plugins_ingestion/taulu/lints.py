"""What is wrong with a table ingestion: by itself, and beside its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from coreetl_driver.column_types import ScalarType
from coreetl_driver.extract_specs import is_cursor_type
from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.model import LogicalPlan
from dcp_plugins_base.lints.running import lint_dataset
from dcp_plugins_base.lints.subject import Lint, Subject, error, undeclared, warning
from dcp_plugins_ingestion.taulu.comparing import CONNECTION, compared, unknown_connection
from dcp_plugins_ingestion.taulu.spec import INCREMENTAL, IngestedTable

_CURSOR_TYPES = "a whole number, a decimal, a date or a timestamp"
_TIMESTAMPS = (ScalarType("timestamptz"), ScalarType("timestamp_ntz"))
_PATH = ("workflow", "cursor")


def renamed_columns(subject: Subject) -> Iterator[Diagnostic]:
    """``source.columns`` names declared fields, each once."""
    first: dict[str, str] = {}
    for name in _table(subject).columns:
        path = ("source", "columns", name)
        yield from undeclared(subject, [(name, path)], "source.unknown_field")
        other = first.setdefault(name.lower(), name)
        if other != name:
            yield error("source.duplicate", f'"{name}" and "{other}" are one field', path, hint="remove one of them")


def incremental(subject: Subject) -> Iterator[Diagnostic]:
    """A cursor, of a type that can be one, with mode incremental and only with it."""
    table = _table(subject)
    if table.extraction != INCREMENTAL:
        for key, value in (("cursor", table.cursor), ("lookback", table.lookback)):
            if value:
                message = f"{key} has no meaning with mode {table.extraction}, which reads all rows"
                yield error("cursor.unused", message, ("workflow", key), hint="add mode: incremental, or remove it")
        return
    if table.lookback and not table.primary_key:
        yield error(
            "cursor.lookback",
            "lookback reads rows again, which needs a primary key: without one they would come twice",
            ("workflow", "lookback"),
            hint="add primary_key under dataset, or remove lookback",
        )
    if table.cursor is None:
        yield error(
            "cursor.missing",
            "mode incremental needs a cursor: the field that grows with every new or changed row",
            ("workflow", "mode"),
            hint="add cursor: updated_at, or choose mode: snapshot",
        )
        return
    yield from undeclared(subject, [(table.cursor, _PATH)], "cursor.unknown_field")
    field = table.field_named(table.cursor)
    of = field.parsed_type() if field else None
    if of is not None and not is_cursor_type(of):
        yield error(
            "cursor.type",
            f"{table.cursor} is {of}, by which databases do not agree what is newer",
            _PATH,
            hint=f"a cursor is {_CURSOR_TYPES}",
        )


def appended(subject: Subject) -> Iterator[Diagnostic]:
    """Without a key nothing tells a changed row from a new one."""
    table = _table(subject)
    if table.extraction == INCREMENTAL and not table.primary_key and table.cursor is not None:
        yield warning(
            "cursor.append",
            f"without a primary key rows are only added: {table.cursor} must be unique and grow with every row, or "
            "rows are missed, and a changed row comes twice",
            _PATH,
            hint="add primary_key under dataset where there is one",
        )


def committed_late(subject: Subject) -> Iterator[Diagnostic]:
    """A row has its time before it is committed, and a run may come in between."""
    table = _table(subject)
    if table.extraction != INCREMENTAL or not table.primary_key or table.lookback or table.cursor is None:
        return
    field = table.field_named(table.cursor)
    if field is not None and field.parsed_type() in _TIMESTAMPS:
        yield Diagnostic(
            Severity.INFO,
            "cursor.no_lookback",
            f"rows committed late are missed: those whose {table.cursor} a run has passed when they are committed",
            _PATH,
            hint="add lookback: 3600, seconds that each run reads again",
        )


def lint_table(table: IngestedTable, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
    """The manifest by itself, then against its source.

    A source that cannot be read is a warning: a laptop or a build server need not reach every database.
    """

    def source(_subject: Subject) -> Iterator[Diagnostic]:
        unknown = tuple(unknown_connection(table, ctx))
        if unknown:
            yield from unknown
            return
        found = compared(table, ctx)
        yield from found.findings
        if found.unread is not None:
            message = f"not compared with its source: {found.unread.message}"
            yield warning("source.not_compared", message, CONNECTION, hint=found.unread.hint)

    return lint_dataset(table, logical_plan, (*OF_THE_TABLE, source))


def _table(subject: Subject) -> IngestedTable:
    return cast(IngestedTable, subject.dataset)


OF_THE_STRUCTURE: tuple[Lint, ...] = (renamed_columns, incremental)
"""Compiling the manifest refuses their errors."""

OF_THE_TABLE: tuple[Lint, ...] = (*OF_THE_STRUCTURE, appended, committed_late)
