"""Pages: how many rows an answer may have, and a token for where the next one begins."""

from __future__ import annotations

import base64
import binascii
import json

from dcp_core.digests import JsonValue
from dcp_core.errors import UsageError

MOST = 1000
"""Rows of one answer."""


def bounded(limit: int) -> int:
    """As many rows as asked for, at most ``MOST``.

    Raises:
        UsageError: Fewer than one.
    """
    if limit < 1:
        raise UsageError(f"limit {limit} asks for nothing", hint=f"1 to {MOST}")
    return min(limit, MOST)


def token_of(place: JsonValue) -> str:
    """A place as text that nobody needs to read."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def place_of(token: str) -> JsonValue:
    """The inverse; None for "".

    Raises:
        UsageError: No answer had this token.
    """
    if not token:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError):
        raise wrong_token() from None


def wrong_token() -> UsageError:
    """For a token that is none of this list's."""
    return UsageError("the page token is none of this list's", hint="begin without one")
