"""Keeps those whom nobody knows from filling the audit log, which is kept for ever and can be shortened by nobody.

Of the refusals of callers who did not show who they are, one in a minute is recorded for each kind of call and each
peer, and says how many like it came since the one before. Whoever has signed in is answerable: each is recorded.

Source: design.md section 9.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

EVERY = timedelta(minutes=1)
MOST_PEERS = 100
"""Told apart; all others count as one."""

_OTHERS = ("", "(others)")


@attrs.define
class _Seen:
    recorded_at: datetime
    unrecorded: int = 0


class Floods:
    """Thread-safe.

    Args:
        clock: UTC now.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], _Seen] = {}

    def unrecorded(self, kind: str, peer: str) -> int | None:
        """How many like this one were not recorded since the last that was; None when this one is not to be either."""
        now = self._clock()
        with self._lock:
            key = self._key((kind, peer), now)
            seen = self._seen.get(key)
            if seen is not None and now - seen.recorded_at < EVERY:
                seen.unrecorded += 1
                return None
            self._seen[key] = _Seen(now)
            return 0 if seen is None else seen.unrecorded

    def _key(self, key: tuple[str, str], now: datetime) -> tuple[str, str]:
        if key in self._seen or len(self._seen) < MOST_PEERS:
            return key
        for known, seen in tuple(self._seen.items()):
            if now - seen.recorded_at >= EVERY:
                del self._seen[known]
        return key if len(self._seen) < MOST_PEERS else _OTHERS
