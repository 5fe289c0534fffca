"""Protect and unprotect: what no apply and no destruction deletes, or changes so that data is lost.

An operator's protection is kept in the inventory beside what the manifest says: `protect: false` in a manifest does not
lift it, and taking the manifest away does not either. Only ``unprotect`` does.

Source: design.md sections 6 and 9.
"""

from __future__ import annotations

from collections.abc import Sequence

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import NotFoundError
from dcp_core.records import InventoryEntry
from dcp_core.suggesting import nearest
from dcp_graph_runner.ops.manifests import Applied
from dcp_graph_runner.ops.messages import (
    ProtectAnswer,
    Protection,
    ProtectRequest,
    UnprotectAnswer,
    UnprotectRequest,
)


def protect(dcp: ControlPlane, request: ProtectRequest) -> ProtectAnswer:
    """Protect all resources of a manifest, or those named.

    Raises:
        NotFoundError: It is not applied there, or has no such resource.
        UnauthorizedError: Denied; recorded.
    """
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    return ProtectAnswer(applied.environment.name, applied.id, _set(applied, "protect", request.resources))


def unprotect(dcp: ControlPlane, request: UnprotectRequest) -> UnprotectAnswer:
    """Lift the protection of all resources of a manifest, or of those named, but for what the manifest itself protects.

    Raises:
        NotFoundError: It is not applied there, or has no such resource.
        UnauthorizedError: Denied; recorded.
    """
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    return UnprotectAnswer(applied.environment.name, applied.id, _set(applied, "unprotect", request.resources))


def _set(applied: Applied, verb: str, names: Sequence[str]) -> tuple[Protection, ...]:
    store, where = applied.dcp.store, applied.environment.name
    with applied.deed(verb) as deed:
        chosen = _chosen(applied, names)
        deed.begin()
        for entry in chosen:
            if verb == "protect":
                store.set_protected(where, entry.resource.key, entry.protected, by=applied.dcp.identity)
            else:
                # What the manifest in force says of itself is not lifted, nor forgotten.
                store.set_protected(where, entry.resource.key, entry.resource.protect is True, by="")
        deed.actions = tuple(f"{verb.upper()} {entry.resource.name}" for entry in chosen)
    now = {entry.resource.key: entry for entry in store.inventory(where, [applied.id])}
    return tuple(_told(entry, now[entry.resource.key]) for entry in chosen)


def _told(before: InventoryEntry, now: InventoryEntry) -> Protection:
    changed = before.is_protected != now.is_protected or before.protected_by != now.protected_by
    return Protection(str(now.resource.key), now.is_protected, changed, now.protected_by)


def _chosen(applied: Applied, names: Sequence[str]) -> tuple[InventoryEntry, ...]:
    if not names:
        return applied.entries
    chosen = []
    for name in dict.fromkeys(names):
        found = [each for each in applied.entries if name in (str(each.resource.key), each.resource.name)]
        if not found:
            keys = sorted(str(each.resource.key) for each in applied.entries)
            all_of_it = f"it has {', '.join(keys)}"
            raise NotFoundError(
                f"{applied.id} has no resource {name} in {applied.environment.name}",
                hint=all_of_it if len(keys) < 6 else nearest(name, keys, all_of_it),
            )
        chosen += [each for each in found if each not in chosen]
    return tuple(chosen)
