import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListAuditRequest(_message.Message):
    __slots__ = ("environment", "everywhere", "manifest_id", "limit")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    EVERYWHERE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    environment: str
    everywhere: bool
    manifest_id: str
    limit: int
    def __init__(self, environment: _Optional[str] = ..., everywhere: bool = ..., manifest_id: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class AuditRecord(_message.Message):
    __slots__ = ("operation_id", "kind", "manifest_id", "environment", "user", "outcome", "plan_digest", "actions", "at", "message")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    kind: str
    manifest_id: str
    environment: str
    user: str
    outcome: str
    plan_digest: str
    actions: _containers.RepeatedScalarFieldContainer[str]
    at: _timestamp_pb2.Timestamp
    message: str
    def __init__(self, operation_id: _Optional[str] = ..., kind: _Optional[str] = ..., manifest_id: _Optional[str] = ..., environment: _Optional[str] = ..., user: _Optional[str] = ..., outcome: _Optional[str] = ..., plan_digest: _Optional[str] = ..., actions: _Optional[_Iterable[str]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[str] = ...) -> None: ...

class UnreadableRecord(_message.Message):
    __slots__ = ("sequence", "operation_id", "environment", "manifest_id", "problem")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    operation_id: str
    environment: str
    manifest_id: str
    problem: str
    def __init__(self, sequence: _Optional[int] = ..., operation_id: _Optional[str] = ..., environment: _Optional[str] = ..., manifest_id: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class AuditRow(_message.Message):
    __slots__ = ("record", "unreadable")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    record: AuditRecord
    unreadable: UnreadableRecord
    def __init__(self, record: _Optional[_Union[AuditRecord, _Mapping]] = ..., unreadable: _Optional[_Union[UnreadableRecord, _Mapping]] = ...) -> None: ...

class ListAuditAnswer(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[AuditRow]
    def __init__(self, rows: _Optional[_Iterable[_Union[AuditRow, _Mapping]]] = ...) -> None: ...

class VerifyAuditRequest(_message.Message):
    __slots__ = ("head", "compares")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    COMPARES_FIELD_NUMBER: _ClassVar[int]
    head: str
    compares: bool
    def __init__(self, head: _Optional[str] = ..., compares: bool = ...) -> None: ...

class AuditBreak(_message.Message):
    __slots__ = ("damage", "sequence", "operation_id", "message")
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    damage: str
    sequence: int
    operation_id: str
    message: str
    def __init__(self, damage: _Optional[str] = ..., sequence: _Optional[int] = ..., operation_id: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class VerifyAuditAnswer(_message.Message):
    __slots__ = ("records", "head", "noted_at", "broken", "compared_with", "delivered", "announced")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    NOTED_AT_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    COMPARED_WITH_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    records: int
    head: str
    noted_at: int
    broken: AuditBreak
    compared_with: str
    delivered: int
    announced: int
    def __init__(self, records: _Optional[int] = ..., head: _Optional[str] = ..., noted_at: _Optional[int] = ..., broken: _Optional[_Union[AuditBreak, _Mapping]] = ..., compared_with: _Optional[str] = ..., delivered: _Optional[int] = ..., announced: _Optional[int] = ...) -> None: ...

class DeliverAuditRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeliverAuditAnswer(_message.Message):
    __slots__ = ("table", "delivered", "sequence")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    table: str
    delivered: int
    sequence: int
    def __init__(self, table: _Optional[str] = ..., delivered: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...
