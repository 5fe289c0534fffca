"""One table from the errors of the core to what goes over the wire, and back: gRPC and HTTP speak the same.

gRPC sends an error as metadata, of which clients take 8 KiB (https://grpc.io/docs/guides/metadata/): a longer one would
reach them as the service's exhaustion, which is tried again.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Mapping
from typing import Any

from coreetl_driver.compute.routing import TOKEN_NEEDED
from dcp_core.errors import (
    ConflictError,
    DcpError,
    InvalidSpecError,
    NotFoundError,
    NotSupportedError,
    PermanentError,
    TransientError,
    UnauthenticatedError,
    UnauthorizedError,
    UsageError,
)

GRPC_ERROR_KEY = "coreetl-error-bin"  # binary, for a message may hold any character
_MAX_BYTES = 2048  # of a message, and of a hint
# error class, name on the wire, gRPC status, HTTP status; the first that fits counts
_TABLE: tuple[tuple[type[DcpError], str, str, int], ...] = (
    (UnauthenticatedError, "unauthenticated", "UNAUTHENTICATED", 401),
    (UnauthorizedError, "unauthorized", "PERMISSION_DENIED", 403),
    (NotFoundError, "not_found", "NOT_FOUND", 404),
    (ConflictError, "conflict", "FAILED_PRECONDITION", 409),
    (InvalidSpecError, "invalid_spec", "INVALID_ARGUMENT", 400),
    (UsageError, "usage", "INVALID_ARGUMENT", 400),
    (NotSupportedError, "not_supported", "UNIMPLEMENTED", 501),
    (TransientError, "transient", "UNAVAILABLE", 503),
    (PermanentError, "permanent", "FAILED_PRECONDITION", 422),
)


def describe(error: Exception) -> tuple[dict[str, Any], str, int]:
    """(document, gRPC status name, HTTP status) of an error, cut to 2 KiB; of a bug nothing but that it is one."""
    for kind, name, grpc_status, http_status in _TABLE:
        if isinstance(error, kind):
            message, hint = cut(str(error), _MAX_BYTES), None if error.hint is None else cut(error.hint, _MAX_BYTES)
            document: dict[str, Any] = {"type": name, "message": message, "code": error.code, "hint": hint}
            if isinstance(error, TransientError) and error.retry_after_s is not None:
                document["retry_after_s"] = error.retry_after_s
            return document, grpc_status, http_status
    return {"type": "internal", "message": "internal error, see the driver's log", "code": "internal"}, "INTERNAL", 500


def cut(text: str, max_bytes: int) -> str:
    """The beginning of a text that is longer than ``max_bytes`` as JSON in UTF-8; what cannot be encoded becomes ?."""
    encodable = text.encode(errors="replace").decode()

    def size_bytes(length: int) -> int:
        return len(json.dumps(encodable[:length], ensure_ascii=False).encode())

    longest = min(len(encodable), max_bytes)
    if longest == len(encodable) and size_bytes(longest) <= max_bytes:
        return encodable
    mark = f"… ({len(text)} characters in all)"
    room = max_bytes - len(mark.encode())
    return encodable[: bisect.bisect_right(range(1, longest + 1), room, key=size_bytes)] + mark


def is_denial(error: Exception) -> bool:
    """Whether a caller has asked for what is not theirs; one who is only asked for a token of their user has not."""
    return isinstance(error, UnauthorizedError) and error.code != TOKEN_NEEDED


def revive(document: str | Mapping[str, Any], fallback: str) -> DcpError:
    """The error that a document describes, as the same class that was raised at the other side."""
    found = json.loads(document) if isinstance(document, str) else document
    for kind, name, _, _ in _TABLE:
        if found.get("type") == name:
            again = {"retry_after_s": found["retry_after_s"]} if "retry_after_s" in found else {}
            return kind(found["message"], hint=found.get("hint"), code=found.get("code"), **again)
    return PermanentError(str(found.get("message") or fallback), code="coreetl.internal")
