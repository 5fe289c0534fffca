"""What a database's driver says, in one line for people: no secret, and nothing of the statement."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coreetl_driver.sources.connections import Connection

_MAX_LENGTH = 400
# A statement of a wide table is longer than any error: SQLite's driver adds it after "query:", PostgreSQL's after
# "Query was:", and the databases themselves the line that they dislike, with a mark below.
_STATEMENT = re.compile(r"(?:^|\n)\s*query(?: was)?:.*|\bquery was:.*", re.IGNORECASE | re.DOTALL)
_LINE = re.compile(r"\n\s*LINE \d+:[^\n]*(?:\n\s*\^)?", re.IGNORECASE)


def told(connection: Connection, error: BaseException) -> str:
    """The message of a driver's error, cleaned and at most 400 characters long."""
    said = _LINE.sub("", _STATEMENT.sub("", connection.scrubbed(str(error))))
    message = " ".join(said.split())
    return message if len(message) <= _MAX_LENGTH else message[: _MAX_LENGTH - 1] + "…"
