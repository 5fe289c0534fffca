"""Rows of a table, and lines to paste elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pretzel.rendering.values import value_text

if TYPE_CHECKING:
    from dcp_core.records import Preview
    from pretzel.rendering.screen import Screen


def render_preview(screen: Screen, preview: Preview) -> None:
    """The rows as a table, how many there are in all, then the snippets."""
    screen.table(preview.columns, [[_text(value) for value in row] for row in preview.rows])
    count = len(preview.rows)
    total = "" if preview.total_rows is None else f" of {preview.total_rows}"
    screen.line((f"{count}{total} row{'' if (preview.total_rows or count) == 1 else 's'}", "dim"))
    for tool in sorted(preview.snippets, key=str.lower):  # on their way from a server they have no order
        screen.blank()
        screen.line((f"# {tool}", "bold"))
        _paste(screen, preview.snippets[tool])


def _paste(screen: Screen, snippet: str) -> None:
    """Written as it is, on a terminal too: lines that are to be pasted must not get other line breaks."""
    from pretzel.rendering.screen import visible

    screen.stream.write(visible(snippet.rstrip("\n")) + "\n")


def _text(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, (bytes, bytearray)):
        return f"0x{value.hex()}"
    if isinstance(value, (str, dict, list, tuple, bool)):
        return value_text(value)
    return str(value)
