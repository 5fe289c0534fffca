"""How long to put up with a server that has gone away: it may be starting again, or another replica may answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import attrs

from dcp_core.errors import DcpError, TransientError

_FIRST_S = 0.1
_LONGEST_S = 3.0
_QUIET_S = 60.0
"""A stream that was open for so long had a server at its other end, though nothing happened on it."""


@attrs.define(eq=False)
class Patience:
    """One call's.

    Args:
        limit_s: How long to wait for the next sign of life, in seconds.
        tell: What people should know; called once.
        sleep: In seconds.
        clock: Seconds that only grow.
    """

    limit_s: float
    tell: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _away_since: float | None = attrs.field(default=None, init=False)
    _tries: int = attrs.field(default=0, init=False)
    _has_told: bool = attrs.field(default=False, init=False)

    def seen(self) -> None:
        """The server is there."""
        if self._has_told and self._away_since is not None:
            self.tell("the server is back")
        self._away_since, self._tries = None, 0

    def wait(self, error: DcpError, open_s: float = 0.0) -> None:
        """Sleep a while, longer each time, with jitter; not less than the server asks for.

        Args:
            error: Why.
            open_s: How long the stream was open that has ended so, in seconds.

        Raises:
            DcpError: ``error``, when the limit is over.
        """
        if open_s > _QUIET_S:
            self.seen()
        now = self.clock()
        if self._away_since is None:
            self._away_since = now
        left_s = self._away_since + self.limit_s - now
        if left_s <= 0:
            raise error
        if not self._has_told and self._tries:
            # One that is back at once is nobody's concern.
            self.tell(f"{error.message}; trying again for up to {self.limit_s:g} s")
            self._has_told = True
        pause_s = min(_FIRST_S * 2**self._tries, _LONGEST_S) * random.uniform(0.5, 1.0)
        if isinstance(error, TransientError) and error.retry_after_s is not None:
            pause_s = max(pause_s, error.retry_after_s * random.uniform(1.0, 1.2))
        self._tries = min(self._tries + 1, 10)
        self.sleep(min(pause_s, left_s))
