"""``dcp.v1`` over gRPC, made from the table of handlers; health and reflection beside it.

Health and reflection answer anybody (``anybody``); every other call goes through ``sign_in``, before what it sends is
read.

Source: https://grpc.io/docs/guides/error/ (google.rpc.Status with a ``dcp.v1.Problem``).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from coreetl_driver.failures import cut
from coreetl_driver.web import url_host
from dcp_core.errors import TransientError, UsageError
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.long_running import GetOperationRequest, OperationState, Problem, WatchOperationRequest
from dcp_graph_runner.api.table import find
from dcp_graph_runner.server import wire
from dcp_graph_runner.server.anybody import Anybody
from dcp_graph_runner.server.calls import Asking, CallError, Calls
from dcp_graph_runner.server.http_requests import CUT_OFF
from dcp_graph_runner.server.settings import MEBIBYTE

if TYPE_CHECKING:
    from coreetl_driver.certificates import Certificates

TRANSPORT = "grpc"
T = TypeVar("T")
_START_TIMEOUT_S = 10.0
_FLUSH_S = 0.5
_HEADERS_BYTES = 64 * 1024
# Clients take 8 KiB of metadata and drop what is larger; the words come twice, and others add to it.
_DETAILS_BYTES = 5 * 1024
_WORDS_BYTES = 1024
_ABORTED = ("operation.in_progress", "operation.lease_lost")
_STATUSES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


def code_of(problem: Problem) -> grpc.StatusCode:
    """The status of a problem: by its HTTP status; what may succeed once somebody else has ended is ABORTED."""
    if problem.code in _ABORTED:
        return grpc.StatusCode.ABORTED
    return _STATUSES.get(problem.status, grpc.StatusCode.INTERNAL)


def status_of(problem: Problem) -> Status:
    """The rich status: the problem whole, or as much of it as metadata can hold."""
    status = Status(code=code_of(problem).value[0], message=cut(problem.message, _WORDS_BYTES))
    for told in (problem, _short(problem)):
        held = AnyMessage()
        held.Pack(wire.encode(told, wire.message_of("Problem")))
        if held.ByteSize() <= _DETAILS_BYTES:
            break
    status.details.append(held)
    if problem.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(1000 * problem.retry_after_s))
        held = AnyMessage()
        held.Pack(RetryInfo(retry_delay=delay))
        status.details.append(held)
    return status


class GrpcServer:
    """Serves from construction until ``stop``, on an event loop of its own.

    Args:
        handlers: What it answers.
        calls: With what.
        host: A name or an address of this machine.
        port: 0 for any.
        certificates: None for no TLS.
        max_request_mib: The largest request, in MiB.
        health_watchers: How many watch its health at once. Calls have their limits in ``calls``.

    Raises:
        TransientError: The port is taken.
        TypeError: A message does not mirror its class: a bug of ours, told before anybody calls.
    """

    def __init__(
        self,
        handlers: Sequence[AnyHandler],
        calls: Calls,
        *,
        host: str,
        port: int = 0,
        certificates: Certificates | None = None,
        max_request_mib: int = 64,
        health_watchers: int = 1024,
    ) -> None:
        self._calls = calls
        self._rpcs = _rpcs(handlers, calls)
        self._health_watchers = health_watchers
        self._options = (
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", max_request_mib * MEBIBYTE),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", _HEADERS_BYTES),
            # Whoever watches for hours keeps the connection alive through networks that forget idle ones.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ("grpc.http2.max_ping_strikes", 0),
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="dcp-grpc", daemon=True)
        self._thread.start()
        try:
            self.port: int = self._do(self._start(host, port, certificates), _START_TIMEOUT_S)
        except BaseException:
            self._end_loop()
            raise
        self.url = f"grpc{'s' if certificates else ''}://{url_host(host)}:{self.port}"

    def tell_health(self, *, is_serving: bool) -> None:
        """What the health service answers from now on, until the end begins."""
        self._do(self._anybody.tell(is_serving=is_serving), _START_TIMEOUT_S)

    def begin_stop(self) -> None:
        """Tell health that this server ends; calls are still answered."""
        self._do(self._anybody.end(), _START_TIMEOUT_S)

    def stop(self, grace_s: float = _FLUSH_S) -> None:
        """Accept no call, and cut off what is still being answered after ``grace_s`` seconds."""
        if not self._loop.is_closed():
            self._do(self._server.stop(grace_s), grace_s + _START_TIMEOUT_S)
            self._end_loop()

    async def _start(self, host: str, port: int, certificates: Certificates | None) -> int:
        # Without a number of calls of gRPC's own: it counts those whom nobody knows, and turns the others away.
        self._server = grpc.aio.server(options=self._options)
        self._anybody = Anybody(tuple(self._rpcs), self._health_watchers)
        for name, rpcs in self._rpcs.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, rpcs),))
        self._server.add_generic_rpc_handlers(self._anybody.handlers())
        address = f"{url_host(host)}:{port}"
        try:
            if certificates is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, certificates.credentials())
        except RuntimeError:
            raise TransientError(f"port {port} on {host} is taken") from None
        await self._server.start()
        return int(bound)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_TIMEOUT_S)
        if not self._loop.is_running():
            self._loop.close()


def _rpcs(handlers: Sequence[AnyHandler], calls: Calls) -> dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]:
    """By service and method."""
    found: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for each in handlers:
        method = wire.method_of(each)
        answer = OperationState if each.is_long else each.answer
        wire.codec_of(each.request, method.input_type)
        wire.codec_of(answer, method.output_type)
        rpcs = found.setdefault(method.containing_service.full_name, {})
        # On the wire one request is a stream of one; as such it is not read before it is known who sends it.
        rpcs[method.name] = grpc.stream_unary_rpc_method_handler(_unary(each, calls))
    watch = wire.watch_method()
    found[watch.containing_service.full_name][watch.name] = grpc.stream_stream_rpc_method_handler(_stream(calls))
    return found


def _unary(handler: AnyHandler, calls: Calls) -> Callable[[AsyncIterator[bytes], Any], Awaitable[bytes]]:
    """Bytes in, bytes out: they are parsed in the call's thread, and not on the event loop."""
    method = wire.method_of(handler)

    async def answer(received: AsyncIterator[bytes], context: Any) -> bytes:
        asking = _asking(context)

        def read(content: bytes) -> Any:
            return wire.decode(wire.parsed(content, method.input_type), handler.request)

        def write(found: Any) -> bytes:
            return wire.encode(found, method.output_type).SerializeToString()

        try:
            sent = await calls.answer(handler, asking, lambda: _only(received), read, write)
        except CallError as error:
            return await _abort(context, error.problem, asking)
        await context.send_initial_metadata(tuple(asking.reply.items()))
        return sent

    return answer


