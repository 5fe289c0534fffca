"""When something is done again: intervals with jitter, and waits that double after failures. Pure but for the dice."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import attrs

_DOUBLINGS_AT_MOST = 32
"""More would overflow a timedelta, long after the longest wait is reached."""


@attrs.frozen
class Pace:
    """How long to wait.

    Args:
        interval_s: Between looks, in seconds.
        jitter: The share by which a wait is shortened or lengthened, 0 to below 1.
        backoff_s: After the first failure, in seconds.
        backoff_at_most_s: After any number of failures.
        dice: From 0 to below 1.
    """

    interval_s: float
    jitter: float
    backoff_s: float
    backoff_at_most_s: float
    dice: random.Random = attrs.field(factory=random.Random, eq=False, repr=False)

    def next_look(self, now: datetime) -> datetime:
        """After one that went well."""
        return now + timedelta(seconds=self.interval_s * self._shaken())

    def next_try(self, now: datetime, failures: int, retry_after_s: float | None = None) -> datetime:
        """After the ``failures``-th failure in a row; never before a service said it may be.

        Args:
            now: UTC.
            failures: From 1.
            retry_after_s: What the service said, in seconds.
        """
        doubled_s = self.backoff_s * 2.0 ** min(failures - 1, _DOUBLINGS_AT_MOST)
        wait_s = min(doubled_s, self.backoff_at_most_s) * self._shaken()
        return now + timedelta(seconds=max(wait_s, retry_after_s or 0.0))

    def _shaken(self) -> float:
        return 1 + self.jitter * (2 * self.dice.random() - 1)


@attrs.frozen
class Trouble:
    """Something that fails, until it does not.

    Args:
        failures: In a row.
        next_at: Not before.
        code: Of the last error.
        message: Of the last error.
    """

    failures: int
    next_at: datetime
    code: str
    message: str
