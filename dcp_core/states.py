"""Reads the actual states of many manifests in bulk: one call per kind, the kinds side by side.

Source: design.md section 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from dcp_core.context import Context
from dcp_core.errors import PluginLoadError, StalePlanError, UnknownKindError
from dcp_core.model import Action, ActionKind, Resource, ResourceKey, State
from dcp_core.planning import (
    ALREADY_GONE,
    NOT_INSTALLED,
    UNRECORDED,
    ResourceStates,
    compare_values,
    protection_against,
)
from dcp_core.records import InventoryEntry, Preview
from dcp_core.registry import Registry


@attrs.frozen
class _Read:
    states: Mapping[ResourceKey, State | None]
    unavailable: str | None = None
    reason: str = NOT_INSTALLED


def read_states(
    wanted: Mapping[str, Sequence[Resource]],
    inventory: Sequence[InventoryEntry],
    registry: Registry,
    ctx: Context,
) -> dict[str, tuple[ResourceStates, ...]]:
    """Everything that planning needs, by manifest.

    Args:
        wanted: The resources of each manifest, () for one that is being taken away.
        inventory: What the environment has; entries of other manifests are left out.
        registry: Finds the primitives.
        ctx: Handed to them.

    Raises:
        TransientError: A service is down.
        InvalidSpecError: A primitive refuses a specification.
    """
    entries = {entry.resource.key: entry for entry in inventory}
    unwanted = {id: _unwanted(id, resources, inventory) for id, resources in wanted.items()}
    every = [each for resources in wanted.values() for each in resources]
    every += [entry.resource for gone in unwanted.values() for entry in gone]
    read = read_actual(every, registry, ctx)
    states: dict[str, tuple[ResourceStates, ...]] = {}
    for id, resources in wanted.items():
        rows = [_wanted_row(each, entries.get(each.key), read[each.kind], registry, ctx) for each in resources]
        rows += [_unwanted_row(entry, read[entry.resource.kind], registry) for entry in unwanted[id]]
        states[id] = tuple(rows)
    return states


def read_actual(resources: Iterable[Resource], registry: Registry, ctx: Context) -> dict[str, _Read]:
    """The actual states by kind; a kind whose primitive is missing or broken says so instead."""
    by_kind: dict[str, dict[ResourceKey, Resource]] = {}
    for each in resources:
        by_kind.setdefault(each.kind, {})[each.key] = each

    def read(kind: str) -> _Read:
        try:
            found = registry.primitive(kind, "get_actual_states", resources=tuple(by_kind[kind].values()), ctx=ctx)
        except (UnknownKindError, PluginLoadError) as error:
            return _Read({}, error.message, error.reason if isinstance(error, UnknownKindError) else NOT_INSTALLED)
        return _Read(found)

    if len(by_kind) < 2:
        return {kind: read(kind) for kind in by_kind}
    with ThreadPoolExecutor(len(by_kind)) as pool:
        return dict(zip(by_kind, pool.map(read, by_kind), strict=True))


def check_fresh(
    actions: Sequence[Action], registry: Registry, ctx: Context, entries: Sequence[InventoryEntry] | None = None
) -> None:
    """Read the resources again and compare them with what the plan was based on.

    NOOP is a claim too: that the resource is as wanted. Only of BLOCKED ones nothing is claimed or done.

    Args:
        actions: Of a plan; of one manifest's where there are entries.
        registry: Finds the primitives.
        ctx: Handed to them.
        entries: All that the inventory has of that manifest, read under its lease: another operation may have ended
            since the plan was made. What it created would be left to nobody, what it deleted be told as deleted twice.
            What was protected meanwhile is not lost.

    Raises:
        StalePlanError: One has changed; the message names it.
        PluginLoadError: A primitive cannot be used, so nothing is known of its resources.
        TransientError: A service is down.
    """
    if entries is not None:
        _check_complete(actions, entries)
    concerned = [action for action in actions if action.kind is not ActionKind.BLOCKED]
    read = read_actual([action.resource for action in concerned], registry, ctx)
    for action in concerned:
        unavailable = read[action.resource.kind].unavailable
        if unavailable is not None:
            raise PluginLoadError(unavailable, where=str(action.resource.key))
        actual = read[action.resource.kind].states.get(action.resource.key)
        digest = actual.digest if actual else None
        if digest != action.basis:
            what = "was deleted" if actual is None else "was created" if action.basis is None else "has changed"
            raise _stale(action.resource, what)


def _check_complete(actions: Sequence[Action], entries: Sequence[InventoryEntry]) -> None:
    planned, kept = {each.resource.key for each in actions}, {each.resource.key: each for each in entries}
    for entry in entries:
        if entry.resource.key not in planned:
            raise _stale(entry.resource, "was created")
    for action in actions:
        if action.reason == ALREADY_GONE and action.resource.key not in kept:
            raise _stale(action.resource, "was deleted")
        if action.reason == UNRECORDED and action.resource.key in kept:
            raise _stale(action.resource, "was recorded by another operation")
        protection = protection_against(action, kept.get(action.resource.key))
        if protection is not None:
            raise _stale(action.resource, "was protected", f": {protection}")


def _stale(resource: Resource, what: str, why: str = "") -> StalePlanError:
    words = f"the {resource.noun.lower()} {resource.name} {what} after the plan was made{why}"
    return StalePlanError(words, where=str(resource.key), hint="plan again")


def first_preview(resources: Iterable[Resource], limit: int, registry: Registry, ctx: Context) -> Preview | None:
    """Rows of the first resource that has any; None when none of them keeps rows.

    Raises:
        UnknownKindError: No rows were found, and a primitive is missing that might have some.
        NotFoundError: The resource is not there yet.
    """
    missing: UnknownKindError | None = None
    for resource in resources:
        try:
            shown: Preview | None = registry.primitive(
                resource.kind, "preview", resource=resource, limit=limit, ctx=ctx
            )
        except UnknownKindError as error:
            missing = missing or error
            continue
        if shown is not None:
            return shown
    if missing is not None:
        raise missing
    return None


def _unwanted(id: str, resources: Sequence[Resource], inventory: Sequence[InventoryEntry]) -> list[InventoryEntry]:
    keys = {each.key for each in resources}
    return [entry for entry in inventory if entry.resource.manifest_id == id and entry.resource.key not in keys]


def _wanted_row(
    resource: Resource, entry: InventoryEntry | None, read: _Read, registry: Registry, ctx: Context
) -> ResourceStates:
    if read.unavailable is not None:
        # Nobody here can tell what there is. Of what was never made, what is wanted can be shown all the same.
        desired = State(resource.spec)
        changes = compare_values(resource.spec, {}) if entry is None else ()
        return ResourceStates(resource, desired, None, entry, changes, read.unavailable, read.reason)
    desired = registry.primitive(resource.kind, "get_desired_state", resource=resource, ctx=ctx)
    actual = read.states.get(resource.key)
    changes = registry.primitive(resource.kind, "compare", resource=resource, desired=desired, actual=actual)
    return ResourceStates(resource, desired, actual, entry, tuple(changes))


def _unwanted_row(entry: InventoryEntry, read: _Read, registry: Registry) -> ResourceStates:
    resource = entry.resource
    actual = read.states.get(resource.key)
    changes = ()
    if actual is not None:
        changes = registry.primitive(resource.kind, "compare", resource=resource, desired=None, actual=actual)
        # A deletion is not a field-by-field matter: only what it loses is of interest.
        changes = tuple(change for change in changes if change.why)
    return ResourceStates(resource, None, actual, entry, changes, read.unavailable, read.reason)
