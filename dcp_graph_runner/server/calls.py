"""What both transports answer a call with: a thread for it, its span, its measurements, its line in the log, its error.

Handlers block, transports do not: a call runs in one of a bounded number of threads. When the caller goes away, what is
running goes on to its end, for nothing can stop it half way; what waits for a thread is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import attrs

from dcp_core.errors import TransientError, UsageError
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.long_running import Event, OperationState, Problem, WatchOperationRequest
from dcp_graph_runner.server.hiding import shown
from dcp_graph_runner.server.logs import ACCESS, CURRENT, Call, secrets_of
from dcp_graph_runner.server.metrics import Metrics
from dcp_graph_runner.server.problems import problem_of
from dcp_graph_runner.server.service import PEER
from dcp_graph_runner.server.telemetry import TRACEPARENT, Span, Telemetry
from dcp_graph_runner.server.watching import DRAINING

_LOG = logging.getLogger(ACCESS)
_RETRY_AFTER_S = 1.0
_WATCH_AGAIN_S = 5.0
WATCH = "Operations.WatchOperation"
OK = "ok"
GONE = "caller_gone"
TOO_SLOW = "request.too_slow"
T = TypeVar("T")


class Serves(Protocol):
    """What answers, whatever the transport: ``service.Service``."""

    def admit(self, handler: AnyHandler, headers: Mapping[str, str]) -> None:
        """Refuse whom nobody knows, before what they send is read."""

    def call(self, handler: AnyHandler, request: Any, headers: Mapping[str, str]) -> Any:
        """Block until there is an answer."""

    def watch(self, request: WatchOperationRequest, headers: Mapping[str, str]) -> AsyncIterator[Event]:
        """Events until the end."""


class CallError(Exception):
    """A call has no answer but a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@attrs.frozen
class Asking:
    """Who asks, and how.

    Args:
        transport: ``grpc`` or ``http``.
        headers: Names in lower case.
        peer: Who is connected.
        reply: Headers for the answer, filled in here.
    """

    transport: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    peer: str = ""
    reply: dict[str, str] = attrs.Factory(dict)

    @property
    def told(self) -> Mapping[str, str]:
        """The headers, and under a name that none can have from which address they came."""
        return {**self.headers, PEER: self.peer.rpartition(":")[0]}


