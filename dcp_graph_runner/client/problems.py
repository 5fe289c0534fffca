"""An error of the server as the same class that was raised there, so that whoever asks treats both alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from dcp_core import errors
from dcp_core.diagnostics import Diagnostic
from dcp_core.errors import DcpError, InvalidManifestError, OperationInProgressError, TransientError
from dcp_graph_runner.api.long_running import Problem
from dcp_graph_runner.api.messages import Finding

Locate = Callable[[Finding], Diagnostic]

# For a code that refines its class's own.
_BY_STATUS: dict[int, type[DcpError]] = {
    401: errors.UnauthenticatedError,
    403: errors.UnauthorizedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    501: errors.NotSupportedError,
    503: errors.TransientError,
}


def raised(problem: Problem, locate: Locate = lambda finding: finding.diagnostic) -> DcpError:
    """The error that a problem describes.

    Args:
        problem: As it came over the wire.
        locate: Fills in where each finding is; the server has no manifests to tell by.
    """
    details = {"where": problem.where, "owner": problem.owner, "hint": problem.hint, "code": problem.code}
    kind = _classes().get(problem.code) or _BY_STATUS.get(problem.status, errors.PermanentError)
    if issubclass(kind, InvalidManifestError) or problem.findings:
        invalid = InvalidManifestError(map(locate, problem.findings), **details)
        invalid.message = problem.message
        return invalid
    if issubclass(kind, OperationInProgressError):
        return OperationInProgressError(problem.message, holder=problem.where or "", **details)
    if issubclass(kind, TransientError):
        return kind(problem.message, retry_after_s=problem.retry_after_s, **details)
    return kind(problem.message, **details)


@cache
def _classes() -> dict[str, type[DcpError]]:
    """Every class of the core by its own code; a subclass without one of its own goes by its base's."""
    return {each.code: each for each in _subclasses(DcpError) if "code" in vars(each) and each is not DcpError}


def _subclasses(kind: type[DcpError]) -> Iterator[type[DcpError]]:
    for each in vars(errors).values():
        if isinstance(each, type) and issubclass(each, kind):
            yield each
