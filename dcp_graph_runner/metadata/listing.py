"""Lists of applied manifests, and of who owns them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import UsageError
from dcp_graph_runner.metadata.applied import AppliedManifests, Key, Version, readable
from dcp_graph_runner.metadata.paging import bounded, place_of, token_of, wrong_token
from dcp_graph_runner.metadata.views import ManifestPause, ManifestSummary, OwnerSummary
from dcp_graph_runner.pauses import Pauses


def list_manifests(
    dcp: ControlPlane,
    environments: Sequence[str],
    *,
    manifest_type: str | None = None,
    owner: str | None = None,
    label: str | None = None,
    text: str | None = None,
    limit: int = 100,
    page_token: str = "",
) -> tuple[tuple[ManifestSummary, ...], str]:
    """One page of what is applied, by environment and id, and the token of the next; "" when there is none.

    Args:
        environments: Where to look; the caller may read them all.
        manifest_type: Of this type only.
        owner: Of this team only.
        label: ``key=value``, or ``key`` with any value.
        text: In the id or the description, whatever its case.

    Raises:
        UsageError: The limit or the token cannot be.
    """
    wanted = bounded(limit)
    after = place_of(page_token)
    if after is not None and not (isinstance(after, list) and [type(each) for each in after] == [str, str]):
        raise wrong_token()
    applied = AppliedManifests.of(dcp.store)
    newest = applied.newest(environments, manifest_type, None if after is None else (after[0], after[1]))
    page: list[Version] = []
    for version in newest:
        if not _fits(version, owner, label, text):
            continue
        if len(page) == wanted:
            last = page[-1]
            return summaries(dcp, page), token_of([last.environment, last.manifest_id])
        page.append(version)
    return summaries(dcp, page), ""


def summaries(dcp: ControlPlane, versions: Sequence[Version]) -> tuple[ManifestSummary, ...]:
    """What is told of each, in as many queries for all as for one."""
    applied = AppliedManifests.of(dcp.store)
    keys: list[Key] = [(each.environment, each.manifest_id) for each in versions]
    counts, operations = applied.resource_counts(keys), applied.last_operations(keys)
    conditions, paused = applied.conditions(keys), _paused(dcp, keys)
    found = []
    for key, version in zip(keys, versions, strict=True):
        metadata = version.document["metadata"]
        found.append(
            ManifestSummary(
                id=version.manifest_id,
                manifest_type=version.document["plugin_type"],
                environment=version.environment,
                owner=metadata["technical_owner"],
                tier=metadata.get("tier"),
                labels=metadata.get("labels") or {},
                description=metadata.get("description"),
                version=version.version,
                applied_by=version.user,
                applied_at=version.at,
                resources=counts.get(key, 0),
                last_operation=operations.get(key),
                paused=paused.get(key),
                conditions=conditions.get(key, ()),
            )
        )
    return tuple(found)


def list_owners(dcp: ControlPlane, environments: Sequence[str]) -> tuple[OwnerSummary, ...]:
    """Every team that owns something there, by name."""
    counts: dict[str, list[Any]] = {}
    for version in AppliedManifests.of(dcp.store).newest(environments):
        metadata = version.document["metadata"]
        row = counts.setdefault(metadata["technical_owner"], [0, 0, set()])
        row[0] += 1
        row[1] += metadata.get("tier") == 1
        row[2].add(version.environment)
    return tuple(
        OwnerSummary(owner, manifests, critical, tuple(sorted(where)))
        for owner, (manifests, critical, where) in sorted(counts.items())
    )


def environments_of(dcp: ControlPlane, environment: str | None, everywhere: bool) -> tuple[str, ...]:
    """The one named (None: the playground in use), or all that the caller may read.

    Raises:
        UsageError: One is named, and all are asked for.
    """
    if not everywhere:
        return (dcp.environment(environment).name,)
    if environment is not None:
        raise UsageError("one environment and all of them", hint="leave out one of the two")
    return readable(dcp, AppliedManifests.of(dcp.store).environments())


def check_there(dcp: ControlPlane, environment: str) -> None:
    """Whether there is such an environment: production, the caller's own playground, or one that was made.

    Raises:
        NotFoundError: There is no such playground.
    """
    named = dcp.environment(environment)
    if named.user is not None and named.name != dcp.environment(None).name:
        from dcp_graph_runner.playgrounds import Playgrounds

        Playgrounds.of(dcp).get(named.name)


def _fits(version: Version, owner: str | None, label: str | None, text: str | None) -> bool:
    metadata: Mapping[str, Any] = version.document["metadata"]
    if owner is not None and metadata["technical_owner"] != owner:
        return False
    if label is not None:
        key, has_value, value = label.partition("=")
        labels = metadata.get("labels") or {}
        if key not in labels or (has_value and labels[key] != value):
            return False
    if text is None:
        return True
    said = f"{version.manifest_id}\n{metadata.get('description') or ''}"
    return text.lower() in said.lower()


def _paused(dcp: ControlPlane, keys: Sequence[Key]) -> Mapping[Key, ManifestPause]:
    pauses = Pauses.of(dcp.store)
    return dict(_told(pauses, sorted({environment for environment, _ in keys})))


def _told(pauses: Pauses, environments: Sequence[str]) -> Iterator[tuple[Key, ManifestPause]]:
    for environment in environments:
        for key, pause in pauses.all(environment).items():
            yield key, ManifestPause(pause.user, pause.reason, pause.at)
