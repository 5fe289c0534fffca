from dcp_core.proto import logical_plan_pb2 as _logical_plan_pb2
from dcp_graph_runner.proto import model_pb2 as _model_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LintRequest(_message.Message):
    __slots__ = ("environment", "logical_plans")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLANS_FIELD_NUMBER: _ClassVar[int]
    environment: str
    logical_plans: _containers.RepeatedCompositeFieldContainer[_logical_plan_pb2.LogicalPlan]
    def __init__(self, environment: _Optional[str] = ..., logical_plans: _Optional[_Iterable[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]]] = ...) -> None: ...

class TestRequest(_message.Message):
    __slots__ = ("environment", "logical_plans", "manifest_ids", "overlay")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLANS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    environment: str
    logical_plans: _containers.RepeatedCompositeFieldContainer[_logical_plan_pb2.LogicalPlan]
    manifest_ids: _containers.RepeatedScalarFieldContainer[str]
    overlay: bool
    def __init__(self, environment: _Optional[str] = ..., logical_plans: _Optional[_Iterable[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]]] = ..., manifest_ids: _Optional[_Iterable[str]] = ..., overlay: bool = ...) -> None: ...

class PlanRequest(_message.Message):
    __slots__ = ("environment", "logical_plans", "options", "folders", "manifest_type", "overlay")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLANS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    FOLDERS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_TYPE_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    environment: str
    logical_plans: _containers.RepeatedCompositeFieldContainer[_logical_plan_pb2.LogicalPlan]
    options: _model_pb2.PlanOptions
    folders: _containers.RepeatedScalarFieldContainer[str]
    manifest_type: str
    overlay: bool
    def __init__(self, environment: _Optional[str] = ..., logical_plans: _Optional[_Iterable[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]]] = ..., options: _Optional[_Union[_model_pb2.PlanOptions, _Mapping]] = ..., folders: _Optional[_Iterable[str]] = ..., manifest_type: _Optional[str] = ..., overlay: bool = ...) -> None: ...

class PlanDestructionRequest(_message.Message):
    __slots__ = ("environment", "manifest_ids")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, environment: _Optional[str] = ..., manifest_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ExpectedAction(_message.Message):
    __slots__ = ("resource", "action", "basis", "wanted")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    resource: str
    action: str
    basis: str
    wanted: str
    def __init__(self, resource: _Optional[str] = ..., action: _Optional[str] = ..., basis: _Optional[str] = ..., wanted: _Optional[str] = ...) -> None: ...

class ExpectedActions(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ExpectedAction]
    def __init__(self, items: _Optional[_Iterable[_Union[ExpectedAction, _Mapping]]] = ...) -> None: ...

class ApplyRequest(_message.Message):
    __slots__ = ("environment", "logical_plans", "options", "folders", "manifest_type", "overlay", "expected", "plugins")
    class PluginsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLANS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    FOLDERS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_TYPE_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    environment: str
    logical_plans: _containers.RepeatedCompositeFieldContainer[_logical_plan_pb2.LogicalPlan]
    options: _model_pb2.PlanOptions
    folders: _containers.RepeatedScalarFieldContainer[str]
    manifest_type: str
    overlay: bool
    expected: ExpectedActions
    plugins: _containers.ScalarMap[str, str]
    def __init__(self, environment: _Optional[str] = ..., logical_plans: _Optional[_Iterable[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]]] = ..., options: _Optional[_Union[_model_pb2.PlanOptions, _Mapping]] = ..., folders: _Optional[_Iterable[str]] = ..., manifest_type: _Optional[str] = ..., overlay: bool = ..., expected: _Optional[_Union[ExpectedActions, _Mapping]] = ..., plugins: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DestroyRequest(_message.Message):
    __slots__ = ("environment", "manifest_ids", "expected")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_ids: _containers.RepeatedScalarFieldContainer[str]
    expected: ExpectedActions
    def __init__(self, environment: _Optional[str] = ..., manifest_ids: _Optional[_Iterable[str]] = ..., expected: _Optional[_Union[ExpectedActions, _Mapping]] = ...) -> None: ...

