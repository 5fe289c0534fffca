import datetime

from dcp_graph_runner.proto import model_pb2 as _model_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PauseRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "reason")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    reason: str
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PauseAnswer(_message.Message):
    __slots__ = ("environment", "manifest_id", "was_paused", "user", "reason", "at", "schedules")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    WAS_PAUSED_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    was_paused: bool
    user: str
    reason: str
    at: _timestamp_pb2.Timestamp
    schedules: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., was_paused: bool = ..., user: _Optional[str] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., schedules: _Optional[_Iterable[str]] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("environment", "manifest_id")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ...) -> None: ...

class ResumeAnswer(_message.Message):
    __slots__ = ("environment", "manifest_id", "was_paused", "schedules")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    WAS_PAUSED_FIELD_NUMBER: _ClassVar[int]
    SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    was_paused: bool
    schedules: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., was_paused: bool = ..., schedules: _Optional[_Iterable[str]] = ...) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "primitive")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRIMITIVE_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    primitive: str
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., primitive: _Optional[str] = ...) -> None: ...

class StopAnswer(_message.Message):
    __slots__ = ("environment", "manifest_id", "stopped")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    stopped: _containers.RepeatedCompositeFieldContainer[_model_pb2.Execution]
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., stopped: _Optional[_Iterable[_Union[_model_pb2.Execution, _Mapping]]] = ...) -> None: ...

class StartRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "params", "wait", "idempotency_key", "primitive")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    PRIMITIVE_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    params: _containers.ScalarMap[str, str]
    wait: bool
    idempotency_key: str
    primitive: str
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., params: _Optional[_Mapping[str, str]] = ..., wait: bool = ..., idempotency_key: _Optional[str] = ..., primitive: _Optional[str] = ...) -> None: ...

class RetryRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "wait")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    wait: bool
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., wait: bool = ...) -> None: ...

class BackfillRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "start", "end", "reprocess", "dry_run", "max_parallel", "keep_going", "primitive")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    REPROCESS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    MAX_PARALLEL_FIELD_NUMBER: _ClassVar[int]
    KEEP_GOING_FIELD_NUMBER: _ClassVar[int]
    PRIMITIVE_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    start: _timestamp_pb2.Timestamp
    end: _timestamp_pb2.Timestamp
    reprocess: str
    dry_run: bool
    max_parallel: int
    keep_going: bool
    primitive: str
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reprocess: _Optional[str] = ..., dry_run: bool = ..., max_parallel: _Optional[int] = ..., keep_going: bool = ..., primitive: _Optional[str] = ...) -> None: ...

class AdoptRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "dry_run")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    dry_run: bool
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., dry_run: bool = ...) -> None: ...

class ProtectRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "resources")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    resources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., resources: _Optional[_Iterable[str]] = ...) -> None: ...

class Protection(_message.Message):
    __slots__ = ("resource", "is_protected", "changed", "by")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    IS_PROTECTED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    resource: str
    is_protected: bool
    changed: bool
    by: str
    def __init__(self, resource: _Optional[str] = ..., is_protected: bool = ..., changed: bool = ..., by: _Optional[str] = ...) -> None: ...

class ProtectAnswer(_message.Message):
    __slots__ = ("environment", "manifest_id", "resources")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    resources: _containers.RepeatedCompositeFieldContainer[Protection]
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[Protection, _Mapping]]] = ...) -> None: ...

class UnprotectRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "resources")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    resources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., resources: _Optional[_Iterable[str]] = ...) -> None: ...

class UnprotectAnswer(_message.Message):
    __slots__ = ("environment", "manifest_id", "resources")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    resources: _containers.RepeatedCompositeFieldContainer[Protection]
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[Protection, _Mapping]]] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "version", "dry_run", "allow_destructive")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DESTRUCTIVE_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    version: int
    dry_run: bool
    allow_destructive: bool
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., version: _Optional[int] = ..., dry_run: bool = ..., allow_destructive: bool = ...) -> None: ...

class UnlockRequest(_message.Message):
    __slots__ = ("environment", "manifest_id", "force")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    force: bool
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., force: bool = ...) -> None: ...

class UnlockAnswer(_message.Message):
    __slots__ = ("environment", "manifest_id", "operation", "holder", "was_alive")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    WAS_ALIVE_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_id: str
    operation: _model_pb2.Operation
    holder: str
    was_alive: bool
    def __init__(self, environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., operation: _Optional[_Union[_model_pb2.Operation, _Mapping]] = ..., holder: _Optional[str] = ..., was_alive: bool = ...) -> None: ...
