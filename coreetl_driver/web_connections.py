"""Connections on which nothing is asked: closed in time, and before anybody is refused because there are too many.

uvicorn has a time limit between two requests alone, and counts who is silent as it counts who asks: whoever opens
connections and says nothing would keep all others out.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """One of uvicorn's, which knows whether it is silent: no request has come whole with its head, or is answered."""

    head_s: float = 60.0
    """How long a caller may take to send a request's head, in seconds."""

    _limit: asyncio.TimerHandle | None = None

    @property
    def is_silent(self) -> bool:
        """Whether nothing is being answered here."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Make room, those first that have been silent for longest, and wait for a head."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
            silent = [each for each in others if each.is_silent and each._limit is not None]
            for each in sorted(silent, key=_since)[: len(self.connections) - self.limit_concurrency + 1]:
                each.transport.abort()
                self.connections.discard(each)  # now, not when the loop comes to it
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._end_limit()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """As uvicorn does; what has come may be a whole head."""
        super().handle_events()
        if not self.is_silent:
            self._end_limit()

    def on_response_complete(self) -> None:
        """The next request has as long, however slowly the rest of this one comes."""
        super().on_response_complete()
        if self.is_silent and not self.transport.is_closing():
            self._await_head()

    def _await_head(self) -> None:
        self._end_limit()
        self._limit = self.loop.call_later(self.head_s, self.transport.abort)

    def _end_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def _since(connection: Connection) -> float:
    return connection._limit.when() if connection._limit is not None else 0.0
