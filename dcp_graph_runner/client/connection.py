"""A connection to a Graph Runner over gRPC: one call, or one stream; errors come out as the core's.

The only room that imports gRPC, on first use: a command in process does without it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dcp_core.errors import DcpError, PermanentError, SettingsError, TransientError, UnauthenticatedError
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.long_running import Event, OperationState, Problem, WatchOperationRequest
from dcp_graph_runner.client.address import Address
from dcp_graph_runner.client.problems import Locate, raised
from dcp_graph_runner.client.settings import RemoteSettings
from dcp_graph_runner.client.signing_in import Headers

AWAY = "remote.away"
"""The server did not answer; what was asked may have been done or not."""
UNREACHABLE = "remote.unreachable"
"""There was no connection: nothing was asked."""
BUSY = "server.busy"
"""It has as much to do as it takes at once: nothing was done."""
UNTRUSTED = "remote.untrusted"
"""The server's certificate is not one to be trusted, which waiting does not change: nothing was asked."""
SIGN_IN = "sign in: [remote] token or token_command in dcp.toml, or DCP_REMOTE_TOKEN"
_NO_CONNECTION = ("failed to connect", "DNS resolution failed", "errors resolving", "resolving", "name resolution")
"""Words of gRPC's, in front."""
_TOO_MANY_CALLS = "Concurrent RPC limit exceeded"
"""gRPC's words, of a server that limits calls by its means."""
_OPTIONS = (
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),  # the plan of a whole repository
    ("grpc.max_send_message_length", 256 * 1024 * 1024),
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A network that drops what is idle in silence would leave a watch waiting for ever.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class Connection:
    """To one server; opened on first use. Thread-safe.

    Args:
        address: Where.
        settings: Certificates and limits.
    """

    def __init__(self, address: Address, settings: RemoteSettings) -> None:
        self.address = address
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: Any = None

    def close(self) -> None:
        """Give it back."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def ask(self, handler: AnyHandler, request: Any, headers: Headers, locate: Locate) -> Any:
        """One answer; an ``OperationState`` of what is long.

        Raises:
            TransientError: With code ``remote.away`` or ``remote.unreachable``; or as the server raised it.
            DcpError: As the server raised it.
        """
        import grpc

        from dcp_graph_runner.server import wire

        method = wire.method_of(handler)
        message = wire.encode(request, method.input_type)
        call = self._channel().unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=wire.class_of(method.output_type).FromString,
        )
        try:
            answer = call(message, timeout=self._settings.answer_s, metadata=headers)
        except grpc.RpcError as error:
            raise self._error(error, locate) from None
        return wire.decode(answer, OperationState if handler.is_long else handler.answer)

    def watch(self, request: WatchOperationRequest, headers: Headers, locate: Locate) -> Iterator[Event]:
        """Events as they come. Raises as ``ask`` does."""
        import grpc

        from dcp_graph_runner.server import wire

        method = wire.watch_method()
        message = wire.encode(request, method.input_type)
        call = self._channel().unary_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=wire.class_of(method.output_type).FromString,
        )
        stream = call(message, metadata=headers)
        try:
            for told in stream:
                yield wire.decode(told, Event)
        except grpc.RpcError as error:
            raise self._error(error, locate) from None
        finally:
            stream.cancel()

    def _channel(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = _open(self.address, self._settings)
            return self._opened

    def _error(self, error: Any, locate: Locate) -> DcpError:
        import grpc

        problem = _problem(error)
        if problem is not None:
            found = raised(problem, locate)
            if isinstance(found, UnauthenticatedError):
                found.hint = SIGN_IN  # the server's own is for programs, which write headers themselves
            return found
        code, details = error.code(), error.details() or ""
        where = str(self.address)
        if code is grpc.StatusCode.UNAUTHENTICATED:
            return UnauthenticatedError(details or "the server does not know who asks", where=where, hint=SIGN_IN)
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return PermanentError("the server does not know this call", where=where, hint="it may be an older version")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            words = f"the server did not answer within {self._settings.answer_s:g} s"
            return TransientError(words, where=where, hint="[remote] answer_s", code=AWAY)
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return self._away(details)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_MANY_CALLS in details:
            return TransientError("the server answers as many calls as it can", where=where, code=BUSY)
        return PermanentError(f"the server answered {code.name}: {details}", where=where)

    def _away(self, details: str) -> TransientError:
        if not details.startswith(_NO_CONNECTION):
            return TransientError("the server has gone away", where=str(self.address), code=AWAY)
        words, hint = "the server cannot be reached", _hint(self.address, details)
        if _is_unresolved(details):
            words = f"the name cannot be resolved: {self.address.host}"
        code = UNTRUSTED if "CERTIFICATE_VERIFY_FAILED" in details else UNREACHABLE
        return TransientError(words, where=str(self.address), hint=hint, code=code)


def _open(address: Address, settings: RemoteSettings) -> Any:
    try:
        import grpc
    except ImportError:
        raise SettingsError(
            "a server is spoken to over gRPC, and grpcio is not installed",
            hint="pip install 'dcp-graph-runner[client]'",
        ) from None
    if not address.is_encrypted:
        return grpc.insecure_channel(address.target, options=_OPTIONS)
    if (settings.certificate is None) != (settings.key is None):
        raise SettingsError("[remote] certificate and key belong together")
    ca, key, certificate = map(_read, (settings.ca, settings.key, settings.certificate))
    return grpc.secure_channel(address.target, grpc.ssl_channel_credentials(ca, key, certificate), options=_OPTIONS)


def _read(file: Path | None) -> bytes | None:
    try:
        return None if file is None else file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}", hint="[remote] ca, certificate, key") from None


def _problem(error: Any) -> Problem | None:
    """What the server says of its error, in ``grpc-status-details-bin``; None when it was not the server."""
    from google.rpc import status_pb2

    from dcp_graph_runner.proto import model_pb2 as pb
    from dcp_graph_runner.server import wire

    trailing: Mapping[str, Any] = dict(error.trailing_metadata() or ())
    details = trailing.get("grpc-status-details-bin")
    if details is None:
        return None
    for each in status_pb2.Status.FromString(details).details:
        if each.Is(pb.Problem.DESCRIPTOR):
            return wire.decode(pb.Problem.FromString(each.value), Problem)
    return None


def _is_unresolved(details: str) -> bool:
    return "resolving" in details or "address lookup" in details or "DNS" in details


def _hint(address: Address, details: str) -> str | None:
    """What to do next, as far as the words of gRPC's C core tell, which no specification fixes."""
    if "http1.x server" in details or "selected ALPN" in details:
        return "that is an HTTP port: pretzel speaks gRPC, port 8620 unless the server's [server] says otherwise"
    if "WRONG_VERSION_NUMBER" in details:
        return "nobody speaks TLS there: grpc:// where the server has none"
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return "its certificate is not trusted: [remote] ca names the file of its authority"
    if "refused" in details:
        return "nobody listens there: `pretzel server start` starts one; --server off works without"
    if _is_unresolved(details):
        return "--server, DCP_REMOTE_SERVER or [remote] server in dcp.toml names it; is it known in this network?"
    if "Socket closed" in details or "reset" in details or "handshake" in details.lower():
        if not address.is_encrypted:
            return "the connection was closed at once: grpcs:// where the server has TLS"
        return "the connection was closed at once: the server may want a certificate, [remote] certificate and key"
    return None
