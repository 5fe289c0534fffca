"""What gRPC answers to anybody, token or none: health and reflection. They tell nothing of any manifest.

So that nobody is kept out by it, they have places of their own, and when those are taken whoever has had one for
longest makes room. A message of theirs is a name; gRPC receives it whole before anybody can see that it is none, so
few are received at once, and not for long.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md (statuses, and what ends a watch) and
https://github.com/grpc/grpc/blob/master/doc/server-reflection.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

MESSAGE_S = 10.0
MESSAGE_BYTES = 4 * 1024
_MOST_RECEIVED = 16
_TOO_SLOW = "the request has not come in time, or others needed its place"
_MADE_ROOM = "others needed the place: watch again"
M = TypeVar("M", bound=Message)


class _Places:
    """So many at once; one more takes the oldest one's. Belongs to an event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[asyncio.Timeout, None] = {}

    @contextlib.asynccontextmanager
    async def one(self, limit_s: float | None = None) -> AsyncIterator[None]:
        """Raises TimeoutError in the block when the time is over, or the place is somebody else's."""
        while len(self._taken) >= self._most:
            oldest = next(iter(self._taken))
            del self._taken[oldest]
            if not oldest.expired():
                oldest.reschedule(asyncio.get_running_loop().time())
        async with asyncio.timeout(limit_s) as mine:
            self._taken[mine] = None
            try:
                yield
            finally:
                self._taken.pop(mine, None)


class Anybody:
    """The health and the reflection of one server. Belongs to its event loop.

    Args:
        services: Whose health is told, beside the server's own, and which are described.
        watchers: How many watch the health at once.
    """

    def __init__(self, services: Sequence[str], watchers: int) -> None:
        self._healthy = frozenset(("", *services))
        self._status = health_pb2.HealthCheckResponse.NOT_SERVING  # until somebody has looked
        self._changed = asyncio.Condition()
        self._has_ended = False
        self._receiving = _Places(_MOST_RECEIVED)
        self._watching = _Places(watchers)
        described = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        self._reflection = reflection.aio.ReflectionServicer(described)  # type: ignore[attr-defined]

    async def tell(self, *, is_serving: bool) -> None:
        """What health answers from now on; nothing after ``end``."""
        if not self._has_ended:
            told = health_pb2.HealthCheckResponse
            async with self._changed:
                self._status = told.SERVING if is_serving else told.NOT_SERVING
                self._changed.notify_all()

    async def end(self) -> None:
        """Say that this server ends."""
        await self.tell(is_serving=False)
        self._has_ended = True

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """For the server; one message is a stream of one, which is not received before there is a place for it."""
        asked = {
            "Check": grpc.stream_unary_rpc_method_handler(self._check),
            "Watch": grpc.stream_stream_rpc_method_handler(self._watch),
        }
        described = {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(self._reflect)}
        services = {health.SERVICE_NAME: asked, reflection.SERVICE_NAME: described}
        return tuple(grpc.method_handlers_generic_handler(name, rpcs) for name, rpcs in services.items())

    async def _check(self, received: AsyncIterator[bytes], context: Any) -> bytes:
        asked = await self._next(received, health_pb2.HealthCheckRequest, context)
        if asked is None or asked.service not in self._healthy:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return _told(self._status)

    async def _watch(self, received: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        asked = await self._next(received, health_pb2.HealthCheckRequest, context)
        if asked is None:
            return
        is_known, last = asked.service in self._healthy, None
        try:
            async with self._watching.one():
                if not is_known:
                    yield _told(health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
                while True:
                    async with self._changed:
                        while not is_known or self._status == last:
                            await self._changed.wait()
                        last = self._status
                    yield _told(last)
        except TimeoutError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, _MADE_ROOM)

    async def _reflect(self, received: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
            while (each := await self._next(received, reflection_pb2.ServerReflectionRequest, context)) is not None:
                yield each

        async for answer in self._reflection.ServerReflectionInfo(requests(), context):
            yield answer.SerializeToString()

    async def _next(self, received: AsyncIterator[bytes], cls: type[M], context: Any) -> M | None:
        """The next message; None at the end of what the caller sends."""
        content = b""
        try:
            async with self._receiving.one(MESSAGE_S):
                content = await anext(aiter(received))
        except StopAsyncIteration:
            return None
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, _TOO_SLOW)
        if len(content) > MESSAGE_BYTES:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {MESSAGE_BYTES} bytes are taken here")
        try:
            return cls.FromString(content)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be read")
        raise AssertionError("abort raises")


def _told(status: Any) -> bytes:
    told: bytes = health_pb2.HealthCheckResponse(status=status).SerializeToString()
    return told
