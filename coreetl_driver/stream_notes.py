"""What a stream's worker says before each of its commits, held until that commit has been made."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from coreetl_driver.cursors import TAKEN_FROM


@define
class StreamNotes:
    """One note at most for each of a stream's tables.

    Notes and commits come by different ways, so a commit waits for its note. It stays until the commit is made: an
    engine that is told of a lost race tries again.
    """

    _notes: dict[str, dict[str, str]] = field(factory=dict)
    _changed: threading.Condition = field(factory=threading.Condition, repr=False)

    def take(self, note: Mapping[str, Any]) -> None:
        """Keep what the next commit to ``note["table"]`` is to say: ``marks``, and where it was taken from."""
        with self._changed:
            self._notes[note["table"]] = {**note["marks"], TAKEN_FROM: note[TAKEN_FROM]}
            self._changed.notify_all()

    def of(self, table: str, timeout_s: float) -> Mapping[str, str] | None:
        """The note for a commit to a table; None when none comes within the time."""
        with self._changed:
            self._changed.wait_for(lambda: table in self._notes, timeout_s)
            return self._notes.get(table)

    def done(self, table: str) -> None:
        """The commit is made: the next one needs a note of its own."""
        with self._changed:
            self._notes.pop(table, None)
