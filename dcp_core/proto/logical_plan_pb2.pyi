from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LogicalPlan(_message.Message):
    __slots__ = ("plugin_type", "id", "environment", "plugin_spec", "metadata", "source", "compiled_by")
    PLUGIN_TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_SPEC_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    COMPILED_BY_FIELD_NUMBER: _ClassVar[int]
    plugin_type: str
    id: str
    environment: str
    plugin_spec: _struct_pb2.Struct
    metadata: ManifestMetadata
    source: Source
    compiled_by: str
    def __init__(self, plugin_type: _Optional[str] = ..., id: _Optional[str] = ..., environment: _Optional[str] = ..., plugin_spec: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., metadata: _Optional[_Union[ManifestMetadata, _Mapping]] = ..., source: _Optional[_Union[Source, _Mapping]] = ..., compiled_by: _Optional[str] = ...) -> None: ...

class ManifestMetadata(_message.Message):
    __slots__ = ("technical_owner", "tier", "labels", "description", "drift")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TECHNICAL_OWNER_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    technical_owner: str
    tier: int
    labels: _containers.ScalarMap[str, str]
    description: str
    drift: DriftPolicy
    def __init__(self, technical_owner: _Optional[str] = ..., tier: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., description: _Optional[str] = ..., drift: _Optional[_Union[DriftPolicy, _Mapping]] = ...) -> None: ...

class DriftPolicy(_message.Message):
    __slots__ = ("mode", "ignore", "owner", "reason", "until")
    MODE_FIELD_NUMBER: _ClassVar[int]
    IGNORE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    mode: str
    ignore: _containers.RepeatedScalarFieldContainer[str]
    owner: str
    reason: str
    until: str
    def __init__(self, mode: _Optional[str] = ..., ignore: _Optional[_Iterable[str]] = ..., owner: _Optional[str] = ..., reason: _Optional[str] = ..., until: _Optional[str] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("file", "digest", "files")
    class FilesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FILE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    file: str
    digest: str
    files: _containers.ScalarMap[str, str]
    def __init__(self, file: _Optional[str] = ..., digest: _Optional[str] = ..., files: _Optional[_Mapping[str, str]] = ...) -> None: ...
