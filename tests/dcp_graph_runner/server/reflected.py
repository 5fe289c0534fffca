"""A gRPC client that knows nothing but what the server's reflection tells: no module generated here is used."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

Metadata = tuple[tuple[str, str | bytes], ...]


class ReflectedClient:
    """Requests and answers are JSON documents.

    Args:
        channel: To the server; closed by who opened it.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self.pool = DescriptorPool()
        self._known: set[str] = set()
        self.services = self._services()
        for name in self.services:
            self._learn(file_containing_symbol=name)

    def call(self, service: str, method: str, document: Any, metadata: Metadata = (), timeout_s: float = 30) -> Any:
        """One answer."""
        described, send, receive = self._method(service, method)
        rpc = self._channel.unary_unary(
            f"/{described.containing_service.full_name}/{method}", send.SerializeToString, receive.FromString
        )
        answer = rpc(json_format.ParseDict(document, send()), metadata=metadata, timeout=timeout_s)
        return json_format.MessageToDict(answer, preserving_proto_field_name=True)

    def stream(self, service: str, method: str, document: Any, metadata: Metadata = ()) -> Generator[Any, None, None]:
        """Answers as they come."""
        described, send, receive = self._method(service, method)
        rpc = self._channel.unary_stream(
            f"/{described.containing_service.full_name}/{method}", send.SerializeToString, receive.FromString
        )
        answers = rpc(json_format.ParseDict(document, send()), metadata=metadata, timeout=60)
        try:
            for answer in answers:
                yield json_format.MessageToDict(answer, preserving_proto_field_name=True)
        finally:
            answers.cancel()  # type: ignore[no-untyped-call]

    def _method(self, service: str, method: str) -> tuple[Any, Any, Any]:
        found: Any = self.pool.FindServiceByName(f"dcp.v1.{service}").methods_by_name[method]
        classes = [message_factory.GetMessageClass(each) for each in (found.input_type, found.output_type)]
        return found, *classes

    def _services(self) -> tuple[str, ...]:
        answer = self._ask(list_services="")
        return tuple(each.name for each in answer.list_services_response.service)

    def _learn(self, **what: str) -> None:
        answer = self._ask(**what)
        files = [FileDescriptorProto.FromString(each) for each in answer.file_descriptor_response.file_descriptor_proto]
        for file in files:
            if file.name not in self._known:
                self._known.add(file.name)
                for needed in file.dependency:
                    self._learn(file_by_filename=needed)
                self.pool.Add(file)

    def _ask(self, **what: str) -> Any:
        asked = iter([reflection_pb2.ServerReflectionRequest(**what)])
        (answer,) = reflection_pb2_grpc.ServerReflectionStub(self._channel).ServerReflectionInfo(asked)
        return answer
