"""What a server writes down of itself: a JSON object a line, each with the call it belongs to, none with a secret.

Headers are never written. What a caller's own headers hold as secrets is taken out of every line that is written while
the call is answered or worked on, whoever writes it; what looks like a secret is taken out of all others.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import attrs

from dcp_core.settings import MASK, masked

ACCESS = "dcp.server.access"
_OURS = ("dcp", "dcp_core", "dcp_graph_runner", "coreetl_driver", "dcp_primitives")
# Tokens in the words of others: an authorization header's value, and anything that is shaped as a JWT.
_TOKEN = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*", re.IGNORECASE)
_SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization", "x-dcp-credential-")
SHORTEST_SECRET = 6
"""Characters; taking out less would take out words."""


@attrs.define
class Call:
    """One call, as lines about it tell.

    Args:
        handler: ``Operations.Apply``.
        transport: ``grpc`` or ``http``.
        peer: Who is connected.
        trace_id: 32 hex digits; "" without a trace.
        identity: Who asks, once that is known.
        request_id: ``req_…``, of what goes on after the answer.
        secrets: What must not be written.
    """

    handler: str
    transport: str
    peer: str = ""
    trace_id: str = ""
    identity: str = ""
    request_id: str = ""
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)


CURRENT: ContextVar[Call | None] = ContextVar("dcp_call", default=None)
"""The call that this thread or task works for."""


def secrets_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets in a caller's headers: their values, and of a token with a scheme before it the token."""
    found = []
    for name, value in headers.items():
        if name.startswith(_SECRET_HEADERS):
            found += [value, value.rpartition(" ")[2]]
    return tuple(sorted({each for each in found if len(each) >= SHORTEST_SECRET}, key=len, reverse=True))


def without_secrets(text: str, secrets: tuple[str, ...] = ()) -> str:
    """A text as it may be written."""
    for each in secrets:
        text = text.replace(each, MASK)
    return masked("", _TOKEN.sub(MASK, text))


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, and what is known of its call."""

    def format(self, record: logging.LogRecord) -> str:
        """Never fails for what a record holds: a line is better than none."""
        call = CURRENT.get()
        secrets = call.secrets if call is not None else ()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(_message(record), secrets),
        }
        if call is not None:
            told = attrs.asdict(call, filter=lambda field, value: field.name != "secrets" and bool(value))
            line.update(told)
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = without_secrets(self.formatException(record.exc_info), secrets)
        return json.dumps(line, ensure_ascii=False, default=str)


@contextlib.contextmanager
def written_to(stream: TextIO | None = None, level: int = logging.INFO) -> Iterator[None]:
    """Write all logs as JSON lines for as long as this lasts; what others have set up is put back.

    Args:
        stream: By default standard error.
        level: Of our own loggers; others' are written from WARNING on.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines())
    loggers = [logging.getLogger(), *map(logging.getLogger, _OURS)]
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.handlers[:] = []
        each.propagate = True
        each.setLevel(level)
    loggers[0].handlers[:] = [handler]
    loggers[0].setLevel(logging.WARNING)
    hook = threading.excepthook
    threading.excepthook = _uncaught  # what Python would print by itself
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        threading.excepthook = hook
        for each, handlers, old, propagates in before:
            each.handlers[:] = handlers
            each.propagate = propagates
            each.setLevel(old)


def _uncaught(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread is not None else "?"
    error = ended.exc_value or ended.exc_type()
    logging.getLogger("dcp.server").error("the thread %s has ended", name, exc_info=error)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit their format, in somebody else's line
        return str(record.msg)
