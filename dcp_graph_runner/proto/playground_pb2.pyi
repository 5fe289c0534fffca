from dcp_graph_runner.proto import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PlaygroundRequest(_message.Message):
    __slots__ = ("environment",)
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    environment: str
    def __init__(self, environment: _Optional[str] = ...) -> None: ...

class SandboxAnswer(_message.Message):
    __slots__ = ("sandbox",)
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    sandbox: _model_pb2.Sandbox
    def __init__(self, sandbox: _Optional[_Union[_model_pb2.Sandbox, _Mapping]] = ...) -> None: ...

class ListPlaygroundsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPlaygroundsAnswer(_message.Message):
    __slots__ = ("sandboxes", "current")
    SANDBOXES_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    sandboxes: _containers.RepeatedCompositeFieldContainer[_model_pb2.Sandbox]
    current: str
    def __init__(self, sandboxes: _Optional[_Iterable[_Union[_model_pb2.Sandbox, _Mapping]]] = ..., current: _Optional[str] = ...) -> None: ...

class InventoryEntry(_message.Message):
    __slots__ = ("resource", "protected", "applied_digest", "logical_plan_digest", "protected_by")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_FIELD_NUMBER: _ClassVar[int]
    APPLIED_DIGEST_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_BY_FIELD_NUMBER: _ClassVar[int]
    resource: _model_pb2.Resource
    protected: bool
    applied_digest: str
    logical_plan_digest: str
    protected_by: str
    def __init__(self, resource: _Optional[_Union[_model_pb2.Resource, _Mapping]] = ..., protected: bool = ..., applied_digest: _Optional[str] = ..., logical_plan_digest: _Optional[str] = ..., protected_by: _Optional[str] = ...) -> None: ...

class ShowPlaygroundAnswer(_message.Message):
    __slots__ = ("sandbox", "catalog", "inventory", "size_bytes", "is_expired")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IS_EXPIRED_FIELD_NUMBER: _ClassVar[int]
    sandbox: _model_pb2.Sandbox
    catalog: str
    inventory: _containers.RepeatedCompositeFieldContainer[InventoryEntry]
    size_bytes: int
    is_expired: bool
    def __init__(self, sandbox: _Optional[_Union[_model_pb2.Sandbox, _Mapping]] = ..., catalog: _Optional[str] = ..., inventory: _Optional[_Iterable[_Union[InventoryEntry, _Mapping]]] = ..., size_bytes: _Optional[int] = ..., is_expired: bool = ...) -> None: ...

class UseRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CurrentRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CurrentAnswer(_message.Message):
    __slots__ = ("name", "catalog")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    name: str
    catalog: str
    def __init__(self, name: _Optional[str] = ..., catalog: _Optional[str] = ...) -> None: ...

class ExtendRequest(_message.Message):
    __slots__ = ("environment", "days")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    environment: str
    days: int
    def __init__(self, environment: _Optional[str] = ..., days: _Optional[int] = ...) -> None: ...
