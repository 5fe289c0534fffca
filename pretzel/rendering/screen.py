"""A stream that text is shown on: Rich on a terminal, the bare words in a pipe or file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

Part = str | tuple[str, str]
"""Words, or words with a style: ``("error", "red")``."""

# Everything that moves a cursor or rewrites a terminal; a manifest's text must not do that.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_GAP = 2
_LEAST_COLUMN = 12
_UNWRAPPED = 1_000_000


def visible(text: str) -> str:
    """``text`` with control characters written out, line breaks and tabs kept."""
    return _CONTROL.sub(lambda match: repr(match.group())[1:-1], text.replace("\r\n", "\n"))


class Screen:
    """Shows lines and tables.

    Args:
        stream: Where.
        terminal: Whether it is one; by default the stream says.
        width: In columns; by default the terminal's. A pipe has none.
    """

    def __init__(self, stream: TextIO, *, terminal: bool | None = None, width: int | None = None) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty() if terminal is None else terminal
        # Colours can be forced into a pipe (CI logs show them); its text is not wrapped all the same.
        self._is_styled = self.is_terminal or bool(os.environ.get("FORCE_COLOR"))
        self._width = width if self.is_terminal else _UNWRAPPED
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """Rich's, for a terminal; ``NO_COLOR`` is its own affair."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=self.stream,
                force_terminal=self._is_styled,
                width=self._width,
                markup=False,
                emoji=False,
                highlight=False,
            )
        return self._console

    def line(self, *parts: Part, indent: int = 0) -> None:
        """One line, or several where the text has line breaks; a terminal's continuation lines are indented too."""
        if not self._is_styled:
            text = visible("".join(part if isinstance(part, str) else part[0] for part in parts))
            margin = " " * indent
            self.stream.write("\n".join(f"{margin}{each}".rstrip() for each in text.split("\n")) + "\n")
            return
        from rich.padding import Padding
        from rich.text import Text

        text_parts = [visible(part) if isinstance(part, str) else (visible(part[0]), part[1]) for part in parts]
        text_of = Text.assemble(*text_parts, overflow="fold")
        self.console.print(Padding(text_of, (0, 0, 0, indent), expand=False))

    def blank(self) -> None:
        """An empty line."""
        self.stream.write("\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as they need; on a terminal that is too narrow, a block of lines for each row."""
        shown = [[_cell(value) for value in row] for row in [columns, *rows]]
        widths = [max(_width_of(row[position]) for row in shown) for position in range(len(columns))]
        if self.is_terminal and sum(widths) + _GAP * len(widths) > self.console.width:
            least = sum(min(width, _LEAST_COLUMN) + _GAP for width in widths)
            if least > self.console.width:
                self._records(shown[0], shown[1:])
            else:
                self._folded(shown[0], shown[1:])
            return
        for number, row in enumerate(shown):
            padded = [value + " " * (width - _width_of(value)) for value, width in zip(row, widths, strict=True)]
            text = (" " * _GAP).join(padded).rstrip()
            self.line((text, "bold") if number == 0 else text)

    def _records(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        label = max(map(_width_of, columns), default=0)
        for number, row in enumerate(rows, start=1):
            self.line((f"row {number}", "bold"))
            for name, value in zip(columns, row, strict=True):
                self.line((name + " " * (label - _width_of(name)), "dim"), "  ", value, indent=2)

    def _folded(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for name in columns:
            table.add_column(Text(name), overflow="fold")
        for row in rows:
            table.add_row(*(Text(value, overflow="fold") for value in row))
        self.console.print(table)


def _cell(value: str) -> str:
    return visible(value).replace("\n", "\\n").replace("\t", "\\t")


def _width_of(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