class RunRequest(_message.Message):
    __slots__ = ("environment", "logical_plans", "params")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLANS_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    environment: str
    logical_plans: _containers.RepeatedCompositeFieldContainer[_logical_plan_pb2.LogicalPlan]
    params: _containers.ScalarMap[str, str]
    def __init__(self, environment: _Optional[str] = ..., logical_plans: _Optional[_Iterable[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]]] = ..., params: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RecoverRequest(_message.Message):
    __slots__ = ("environment", "manifest_ids")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, environment: _Optional[str] = ..., manifest_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class InterruptedAnswer(_message.Message):
    __slots__ = ("operations",)
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[_model_pb2.Operation]
    def __init__(self, operations: _Optional[_Iterable[_Union[_model_pb2.Operation, _Mapping]]] = ...) -> None: ...

class AppliedRequest(_message.Message):
    __slots__ = ("environment", "manifest_ids", "after", "limit")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_ids: _containers.RepeatedScalarFieldContainer[str]
    after: str
    limit: int
    def __init__(self, environment: _Optional[str] = ..., manifest_ids: _Optional[_Iterable[str]] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class AppliedAnswer(_message.Message):
    __slots__ = ("logical_plans",)
    LOGICAL_PLANS_FIELD_NUMBER: _ClassVar[int]
    logical_plans: _containers.RepeatedCompositeFieldContainer[_logical_plan_pb2.LogicalPlan]
    def __init__(self, logical_plans: _Optional[_Iterable[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("environment", "logical_plans")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLANS_FIELD_NUMBER: _ClassVar[int]
    environment: str
    logical_plans: _containers.RepeatedCompositeFieldContainer[_logical_plan_pb2.LogicalPlan]
    def __init__(self, environment: _Optional[str] = ..., logical_plans: _Optional[_Iterable[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("manifest_id", "kind", "resource", "exists", "compute", "backend", "why")
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    manifest_id: str
    kind: str
    resource: str
    exists: bool
    compute: _struct_pb2.Value
    backend: str
    why: str
    def __init__(self, manifest_id: _Optional[str] = ..., kind: _Optional[str] = ..., resource: _Optional[str] = ..., exists: bool = ..., compute: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., backend: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class ExplainAnswer(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Explanation]
    def __init__(self, rows: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ...) -> None: ...

class PreviewRequest(_message.Message):
    __slots__ = ("environment", "logical_plan", "limit")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLAN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    environment: str
    logical_plan: _logical_plan_pb2.LogicalPlan
    limit: int
    def __init__(self, environment: _Optional[str] = ..., logical_plan: _Optional[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class PreviewAnswer(_message.Message):
    __slots__ = ("preview",)
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    preview: _model_pb2.Preview
    def __init__(self, preview: _Optional[_Union[_model_pb2.Preview, _Mapping]] = ...) -> None: ...

class CommandFile(_message.Message):
    __slots__ = ("name", "content")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    content: bytes
    def __init__(self, name: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class CommandRequest(_message.Message):
    __slots__ = ("environment", "manifest_type", "name", "parameters", "logical_plans", "overlay", "files")
    class FilesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: CommandFile
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CommandFile, _Mapping]] = ...) -> None: ...
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLANS_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifest_type: str
    name: str
    parameters: _struct_pb2.Struct
    logical_plans: _containers.RepeatedCompositeFieldContainer[_logical_plan_pb2.LogicalPlan]
    overlay: bool
    files: _containers.MessageMap[str, CommandFile]
    def __init__(self, environment: _Optional[str] = ..., manifest_type: _Optional[str] = ..., name: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., logical_plans: _Optional[_Iterable[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]]] = ..., overlay: bool = ..., files: _Optional[_Mapping[str, CommandFile]] = ...) -> None: ...

class CommandAnswer(_message.Message):
    __slots__ = ("value", "preview", "files")
    class FilesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: CommandFile
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CommandFile, _Mapping]] = ...) -> None: ...
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    value: _model_pb2.Json
    preview: _model_pb2.Preview
    files: _containers.MessageMap[str, CommandFile]
    def __init__(self, value: _Optional[_Union[_model_pb2.Json, _Mapping]] = ..., preview: _Optional[_Union[_model_pb2.Preview, _Mapping]] = ..., files: _Optional[_Mapping[str, CommandFile]] = ...) -> None: ...

class GetOperationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListOperationsRequest(_message.Message):
    __slots__ = ("environment", "limit")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    environment: str
    limit: int
    def __init__(self, environment: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListOperationsAnswer(_message.Message):
    __slots__ = ("operations",)
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[_model_pb2.OperationState]
    def __init__(self, operations: _Optional[_Iterable[_Union[_model_pb2.OperationState, _Mapping]]] = ...) -> None: ...

class WatchOperationRequest(_message.Message):
    __slots__ = ("id", "after")
    ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    after: int
    def __init__(self, id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...
