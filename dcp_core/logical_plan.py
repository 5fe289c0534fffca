"""LogicalPlan to and from protobuf: the core's only use of protobuf, imported where bytes leave or enter.

Source: design.md section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from dcp_core.digests import JsonValue
from dcp_core.drift import DriftMode, DriftPolicy
from dcp_core.errors import ConflictError
from dcp_core.model import LogicalPlan, Metadata, Source

if TYPE_CHECKING:
    from dcp_core.proto.logical_plan_pb2 import DriftPolicy as DriftPolicyMessage
    from dcp_core.proto.logical_plan_pb2 import LogicalPlan as LogicalPlanMessage

_EXACT = 2**53


def to_message(logical_plan: LogicalPlan) -> LogicalPlanMessage:
    """The protobuf message. Integers beyond 2^53 become text, which a Struct would round."""
    from dcp_core.proto import logical_plan_pb2 as pb

    message = pb.LogicalPlan(
        plugin_type=logical_plan.plugin_type,
        id=logical_plan.id,
        environment=logical_plan.environment,
        compiled_by=logical_plan.compiled_by,
        metadata=pb.ManifestMetadata(
            technical_owner=logical_plan.metadata.technical_owner,
            tier=logical_plan.metadata.tier,
            labels=dict(logical_plan.metadata.labels),
            description=logical_plan.metadata.description,
        ),
        source=pb.Source(
            file=logical_plan.source.file,
            digest=logical_plan.source.digest,
            files=dict(logical_plan.source.files),
        ),
    )
    message.plugin_spec.update(_encode(logical_plan.plugin_spec))
    drift = logical_plan.metadata.drift
    if drift is not None:
        message.metadata.drift.CopyFrom(pb.DriftPolicy(**attrs.asdict(drift)))
    return message


def from_message(message: LogicalPlanMessage) -> LogicalPlan:
    """The inverse; whole numbers come back as integers."""
    metadata = message.metadata
    return LogicalPlan(
        plugin_type=message.plugin_type,
        id=message.id,
        environment=message.environment,
        plugin_spec=_decode(message.plugin_spec),
        metadata=Metadata(
            metadata.technical_owner,
            metadata.tier if metadata.HasField("tier") else None,
            dict(metadata.labels),
            metadata.description if metadata.HasField("description") else None,
            _drift(metadata.drift) if metadata.HasField("drift") else None,
        ),
        source=Source(message.source.file, message.source.digest, dict(message.source.files)),
        compiled_by=message.compiled_by,
    )


def to_bytes(logical_plan: LogicalPlan) -> bytes:
    """Serialised, for the wire and for storage. Not for digests: the bytes are not canonical."""
    return to_message(logical_plan).SerializeToString(deterministic=True)


def from_bytes(content: bytes) -> LogicalPlan:
    """The inverse of ``to_bytes``.

    Raises:
        ConflictError: Not a LogicalPlan.
    """
    from google.protobuf.message import DecodeError

    from dcp_core.proto import logical_plan_pb2 as pb

    try:
        return from_message(pb.LogicalPlan.FromString(content))
    except DecodeError:
        raise ConflictError("these bytes are not a LogicalPlan", code="document.shape") from None


def _drift(message: DriftPolicyMessage) -> DriftPolicy:
    return DriftPolicy(DriftMode(message.mode), tuple(message.ignore), message.owner, message.reason, message.until)


def _encode(value: JsonValue) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) > _EXACT:
        return str(value)
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    return value


def _decode(value: Any) -> JsonValue:
    from google.protobuf.struct_pb2 import ListValue, Struct

    if isinstance(value, Struct):
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, ListValue):
        return [_decode(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return value
