"""A plan for people: manifest by manifest, action by action, field by field."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from dcp_core.model import ActionKind, Effect, FieldChange
from pretzel.rendering.blocked import waiting, what_is_needed
from pretzel.rendering.values import is_long, value_text

if TYPE_CHECKING:
    from dcp_core.model import Action, ManifestPlan, Plan
    from pretzel.rendering.screen import Screen

SIGNS = {
    ActionKind.CREATE: ("+", "green"),
    ActionKind.UPDATE: ("~", "yellow"),
    ActionKind.REPLACE: ("-/+", "red"),
    ActionKind.DELETE: ("-", "red"),
    ActionKind.ADOPT: ("<", "cyan"),
    ActionKind.NOOP: ("=", "dim"),
    ActionKind.BLOCKED: ("!", "bold red"),
}
# Words that say no more than the sign does.
_PLAIN_REASONS = ("missing", "changed", "unchanged", "unwanted")


def render_plan(screen: Screen, plan: Plan, *, everything: bool = False, next_step: str | None = None) -> None:
    """The changes and what is blocked, a closing count, and what to do next.

    Args:
        screen: Where.
        plan: Which.
        everything: Whether what is as it should be is listed too, and every field of what is created.
        next_step: A command for whoever agrees; where all is blocked, what that needs is said instead.
    """
    for manifest in plan.manifests:
        shown = [each for each in manifest.actions if everything or each.kind is not ActionKind.NOOP]
        if shown:
            _manifest(screen, manifest, shown, plan.environment, everything)
    if plan.orphaned and not plan.options.prune:
        screen.line((f"No longer in the folder, and still there: {', '.join(plan.orphaned)}", "yellow"))
        screen.line("hint: --prune destroys what they created", indent=2)
    screen.line((closing_line(plan), "bold"))
    if next_step:
        needed = what_is_needed(plan)
        if needed:
            screen.line("Nothing of this can be applied as it is.")
            for line in needed:
                screen.line(line, indent=2)
        elif plan.has_changes:
            screen.line(f"Next: {next_step}")


def closing_line(plan: Plan) -> str:
    """``Plan: 3 to create, 0 to change, 0 to delete.``"""
    count = plan.summary
    resources = sum(count.values())
    if count["noop"] == resources:
        what = (
            f"{resources} resource{' is' if resources == 1 else 's are'} as wanted" if resources else "nothing wanted"
        )
        return f"Nothing to do in {plan.environment}: {what}."
    parts = [
        f"{count['create']} to create",
        f"{count['update'] + count['replace']} to change",
        f"{count['delete']} to delete",
    ]
    for kind, words in (("adopt", "to adopt"), ("blocked", "blocked"), ("noop", "unchanged")):
        if count[kind]:
            parts.append(f"{count[kind]} {words}")
    return f"Plan: {', '.join(parts)}."


def _manifest(
    screen: Screen, manifest: ManifestPlan, actions: list[Action], environment: str, everything: bool
) -> None:
    deed = " (to be destroyed)" if manifest.destroys else ""
    screen.line((manifest.id, "bold"), f" in {environment}{deed}")
    labels = max(len(action.label) for action in actions)
    waits = waiting(manifest)
    for action in actions:
        # Of what is created, the manifest says it all; field by field it is there for whoever asks.
        _action(screen, action, labels, fields=everything or action.kind is not ActionKind.CREATE)
        if action.resource.key in waits:
            screen.line((f"will be skipped: {waits[action.resource.key]} is blocked", "yellow"), indent=6)
    screen.blank()


def _action(screen: Screen, action: Action, labels: int, *, fields: bool) -> None:
    sign, style = SIGNS[action.kind]
    reason = "" if action.reason in _PLAIN_REASONS else f"  ({action.reason.replace('_', ' ')})"
    warned = "  loses data" if action.destructive else ""
    screen.line(
        (f"{sign:>3} {action.label:<{labels}}  ", style), action.resource.name, (reason, "dim"), (warned, "bold red")
    )
    if action.message:
        wanted = f"would {action.wants.value}: " if action.wants else ""
        screen.line(f"{wanted}{action.message}", indent=6)
    if fields and action.kind is not ActionKind.DELETE:
        for change in action.changes:
            _change(screen, change, action.message)


def _change(screen: Screen, change: FieldChange, said: str) -> None:
    """One field; why, unless the action's message has ``said`` so."""
    bad = change.effect is not Effect.UPDATE
    if is_long(change.actual) or is_long(change.desired):
        _text_change(screen, change)
    elif change.actual is None:
        screen.line(("+ ", "green"), f"{change.field}: {value_text(change.desired)}", indent=6)
    elif change.desired is None:
        screen.line(("- ", "red"), f"{change.field}: {value_text(change.actual)}", indent=6)
    else:
        before, after = value_text(change.actual), value_text(change.desired)
        screen.line(("~ ", "red" if bad else "yellow"), f"{change.field}: {before} -> {after}", indent=6)
    if bad and change.why and change.why not in said:
        screen.line((change.why, "red"), indent=8)


def _text_change(screen: Screen, change: FieldChange) -> None:
    """Text of several lines: how many when it is new or goes, line by line when it changes."""
    if change.actual is None or change.desired is None:
        sign, style, text = ("+ ", "green", change.desired) if change.actual is None else ("- ", "red", change.actual)
        screen.line((sign, style), f"{change.field}: {len(str(text).splitlines())} lines", indent=6)
        return
    screen.line(("~ ", "yellow"), f"{change.field}:", indent=6)
    lines = difflib.unified_diff(str(change.actual).splitlines(), str(change.desired).splitlines(), n=1, lineterm="")
    for line in list(lines)[2:]:
        style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1], "")
        screen.line((line, style), indent=10)
