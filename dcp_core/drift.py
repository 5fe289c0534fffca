"""What a manifest says about drift: whether the controller mends it, and what is nobody's mistake until a date.

Every manifest type has it, under ``metadata.drift``; the core reads it, so that no plugin has to.

Source: design.md section 9.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import attrs

from dcp_core.diagnostics import Diagnostic, FieldPath, error, warning

METADATA_KEY, DRIFT_KEY = "metadata", "drift"
PATH: FieldPath = (METADATA_KEY, DRIFT_KEY)


class DriftMode(enum.StrEnum):
    """What the controller does about drift."""

    HEAL = "heal"
    REPORT = "report"


@attrs.frozen
class DriftPolicy:
    """One manifest's policy.

    Args:
        mode: For all drift that is not ignored.
        ignore: Patterns of fields whose changes are not drift, ``properties.*``, with or without the kind of the
            resource before them, ``iceberg_table:properties.*``; ``*`` stands for anything, dots too.
        owner: Who answers for ignoring them; "" when nothing is ignored.
        reason: Why they are ignored.
        until: The last day on which they are, ``2026-12-31``, in UTC.
    """

    mode: DriftMode = DriftMode.REPORT
    ignore: tuple[str, ...] = ()
    owner: str = ""
    reason: str = ""
    until: str = ""

    def matches(self, kind: str, field: str) -> bool:
        """Whether a change of that field would be ignored, were it not too late."""
        return any(fnmatchcase(field, each) or fnmatchcase(f"{kind}:{field}", each) for each in self.ignore)

    def has_expired(self, now: datetime) -> bool:
        """Whether the last day of what is ignored is over."""
        return bool(self.ignore) and now >= self.expires_at

    @property
    def expires_at(self) -> datetime:
        """The end of the last day, in UTC."""
        return datetime.combine(date.fromisoformat(self.until) + timedelta(days=1), datetime.min.time(), UTC)


DEFAULT = DriftPolicy()
"""Of a manifest that says nothing: what changed on purpose in an emergency is not undone by a machine."""


def with_drift(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's schema with ``metadata.drift`` in it, whatever else the plugin lets ``metadata`` hold."""
    properties = schema.get("properties", {})
    inside = properties.get(METADATA_KEY)
    if inside is None:
        inside = {"additionalProperties": False} if schema.get("additionalProperties") is False else {}
    if not isinstance(inside, Mapping):  # true or false is a schema, too
        return dict(schema)
    inside = {**inside, "properties": {DRIFT_KEY: _schema(), **inside.get("properties", {})}}
    return {**schema, "properties": {**properties, METADATA_KEY: inside}}


def policy_of(data: Any) -> DriftPolicy | None:
    """The policy in a manifest's values, which fit the schema; None where it says nothing."""
    metadata = data.get(METADATA_KEY) if isinstance(data, Mapping) else None
    said = metadata.get(DRIFT_KEY) if isinstance(metadata, Mapping) else None
    if said is None:
        return None
    if isinstance(said, str):
        return DriftPolicy(DriftMode(said))
    return DriftPolicy(
        DriftMode(said.get("mode", DEFAULT.mode)),
        tuple(said.get("ignore", ())),
        *(said.get(name, "") for name in ("owner", "reason", "until")),
    )


def problems_of(policy: DriftPolicy | None) -> tuple[Diagnostic, ...]:
    """What no schema can say: that the last day is one of the calendar's."""
    if policy is None or not policy.ignore:
        return ()
    try:
        date.fromisoformat(policy.until)
    except ValueError:
        return (
            error("drift.until", f"metadata.drift.until is {policy.until}, which is no day", path=(*PATH, "until")),
        )
    return ()


def lint(policy: DriftPolicy | None, now: datetime) -> tuple[Diagnostic, ...]:
    """A warning about what is no longer ignored."""
    if policy is None or not policy.has_expired(now):
        return ()
    message = f"what metadata.drift ignores has been drift again since {policy.until} ended"
    hint = f"{policy.owner} decides: take it out, or give it another date"
    return (warning("drift.expired", message, path=(*PATH, "until"), hint=hint),)


def is_told(attribute: attrs.Attribute[Any], value: Any) -> bool:
    """For digests: a manifest without a policy has the digest that it had before there were any."""
    return attribute.name != DRIFT_KEY or value is not None


def _schema() -> dict[str, Any]:
    def text(description: str, **more: Any) -> dict[str, Any]:
        return {"description": description, "type": "string", "minLength": 1, "maxLength": 1024, **more}

    mode = {"description": "heal: the controller mends drift; report: it tells of it.", "enum": list(DriftMode)}
    pattern = text("A field, * for anything: properties.*, or with its kind: KIND:content.")
    ignoring = {
        "type": "object",
        "additionalProperties": False,
        "required": ["ignore", "owner", "reason", "until"],
        "properties": {
            "mode": {**mode, "default": DEFAULT.mode.value},
            "ignore": {"type": "array", "minItems": 1, "maxItems": 100, "uniqueItems": True, "items": pattern},
            "owner": text("Who answers for ignoring it."),
            "reason": text("Why these changes are nobody's mistake."),
            "until": text(
                "The last day on which they are ignored.",
                pattern=r"^\d{4}-\d{2}-\d{2}$",
                **{"x-hint": "a date as YYYY-MM-DD: 2026-12-31"},
            ),
        },
    }
    return {
        "description": "What the controller does when somebody else changes what this manifest made.",
        "default": DEFAULT.mode.value,
        "oneOf": [{"type": "string", "enum": list(DriftMode)}, ignoring],
        "x-hint": "heal, report, or {ignore: [field, …], owner: …, reason: …, until: YYYY-MM-DD}",
    }
