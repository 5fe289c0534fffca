"""Where results go: text for people, one JSON document, or a line of JSON per event. Only stdout; see also ``notes``.

Source: design.md section 13.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from pretzel.rendering.screen import Screen

TEXT, JSON, JSONL = "text", "json", "jsonl"


class Output:
    """One command's stdout.

    Args:
        mode: ``text``, ``json`` or ``jsonl``.
        stream: By default the process's stdout.
    """

    def __init__(self, mode: str, stream: TextIO | None = None) -> None:
        self.mode = mode
        self._stream = stream if stream is not None else sys.stdout
        self._screen: Screen | None = None
        self._lock = threading.Lock()
        self._is_read = True

    @property
    def screen(self) -> Screen:
        """For text."""
        if self._screen is None:
            from pretzel.rendering.screen import Screen

            self._screen = Screen(self._stream)
        return self._screen

    def event(self, type: str, content: dict[str, Any]) -> None:
        """In ``jsonl`` mode a line as it happens; otherwise nothing. Safe from several threads."""
        if self.mode != JSONL or not self._is_read:
            return
        try:
            self._write({**content, "type": type})
            self._stream.flush()
        except BrokenPipeError:
            # The work goes on although nobody listens; the end of the command notices too.
            self._is_read = False

    def result(self, document: dict[str, Any], render: Callable[[Screen], None]) -> None:
        """The one document, or the last line, or the text."""
        if self.mode == JSON:
            self._write(document, indent=2)
        elif self.mode == JSONL:
            # Not spread: a document may have a "type" of its own, as a schema has.
            self._write({"type": "result", "result": document})
        else:
            render(self.screen)

    def _write(self, document: dict[str, Any], indent: int | None = None) -> None:
        # Where the stream's encoding lacks a letter, JSON's own escapes are the only right ones.
        ascii_only = not (self._stream.encoding or "utf-8").lower().replace("-", "").startswith("utf")
        text = json.dumps(document, indent=indent, ensure_ascii=ascii_only, allow_nan=False, default=_plain)
        with self._lock:
            self._stream.write(text + "\n")


def _plain(value: Any) -> Any:
    """Everything that data and settings may hold and JSON does not know."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return str(value)
