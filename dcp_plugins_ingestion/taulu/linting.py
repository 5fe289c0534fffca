"""All that lint says about a table ingestion."""

from __future__ import annotations

from collections.abc import Iterator

from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic
from dcp_core.model import LogicalPlan
from dcp_plugins_base.lints.running import lint_dataset
from dcp_plugins_base.lints.subject import Subject, warning
from dcp_plugins_ingestion.taulu.comparing import CONNECTION, compared, unknown_connection
from dcp_plugins_ingestion.taulu.lints import OF_THE_TABLE
from dcp_plugins_ingestion.taulu.spec import IngestedTable


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
