"""JSON values in one canonical text each, and digests of it: what freshness and versions compare.

Source: design.md section 5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

JsonValue = Any
"""None, bool, int, float, str, list or dict of these. (A recursive alias would leak into every signature.)"""


def canonical_json(value: JsonValue) -> str:
    """One text per value: sorted keys, no spaces, integers beyond 2^53 as strings."""
    return json.dumps(_exact(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(value: JsonValue) -> str:
    """``sha256:…`` of the canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _exact(value: JsonValue) -> JsonValue:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)  # a protobuf Struct does not tell 1.0 from 1
    if isinstance(value, Mapping):
        return {str(key): _exact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exact(item) for item in value]
    return value
