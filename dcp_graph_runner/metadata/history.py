"""The versions of one manifest, each with what it changed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from dcp_core.control_plane import ControlPlane
from dcp_core.digests import JsonValue
from dcp_core.errors import ConflictError
from dcp_core.planning import compare_values
from dcp_graph_runner.metadata.applied import AppliedManifests, Version
from dcp_graph_runner.metadata.paging import bounded, place_of, token_of, wrong_token
from dcp_graph_runner.metadata.views import ManifestFieldChange, ManifestVersion

_COMPARED = ("plugin_spec", "metadata", "source.file", "compiled_by")
"""What a version says; digests of files only repeat it."""


def list_versions(
    dcp: ControlPlane, environment: str, manifest_id: str, limit: int = 20, page_token: str = ""
) -> tuple[tuple[ManifestVersion, ...], str]:
    """One page of a manifest's versions, the newest first, and the token of the next; of a destroyed one too.

    Raises:
        NotFoundError: It was never applied there.
        UsageError: The limit or the token cannot be.
    """
    wanted, below = bounded(limit), place_of(page_token)
    if below is not None and type(below) is not int:
        raise wrong_token()
    applied = AppliedManifests.of(dcp.store)
    # One more than shown: the last is compared with it.
    found = applied.versions(environment, manifest_id, wanted + 1, below)
    if not found and below is None:
        raise applied.unknown(dcp, environment, manifest_id)
    token = token_of(found[wanted - 1].version) if len(found) > wanted else ""
    return told(found, wanted), token


def told(versions: Sequence[Version], limit: int) -> tuple[ManifestVersion, ...]:
    """The first ``limit`` of versions that follow each other, the newest first."""
    before = [*versions[1:], None]
    return tuple(_told(each, earlier) for each, earlier in list(zip(versions, before, strict=True))[:limit])


def changes_between(after: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[ManifestFieldChange, ...]:
    """The differences of two documents of logical plans, field by field; lists of named things by their names."""
    differences = compare_values(_compared(after), _compared(before))
    return tuple(
        ManifestFieldChange(each.field, each.actual, each.desired, _diff(each.actual, each.desired))
        for each in differences
    )


def _told(version: Version, earlier: Version | None) -> ManifestVersion:
    document = version.document
    return ManifestVersion(
        version=version.version,
        user=version.user,
        at=version.at,
        operation_id=version.operation_id,
        digest=_digest(version),
        compiled_by=document.get("compiled_by", ""),
        file=document["source"]["file"],
        changes=changes_between(document, earlier.document) if earlier is not None else (),
    )


def _digest(version: Version) -> str:
    """Of the logical plan; "" of one that a newer DCP wrote, which must not hide the others."""
    try:
        return version.logical_plan.digest
    except ConflictError:
        return ""


def _compared(document: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Only what ``_COMPARED`` names, in its order."""
    found: dict[str, JsonValue] = {}
    for path in _COMPARED:
        value: Any = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found[path] = _by_name(value)
    return found


def _by_name(value: Any) -> Any:
    """Lists whose items all have a name of their own become mappings, so that one field's change is one change."""
    if isinstance(value, Mapping):
        return {key: _by_name(item) for key, item in value.items()}
    if (
        isinstance(value, (list, tuple))
        and value
        and all(isinstance(item, Mapping) and "name" in item for item in value)
    ):
        names = [str(item["name"]) for item in value]
        if len(set(names)) == len(names):
            rest = {
                name: _by_name({key: part for key, part in item.items() if key != "name"})
                for name, item in zip(names, value, strict=True)
            }
            return {**rest, "(order)": names}
    return value


def _diff(before: JsonValue, after: JsonValue) -> str | None:
    """A unified diff where one of the two is a text of several lines."""
    texts = [each for each in (before, after) if isinstance(each, str)]
    if not any("\n" in text.strip("\n") for text in texts):
        return None
    if not all(each is None or isinstance(each, str) for each in (before, after)):
        return None
    lines = difflib.unified_diff(
        str(before or "").splitlines(), str(after or "").splitlines(), "before", "after", lineterm=""
    )
    return "\n".join(lines)
