import datetime

from dcp_core.proto import logical_plan_pb2 as _logical_plan_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Json(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ResourceKey(_message.Message):
    __slots__ = ("kind", "name")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("kind", "name", "manifest_id", "environment", "spec", "depends_on", "provides", "reads", "runnable", "protect", "path")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    PROVIDES_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    RUNNABLE_FIELD_NUMBER: _ClassVar[int]
    PROTECT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    manifest_id: str
    environment: str
    spec: _struct_pb2.Struct
    depends_on: _containers.RepeatedCompositeFieldContainer[ResourceKey]
    provides: _containers.RepeatedScalarFieldContainer[str]
    reads: _containers.RepeatedScalarFieldContainer[str]
    runnable: bool
    protect: bool
    path: _struct_pb2.ListValue
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., manifest_id: _Optional[str] = ..., environment: _Optional[str] = ..., spec: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., depends_on: _Optional[_Iterable[_Union[ResourceKey, _Mapping]]] = ..., provides: _Optional[_Iterable[str]] = ..., reads: _Optional[_Iterable[str]] = ..., runnable: bool = ..., protect: bool = ..., path: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...

class Owner(_message.Message):
    __slots__ = ("manifest_id", "environment")
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    manifest_id: str
    environment: str
    def __init__(self, manifest_id: _Optional[str] = ..., environment: _Optional[str] = ...) -> None: ...

class State(_message.Message):
    __slots__ = ("values", "owner", "revision", "info")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    values: _struct_pb2.Struct
    owner: Owner
    revision: str
    info: _struct_pb2.Struct
    def __init__(self, values: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., owner: _Optional[_Union[Owner, _Mapping]] = ..., revision: _Optional[str] = ..., info: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class FieldChange(_message.Message):
    __slots__ = ("field", "actual", "desired", "effect", "why")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    field: str
    actual: _struct_pb2.Value
    desired: _struct_pb2.Value
    effect: str
    why: str
    def __init__(self, field: _Optional[str] = ..., actual: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., desired: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., effect: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("kind", "resource", "reason", "message", "changes", "destructive", "desired", "actual", "wants")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    DESTRUCTIVE_FIELD_NUMBER: _ClassVar[int]
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    WANTS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    resource: Resource
    reason: str
    message: str
    changes: _containers.RepeatedCompositeFieldContainer[FieldChange]
    destructive: bool
    desired: State
    actual: State
    wants: str
    def __init__(self, kind: _Optional[str] = ..., resource: _Optional[_Union[Resource, _Mapping]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[FieldChange, _Mapping]]] = ..., destructive: bool = ..., desired: _Optional[_Union[State, _Mapping]] = ..., actual: _Optional[_Union[State, _Mapping]] = ..., wants: _Optional[str] = ...) -> None: ...

class PlanOptions(_message.Message):
    __slots__ = ("adopt", "allow_destructive", "prune")
    ADOPT_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DESTRUCTIVE_FIELD_NUMBER: _ClassVar[int]
    PRUNE_FIELD_NUMBER: _ClassVar[int]
    adopt: bool
    allow_destructive: bool
    prune: bool
    def __init__(self, adopt: bool = ..., allow_destructive: bool = ..., prune: bool = ...) -> None: ...

class ManifestPlan(_message.Message):
    __slots__ = ("logical_plan", "actions", "destroys")
    LOGICAL_PLAN_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    DESTROYS_FIELD_NUMBER: _ClassVar[int]
    logical_plan: _logical_plan_pb2.LogicalPlan
    actions: _containers.RepeatedCompositeFieldContainer[Action]
    destroys: bool
    def __init__(self, logical_plan: _Optional[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]] = ..., actions: _Optional[_Iterable[_Union[Action, _Mapping]]] = ..., destroys: bool = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("environment", "manifests", "options", "plugins", "orphaned", "overlay")
    class PluginsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFESTS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    ORPHANED_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    environment: str
    manifests: _containers.RepeatedCompositeFieldContainer[ManifestPlan]
    options: PlanOptions
    plugins: _containers.ScalarMap[str, str]
    orphaned: _containers.RepeatedScalarFieldContainer[str]
    overlay: bool
    def __init__(self, environment: _Optional[str] = ..., manifests: _Optional[_Iterable[_Union[ManifestPlan, _Mapping]]] = ..., options: _Optional[_Union[PlanOptions, _Mapping]] = ..., plugins: _Optional[_Mapping[str, str]] = ..., orphaned: _Optional[_Iterable[str]] = ..., overlay: bool = ...) -> None: ...

class ActionResult(_message.Message):
    __slots__ = ("key", "label", "status", "error", "code")
    KEY_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    key: ResourceKey
    label: str
    status: str
    error: str
    code: str
    def __init__(self, key: _Optional[_Union[ResourceKey, _Mapping]] = ..., label: _Optional[str] = ..., status: _Optional[str] = ..., error: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("id", "resource", "environment", "status", "backend", "rows_written", "error", "params", "idempotency_key", "created_at", "started_at", "finished_at", "is_endless")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ROWS_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    IS_ENDLESS_FIELD_NUMBER: _ClassVar[int]
    id: str
    resource: ResourceKey
    environment: str
    status: str
    backend: str
    rows_written: int
    error: str
    params: _containers.ScalarMap[str, str]
    idempotency_key: str
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    is_endless: bool
    def __init__(self, id: _Optional[str] = ..., resource: _Optional[_Union[ResourceKey, _Mapping]] = ..., environment: _Optional[str] = ..., status: _Optional[str] = ..., backend: _Optional[str] = ..., rows_written: _Optional[int] = ..., error: _Optional[str] = ..., params: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_endless: bool = ...) -> None: ...

class ResumedExecution(_message.Message):
    __slots__ = ("resource", "execution")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    resource: Resource
    execution: Execution
    def __init__(self, resource: _Optional[_Union[Resource, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("id", "kind", "plan", "user", "status", "results", "error", "created_at", "finished_at", "recovered", "resumed", "request_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    plan: ManifestPlan
    user: str
    status: str
    results: _containers.RepeatedCompositeFieldContainer[ActionResult]
    error: str
    created_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    recovered: bool
    resumed: _containers.RepeatedCompositeFieldContainer[ResumedExecution]
    request_id: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., plan: _Optional[_Union[ManifestPlan, _Mapping]] = ..., user: _Optional[str] = ..., status: _Optional[str] = ..., results: _Optional[_Iterable[_Union[ActionResult, _Mapping]]] = ..., error: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., recovered: bool = ..., resumed: _Optional[_Iterable[_Union[ResumedExecution, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class Preview(_message.Message):
    __slots__ = ("columns", "rows", "total_rows", "snippets")
    class SnippetsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_ROWS_FIELD_NUMBER: _ClassVar[int]
    SNIPPETS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    rows: _containers.RepeatedCompositeFieldContainer[Json]
    total_rows: int
    snippets: _containers.ScalarMap[str, str]
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., rows: _Optional[_Iterable[_Union[Json, _Mapping]]] = ..., total_rows: _Optional[int] = ..., snippets: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Sandbox(_message.Message):
    __slots__ = ("id", "user", "identity", "created_at", "expires_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    user: str
    identity: str
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., user: _Optional[str] = ..., identity: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Diagnostic(_message.Message):
    __slots__ = ("severity", "code", "message", "path", "file", "line", "column", "hint", "owner")
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    severity: str
    code: str
    message: str
    path: _struct_pb2.ListValue
    file: str
    line: int
    column: int
    hint: str
    owner: str
    def __init__(self, severity: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., path: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ..., file: _Optional[str] = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., hint: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("manifest_id", "diagnostic")
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTIC_FIELD_NUMBER: _ClassVar[int]
    manifest_id: str
    diagnostic: Diagnostic
    def __init__(self, manifest_id: _Optional[str] = ..., diagnostic: _Optional[_Union[Diagnostic, _Mapping]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("code", "message", "status", "where", "owner", "hint", "retry_after_s", "findings")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    status: int
    where: str
    owner: str
    hint: str
    retry_after_s: float
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., status: _Optional[int] = ..., where: _Optional[str] = ..., owner: _Optional[str] = ..., hint: _Optional[str] = ..., retry_after_s: _Optional[float] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ...) -> None: ...

class OperationState(_message.Message):
    __slots__ = ("id", "method", "environment", "identity", "status", "created_at", "finished_at", "answer", "error", "needs", "events")
    ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    method: str
    environment: str
    identity: str
    status: str
    created_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    answer: Json
    error: Problem
    needs: _containers.RepeatedScalarFieldContainer[str]
    events: int
    def __init__(self, id: _Optional[str] = ..., method: _Optional[str] = ..., environment: _Optional[str] = ..., identity: _Optional[str] = ..., status: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., answer: _Optional[_Union[Json, _Mapping]] = ..., error: _Optional[_Union[Problem, _Mapping]] = ..., needs: _Optional[_Iterable[str]] = ..., events: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("sequence", "type", "at", "node", "operation", "action", "result", "execution", "state")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    type: str
    at: _timestamp_pb2.Timestamp
    node: str
    operation: Operation
    action: Action
    result: ActionResult
    execution: Execution
    state: OperationState
    def __init__(self, sequence: _Optional[int] = ..., type: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., node: _Optional[str] = ..., operation: _Optional[_Union[Operation, _Mapping]] = ..., action: _Optional[_Union[Action, _Mapping]] = ..., result: _Optional[_Union[ActionResult, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ..., state: _Optional[_Union[OperationState, _Mapping]] = ...) -> None: ...
