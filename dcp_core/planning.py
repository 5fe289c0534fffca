"""Desired × actual × inventory → actions. Pure: the states come in, nothing is read or changed.

Source: design.md section 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from dcp_core.digests import JsonValue
from dcp_core.graph import ordered, without_circles
from dcp_core.model import (
    Action,
    ActionKind,
    Effect,
    FieldChange,
    LogicalPlan,
    Owner,
    PlanOptions,
    Resource,
    ResourceKey,
    State,
)
from dcp_core.records import InventoryEntry

PROTECT_FIELD = "protect"
"""The one field that lives in DCP's inventory and not on the platform."""

ALREADY_GONE = "already_gone"
"""Reason of a deletion of what only the inventory still has."""
UNRECORDED = "unrecorded"
"""Reason of an update of what carries our mark, and is not in the inventory."""
NOT_INSTALLED = "primitive_not_installed"
"""Reason: nobody here can tell what there is."""
NOT_CONFIGURED = "not_configured"
"""Reason: the primitive is here, and the settings name no service that it could ask."""
PROTECTED = "protected"
"""Reason, and an error's code: it is not lost because somebody protects it."""
ADOPT_HINT = "--adopt takes it over"
DESTRUCTIVE_HINT = "--allow-destructive does it all the same"


@attrs.frozen
class ResourceStates:
    """Everything that planning one resource needs.

    Args:
        resource: As wanted; for one no longer wanted as the inventory has it.
        desired: None when it is no longer wanted.
        actual: None when it is absent.
        entry: What the inventory has of it; None when DCP has never applied it.
        changes: The primitive's comparison of the two (of a deletion when ``desired`` is None).
        unavailable: Why its primitive cannot be used; the states are then unknown.
        unavailable_reason: The same as a code, the action's reason.
    """

    resource: Resource
    desired: State | None
    actual: State | None
    entry: InventoryEntry | None
    changes: tuple[FieldChange, ...]
    unavailable: str | None = None
    unavailable_reason: str = NOT_INSTALLED

    @property
    def is_protected(self) -> bool:
        """By an operator, whatever the manifest says; by the manifest if it says so; else by what is remembered."""
        if self.entry is not None and self.entry.protected_by:
            return True
        if self.desired is not None and self.resource.protect is not None:
            return self.resource.protect
        return self.entry.protected if self.entry else False


def owner_of(resource: Resource) -> Owner:
    """The mark that the resource carries once DCP has created it."""
    return Owner(resource.manifest_id, resource.environment)


def compare_values(
    desired: Mapping[str, JsonValue], actual: Mapping[str, JsonValue], prefix: str = ""
) -> tuple[FieldChange, ...]:
    """The differences, nested mappings by dotted path, everything else as a whole; all of them UPDATE."""
    changes: list[FieldChange] = []
    for name in [*desired, *(name for name in actual if name not in desired)]:
        wanted, there = desired.get(name), actual.get(name)
        if isinstance(wanted, Mapping) and isinstance(there, Mapping):
            changes.extend(compare_values(wanted, there, f"{prefix}{name}."))
        elif wanted != there:
            changes.append(FieldChange(f"{prefix}{name}", there, wanted))
    return tuple(changes)


def plan_resources(
    _logical_plan: LogicalPlan, states: Sequence[ResourceStates], options: PlanOptions
) -> tuple[Action, ...]:
    """One action for each resource: wanted ones in dependency order, then deletions in reverse order."""
    wanted = [plan_resource(each, options) for each in states if each.desired is not None]
    unwanted = [plan_deletion(each, options) for each in states if each.desired is None]
    return (*_in_order(wanted), *reversed(_in_order(unwanted, tolerant=True)))


def plan_resource(states: ResourceStates, options: PlanOptions) -> Action:
    """The action for one resource that is wanted."""
    resource, actual, desired = states.resource, states.actual, states.desired
    if states.unavailable:
        return _blocked(states, ActionKind.CREATE, states.unavailable_reason, states.unavailable)
    if actual is None:
        reason = "vanished" if states.entry else "missing"
        message = "it was deleted by somebody else" if states.entry else ""
        refused = _refused(states.changes)
        if refused:
            return _blocked(states, ActionKind.CREATE, "refused", refused)
        return Action(ActionKind.CREATE, resource, reason, message, states.changes, desired=desired)
    kind = ActionKind.UPDATE
    reason = "changed"
    if actual.owner is None:
        kind, reason = ActionKind.ADOPT, "adopted"
        refused = _refused(states.changes)
        if refused:  # whatever the options: nobody is sent to --adopt for that
            return _blocked(states, ActionKind.ADOPT, "refused", refused)
        if not options.adopt:
            return _blocked(states, ActionKind.ADOPT, "not_owned", f"it exists and DCP did not create it; {ADOPT_HINT}")
    elif actual.owner != owner_of(resource):
        other = f"{actual.owner.manifest_id} in {actual.owner.environment}"
        return _blocked(
            states, ActionKind.ADOPT, "owned_by_other", f"it belongs to {other}; take it out there, or use another name"
        )
    changes = states.changes + _protection(states)
    if kind is ActionKind.UPDATE and not changes:
        if states.entry is None:
            return Action(
                kind,
                resource,
                UNRECORDED,
                "it carries our mark and is not in the inventory",
                desired=desired,
                actual=actual,
            )
        return Action(ActionKind.NOOP, resource, "unchanged", desired=desired, actual=actual)
    return _guarded(states, kind, reason, changes, options)


