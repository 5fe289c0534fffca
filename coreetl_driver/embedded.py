"""Embedded databases: where the file of one is, so that looking for something need not create it."""

from __future__ import annotations

from pathlib import Path


def sqlite_file(url: str) -> Path | None:
    """The file behind a SQLAlchemy URL of SQLite; None for another database or one in memory."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] != "sqlite" or not rest.startswith("/"):
        return None
    path = rest[1:].partition("?")[0]
    return None if path in ("", ":memory:") else Path(path)
