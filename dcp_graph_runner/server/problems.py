"""Errors as they cross the wire: one table from an error to its HTTP status, and from there to gRPC's.

A bug gives an id that is in the log, and nothing of what it says: that may hold anything.
"""

from __future__ import annotations

import logging
import secrets

from dcp_core.errors import (
    ConflictError,
    DcpError,
    InvalidManifestError,
    NotFoundError,
    NotSupportedError,
    PermanentError,
    PluginError,
    TransientError,
    UnauthenticatedError,
    UnauthorizedError,
)
from dcp_graph_runner.api.long_running import Problem
from dcp_graph_runner.api.messages import Finding

_LOG = logging.getLogger("dcp.server")
BUG = "server.bug"

# The first that fits counts.
STATUSES: tuple[tuple[type[DcpError], int], ...] = (
    (UnauthenticatedError, 401),
    (UnauthorizedError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (NotSupportedError, 501),
    (TransientError, 503),
    (PluginError, 500),
    (PermanentError, 400),
    (DcpError, 500),
)


def status_of(error: DcpError) -> int:
    """The HTTP status of an error."""
    return next(status for kind, status in STATUSES if isinstance(error, kind))


def problem_of(error: BaseException, where: str) -> Problem:
    """What the caller is told; whatever is no ``DcpError`` is a bug of ours, and is in the log with its id.

    Args:
        error: What was raised.
        where: The request or the call that it ended, for the log.
    """
    if not isinstance(error, DcpError):
        id = secrets.token_hex(6)
        _LOG.error("bug %s in %s", id, where, exc_info=error)
        return Problem(BUG, f"this is a bug of the server's: {id} in its log", hint="tell whoever runs the server")
    findings: tuple[Finding, ...] = getattr(error, "findings", ())
    if not findings and isinstance(error, InvalidManifestError):
        findings = tuple(Finding("", each) for each in error.diagnostics)
    return Problem(
        code=error.code,
        message=error.message,
        status=status_of(error),
        where=error.where,
        owner=error.owner,
        hint=error.hint,
        retry_after_s=getattr(error, "retry_after_s", None),
        findings=findings,
    )
