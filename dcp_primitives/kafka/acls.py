"""Who may use a topic: ACLs that allow, on the topic's literal name.

What denies, and what is on a prefix, is others' (a security team's, an operator's): it is neither shown nor changed.

Source: https://kafka.apache.org/documentation/#security_authz
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dcp_core.digests import JsonValue
from dcp_primitives.kafka.spec import canonical_acls

if TYPE_CHECKING:
    from kafka.admin import ACL, ACLFilter

Entry = tuple[str, str, str]
"""Principal, host, operation."""


def all_of_topics() -> ACLFilter:
    """One filter for what all topics allow."""
    from kafka.admin import (
        ACLFilter,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ResourcePatternFilter,
        ResourceType,
    )

    pattern = ResourcePatternFilter(ResourceType.TOPIC, None, ACLResourcePatternType.LITERAL)
    return ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ALLOW, pattern)


def by_topic(acls: Iterable[ACL]) -> dict[str, list[JsonValue]]:
    """What a broker answered, by topic, canonical."""
    found: dict[str, list[Mapping[str, JsonValue]]] = {}
    for acl in acls:
        entry = {"principal": acl.principal, "host": acl.host, "operations": [acl.operation.name.lower()]}
        found.setdefault(acl.resource_pattern.resource_name, []).append(entry)
    return {topic: canonical_acls(entries) for topic, entries in found.items()}


def entries(acls: Sequence[JsonValue] | None) -> set[Entry]:
    """Canonical ACLs one by one."""
    return {(acl["principal"], acl["host"], each) for acl in acls or () for each in acl["operations"]}


def to_create(topic: str, wanted: Iterable[Entry]) -> list[ACL]:
    """As kafka-python takes them."""
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

    pattern = ResourcePattern(ResourceType.TOPIC, topic)
    return [
        ACL(principal, host, ACLOperation[operation.upper()], ACLPermissionType.ALLOW, pattern)
        for principal, host, operation in sorted(wanted)
    ]


def in_words(entry: Entry) -> str:
    """``User:web may write, from anywhere``."""
    principal, host, operation = entry
    return f"{principal} may {operation}" + ("" if host == "*" else f" from {host}")