def plan_deletion(states: ResourceStates, options: PlanOptions) -> Action:
    """The action for one resource that the inventory has and nobody wants any more."""
    resource, actual = states.resource, states.actual
    if states.unavailable:
        return _blocked(states, ActionKind.DELETE, states.unavailable_reason, states.unavailable)
    if actual is None:
        return Action(ActionKind.DELETE, resource, ALREADY_GONE, "only the inventory still has it")
    refused = _refused(states.changes)
    if refused and actual.owner is None:
        return _blocked(states, ActionKind.DELETE, "refused", refused)
    if actual.owner is None and not options.adopt:
        return _blocked(states, ActionKind.DELETE, "not_owned", f"it has lost our mark; {ADOPT_HINT}")
    if actual.owner is not None and actual.owner != owner_of(resource):
        other = f"{actual.owner.manifest_id} in {actual.owner.environment}"
        return _blocked(states, ActionKind.DELETE, "owned_by_other", f"it now belongs to {other}")
    return _guarded(states, ActionKind.DELETE, "unwanted", states.changes, options)


def protection_against(action: Action, entry: InventoryEntry | None) -> str | None:
    """What is in the way of an action by now, whatever was so when it was planned, and how to lift it.

    Args:
        action: Of a plan, which may be an old one.
        entry: What the inventory has of its resource now.
    """
    loses = action.destructive or action.kind in (ActionKind.DELETE, ActionKind.REPLACE)
    if not action.is_change or not loses or action.reason == ALREADY_GONE:
        return None
    states = ResourceStates(action.resource, action.desired, action.actual, entry, action.changes)
    return _protected_by(states) if states.is_protected else None


def affected_runnables(actions: Sequence[Action]) -> tuple[Resource, ...]:
    """The runnable resources that exist and that a change touches, directly or through what they depend on."""
    touched = {action.resource.key for action in actions if action.is_change}
    needs = {action.resource.key: action.resource.depends_on for action in actions}
    return tuple(
        action.resource
        for action in actions
        if action.resource.runnable and action.actual is not None and _closure(action.resource.key, needs) & touched
    )


def _guarded(
    states: ResourceStates,
    kind: ActionKind,
    reason: str,
    changes: tuple[FieldChange, ...],
    options: PlanOptions,
) -> Action:
    """The action, or BLOCKED when it would corrupt, lose data without leave, or touch what is protected."""
    effects = {change.effect for change in changes}
    if Effect.REPLACE in effects and kind is not ActionKind.DELETE:
        kind, reason = ActionKind.REPLACE, "replaced"
    why = "; ".join(dict.fromkeys(change.why for change in changes if change.why))
    destructive = bool(effects & {Effect.DESTRUCTIVE, Effect.REPLACE})
    if Effect.REFUSED in effects:
        return _blocked(states, kind, "refused", _refused(changes), changes, destructive)
    if states.is_protected and (destructive or kind is ActionKind.DELETE):
        return _blocked(
            states,
            kind,
            PROTECTED,
            _protected_by(states),
            changes,
            destructive,
        )
    if destructive and not options.allow_destructive:
        return _blocked(states, kind, "destructive", f"{why}; {DESTRUCTIVE_HINT}", changes, destructive)
    return Action(kind, states.resource, reason, why, changes, destructive, states.desired, states.actual)


def _refused(changes: Sequence[FieldChange]) -> str:
    """Why what must never be made is not; "" when nothing of it is such."""
    return "; ".join(change.why or change.field for change in changes if change.effect is Effect.REFUSED)


def _blocked(
    states: ResourceStates,
    wants: ActionKind,
    reason: str,
    message: str,
    changes: tuple[FieldChange, ...] | None = None,
    destructive: bool = False,
) -> Action:
    return Action(
        ActionKind.BLOCKED,
        states.resource,
        reason,
        message,
        states.changes if changes is None else changes,
        destructive,
        states.desired,
        states.actual,
        wants,
    )


def _protected_by(states: ResourceStates) -> str:
    who = states.entry.protected_by if states.entry else ""
    if who:
        return f"{who} protects it: `pretzel ops unprotect {states.resource.manifest_id}` lifts that"
    return "it is protected: `protect: false` in its manifest lifts that"


def _protection(states: ResourceStates) -> tuple[FieldChange, ...]:
    wanted = states.resource.protect
    there = states.entry.protected if states.entry else False
    if wanted is None or wanted == there:
        return ()
    return (FieldChange(PROTECT_FIELD, there, wanted),)


def _in_order(actions: Sequence[Action], *, tolerant: bool = False) -> tuple[Action, ...]:
    by_key = {action.resource.key: action for action in actions}
    needs: Mapping[ResourceKey, Iterable[ResourceKey]] = {key: each.resource.depends_on for key, each in by_key.items()}
    if tolerant:
        needs = without_circles(tuple(by_key), needs)
    keys = ordered(tuple(by_key), needs)
    return tuple(by_key[key] for key in keys)


def _closure(key: ResourceKey, needs: Mapping[ResourceKey, Iterable[ResourceKey]]) -> set[ResourceKey]:
    found: set[ResourceKey] = set()
    todo = [key]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo.extend(needs.get(current, ()))
    return found
