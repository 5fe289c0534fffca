"""What is being answered: counted, so that the service's end can wait for it; few enough of it only waits."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from dcp_core.errors import TransientError

CALL_THREADS = 128  # of each server; most of them wait for an execution's end
_RETRY_AFTER_S = 2.0
_MAX_WAITING = CALL_THREADS * 3 // 4  # the others are for calls that want something done


class Draining:
    """One for all servers of a driver."""

    def __init__(self) -> None:
        self._calls = 0
        self._changed = threading.Condition()
        self._waiting = threading.BoundedSemaphore(_MAX_WAITING)
        self.has_begun = False

    def begin(self) -> None:
        """From now on no run is accepted, and nobody waits long for an answer."""
        self.has_begun = True

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """A call that is being answered."""
        with self._changed:
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[bool]:
        """A call that waits for an execution's end; whether it may. Where too many do, it is answered as things are."""
        may_wait = self._waiting.acquire(blocking=False)
        try:
            yield may_wait
        finally:
            if may_wait:
                self._waiting.release()

    def require_open(self) -> None:
        """Refuse what would begin something.

        Raises:
            TransientError: The service is ending; its successor, or another driver, takes the call.
        """
        if self.has_begun:
            raise TransientError(
                "this driver is shutting down and starts nothing new",
                retry_after_s=_RETRY_AFTER_S,
                code="coreetl.draining",
            )

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether every call has been answered before ``timeout_s`` seconds have passed."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            return self._changed.wait_for(lambda: self._calls == 0, max(0.0, deadline - time.monotonic()))
