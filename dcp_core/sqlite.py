"""What every SQLite file of ours needs, whoever opens it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

_PAUSE_S = 0.01


def use_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Let readers go on while somebody writes.

    Args:
        timeout_s: How long to wait for others who have the file, in seconds. SQLite's own timeout does not count here:
            going over to WAL needs the file alone and does not wait for it as other statements do.

    Raises:
        sqlite3.OperationalError: It stays locked.
    """
    import sqlite3

    deadline = time.monotonic() + timeout_s
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
