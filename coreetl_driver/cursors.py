"""How far a table's extraction has come: kept in the summary of the snapshot that holds the rows themselves.

So cursor and rows are one commit, and a rollback of the table takes the cursor along. The last cursor is that of the
nearest ancestor of the current snapshot that has one: compaction and other people's commits in between do not lose it.

Must not import pyiceberg, pyarrow or the job program: both ends of the catalog endpoint use it.

Source: Iceberg table specification, "Snapshots", "Optional Snapshot Summary Fields".
"""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

CURSOR = "coreetl.cursor"  # JSON: {"type", "value"}, both text; null for none
COLUMN = "coreetl.cursor-column"
SOURCE = "coreetl.source"
ROWS = "coreetl.rows-written"
# The snapshot that a run took its cursor from: a condition of its commit, not a mark of it.
TAKEN_FROM = "coreetl.cursor-taken-from"
NOWHERE = "none"


@frozen
class Mark:
    """What a snapshot says of an extraction.

    Args:
        snapshot_id: Of the snapshot that says so.
        source: ``connection/table``.
        column: The cursor column; empty for a snapshot of the whole source.
        value: Text; None when there was no row.
    """

    snapshot_id: int
    source: str
    column: str
    value: str | None


def last_mark(current: int | None, snapshots: Mapping[int, tuple[int | None, Mapping[str, str]]]) -> Mark | None:
    """The nearest mark among the current snapshot and its ancestors.

    Args:
        current: The current snapshot of the table's main branch.
        snapshots: Parent and summary by id; those that have expired are missing.
    """
    seen = set()
    while current is not None and current in snapshots and current not in seen:
        seen.add(current)
        parent, summary = snapshots[current]
        if CURSOR in summary:
            found = json.loads(summary[CURSOR])
            value = None if found is None else str(found["value"])
            return Mark(current, summary.get(SOURCE, ""), summary.get(COLUMN, ""), value)
        current = parent
    return None


def marks(source: str, column: str | None, type_text: str, value: Any) -> dict[str, str]:
    """The summary entries of a commit."""
    held = None if value is None else {"type": type_text, "value": text_of(value)}
    return {SOURCE: source, COLUMN: column or "", CURSOR: json.dumps(held)}


def text_of(value: Any) -> str:
    """A cursor's value as text that reads back as the very same value."""
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.date):
        return value.isoformat()
    return str(value)
