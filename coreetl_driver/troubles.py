"""A backend that does not answer, or does not let the driver in: since when, what it says, and when to ask again."""

from __future__ import annotations

import logging
import random
import time

from attrs import define

from dcp_core.errors import DcpError, TransientError

_LOG = logging.getLogger(__name__)
_MAX_BACKOFF_S = 30.0
_MAX_ASKED_S = 300.0  # whatever a service asks for: nobody waits for hours, or for ever, because of one header


@define
class Trouble:
    """What goes wrong with one execution for a while.

    Args:
        since: By the monotonic clock; None while nothing is wrong.
    """

    execution_id: str
    backend: str
    since: float | None = None
    retry_at: float = 0.0
    tries: int = 0
    error: TransientError | None = None
    is_reported: bool = False

    def note(self, error: TransientError) -> None:
        is_known = self.error is not None and self.error.message == error.message
        self.since = time.monotonic() if self.since is None else self.since
        self.tries, self.error = self.tries + 1, error
        self.retry_at = time.monotonic() + self._delay_s()
        level = logging.DEBUG if is_known else logging.WARNING  # once is enough for people
        _LOG.log(level, "execution %s: backend %r does not answer: %s", self.execution_id, self.backend, error)

    def hurry(self) -> None:
        """The next try is due at once, whatever the service has asked for."""
        self.retry_at = 0.0

    @property
    def lasts_s(self) -> float | None:
        """None while nothing is wrong."""
        return None if self.since is None else time.monotonic() - self.since

    @property
    def left_s(self) -> float:
        """Until the next try; not positive when it is time."""
        return self.retry_at - time.monotonic()

    def report(self) -> str:
        """What the execution says of it."""
        self.is_reported = True
        return f"backend {self.backend!r} does not answer, and is asked again and again: {self.error}"

    def is_over(self) -> bool:
        """It answers: forget the trouble. Whether it had been reported."""
        was_reported, self.is_reported = self.is_reported, False
        self.since, self.tries, self.error = None, 0, None
        return was_reported

    def _delay_s(self) -> float:
        """What the service asks for, within reason, else exponential with jitter."""
        asked = self.error.retry_after_s if self.error is not None else None
        if asked is not None and asked >= 0:
            return min(asked, _MAX_ASKED_S)
        return random.uniform(0.5, 1.0) * min(_MAX_BACKOFF_S, 0.25 * 2.0 ** min(self.tries, 10))


def waited_out(error: DcpError) -> TransientError:
    """What the driver lacks, for an attempt that may run: that goes on meanwhile, and must not be called failed."""
    hint = f"; {error.hint}" if error.hint else ""
    message = f"{error.message}{hint}; what may run goes on meanwhile"
    return TransientError(message, where=error.where, owner=error.owner, code=error.code)
