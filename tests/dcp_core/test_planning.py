"""Every rule of planning, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from dcp_core import (
    Action,
    ActionKind,
    Effect,
    FieldChange,
    LogicalPlan,
    Metadata,
    Owner,
    PlanOptions,
    Resource,
    ResourceKey,
    Source,
    State,
)
from dcp_core.planning import ResourceStates, affected_runnables, compare_values, owner_of, plan_resources
from dcp_core.records import InventoryEntry

PLAN = LogicalPlan("shelf", "shelf/a", "production", {}, Metadata("acme"), Source("a.yaml", ""))
NOTHING, ADOPT, DESTROY = PlanOptions(), PlanOptions(adopt=True), PlanOptions(allow_destructive=True)
OURS, THEIRS = Owner("shelf/a", "production"), Owner("shelf/b", "production")
UPDATE = FieldChange("text", "old", "new")
LOSES = FieldChange("rows", 3, None, Effect.DESTRUCTIVE, "drops 3 rows")
REPLACES = FieldChange("size", 1, 2, Effect.REPLACE, "cannot shrink in place")
REFUSED = FieldChange("scale", 1, 2, Effect.REFUSED, "would corrupt")


def resource(name: str = "x", *needs: str, **fields: Any) -> Resource:
    depends_on = tuple(ResourceKey("shelf_item", need) for need in needs)
    return Resource("shelf_item", name, "shelf/a", "production", {}, depends_on, **fields)


def wanted(
    *changes: FieldChange, actual: Owner | str | None = OURS, entry: bool | None = None, protect: bool | None = None
) -> ResourceStates:
    """A resource that is wanted; ``actual`` is its mark, or "absent"; ``entry``: in the inventory, protected or not."""
    of = resource(protect=protect)
    there = None if actual == "absent" else State({"v": 1}, actual)  # type: ignore[arg-type]
    known = InventoryEntry(of, protected=entry) if entry is not None else None
    return ResourceStates(of, State({"v": 2}, OURS), there, known, changes)


def unwanted(*changes: FieldChange, actual: Owner | str | None = OURS, protected: bool = False) -> ResourceStates:
    there = None if actual == "absent" else State({"v": 1}, actual)  # type: ignore[arg-type]
    return ResourceStates(resource(), None, there, InventoryEntry(resource(), protected), changes)


def plan(states: ResourceStates, options: PlanOptions) -> Action:
    (action,) = plan_resources(PLAN, [states], options)
    return action


RULES = [
    # what is there, options, then: kind, reason, wants, destructive
    (wanted(actual="absent"), NOTHING, "create", "missing", None, False),
    (wanted(actual="absent", entry=False), NOTHING, "create", "vanished", None, False),
    (wanted(entry=False), NOTHING, "noop", "unchanged", None, False),
    (wanted(), NOTHING, "update", "unrecorded", None, False),
    (wanted(UPDATE, entry=False), NOTHING, "update", "changed", None, False),
    (wanted(UPDATE), NOTHING, "update", "changed", None, False),
    # somebody else's
    (wanted(actual=None), NOTHING, "blocked", "not_owned", "adopt", False),
    (wanted(UPDATE, actual=None), ADOPT, "adopt", "adopted", None, False),
    (wanted(actual=None), ADOPT, "adopt", "adopted", None, False),
    (wanted(REFUSED, actual=None), NOTHING, "blocked", "refused", "adopt", False),
    (wanted(REFUSED, actual=None), ADOPT, "blocked", "refused", "adopt", False),
    (wanted(actual=THEIRS), NOTHING, "blocked", "owned_by_other", "adopt", False),
    (wanted(actual=THEIRS), ADOPT, "blocked", "owned_by_other", "adopt", False),
    (wanted(LOSES, actual=None), ADOPT, "blocked", "destructive", "adopt", True),
    (wanted(actual=Owner("shelf/a", "playground_x")), ADOPT, "blocked", "owned_by_other", "adopt", False),
    # destructive
    (wanted(LOSES, entry=False), NOTHING, "blocked", "destructive", "update", True),
    (wanted(LOSES, entry=False), DESTROY, "update", "changed", None, True),
    (wanted(REPLACES, entry=False), NOTHING, "blocked", "destructive", "replace", True),
    (wanted(REPLACES, UPDATE, entry=False), DESTROY, "replace", "replaced", None, True),
    (wanted(REFUSED, entry=False), NOTHING, "blocked", "refused", "update", False),
    (wanted(REFUSED, LOSES, entry=False), DESTROY, "blocked", "refused", "update", True),
    # protected: True by the manifest, remembered by the inventory, lifted by False only
    (wanted(LOSES, entry=False, protect=True), DESTROY, "blocked", "protected", "update", True),
    (wanted(LOSES, entry=True), DESTROY, "blocked", "protected", "update", True),
    (wanted(LOSES, entry=True, protect=False), DESTROY, "update", "changed", None, True),
    (wanted(REPLACES, entry=True), DESTROY, "blocked", "protected", "replace", True),
    (wanted(UPDATE, entry=True), NOTHING, "update", "changed", None, False),
    (wanted(entry=True), NOTHING, "noop", "unchanged", None, False),
    (wanted(entry=False, protect=True), NOTHING, "update", "changed", None, False),
    (wanted(entry=True, protect=False), NOTHING, "update", "changed", None, False),
    (wanted(entry=True, protect=True), NOTHING, "noop", "unchanged", None, False),
    # no longer wanted
    (unwanted(), NOTHING, "delete", "unwanted", None, False),
    (unwanted(actual="absent"), NOTHING, "delete", "already_gone", None, False),
    (unwanted(actual="absent", protected=True), NOTHING, "delete", "already_gone", None, False),
    (unwanted(actual=None), NOTHING, "blocked", "not_owned", "delete", False),
    (unwanted(actual=None), ADOPT, "delete", "unwanted", None, False),
    (unwanted(REFUSED, actual=None), NOTHING, "blocked", "refused", "delete", False),
    (unwanted(actual=THEIRS), ADOPT, "blocked", "owned_by_other", "delete", False),
    (unwanted(LOSES), NOTHING, "blocked", "destructive", "delete", True),
    (unwanted(LOSES), DESTROY, "delete", "unwanted", None, True),
    (unwanted(REPLACES), DESTROY, "delete", "unwanted", None, True),
    (unwanted(protected=True), DESTROY, "blocked", "protected", "delete", False),
]


@pytest.mark.parametrize(("states", "options", "kind", "reason", "wants", "destructive"), RULES)
def test_a_rule_of_planning(
    states: ResourceStates, options: PlanOptions, kind: str, reason: str, wants: str | None, destructive: bool
) -> None:
    action = plan(states, options)
    assert (action.kind.value, action.reason) == (kind, reason)
    assert (action.wants.value if action.wants else None, action.destructive) == (wants, destructive)
    assert action.is_change == (kind not in ("noop", "blocked"))
    assert action.message or kind in ("noop", "create", "update", "adopt", "delete"), "a BLOCKED action says why"
    assert action.basis == (states.actual.digest if states.actual else None)


@pytest.mark.parametrize("states", [wanted(actual="absent"), unwanted()])
def test_what_no_primitive_manages_is_blocked(states: ResourceStates) -> None:
    gone = ResourceStates(states.resource, states.desired, None, states.entry, (), "the primitive is not installed")
    action = plan(gone, DESTROY)
    assert (action.kind, action.reason) == (ActionKind.BLOCKED, "primitive_not_installed")
    assert action.message == "the primitive is not installed"


@pytest.mark.parametrize("states", [wanted(actual="absent"), unwanted()])
def test_what_a_primitive_without_a_service_manages_is_blocked_for_that_reason(states: ResourceStates) -> None:
    away = ResourceStates(states.resource, states.desired, None, states.entry, (), "no broker", "not_configured")
    action = plan(away, DESTROY)
    assert (action.kind, action.reason, action.message) == (ActionKind.BLOCKED, "not_configured", "no broker")


def test_blocked_actions_say_what_to_do() -> None:
    assert "--adopt" in plan(wanted(actual=None), NOTHING).message
    assert plan(wanted(LOSES, entry=False), NOTHING).message == "drops 3 rows; --allow-destructive does it all the same"
    assert "shelf/b in production" in plan(wanted(actual=THEIRS), NOTHING).message
    assert "protect: false" in plan(wanted(LOSES, entry=True), DESTROY).message
    assert plan(wanted(REFUSED, entry=False), DESTROY).message == "would corrupt"


def test_lifting_or_setting_protection_is_a_change_of_its_own() -> None:
    (change,) = plan(wanted(entry=False, protect=True), NOTHING).changes
    assert (change.field, change.actual, change.desired) == ("protect", False, True)


def test_wanted_in_dependency_order_then_deletions_in_reverse() -> None:
    def row(name: str, *needs: str, want: bool = True) -> ResourceStates:
        of = resource(name, *needs)
        state = State({}, OURS)
        return ResourceStates(of, state if want else None, state, InventoryEntry(of), ())

    rows = [row("c", "b"), row("a"), row("b", "a"), row("o1", want=False), row("o2", "o1", want=False)]
    assert [each.resource.name for each in plan_resources(PLAN, rows, NOTHING)] == ["a", "b", "c", "o2", "o1"]


def test_a_circle_among_what_is_taken_away_keeps_nobody_from_taking_it_away() -> None:
    rows = [
        ResourceStates(of, None, State({}, OURS), InventoryEntry(of), ())
        for of in (resource("a", "b"), resource("b", "a"))
    ]
    assert {each.kind for each in plan_resources(PLAN, rows, NOTHING)} == {ActionKind.DELETE}


def test_labels_name_the_noun() -> None:
    assert Action(ActionKind.CREATE, Resource("iceberg_table", "x", "", "", {}), "").label == "CREATE_TABLE"
    assert Action(ActionKind.BLOCKED, Resource("dag", "x", "", "", {}), "").label == "BLOCKED_DAG"


def test_values_are_compared_by_dotted_path_and_lists_as_a_whole() -> None:
    desired = {"a": {"b": 1, "c": {"d": 2}}, "l": [1, 2], "new": None, "same": 1}
    actual = {"a": {"b": 1, "c": {"d": 3}, "gone": 4}, "l": [2, 1], "same": 1}
    assert compare_values(desired, actual) == (
        FieldChange("a.c.d", 3, 2),
        FieldChange("a.gone", 4, None),
        FieldChange("l", [2, 1], [1, 2]),
    )
    assert compare_values(desired, desired) == ()


def test_what_runs_is_affected_by_what_it_depends_on() -> None:
    def action(kind: ActionKind, of: Resource, there: bool = True) -> Action:
        return Action(kind, of, "", actual=State({}) if there else None)

    table, job = resource("t"), resource("j", "m", runnable=True)
    middle, free = resource("m", "t"), resource("f", runnable=True)
    actions = [action(ActionKind.UPDATE, table), action(ActionKind.NOOP, middle), action(ActionKind.NOOP, job)]
    assert affected_runnables([*actions, action(ActionKind.NOOP, free)]) == (job,)
    assert affected_runnables([action(ActionKind.BLOCKED, table), *actions[1:]]) == ()
    assert affected_runnables([actions[0], actions[1], action(ActionKind.CREATE, job, there=False)]) == ()


def test_the_mark_is_the_manifest_in_its_environment() -> None:
    assert owner_of(resource()) == OURS
