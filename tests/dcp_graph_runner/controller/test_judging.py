"""What may be healed, for any state of any resources: never what loses data, hides a loss, or nobody has applied."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from dcp_core.drift import DriftMode, DriftPolicy
from dcp_core.model import (
    Action,
    ActionKind,
    Effect,
    FieldChange,
    LogicalPlan,
    ManifestPlan,
    Metadata,
    Owner,
    PlanOptions,
    Resource,
    ResourceKey,
    Source,
    State,
)
from dcp_core.planning import ResourceStates, plan_resources
from dcp_core.records import InventoryEntry
from dcp_graph_runner.controller.conditions import ConditionStatus
from dcp_graph_runner.controller.healing import only_what_heals
from dcp_graph_runner.controller.judging import judge

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ID, WHERE = "things/a", "production"
MINE = Owner(ID, WHERE)
PLAN = LogicalPlan("things", ID, WHERE, {}, Metadata("acme"), Source("f", "d"))
DESIRED = State({"size": 1}, MINE)


@st.composite
def states(draw: st.DrawFn) -> list[ResourceStates]:
    """Up to four resources, each may depend on earlier ones."""
    rows: list[ResourceStates] = []
    for number in range(draw(st.integers(1, 4))):
        before = [each.resource.key for each in rows]
        needs = tuple(draw(st.sets(st.sampled_from(before)))) if before else ()
        provides = draw(st.sampled_from([(), (f"data{number}",)]))
        protect = draw(st.sampled_from([None, True]))
        resource = Resource("thing", f"t{number}", ID, WHERE, {}, needs, provides, protect=protect)
        fields = draw(st.sets(st.sampled_from(["a", "b.c", "b.d"]), max_size=2))
        changes = tuple(
            FieldChange(each, 1, 2, draw(st.sampled_from(Effect)), f"{each} changes") for each in sorted(fields)
        )
        owner = draw(st.sampled_from([MINE, MINE, MINE, None, Owner("things/b", WHERE)]))
        actual = draw(st.sampled_from([None, State({"size": 0}, owner)]))
        applied = draw(st.sampled_from([DESIRED.digest, DESIRED.digest, "", "sha256:other"]))
        entry = draw(st.sampled_from([None, InventoryEntry(resource, bool(protect), applied)]))
        desired = None if entry is not None and draw(st.integers(0, 9)) == 0 else DESIRED
        away = draw(st.sampled_from([None, None, None, "not installed"]))
        rows.append(ResourceStates(resource, desired, actual, entry, changes, away))
    return rows


def gone(rows: list[ResourceStates]) -> frozenset[ResourceKey]:
    """What held data and is not there."""
    return frozenset(each.resource.key for each in rows if each.resource.provides and each.actual is None)


policies = st.builds(
    DriftPolicy,
    st.just(DriftMode.HEAL),
    st.sampled_from([(), ("b.*",), ("thing:a",), ("*",)]),
    st.just("o"),
    st.just("r"),
    st.sampled_from(["2026-11-22", "2026-11-23", "2999-01-01"]),
)


@given(states(), policies)
def test_only_what_is_harmless_is_ever_healed(rows: list[ResourceStates], policy: DriftPolicy) -> None:
    actions = plan_resources(PLAN, rows, PlanOptions())
    entries = {each.resource.key: each.entry for each in rows if each.entry is not None}
    verdicts = judge(actions, entries, policy, NOW, gone(rows))
    by_key: dict[ResourceKey, Action] = {each.resource.key: each for each in actions}
    assert verdicts.keys() == by_key.keys()
    for key, verdict in verdicts.items():
        action, entry = by_key[key], entries.get(key)
        assert (verdict.reason == "unchanged") == (action.kind is ActionKind.NOOP)
        assert verdict.status in (ConditionStatus.IN_SYNC, ConditionStatus.DRIFTED, ConditionStatus.FAILED)
        if not verdict.can_heal:
            continue
        assert verdict.status is ConditionStatus.DRIFTED
        assert action.kind in (ActionKind.CREATE, ActionKind.UPDATE)
        assert not action.destructive
        if action.actual is None:
            assert entry is not None, "it was there once"
            assert key not in gone(rows), "no data is lost by it"
        else:
            assert action.actual.owner == MINE
            assert {each.effect for each in action.changes} <= {Effect.UPDATE}
            assert entry is None or entry.applied_digest == DESIRED.digest
            ignores = not policy.has_expired(NOW)
            assert not (ignores and any(policy.matches("thing", each.field) for each in action.changes))
        for needed in action.resource.depends_on:
            if needed in verdicts:
                assert verdicts[needed].can_heal or verdicts[needed].status is ConditionStatus.IN_SYNC
    done = only_what_heals(ManifestPlan(PLAN, actions), verdicts)
    assert {each.resource.key for each in done.actions if each.is_change} == {
        key for key, verdict in verdicts.items() if verdict.can_heal
    }
    assert [each.resource for each in done.actions] == [each.resource for each in actions]


@given(states(), policies)
def test_the_same_is_judged_the_same_and_settled_means_for_ever(
    rows: list[ResourceStates], policy: DriftPolicy
) -> None:  # fmt: skip
    actions = plan_resources(PLAN, rows, PlanOptions())
    entries = {each.resource.key: each.entry for each in rows if each.entry is not None}
    verdicts = judge(actions, entries, policy, NOW, gone(rows))
    assert judge(actions, entries, policy, NOW, gone(rows)) == verdicts
    later = judge(actions, entries, policy, NOW.replace(year=3000), gone(rows))
    assert {key: each for key, each in verdicts.items() if each.is_settled} == {
        key: later[key] for key, each in verdicts.items() if each.is_settled
    }


@given(states())
def test_what_is_ignored_becomes_drift_on_the_day_after_and_not_before(rows: list[ResourceStates]) -> None:
    policy = DriftPolicy(DriftMode.REPORT, ("*",), "o", "r", "2026-12-31")
    actions = plan_resources(PLAN, rows, PlanOptions())
    entries = {each.resource.key: each.entry for each in rows if each.entry is not None}
    at = datetime(2027, 1, 1, tzinfo=UTC)
    before = judge(actions, entries, policy, at.replace(year=2026, month=12, day=31, hour=23), gone(rows))
    after = judge(actions, entries, policy, at, gone(rows))
    for key, verdict in before.items():
        if verdict.reason == "ignored":
            assert verdict.status is ConditionStatus.IN_SYNC
            assert after[key].status is ConditionStatus.DRIFTED
        elif after[key].reason == "ignore_expired":
            raise AssertionError("it was never ignored")


def test_what_has_lost_our_mark_has_drifted_although_what_else_has_changed_of_it_is_ignored() -> None:
    resource = Resource("thing", "t", ID, WHERE, {})
    changes = (FieldChange("a", 1, 2, Effect.REFUSED, "a is never changed"),)
    entry = InventoryEntry(resource, False, DESIRED.digest)
    policy = DriftPolicy(DriftMode.REPORT, ("a",), "o", "r", "2999-01-01")
    found = {}
    for owner in (MINE, None):
        rows = [ResourceStates(resource, DESIRED, State({"size": 0}, owner), entry, changes, None)]
        actions = plan_resources(PLAN, rows, PlanOptions())
        (verdict,) = judge(actions, {resource.key: entry}, policy, NOW, frozenset()).values()
        found[owner] = (verdict.status, verdict.reason, verdict.message)
    assert found[None] == (ConditionStatus.DRIFTED, "refused", "what is there has not our mark; a is never changed")
    assert found[MINE][:2] == (ConditionStatus.IN_SYNC, "ignored")


def test_what_was_applied_is_not_known_and_so_nothing_is_mended() -> None:
    resource = Resource("thing", "t", ID, WHERE, {})
    changes = (FieldChange("a", 1, 2, Effect.UPDATE),)
    reasons = {}
    for digest in (DESIRED.digest, "", "sha256:other"):
        entry = InventoryEntry(resource, False, digest)
        rows = [ResourceStates(resource, DESIRED, State({"size": 0}, MINE), entry, changes, None)]
        actions = plan_resources(PLAN, rows, PlanOptions())
        (verdict,) = judge(actions, {resource.key: entry}, None, NOW, frozenset()).values()
        reasons[digest] = (verdict.status, verdict.reason, verdict.can_heal)
    assert reasons == {
        DESIRED.digest: (ConditionStatus.DRIFTED, "changed", True),
        "": (ConditionStatus.DRIFTED, "applied_unknown", False),
        "sha256:other": (ConditionStatus.DRIFTED, "not_applied", False),
    }


def test_what_needs_something_that_is_not_wanted_any_more_is_not_healed() -> None:
    left = Resource("thing", "left", ID, WHERE, {})
    needing = Resource("thing", "needing", ID, WHERE, {}, (left.key,))
    entry = InventoryEntry(left, False, DESIRED.digest)
    changed = (FieldChange("a", 1, 2, Effect.UPDATE),)
    rows = [
        ResourceStates(left, None, State({"size": 0}, MINE), entry, ()),
        ResourceStates(needing, DESIRED, State({"size": 0}, MINE), None, changed),
    ]
    actions = plan_resources(PLAN, rows, PlanOptions())
    assert [each.resource for each in actions] == [needing, left]
    verdicts = judge(actions, {left.key: entry}, DriftPolicy(DriftMode.HEAL, (), "", "", ""), NOW, frozenset())
    assert verdicts[left.key].reason == "left_over"
    assert not verdicts[needing.key].can_heal
    assert "it waits for thing:left" in verdicts[needing.key].message
