"""What a BLOCKED action keeps from being done, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcp_core.model import ActionKind

if TYPE_CHECKING:
    from dcp_core.model import Action, ManifestPlan, Plan, ResourceKey

_NEEDS = {
    "destructive": "a manifest that keeps the data, or --allow-destructive, which loses what is named above",
    "not_owned": "--adopt, which takes it over",
    "protected": "`protect: false` in its manifest, applied first",
    "refused": "another manifest, or what is said of it above",
    "owned_by_other": "another name, or its owner to give it up",
    "primitive_not_installed": "its primitive installed",
    "not_configured": "its service in dcp.toml, as is said above",
}


def waiting(manifest: ManifestPlan) -> Mapping[ResourceKey, str]:
    """The changes that will be skipped, each with the name of the BLOCKED resource that it waits for.

    As an apply does it: what is wanted comes after what it depends on, what goes comes before that.
    """
    actions = {action.resource.key: action for action in manifest.actions}
    needs: dict[ResourceKey, set[ResourceKey]] = {key: set() for key in actions}
    for key, action in actions.items():
        for other in action.resource.depends_on:
            if other in actions and _goes(action) == _goes(actions[other]):
                first, then = (key, other) if _goes(action) else (other, key)
                needs[then].add(first)
    held = {key: each.resource.name for key, each in actions.items() if each.kind is ActionKind.BLOCKED}
    found: dict[ResourceKey, str] = {}
    while True:
        more = {
            key: (held | found)[need]
            for key, action in actions.items()
            if action.is_change and key not in found
            for need in sorted(needs[key] & (held.keys() | found.keys()), key=str)
        }
        if not more:
            return found
        found.update(more)


def what_is_needed(plan: Plan) -> list[str]:
    """A line for each BLOCKED resource when nothing at all can be done before; [] otherwise."""
    blocked = [action for action in plan.actions if action.kind is ActionKind.BLOCKED]
    waits = [key for manifest in plan.manifests for key in waiting(manifest)]
    if not blocked or sum(action.is_change for action in plan.actions) > len(waits):
        return []
    return [f"{each.resource.name} needs {_NEEDS.get(each.reason, 'what is said above')}" for each in blocked]


def _goes(action: Action) -> bool:
    return action.desired is None
