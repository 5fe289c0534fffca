"""The real service behind a gRPC server of these tests' own, which can lose answers, cut streams and go away.

``dcp_graph_runner.server`` has the transport that people use; what happens here, that one must never do on purpose.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from attrs import define, field
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status

from dcp_core.errors import DcpError
from dcp_core.settings import Settings
from dcp_graph_runner.api.long_running import Event, OperationState, WatchOperationRequest
from dcp_graph_runner.api.table import HANDLERS
from dcp_graph_runner.proto import model_pb2
from dcp_graph_runner.server import wire
from dcp_graph_runner.server.problems import problem_of
from dcp_graph_runner.server.service import Service

_STATUSES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


@define
class FaultyServer:
    """One server process's worth of it; ``start`` again after ``stop`` is a restart on the same port.

    Args:
        root: The project.
        calls: ``(method, headers)`` of everything that was asked.
        lose: Given a method and how often it was asked: whether its answer gets lost after it was done.
        cut: Given the number of an event of a stream, counted over all streams: whether the stream ends before it.
    """

    root: Path
    calls: list[tuple[str, dict[str, str]]] = field(factory=list)
    lose: Callable[[str, int], bool] = lambda _method, _times: False
    cut: Callable[[int], bool] = lambda _number: False
    port: int = 0
    _told: int = 0
    _service: Service | None = None
    _server: Any = None

    def start(self) -> None:
        self._service = Service(Settings.load(self.root / "dcp.toml"), threads=4)
        self._server = grpc.server(ThreadPoolExecutor(16))
        services: dict[str, dict[str, Any]] = {}
        for handler in HANDLERS:
            method = wire.method_of(handler)
            services.setdefault(method.containing_service.full_name, {})[method.name] = (
                grpc.unary_unary_rpc_method_handler(
                    self._answering(handler),
                    request_deserializer=wire.class_of(method.input_type).FromString,
                    response_serializer=lambda message: message.SerializeToString(),
                )
            )
        watch = wire.watch_method()
        services[watch.containing_service.full_name][watch.name] = grpc.unary_stream_rpc_method_handler(
            self._watching,
            request_deserializer=wire.class_of(watch.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, methods in services.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self, grace_s: float = 10.0) -> None:
        """Streams are cut; what is worked on has ``grace_s`` to end."""
        self._server.stop(0).wait()
        assert self._service is not None
        self._service.close(grace_s)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def keys(self, method: str) -> list[str]:
        """The idempotency keys that a method was called with."""
        return [headers["idempotency-key"] for name, headers in self.calls if name == method]

    def _answering(self, handler: Any) -> Callable[[Any, Any], Any]:
        def answer(message: Any, context: Any) -> Any:
            assert self._service is not None
            headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            self.calls.append((handler.name, headers))
            times = sum(name == handler.name for name, _ in self.calls)
            try:
                found = self._service.call(handler, wire.decode(message, handler.request), headers)
            except DcpError as error:
                _abort(context, error)
            if self.lose(handler.name, times):
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            kind = wire.method_of(handler).output_type
            assert isinstance(found, OperationState if handler.is_long else handler.answer)
            return wire.encode(found, kind)

        return answer

    def _watching(self, message: Any, context: Any) -> Iterator[Any]:
        headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.calls.append(("Operations.WatchOperation", headers))
        loop = asyncio.new_event_loop()
        assert self._service is not None
        events = self._service.watch(wire.decode(message, WatchOperationRequest), headers)
        try:
            while context.is_active():
                try:
                    event: Event = loop.run_until_complete(anext(events))
                except StopAsyncIteration:
                    return
                except DcpError as error:
                    _abort(context, error)
                with threading.Lock():
                    self._told += 1
                if self.cut(self._told):
                    context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
                yield wire.encode(event, wire.watch_method().output_type)
        finally:
            loop.run_until_complete(events.aclose())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()


def _abort(context: Any, error: DcpError) -> None:
    problem = problem_of(error, "a call")
    detail = AnyMessage()
    detail.Pack(wire.encode(problem, model_pb2.Problem.DESCRIPTOR))
    status = _STATUSES.get(problem.status, grpc.StatusCode.INVALID_ARGUMENT)
    rich = Status(code=status.value[0], message=problem.message[:200], details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", rich.SerializeToString()),))
    context.abort(status, problem.message[:200])
