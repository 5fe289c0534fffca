"""What answers hold of data and operations, so that a command shows the same in process and through a server."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from dcp_core.digests import JsonValue
from dcp_core.records import Operation, Preview


def plain_preview(preview: Preview) -> Preview:
    """The same rows, of JSON values only."""
    return attrs.evolve(preview, rows=tuple(tuple(map(plain, row)) for row in preview.rows))


def plain(value: Any) -> JsonValue:
    """What JSON has no type for becomes text: times as ISO 8601, bytes in hexadecimal, NaN and infinities by name."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return [plain(each) for each in sorted(value, key=str)]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def without_actions(operation: Operation) -> Operation:
    """The plan's states are many times as large as what came of them, which ``results`` says."""
    return attrs.evolve(operation, plan=attrs.evolve(operation.plan, actions=()), resumed=())