def _stream(calls: Calls) -> Callable[[AsyncIterator[bytes], Any], AsyncIterator[bytes]]:
    """What may be watched may be read: that is asked first, as any other call is."""
    method, get = wire.watch_method(), find("Operations.GetOperation")

    async def events(received: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        asking, asked = _asking(context), []

        def read(content: bytes) -> GetOperationRequest:
            request = wire.decode(wire.parsed(content, method.input_type), WatchOperationRequest)
            asked.append(request)
            return GetOperationRequest(request.id)

        try:
            await calls.answer(get, asking, lambda: _only(received), read, lambda _: None)
            async for event in calls.watch(asked[0], asking):
                yield wire.encode(event, method.output_type).SerializeToString()
        except CallError as error:
            await _abort(context, error.problem, asking)

    return events


async def _only(received: AsyncIterator[bytes]) -> bytes:
    async for content in received:
        return content
    raise UsageError("the caller went away before the end of the request", code=CUT_OFF)


def _asking(context: Any) -> Asking:
    headers = {str(key): value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    return Asking(TRANSPORT, headers, context.peer())


async def _abort(context: Any, problem: Problem, asking: Asking) -> bytes:
    status = status_of(problem)
    trailing = (*asking.reply.items(), ("grpc-status-details-bin", status.SerializeToString()))
    await context.abort(code_of(problem), status.message, trailing)
    raise AssertionError("abort raises")


def _short(problem: Problem) -> Problem:
    def text(value: str | None) -> str | None:
        return None if value is None else cut(value, _WORDS_BYTES)

    return attrs.evolve(
        problem,
        message=cut(problem.message, _WORDS_BYTES),
        where=text(problem.where),
        owner=text(problem.owner),
        hint=text(problem.hint),
        findings=(),
    )
