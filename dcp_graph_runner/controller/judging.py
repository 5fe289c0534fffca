"""What the state of a manifest's resources means, and what of it may be mended. Pure.

A plan is made of what was last applied, as if somebody applied it again without any permission; each of its actions
becomes a verdict. Healing does the actions whose verdict says so, and never what

- would lose data, or touches what carries somebody else's mark, or none: the plan itself BLOCKs that;
- makes again what held data and is gone, a table or a topic: it would be empty, and its readers would not notice;
- nobody has applied yet: what is wanted has changed with a new version of a plugin or other settings, or an apply
  did not come to its end. Rolling that out is an apply's business;
- would undo a change that the manifest ignores, beside one that it does not;
- depends on a resource that is not as it should be and stays so.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import attrs

from dcp_core.drift import DEFAULT, DriftPolicy
from dcp_core.model import Action, ActionKind, FieldChange, ResourceKey
from dcp_core.planning import NOT_CONFIGURED, NOT_INSTALLED
from dcp_core.records import InventoryEntry
from dcp_graph_runner.controller.conditions import ConditionStatus

IGNORED = "ignored"


@attrs.frozen
class Verdict:
    """What one resource is found to be.

    Args:
        status: Its condition.
        reason: A stable code.
        message: In words; "" when there is nothing to say.
        changes: Field by field.
        can_heal: Whether doing the planned action mends it and is harmless.
        is_settled: Whether a look at the same state would find the same, however late.
    """

    status: ConditionStatus
    reason: str
    message: str = ""
    changes: tuple[FieldChange, ...] = ()
    can_heal: bool = False
    is_settled: bool = False


IN_SYNC = Verdict(ConditionStatus.IN_SYNC, "unchanged", is_settled=True)


def judge(
    actions: Sequence[Action],
    entries: Mapping[ResourceKey, InventoryEntry],
    policy: DriftPolicy | None,
    now: datetime,
    held_data: Collection[ResourceKey],
) -> dict[ResourceKey, Verdict]:
    """A verdict for each action of one manifest.

    Args:
        actions: Of its version in force, planned without permissions.
        entries: What the inventory has of it.
        policy: Its own, None for the default.
        now: UTC; what is ignored has its time.
        held_data: The resources that are gone, and their data with them; see ``losing``.
    """
    policy = policy or DEFAULT
    verdicts = {
        action.resource.key: _judge(action, entries.get(action.resource.key), policy, now, held_data)
        for action in actions
    }
    return _without_dependents(actions, verdicts)


def _judge(
    action: Action,
    entry: InventoryEntry | None,
    policy: DriftPolicy,
    now: datetime,
    held_data: Collection[ResourceKey],
) -> Verdict:
    if action.kind is ActionKind.NOOP:
        return IN_SYNC
    if action.reason in (NOT_INSTALLED, NOT_CONFIGURED):
        return Verdict(ConditionStatus.FAILED, action.reason, action.message)
    if action.desired is None:
        words = "the version in force does not want it any more; the apply that should have deleted it did not end well"
        return Verdict(ConditionStatus.FAILED, "left_over", words)
    if action.actual is None:
        return _absent(action, entry, action.resource.key in held_data)
    if action.reason in ("not_owned", "owned_by_other"):
        return Verdict(ConditionStatus.DRIFTED, action.reason, action.message, action.changes)
    if action.actual.owner is None:  # the plan says first what is refused, and not that the mark is gone
        words = f"what is there has not our mark; {action.message}"
        return Verdict(ConditionStatus.DRIFTED, action.reason, words, action.changes)
    return _changed(action, entry, policy, now)


def _absent(action: Action, entry: InventoryEntry | None, held_data: bool) -> Verdict:
    if entry is None:
        words = "it was never made: the last apply did not come to its end; apply again"
        return Verdict(ConditionStatus.FAILED, "never_made", words)
    if action.kind is not ActionKind.CREATE:
        return Verdict(ConditionStatus.DRIFTED, action.reason, f"it was deleted; {action.message}")
    if held_data:
        words = "it was deleted, and held data: made again it would be empty, so that only an apply does it"
        return Verdict(ConditionStatus.DRIFTED, "vanished", words)
    return Verdict(ConditionStatus.DRIFTED, "vanished", "it was deleted by somebody else", can_heal=True)


def _changed(action: Action, entry: InventoryEntry | None, policy: DriftPolicy, now: datetime) -> Verdict:
    expired = policy.has_expired(now)
    matching = {each for each in action.changes if policy.matches(action.resource.kind, each.field)}
    ignored = matching if not expired else set()
    counted = tuple(each for each in action.changes if each not in ignored)
    if ignored and not counted:
        words = f"{_fields(action.changes)}: ignored until {policy.until} ({policy.owner}: {policy.reason})"
        return Verdict(ConditionStatus.IN_SYNC, IGNORED, words, action.changes)

    def drifted(reason: str, message: str, *, can_heal: bool = False) -> Verdict:
        return Verdict(ConditionStatus.DRIFTED, reason, message, counted, can_heal)

    if entry is not None and entry.applied_digest and action.desired and entry.applied_digest != action.desired.digest:
        words = (
            "what is wanted has changed since it was applied, or the last apply did not come to its end; apply again"
        )
        return drifted("not_applied", words)
    if action.kind is not ActionKind.UPDATE:
        return drifted(action.reason, action.message)
    if entry is not None and not entry.applied_digest:
        return drifted("applied_unknown", "what was last applied is not known, so that only an apply mends it")
    if ignored:
        words = (
            f"mending {_fields(counted)} would undo {_fields(tuple(ignored))}, which is ignored until {policy.until}"
        )
        return drifted("beside_ignored", words)
    if matching:
        words = f"it was ignored until {policy.until} ({policy.owner}: {policy.reason})"
        return drifted("ignore_expired", words, can_heal=True)
    return drifted(action.reason, action.message or f"somebody else changed {_fields(counted)}", can_heal=True)


def _without_dependents(
    actions: Sequence[Action], verdicts: dict[ResourceKey, Verdict]
) -> dict[ResourceKey, Verdict]:  # fmt: skip
    """Actions come in dependency order, deletions last, so one look is enough."""
    stuck = {action.resource.key for action in actions if action.desired is None}
    for action in actions:
        key = action.resource.key
        verdict = verdicts[key]
        waits_for = [each for each in action.resource.depends_on if each in stuck]
        if verdict.can_heal and waits_for:
            words = f"{verdict.message}; it waits for {', '.join(map(str, waits_for))}"
            verdicts[key] = verdict = attrs.evolve(verdict, message=words, can_heal=False)
        is_fine = verdict.status is ConditionStatus.IN_SYNC or verdict.can_heal
        if waits_for or not is_fine:
            stuck.add(key)
    return verdicts


def _fields(changes: Sequence[FieldChange]) -> str:
    names = sorted(each.field for each in changes)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