class Calls:
    """Of one server. Belongs to no event loop.

    Args:
        service: Does what is asked.
        telemetry: Traces.
        metrics: Measures.
        at_once: How many calls are answered at once; as many again wait for a thread.
        request_s: How long a caller may take to send one, in seconds.
        watchers: How many streams of events there are at once.
    """

    def __init__(
        self,
        service: Serves,
        telemetry: Telemetry,
        metrics: Metrics,
        at_once: int,
        request_s: float = 60.0,
        watchers: int = 256,
    ) -> None:
        self._service = service
        self._telemetry = telemetry
        self._metrics = metrics
        self._most = 2 * at_once
        self._request_s = request_s
        self._most_watchers = watchers
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="dcp-call")
        self._changed = threading.Condition()
        self._calls = 0
        self._watchers = 0

    async def answer(
        self,
        handler: AnyHandler,
        asking: Asking,
        receive: Callable[[], Awaitable[bytes]],
        read: Callable[[bytes], Any],
        write: Callable[[Any], T],
    ) -> T:
        """Answer one call.

        Args:
            handler: What is asked.
            asking: By whom.
            receive: Gets what was sent; not asked before the service has admitted the caller.
            read: Makes the request of it; in the call's thread.
            write: Makes what is sent of the answer; there too.

        Raises:
            CallError: What it ended with instead.
        """

        def work(content: bytes) -> T:
            answer = self._service.call(handler, read(content), asking.told)
            if isinstance(answer, OperationState) and (call := CURRENT.get()) is not None:
                call.request_id = answer.id
            return write(answer)

        with self._described(handler.name, asking), self._metrics.call(asking.transport):
            self._enter()  # what is being received counts, for it is in memory
            try:
                await asyncio.wrap_future(self._begin(self._service.admit, handler, asking.told))
                future = self._begin(work, await self._received(receive))
            except BaseException:
                self._leave()
                raise
            future.add_done_callback(lambda _: self._leave())
            return await asyncio.wrap_future(future)

    async def watch(self, request: WatchOperationRequest, asking: Asking) -> AsyncIterator[Event]:
        """The events of a long-running operation.

        Raises:
            CallError: What it ended with instead of its last event.
        """
        # A task of its own: a generator's steps run in the contexts of whoever asks for them, and it has one span.
        told: asyncio.Queue[Event | CallError | None] = asyncio.Queue(maxsize=1)
        task = asyncio.create_task(self._follow(request, asking, told))
        try:
            while (event := await told.get()) is not None:
                if isinstance(event, CallError):
                    raise event
                yield event
        finally:
            task.cancel()

    async def _follow(
        self, request: WatchOperationRequest, asking: Asking, told: asyncio.Queue[Event | CallError | None]
    ) -> None:
        """Every event into the queue; at the end None, or the error."""
        try:
            with self._described(WATCH, asking), self._metrics.watching(asking.transport), self._counted_watcher():
                async with contextlib.aclosing(_generator(self._service.watch(request, asking.told))) as events:
                    async for event in events:
                        await told.put(event)
        except CallError as error:
            await told.put(error)
        else:
            await told.put(None)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether every call was answered before ``timeout_s`` seconds have passed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._calls == 0, max(0.0, timeout_s))

    def wait_until_unwatched(self, timeout_s: float) -> bool:
        """Whether every stream of events has ended before ``timeout_s`` seconds have passed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._watchers == 0, max(0.0, timeout_s))

    def close(self) -> None:
        """Give the threads back; what still runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @contextlib.contextmanager
    def _described(self, name: str, asking: Asking) -> Iterator[None]:
        """Around a call: its trace, its line in the log, its measurements; its error becomes a problem."""
        started, code = time.monotonic(), OK
        call = Call(name, asking.transport, asking.peer, secrets=secrets_of(asking.headers))
        token = CURRENT.set(call)
        try:
            with self._telemetry.span(name, asking.headers) as span:
                call.trace_id = span.trace_id
                if (traceparent := span.traceparent()) is not None:
                    asking.reply[TRACEPARENT] = traceparent
                try:
                    yield
                except asyncio.CancelledError:
                    code = GONE
                    raise
                except Exception as error:
                    problem = shown(problem_of(error, call.request_id or name), call.secrets)
                    code = problem.code
                    span.fail(code, problem.message)
                    raise CallError(problem) from None
                finally:
                    _tell(span, call)
        finally:
            seconds = time.monotonic() - started
            self._metrics.answered(name, asking.transport, code, seconds)
            _LOG.info("%s %s", name, code, extra={"fields": {"code": code, "duration_ms": round(1000 * seconds, 1)}})
            CURRENT.reset(token)

    async def _received(self, receive: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            async with asyncio.timeout(self._request_s):
                return await receive()
        except TimeoutError:
            words = f"the request has not come whole within {self._request_s:g} s"
            raise UsageError(words, hint="[server] request_s", code=TOO_SLOW) from None

    def _begin(self, function: Callable[..., T], *given: Any) -> Future[T]:
        """In one of the threads."""
        try:
            return self._pool.submit(contextvars.copy_context().run, function, *given)
        except RuntimeError:  # the pool has ended
            raise TransientError("this server is about to end", retry_after_s=_RETRY_AFTER_S, code=DRAINING) from None

    def check_watchers(self) -> None:
        """Raises TransientError when there is no room for one more who watches."""
        with self._changed:
            self._check_watchers()

    def _check_watchers(self) -> None:
        if self._watchers >= self._most_watchers:
            raise TransientError(
                f"{self._watchers} callers follow operations here, and no more can",
                hint="GET /operations/{id} says how one stands; [server] watchers",
                retry_after_s=_WATCH_AGAIN_S,
                code="server.busy",
            )

    def _enter(self) -> None:
        with self._changed:
            if self._calls >= self._most:
                raise TransientError(
                    "this server answers as many calls as it can", retry_after_s=_RETRY_AFTER_S, code="server.busy"
                )
            self._calls += 1

    def _leave(self) -> None:
        with self._changed:
            self._calls -= 1
            self._changed.notify_all()

    @contextlib.contextmanager
    def _counted_watcher(self) -> Iterator[None]:
        with self._changed:
            self._check_watchers()
            self._watchers += 1
        try:
            yield
        finally:
            with self._changed:
                self._watchers -= 1
                self._changed.notify_all()


def _tell(span: Span, call: Call) -> None:
    span.tell(rpc_system="dcp", dcp_handler=call.handler, dcp_transport=call.transport)
    span.tell(dcp_identity=call.identity, dcp_request_id=call.request_id)


async def _generator(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """``aclosing`` wants a generator, whatever the service gives."""
    async for event in events:
        yield event
