"""Follows long-running operations: what each has written so far, then what comes, until its end.

Any replica can: the events are in the database. One thread looks there for all who watch, however many they are; where
the work is done in this process, a bell saves the waiting. Those who watch the same operation share what is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

import attrs

from dcp_core.errors import TransientError
from dcp_graph_runner.api.long_running import Event, RequestStatus
from dcp_graph_runner.request_rows import Standing, standings
from dcp_graph_runner.requests import RequestLog

DRAINING = "server.draining"
_LOG = logging.getLogger("dcp.server")
_POLL_S = 0.4
_LONGEST_S = 15.0  # without a bell, whatever became of it
_PAGE = 500
_THREADS = 8
_JOIN_S = 5.0
_WATCH_AGAIN_S = 5.0
T = TypeVar("T")


@attrs.define(eq=False)
class _Listening:
    bells: dict[asyncio.Event, asyncio.AbstractEventLoop] = attrs.Factory(dict)
    rings: int = 0


class Watching:
    """Of one replica. Thread-safe; looks from construction until ``close``.

    Args:
        log: Where requests are kept.
        clock: UTC now.
        most_each: How many of one identity's follow something here at once.
    """

    def __init__(self, log: RequestLog, clock: Callable[[], datetime], most_each: int) -> None:
        self._log = log
        self._most_each = most_each
        self._followers: Counter[str] = Counter()
        self._clock = clock
        self._lock = threading.Lock()
        self._listening: dict[str, _Listening] = {}
        self._reads: dict[tuple[Any, ...], Future[Any]] = {}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="dcp-watch")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="dcp-watching", daemon=True)
        self._thread.start()

    def ring(self, id: str) -> None:
        """Something happened in a request."""
        with self._lock:
            listening = self._listening.get(id)
            if listening is None:
                return
            listening.rings += 1
            for event, loop in listening.bells.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)

    @contextlib.contextmanager
    def share(self, identity: str) -> Iterator[None]:
        """Around one who follows. Raises TransientError when as many of theirs do so already."""
        with self._lock:
            if self._followers[identity] >= self._most_each:
                raise TransientError(
                    f"{self._most_each} callers of {identity} follow operations here, and no more can",
                    hint="GET /operations/{id} says how one stands; nobody has more than half of [server] watchers",
                    retry_after_s=_WATCH_AGAIN_S,
                    code="server.busy",
                )
            self._followers[identity] += 1
        try:
            yield
        finally:
            with self._lock:
                self._followers[identity] -= 1
                self._followers += Counter()  # forgets those who have none

    async def follow(self, id: str, after: int) -> AsyncGenerator[Event, None]:
        """Every event after that one; the last has type ``state``.

        Ends too when the operation waits for its user: the state says so, and whoever resumes it follows it again,
        after the last event before that: a state's own number is none that is kept.

        Raises:
            NotFoundError: There is no such operation.
            TransientError: The database does not answer, or this server is about to end.
        """
        bell = asyncio.Event()
        with self._lock:
            listening = self._listening.setdefault(id, _Listening())
            listening.bells[bell] = asyncio.get_running_loop()
        try:
            while True:
                bell.clear()
                # Shared by those who have heard the same ring: what was read before it may lack what it rang for.
                heard = listening.rings
                events, status = await self._shared((id, after, heard), self._log.events, id, after, _PAGE)
                for each in events:
                    yield each
                    after = each.sequence
                if len(events) == _PAGE:
                    continue
                if status.is_final or status is RequestStatus.WAITING_FOR_USER:
                    state = await self._shared((id, "state", heard), self._log.get, id)
                    yield Event(after + 1, "state", self._clock(), state=state)
                    return
                try:
                    async with asyncio.timeout(_LONGEST_S):
                        await bell.wait()
                except TimeoutError:
                    continue
        finally:
            with self._lock:
                listening.bells.pop(bell)
                if not listening.bells and self._listening.get(id) is listening:
                    del self._listening[id]

    async def in_thread(self, function: Callable[..., T], *given: Any) -> T:
        """What blocks, in one of the threads for those who watch. Raises TransientError once they have ended."""
        return await asyncio.wrap_future(self._submitted(contextvars.copy_context().run, function, *given))

    def close(self) -> None:
        """Look no more; whoever still watches is told to come back."""
        self._ended.set()
        self._thread.join(_JOIN_S)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _shared(self, key: tuple[Any, ...], function: Callable[..., T], *given: Any) -> T:
        with self._lock:
            future = self._reads.get(key)
            is_mine = future is None
            if future is None:
                future = self._reads[key] = self._submitted(function, *given)
        if is_mine:
            future.add_done_callback(lambda _: self._forget(key))
        # Who goes away must not take it from the others.
        found: T = await asyncio.shield(asyncio.wrap_future(future))
        return found

    def _submitted(self, function: Callable[..., T], *given: Any) -> Future[T]:
        try:
            return self._pool.submit(function, *given)
        except RuntimeError:
            raise TransientError("this server is about to end", retry_after_s=1.0, code=DRAINING) from None

    def _forget(self, key: tuple[Any, ...]) -> None:
        with self._lock:
            self._reads.pop(key, None)

    def _look(self) -> None:
        """Ring for whatever is not as it was; when nobody can tell, for all: they find out why by themselves."""
        known: dict[str, Standing | None] = {}
        while not self._ended.wait(_POLL_S):
            with self._lock:
                ids = tuple(self._listening)
            try:
                found = standings(self._log.database, ids)
                now = {id: found.get(id) for id in ids}
                changed = [id for id in ids if id not in known or known[id] != now[id]]
                known = now
            except Exception as error:
                _LOG.debug("what is watched cannot be looked at: %s", error)
                changed, known = list(ids), {}
            for id in changed:
                self.ring(id)
