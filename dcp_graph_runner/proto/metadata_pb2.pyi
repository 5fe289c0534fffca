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

class ListManifestsRequest(_message.Message):
    __slots__ = ("environment", "everywhere", "manifest_type", "owner", "label", "text", "limit", "page_token")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    EVERYWHERE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_TYPE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    environment: str
    everywhere: bool
    manifest_type: str
    owner: str
    label: str
    text: str
    limit: int
    page_token: str
    def __init__(self, environment: _Optional[str] = ..., everywhere: bool = ..., manifest_type: _Optional[str] = ..., owner: _Optional[str] = ..., label: _Optional[str] = ..., text: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListManifestsAnswer(_message.Message):
    __slots__ = ("manifests", "next_page_token")
    MANIFESTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    manifests: _containers.RepeatedCompositeFieldContainer[ManifestSummary]
    next_page_token: str
    def __init__(self, manifests: _Optional[_Iterable[_Union[ManifestSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ManifestSummary(_message.Message):
    __slots__ = ("id", "manifest_type", "environment", "owner", "tier", "labels", "description", "version", "applied_by", "applied_at", "resources", "last_operation", "paused", "conditions")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_TYPE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    APPLIED_BY_FIELD_NUMBER: _ClassVar[int]
    APPLIED_AT_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    LAST_OPERATION_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    manifest_type: str
    environment: str
    owner: str
    tier: int
    labels: _containers.ScalarMap[str, str]
    description: str
    version: int
    applied_by: str
    applied_at: _timestamp_pb2.Timestamp
    resources: int
    last_operation: ManifestOperation
    paused: ManifestPause
    conditions: _containers.RepeatedCompositeFieldContainer[ManifestCondition]
    def __init__(self, id: _Optional[str] = ..., manifest_type: _Optional[str] = ..., environment: _Optional[str] = ..., owner: _Optional[str] = ..., tier: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., description: _Optional[str] = ..., version: _Optional[int] = ..., applied_by: _Optional[str] = ..., applied_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resources: _Optional[int] = ..., last_operation: _Optional[_Union[ManifestOperation, _Mapping]] = ..., paused: _Optional[_Union[ManifestPause, _Mapping]] = ..., conditions: _Optional[_Iterable[_Union[ManifestCondition, _Mapping]]] = ...) -> None: ...

class ManifestOperation(_message.Message):
    __slots__ = ("id", "kind", "status", "user", "at", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    status: str
    user: str
    at: _timestamp_pb2.Timestamp
    error: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., status: _Optional[str] = ..., user: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[str] = ...) -> None: ...

class ManifestPause(_message.Message):
    __slots__ = ("user", "reason", "at")
    USER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    user: str
    reason: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, user: _Optional[str] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ManifestCondition(_message.Message):
    __slots__ = ("kind", "resource", "status", "reason", "message", "since")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    resource: str
    status: str
    reason: str
    message: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[str] = ..., resource: _Optional[str] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ShowManifestRequest(_message.Message):
    __slots__ = ("manifest_id", "environment")
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    manifest_id: str
    environment: str
    def __init__(self, manifest_id: _Optional[str] = ..., environment: _Optional[str] = ...) -> None: ...

class ShowManifestAnswer(_message.Message):
    __slots__ = ("manifest", "logical_plan", "resources", "sources", "readers", "versions", "executions", "notes")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_PLAN_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    READERS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    manifest: ManifestSummary
    logical_plan: _logical_plan_pb2.LogicalPlan
    resources: _containers.RepeatedCompositeFieldContainer[ManifestResource]
    sources: _containers.RepeatedCompositeFieldContainer[ManifestNeighbour]
    readers: _containers.RepeatedCompositeFieldContainer[ManifestNeighbour]
    versions: _containers.RepeatedCompositeFieldContainer[ManifestVersion]
    executions: _containers.RepeatedCompositeFieldContainer[ManifestExecution]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, manifest: _Optional[_Union[ManifestSummary, _Mapping]] = ..., logical_plan: _Optional[_Union[_logical_plan_pb2.LogicalPlan, _Mapping]] = ..., resources: _Optional[_Iterable[_Union[ManifestResource, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[ManifestNeighbour, _Mapping]]] = ..., readers: _Optional[_Iterable[_Union[ManifestNeighbour, _Mapping]]] = ..., versions: _Optional[_Iterable[_Union[ManifestVersion, _Mapping]]] = ..., executions: _Optional[_Iterable[_Union[ManifestExecution, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class ManifestResource(_message.Message):
    __slots__ = ("kind", "name", "is_protected", "is_runnable", "provides", "reads", "depends_on")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IS_PROTECTED_FIELD_NUMBER: _ClassVar[int]
    IS_RUNNABLE_FIELD_NUMBER: _ClassVar[int]
    PROVIDES_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    is_protected: bool
    is_runnable: bool
    provides: _containers.RepeatedScalarFieldContainer[str]
    reads: _containers.RepeatedScalarFieldContainer[str]
    depends_on: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., is_protected: bool = ..., is_runnable: bool = ..., provides: _Optional[_Iterable[str]] = ..., reads: _Optional[_Iterable[str]] = ..., depends_on: _Optional[_Iterable[str]] = ...) -> None: ...

class ManifestNeighbour(_message.Message):
    __slots__ = ("data", "manifest_id", "environment", "owner")
    DATA_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    data: str
    manifest_id: str
    environment: str
    owner: str
    def __init__(self, data: _Optional[str] = ..., manifest_id: _Optional[str] = ..., environment: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class ListOwnersRequest(_message.Message):
    __slots__ = ("environment", "everywhere")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    EVERYWHERE_FIELD_NUMBER: _ClassVar[int]
    environment: str
    everywhere: bool
    def __init__(self, environment: _Optional[str] = ..., everywhere: bool = ...) -> None: ...

class ListOwnersAnswer(_message.Message):
    __slots__ = ("owners",)
    OWNERS_FIELD_NUMBER: _ClassVar[int]
    owners: _containers.RepeatedCompositeFieldContainer[OwnerSummary]
    def __init__(self, owners: _Optional[_Iterable[_Union[OwnerSummary, _Mapping]]] = ...) -> None: ...

class OwnerSummary(_message.Message):
    __slots__ = ("owner", "manifests", "critical", "environments")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MANIFESTS_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENTS_FIELD_NUMBER: _ClassVar[int]
    owner: str
    manifests: int
    critical: int
    environments: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, owner: _Optional[str] = ..., manifests: _Optional[int] = ..., critical: _Optional[int] = ..., environments: _Optional[_Iterable[str]] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("manifest_id", "environment", "limit", "page_token")
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    manifest_id: str
    environment: str
    limit: int
    page_token: str
    def __init__(self, manifest_id: _Optional[str] = ..., environment: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVersionsAnswer(_message.Message):
    __slots__ = ("environment", "versions", "next_page_token")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    environment: str
    versions: _containers.RepeatedCompositeFieldContainer[ManifestVersion]
    next_page_token: str
    def __init__(self, environment: _Optional[str] = ..., versions: _Optional[_Iterable[_Union[ManifestVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ManifestVersion(_message.Message):
    __slots__ = ("version", "user", "at", "operation_id", "digest", "compiled_by", "file", "changes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    COMPILED_BY_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    version: int
    user: str
    at: _timestamp_pb2.Timestamp
    operation_id: str
    digest: str
    compiled_by: str
    file: str
    changes: _containers.RepeatedCompositeFieldContainer[ManifestFieldChange]
    def __init__(self, version: _Optional[int] = ..., user: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., operation_id: _Optional[str] = ..., digest: _Optional[str] = ..., compiled_by: _Optional[str] = ..., file: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[ManifestFieldChange, _Mapping]]] = ...) -> None: ...

class ManifestFieldChange(_message.Message):
    __slots__ = ("field", "before", "after", "diff")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    field: str
    before: _struct_pb2.Value
    after: _struct_pb2.Value
    diff: str
    def __init__(self, field: _Optional[str] = ..., before: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., after: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., diff: _Optional[str] = ...) -> None: ...

class ListExecutionsRequest(_message.Message):
    __slots__ = ("manifest_id", "environment", "limit", "page_token", "primitive")
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PRIMITIVE_FIELD_NUMBER: _ClassVar[int]
    manifest_id: str
    environment: str
    limit: int
    page_token: str
    primitive: str
    def __init__(self, manifest_id: _Optional[str] = ..., environment: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ..., primitive: _Optional[str] = ...) -> None: ...

class ListExecutionsAnswer(_message.Message):
    __slots__ = ("environment", "executions", "next_page_token")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    environment: str
    executions: _containers.RepeatedCompositeFieldContainer[ManifestExecution]
    next_page_token: str
    def __init__(self, environment: _Optional[str] = ..., executions: _Optional[_Iterable[_Union[ManifestExecution, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ManifestExecution(_message.Message):
    __slots__ = ("id", "kind", "resource", "environment", "status", "backend", "rows_written", "error", "params", "created_at", "started_at", "finished_at")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ROWS_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    resource: str
    environment: str
    status: str
    backend: str
    rows_written: int
    error: str
    params: _containers.ScalarMap[str, str]
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., resource: _Optional[str] = ..., environment: _Optional[str] = ..., status: _Optional[str] = ..., backend: _Optional[str] = ..., rows_written: _Optional[int] = ..., error: _Optional[str] = ..., params: _Optional[_Mapping[str, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetLogsRequest(_message.Message):
    __slots__ = ("manifest_id", "environment", "execution_id", "offset", "seen", "primitive")
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    PRIMITIVE_FIELD_NUMBER: _ClassVar[int]
    manifest_id: str
    environment: str
    execution_id: str
    offset: int
    seen: str
    primitive: str
    def __init__(self, manifest_id: _Optional[str] = ..., environment: _Optional[str] = ..., execution_id: _Optional[str] = ..., offset: _Optional[int] = ..., seen: _Optional[str] = ..., primitive: _Optional[str] = ...) -> None: ...

class GetLogsAnswer(_message.Message):
    __slots__ = ("execution", "text", "offset")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    execution: ManifestExecution
    text: str
    offset: int
    def __init__(self, execution: _Optional[_Union[ManifestExecution, _Mapping]] = ..., text: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class GetLineageRequest(_message.Message):
    __slots__ = ("name", "environment", "direction", "depth", "column", "columns", "overlay")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    name: str
    environment: str
    direction: str
    depth: int
    column: str
    columns: bool
    overlay: bool
    def __init__(self, name: _Optional[str] = ..., environment: _Optional[str] = ..., direction: _Optional[str] = ..., depth: _Optional[int] = ..., column: _Optional[str] = ..., columns: bool = ..., overlay: bool = ...) -> None: ...

class GetLineageAnswer(_message.Message):
    __slots__ = ("starts", "nodes", "edges", "columns", "notes")
    STARTS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    starts: _containers.RepeatedScalarFieldContainer[str]
    nodes: _containers.RepeatedCompositeFieldContainer[LineageNode]
    edges: _containers.RepeatedCompositeFieldContainer[LineageEdge]
    columns: _containers.RepeatedCompositeFieldContainer[ColumnEdge]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, starts: _Optional[_Iterable[str]] = ..., nodes: _Optional[_Iterable[_Union[LineageNode, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[LineageEdge, _Mapping]]] = ..., columns: _Optional[_Iterable[_Union[ColumnEdge, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class LineageNode(_message.Message):
    __slots__ = ("id", "data", "environment", "manifest_id", "owner", "distance")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    data: str
    environment: str
    manifest_id: str
    owner: str
    distance: int
    def __init__(self, id: _Optional[str] = ..., data: _Optional[str] = ..., environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., owner: _Optional[str] = ..., distance: _Optional[int] = ...) -> None: ...

class LineageEdge(_message.Message):
    __slots__ = ("source", "target", "manifest_id")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    manifest_id: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., manifest_id: _Optional[str] = ...) -> None: ...

class ColumnEdge(_message.Message):
    __slots__ = ("source", "source_column", "target", "target_column", "transformation")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_COLUMN_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TARGET_COLUMN_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMATION_FIELD_NUMBER: _ClassVar[int]
    source: str
    source_column: str
    target: str
    target_column: str
    transformation: str
    def __init__(self, source: _Optional[str] = ..., source_column: _Optional[str] = ..., target: _Optional[str] = ..., target_column: _Optional[str] = ..., transformation: _Optional[str] = ...) -> None: ...
