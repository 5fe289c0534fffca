"""Follows a long-running operation: what it has written so far, then what comes, until its end.

Any replica can: the events are in the database. Where the work is done in this process, a bell saves the waiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from dcp_graph_runner.api.long_running import Event, RequestStatus
from dcp_graph_runner.requests import RequestLog

_POLL_S = 0.4
_PAGE = 500


class Bells:
    """Rung by workers' threads, heard by whoever watches on an event loop. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listening: dict[str, dict[asyncio.Event, asyncio.AbstractEventLoop]] = {}

    def ring(self, id: str) -> None:
        """Something happened in a request."""
        with self._lock:
            for event, loop in self._listening.get(id, {}).items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)

    def listen(self, id: str) -> asyncio.Event:
        """Set at each ring; hand it back to ``leave``."""
        event = asyncio.Event()
        with self._lock:
            self._listening.setdefault(id, {})[event] = asyncio.get_running_loop()
        return event

    def leave(self, id: str, event: asyncio.Event) -> None:
        """No longer listening."""
        with self._lock:
            listening = self._listening.get(id, {})
            listening.pop(event, None)
            if not listening:
                self._listening.pop(id, None)


async def follow(
    log: RequestLog, bells: Bells, clock: Callable[[], datetime], id: str, after: int
) -> AsyncIterator[Event]:
    """Every event after that one; the last has type ``state``.

    Ends too when the operation waits for its user: the state says so, and whoever resumes it follows it again, after
    the last event before that: a state's own number is none that is kept.

    Raises:
        NotFoundError: There is no such operation.
        TransientError: The database does not answer.
    """
    bell = bells.listen(id)
    try:
        while True:
            bell.clear()
            events, status = await asyncio.to_thread(log.events, id, after, _PAGE)
            for each in events:
                yield each
                after = each.sequence
            if len(events) == _PAGE:
                continue
            if status.is_final or status is RequestStatus.WAITING_FOR_USER:
                state = await asyncio.to_thread(log.get, id)
                yield Event(after + 1, "state", clock(), state=state)
                return
            try:
                async with asyncio.timeout(_POLL_S):
                    await bell.wait()
            except TimeoutError:
                continue
    finally:
        bells.leave(id, bell)
