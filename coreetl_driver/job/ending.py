"""Ending a session on a Spark elsewhere, whoever opened it and whatever has become of that process.

Source: Spark Connect's protocol, spark/connect/base.proto.
"""

from __future__ import annotations

from typing import Any

from coreetl_driver.job.engine_errors import JobError
from coreetl_driver.job.session import addressed, require_listener

_TIMEOUT_S = 30.0
_GONE = ("INVALID_HANDLE.SESSION_CLOSED", "INVALID_HANDLE.SESSION_NOT_FOUND", "INVALID_HANDLE.SESSION_CHANGED")


def end_session(url: str, session_id: str) -> None:
    """Interrupt what the session does, wait until that has ended, and close it: it takes nothing more.

    A server answers an interruption before the operation has ended, and refuses to close a session that still has one.

    Raises:
        JobError: The server does not answer, or an operation goes on.
    """
    import grpc
    from pyspark.sql.connect.client.core import DefaultChannelBuilder
    from pyspark.sql.connect.proto import base_pb2 as pb
    from pyspark.sql.connect.proto.base_pb2_grpc import SparkConnectServiceStub

    require_listener(url)
    builder = DefaultChannelBuilder(addressed(url, session_id))
    channel = builder.toChannel()
    server = SparkConnectServiceStub(channel)  # type: ignore[no-untyped-call]
    meant: dict[str, Any] = {"session_id": session_id, "user_context": pb.UserContext(user_id=builder.userId or "")}
    options: dict[str, Any] = {"metadata": builder.metadata(), "timeout": _TIMEOUT_S}
    everything = pb.InterruptRequest.InterruptType.INTERRUPT_TYPE_ALL
    try:
        interrupted = server.Interrupt(pb.InterruptRequest(**meant, interrupt_type=everything), **options)
        for operation_id in interrupted.interrupted_ids:
            _wait_for_end(server, pb.ReattachExecuteRequest(**meant, operation_id=operation_id), options)
        server.ReleaseSession(pb.ReleaseSessionRequest(**meant), **options)
    except grpc.RpcError as error:
        said = str(error.details())
        if not any(word in said for word in _GONE):
            raise JobError(said) from None
    finally:
        channel.close()


def _wait_for_end(server: Any, request: Any, options: dict[str, Any]) -> None:
    """Read an operation's answers to their end, which for an interrupted one is an error."""
    import grpc

    try:
        for _ in server.ReattachExecute(request, **options):
            continue
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
            raise
