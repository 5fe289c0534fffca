"""A SQLite file goes over to WAL also while somebody else has it."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from dcp_core.sqlite import use_wal


def opened(file: Path, timeout_s: float = 30.0) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=timeout_s, isolation_level=None, check_same_thread=False)


def mode_of(connection: sqlite3.Connection) -> str:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


def test_a_file_that_somebody_has_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    other, mine = opened(file), opened(file)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        mine.execute("PRAGMA journal_mode = WAL")  # at once, whatever the timeout: why there is `use_wal`
    letting_go = threading.Timer(0.2, other.execute, ["COMMIT"])
    letting_go.start()
    use_wal(mine, 60.0)
    letting_go.join()
    assert mode_of(mine) == "wal"
    use_wal(other, 0.0)
    assert mode_of(opened(file)) == "wal"


def test_one_that_stays_locked_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    other, mine = opened(file), opened(file, 0.0)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        use_wal(mine, 0.1)
    other.execute("COMMIT")
    assert mode_of(mine) == "delete"
