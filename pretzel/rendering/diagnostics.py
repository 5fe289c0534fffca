"""Findings as ``file:line:column: severity[code]: message``, with the line of the file on a terminal.

Source: design.md section 15.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcp_core.diagnostics import Diagnostic
    from pretzel.rendering.screen import Screen

STYLES = {"error": "red", "warning": "yellow", "info": "cyan"}
_LARGEST_SOURCE_BYTES = 1_000_000
_LONGEST_EXCERPT = 200


def render_diagnostics(screen: Screen, diagnostics: Sequence[Diagnostic], root: Path | None) -> None:
    """All of them, in the order given.

    Args:
        screen: Where.
        diagnostics: Located.
        root: What their files are relative to; None shows no excerpts.
    """
    for diagnostic in diagnostics:
        severity = diagnostic.severity.value
        head = f"{diagnostic.position}: " if diagnostic.position else ""
        style = STYLES.get(severity, "")
        # Continuation lines of a message are indented, so that a line that starts at the margin is a finding.
        message = re.sub(r"\n(?=\S)", "\n  ", diagnostic.message)
        screen.line((head, "bold"), (f"{severity}[{diagnostic.code}]: ", style), message)
        if screen.is_terminal and root is not None:
            _excerpt(screen, diagnostic, root, style)
        if diagnostic.hint:
            screen.line(f"hint: {diagnostic.hint}", indent=2)


def _excerpt(screen: Screen, diagnostic: Diagnostic, root: Path, style: str) -> None:
    text = _source_line(diagnostic, root)
    if text is None or diagnostic.line is None:
        return
    number = str(diagnostic.line)
    screen.line((f"{number} | ", "dim"), text, indent=2)
    if diagnostic.column is not None:
        before = "".join("\t" if each == "\t" else " " for each in text[: diagnostic.column - 1])
        screen.line((" " * len(number) + " | ", "dim"), before, ("^", style), indent=2)


def _source_line(diagnostic: Diagnostic, root: Path) -> str | None:
    if diagnostic.file is None or diagnostic.line is None:
        return None
    path = root / diagnostic.file
    try:
        if path.stat().st_size > _LARGEST_SOURCE_BYTES:
            return None
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    if not 1 <= diagnostic.line <= len(lines):
        return None
    text = lines[diagnostic.line - 1].rstrip()
    return text if text.strip() and len(text) <= _LONGEST_EXCERPT else None


def summary_line(diagnostics: Sequence[Diagnostic], manifests: int) -> str:
    """``2 errors and 1 warning in 3 manifests``."""
    counts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for word in ("error", "warning")
        if (count := sum(each.severity.value == word for each in diagnostics))
    ]
    checked = f"{manifests} manifest{'' if manifests == 1 else 's'}"
    return f"{' and '.join(counts)} in {checked}" if counts else f"{checked} checked, nothing to complain about"
