"""The façade on a platform in memory: parse, plan, apply, run, destroy, recover, and who may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core import (
    ActionKind,
    ControlPlane,
    Decision,
    Environment,
    Execution,
    ExecutionStatus,
    InvalidManifestError,
    LogicalPlan,
    Operation,
    OperationStatus,
    PermanentError,
    PlanOptions,
    Resource,
    ResourceKey,
    ResultStatus,
    Settings,
    State,
    hookimpl,
)
from dcp_core.errors import (
    NotFoundError,
    PluginLoadError,
    SettingsError,
    StalePlanError,
    UnauthorizedError,
    UnknownKindError,
    UnknownManifestTypeError,
    UsageError,
)
from dcp_core.records import AuditRecord, AuthorizationRequest
from dcp_core.registry import EXTENSIONS, PLUGINS, PRIMITIVES, Registry
from tests.dcp_core.world import SHELF, Crash, Desk, Shelf, ShelfItem, item, shelf

ALICE = Environment.named("playground_alice")
STATUS = ResultStatus


def kinds(dcp: ControlPlane, *plans: LogicalPlan, **arguments: Any) -> list[str]:
    return [action.kind.value for action in dcp.plan(plans, **arguments).actions]


def apply(dcp: ControlPlane, *plans: LogicalPlan, **arguments: Any) -> tuple[Operation, ...]:
    return dcp.apply(dcp.plan(plans, **arguments))


def write(desk: Desk, name: str, text: str) -> Path:
    path = desk.root / SHELF / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


# Parsing


def test_parse_gives_the_compiled_manifest_and_who_compiled_it(desk: Desk) -> None:
    path = write(desk, "a", "name: a\nitems: [{name: x}]\n")
    logical_plan = desk.open().parse(path)
    assert (logical_plan.id, logical_plan.environment) == ("shelf/a", "playground_alice")
    assert logical_plan.compiled_by == "acme-shelf==1.0"
    assert logical_plan.source.file == "shelf/a.yaml"
    assert desk.open().parse(str(path), "production").environment == "production"


def test_parse_lists_every_error_of_the_manifest(desk: Desk) -> None:
    path = write(desk, "a", "name: A\nitems: [{name: x, txt: y}]\n")
    with pytest.raises(InvalidManifestError) as failed:
        desk.open().parse(path)
    assert [str(each.position) for each in failed.value.diagnostics] == ["shelf/a.yaml:1:7", "shelf/a.yaml:2:19"]
    assert {each.owner for each in failed.value.diagnostics} == {"acme-shelf==1.0: get_manifest_schema"}


def test_parse_takes_one_manifest_and_load_takes_folders(desk: Desk) -> None:
    write(desk, "a", "name: a\nitems: [{name: x}]\n")
    write(desk, "b", "name: b\nitems: [{name: y}]\nreads: [a]\n")
    dcp = desk.open()
    with pytest.raises(UsageError, match="2 manifests"):
        dcp.parse(desk.root / SHELF)
    assert [each.logical_plan.id for each in dcp.load([desk.root], ALICE).loaded] == ["shelf/a", "shelf/b"]


# Planning


def test_a_plan_changes_nothing(desk: Desk) -> None:
    dcp = desk.open()
    plan = dcp.plan(shelf("a", item("x"), item("y", needs=["x"])))
    assert [action.label for action in plan.actions] == ["CREATE_ITEM", "CREATE_ITEM"]
    assert plan.summary["create"] == 2
    assert desk.world.items == {}
    assert desk.world.called("create") == []
    assert desk.store.writes == 0


def test_after_apply_a_plan_is_all_noop_and_apply_does_nothing(desk: Desk) -> None:
    dcp, wanted = desk.open(), shelf("a", item("x", text="hi"), item("y", needs=["x"]))
    (operation,) = apply(dcp, wanted)
    assert operation.status is OperationStatus.SUCCEEDED
    assert [action.kind for action in dcp.plan(wanted).actions] == [ActionKind.NOOP] * 2
    before, writes = list(desk.world.calls), desk.store.writes
    (again,) = apply(dcp, wanted)
    assert (again.id, again.status) == ("", OperationStatus.SUCCEEDED)
    assert [each.status for each in again.results] == [STATUS.NOOP] * 2
    assert [call for call in desk.world.calls[len(before) :] if call[0] != "read"] == []
    assert desk.store.writes == writes
    assert len(dcp.store.audit_records()) == 1


def test_plans_of_two_environments_do_not_mix(desk: Desk) -> None:
    with pytest.raises(UsageError, match="one environment"):
        desk.open().plan([shelf("a", item("x")), shelf("b", item("y"), environment="production")])
    with pytest.raises(UsageError, match="none"):
        desk.open().plan([])


def test_who_is_read_is_planned_first(desk: Desk) -> None:
    plan = desk.open().plan([shelf("a", item("x"), reads=["b"]), shelf("b", item("y"))])
    assert [each.id for each in plan.manifests] == ["shelf/b", "shelf/a"]


def test_a_resource_taken_out_of_the_manifest_is_deleted_in_reverse_order(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("x"), item("y", needs=["x"]), item("z", needs=["y"])))
    plan = dcp.plan(shelf("a", item("x")))
    assert [(each.kind.value, each.resource.name) for each in plan.actions] == [
        ("noop", "playground_alice__x"),
        ("delete", "playground_alice__z"),
        ("delete", "playground_alice__y"),
    ]
    dcp.apply(plan)
    assert desk.world.called("delete") == ["playground_alice__z", "playground_alice__y"]
    assert [entry.resource.name for entry in dcp.store.inventory(ALICE.name)] == ["playground_alice__x"]


def test_a_manifest_that_is_gone_from_its_folder_is_an_orphan_and_pruned_on_demand(desk: Desk) -> None:
    dcp, folder = desk.open(), desk.root / SHELF
    a, b = shelf("a", item("x")), shelf("b", item("y"))
    apply(dcp, a, b)
    plan = dcp.plan(a, folders=[folder])
    assert plan.orphaned == ("shelf/b",)
    assert not plan.has_changes
    assert dcp.plan(a, folders=[desk.root / "elsewhere"]).orphaned == ()
    assert dcp.plan(a, folders=[folder], manifest_type="other").orphaned == ()
    pruning = dcp.plan(a, folders=[folder], options=PlanOptions(prune=True))
    assert [(each.id, each.destroys) for each in pruning.manifests] == [("shelf/a", False), ("shelf/b", True)]
    dcp.apply(pruning)
    assert set(desk.world.items) == {"playground_alice__x"}
    assert dcp.plan(a, folders=[folder]).orphaned == ()


def test_a_manifest_that_moved_to_another_folder_is_no_orphan_of_the_old_one(desk: Desk) -> None:
    dcp = desk.open()
    a, b = shelf("a", item("x")), shelf("b", item("y"))
    apply(dcp, a, b)
    moved = attrs.evolve(b, source=attrs.evolve(b.source, file="archive/b.yaml"))
    apply(dcp, moved)
    assert dcp.plan(a, folders=[desk.root / SHELF]).orphaned == ()


def test_a_new_owner_of_an_unchanged_world_is_recorded(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("x"), owner="old-team"))
    (operation,) = apply(dcp, shelf("a", item("x"), owner="new-team"))
    assert operation.id
    assert [each.status for each in operation.results] == [STATUS.NOOP]
    assert dcp.store.logical_plans(ALICE.name)["shelf/a"].metadata.technical_owner == "new-team"
    assert apply(dcp, shelf("a", item("x"), owner="new-team"))[0].id == ""


def test_what_an_uninstalled_plugin_left_behind_can_still_be_destroyed(desk: Desk) -> None:
    apply(desk.open(), shelf("a", item("x"), item("y", needs=["x"])))
    registry = Registry()
    registry.register(PRIMITIVES, "shelf_item", ShelfItem(desk.world), "acme-shelf==1.0")
    operations = desk.open(registry=registry).destroy_environment(ALICE)
    assert [each.status for each in operations] == [OperationStatus.SUCCEEDED]
    assert desk.world.items == {}


def test_resources_of_an_uninstalled_primitive_are_blocked_and_the_rest_goes_on(desk: Desk) -> None:
    apply(desk.open(), shelf("a", item("x")))
    registry = desk.registry()
    registry.unregister(PRIMITIVES, "shelf_item")
    plan = desk.open(registry=registry).plan(shelf("a", item("x")))
    (action,) = plan.actions
    assert (action.kind, action.reason) == (ActionKind.BLOCKED, "primitive_not_installed")
    assert "shelf_item" in action.message
    assert action.changes == (), "nobody can tell what there is"


def test_what_an_uninstalled_primitive_would_make_is_planned_field_by_field(desk: Desk) -> None:
    registry = desk.registry()
    registry.unregister(PRIMITIVES, "shelf_item")
    (action,) = desk.open(registry=registry).plan(shelf("a", item("x", text="one", size=2))).actions
    assert (action.kind, action.wants) == (ActionKind.BLOCKED, ActionKind.CREATE)
    assert [(each.field, each.actual, each.desired) for each in action.changes] == [
        ("text", None, "one"),
        ("size", None, 2),
    ]


# Applying


def test_a_failure_skips_what_depends_on_it_and_the_rest_goes_on(desk: Desk) -> None:
    dcp = desk.open()
    desk.world.fail("create", "playground_alice__x", PermanentError("no space", hint="buy a shelf"))
    (operation,) = apply(
        dcp, shelf("a", item("x"), item("y", needs=["x"]), item("z", needs=["y"]), item("free"), item("last"))
    )
    assert operation.status is OperationStatus.PARTIAL
    by_name = {each.key.name.removeprefix("playground_alice__"): each for each in operation.results}
    assert {name: each.status for name, each in by_name.items()} == {
        "x": STATUS.FAILED,
        "y": STATUS.SKIPPED,
        "z": STATUS.SKIPPED,
        "free": STATUS.SUCCEEDED,
        "last": STATUS.SUCCEEDED,
    }
    assert by_name["x"].error == "no space; buy a shelf"
    assert "playground_alice__x" in (by_name["y"].error or "")
    assert set(desk.world.items) == {"playground_alice__free", "playground_alice__last"}
    (again,) = apply(dcp, shelf("a", item("x"), item("y", needs=["x"]), item("z", needs=["y"]), item("free")))
    assert again.status is OperationStatus.SUCCEEDED


def test_an_operation_in_which_nothing_worked_has_failed(desk: Desk) -> None:
    desk.world.fail("create", "playground_alice__x", ValueError("oops"))
    (operation,) = apply(desk.open(), shelf("a", item("x")))
    assert operation.status is OperationStatus.FAILED
    (result,) = operation.results
    assert result.code == "plugin.bug"
    assert "acme-shelf==1.0: create" in (result.error or "")
    assert "ValueError: oops" in (result.error or "")


def test_a_blocked_action_is_reported_and_the_rest_is_done(desk: Desk) -> None:
    desk.world.items["playground_alice__x"] = State({"text": "somebody's"})
    dcp = desk.open()
    wanted = shelf("a", item("x", text="ours"), item("y"), item("z", needs=["x"]))
    (operation,) = apply(dcp, wanted)
    assert [each.status for each in operation.results] == [STATUS.BLOCKED, STATUS.SUCCEEDED, STATUS.SKIPPED]
    assert operation.status is OperationStatus.PARTIAL
    assert desk.world.items["playground_alice__x"] == State({"text": "somebody's"})
    (adopted,) = apply(dcp, wanted, options=PlanOptions(adopt=True))
    assert adopted.status is OperationStatus.SUCCEEDED
    assert kinds(dcp, wanted) == ["noop"] * 3


def test_a_stale_plan_is_refused_before_anything_is_done_and_names_the_resource(desk: Desk) -> None:
    dcp, wanted = desk.open(), shelf("a", item("x", text="1"), item("y", text="1"))
    apply(dcp, wanted)
    plan = dcp.plan(shelf("a", item("x", text="2"), item("y", text="2")))
    desk.world.items["playground_alice__y"] = State({"text": "3"}, desk.world.items["playground_alice__y"].owner)
    with pytest.raises(StalePlanError, match="playground_alice__y has changed"):
        dcp.apply(plan)
    assert desk.world.items["playground_alice__x"].values == {"text": "1"}
    assert [each.outcome for each in dcp.store.audit_records()] == [OperationStatus.REFUSED, OperationStatus.SUCCEEDED]


def test_what_a_primitive_that_is_broken_cannot_read_does_not_count_as_deleted(desk: Desk) -> None:
    class Unfit(ShelfItem):
        kind = "shelf_thing"

    dcp = desk.open()
    apply(dcp, shelf("a", item("x", text="1")))
    plan = dcp.plan(shelf("a", item("x", text="2")))
    registry = desk.registry()
    registry.unregister(PRIMITIVES, "shelf_item")
    registry.register(PRIMITIVES, "shelf_item", Unfit(desk.world), desk.registry().owner(PRIMITIVES, "shelf_item"))
    with pytest.raises(PluginLoadError, match="shelf_thing"):
        desk.open(registry=registry).apply(plan)
    assert desk.world.items["playground_alice__x"].values == {"text": "1"}


def test_a_plan_is_stale_too_when_what_it_left_alone_has_changed(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("x", text="1"), item("y", text="1")))
    for wanted in (shelf("a", item("x", text="2"), item("y", text="1")), shelf("a", item("y", text="1"))):
        plan = dcp.plan(wanted)
        desk.world.items["playground_alice__y"] = State({"text": "3"}, desk.world.items["playground_alice__y"].owner)
        with pytest.raises(StalePlanError, match="playground_alice__y has changed"):
            dcp.apply(plan)
        desk.world.items["playground_alice__y"] = State({"text": "1"}, desk.world.items["playground_alice__y"].owner)
    assert desk.world.items["playground_alice__x"].values == {"text": "1"}


@pytest.mark.parametrize(("then", "words"), [(None, "was deleted"), (State({}), "was created")])
def test_staleness_says_what_happened(desk: Desk, then: State | None, words: str) -> None:
    dcp = desk.open()
    if then is None:
        apply(dcp, shelf("a", item("x")))
    plan = dcp.plan(shelf("a", item("x", text="new")))
    desk.world.items.pop("playground_alice__x", None)
    if then is not None:
        desk.world.items["playground_alice__x"] = then
    with pytest.raises(StalePlanError, match=words):
        dcp.apply(plan)


def test_a_plan_is_refused_that_says_nothing_of_what_another_operation_made_meanwhile(desk: Desk) -> None:
    """What it would not delete would be left to nobody."""
    dcp = desk.open()
    plan = dcp.plan(shelf("a", item("x")))
    apply(dcp, shelf("a", item("y")))
    (refused,) = dcp.apply(plan)
    assert refused.status is OperationStatus.REFUSED
    assert "playground_alice__y was created after the plan was made" in (refused.error or "")
    assert set(desk.world.items) == {"playground_alice__y"}


def test_what_another_operation_deletes_while_a_plan_is_made_is_not_told_as_deleted_twice(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("x"), item("y")))
    there = desk.world.items.pop("playground_alice__y")  # as it is before the inventory knows
    plan = dcp.plan(shelf("a", item("x")))
    desk.world.items["playground_alice__y"] = there
    apply(dcp, shelf("a", item("x")))
    (refused,) = dcp.apply(plan)
    assert refused.status is OperationStatus.REFUSED
    assert "playground_alice__y was deleted after the plan was made" in (refused.error or "")


def test_what_another_operation_records_while_a_plan_is_made_is_not_told_as_changed_twice(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("y")))
    owner = desk.world.items["playground_alice__y"].owner
    desk.world.items["playground_alice__x"] = State({"text": "1"}, owner)  # as it is before the inventory knows
    wanted = shelf("a", item("x", text="1"), item("y"))
    plan = dcp.plan(wanted)
    assert [each.reason for each in plan.actions] == ["unrecorded", "unchanged"]
    apply(dcp, wanted)
    (refused,) = dcp.apply(plan)
    assert refused.status is OperationStatus.REFUSED
    assert "playground_alice__x was recorded by another operation after the plan was made" in (refused.error or "")


def test_a_plan_made_with_another_version_of_a_plugin_is_refused(desk: Desk) -> None:
    plan = desk.open().plan(shelf("a", item("x")))
    registry = desk.registry()
    registry.unregister(PRIMITIVES, "shelf_item")
    registry.register(PRIMITIVES, "shelf_item", ShelfItem(desk.world), "acme-shelf==2.0")
    with pytest.raises(StalePlanError, match=r"acme-shelf==1\.0 for shelf_item, and acme-shelf==2\.0"):
        desk.open(registry=registry).apply(plan)


def test_protection_outlives_the_manifest(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("x", protect=True), item("y")))
    apply(dcp, shelf("a", item("x"), item("y")))  # the line is gone, the protection is not
    assert [each.protected for each in dcp.store.inventory(ALICE.name)] == [True, False]
    plan = dcp.plan_destruction(ALICE)
    assert {(each.resource.name[-1], each.kind.value, each.reason) for each in plan.actions} == {
        ("x", "blocked", "protected"), ("y", "delete", "unwanted"),
    }  # fmt: skip
    apply(dcp, shelf("a", item("x", protect=False), item("y")))
    dcp.destroy_environment(ALICE)
    assert desk.world.items == {}


def test_two_runnable_things_are_stopped_before_and_resumed_after(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("t"), item("j", needs=["t"], runnable=True), item("k", runnable=True)))
    for name in ("playground_alice__j", "playground_alice__k"):
        desk.world.running[name] = name
        desk.world.executions[name] = attrs.evolve(_running(name), id=name)  # as if somebody else had started it
    apply(dcp, shelf("a", item("t", text="new"), item("j", needs=["t"], runnable=True), item("k", runnable=True)))
    assert desk.world.called("stop") == ["playground_alice__j"]
    assert desk.world.called("start") == ["playground_alice__j"]
    assert [call for call in desk.world.calls if call[0] != "read"][-3:] == [
        ("stop", "playground_alice__j"), ("update", "playground_alice__t"), ("start", "playground_alice__j"),
    ]  # fmt: skip


def test_what_was_stopped_is_resumed_after_a_failure_too(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("j", runnable=True)))
    desk.world.running["playground_alice__j"] = "e0"
    desk.world.executions["e0"] = _running("playground_alice__j")
    desk.world.fail("update", "playground_alice__j", PermanentError("no"))
    (operation,) = apply(dcp, shelf("a", item("j", text="new", runnable=True)))
    assert operation.status is OperationStatus.FAILED
    assert desk.world.called("start") == ["playground_alice__j"]


def test_a_running_job_that_is_deleted_is_stopped_and_not_started_again(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("j", runnable=True)))
    desk.world.running["playground_alice__j"] = "e0"
    desk.world.executions["e0"] = _running("playground_alice__j")
    operations = dcp.destroy_environment(ALICE)
    assert [(each.status, each.error) for each in operations] == [(OperationStatus.SUCCEEDED, None)]
    assert desk.world.called("stop") == ["playground_alice__j"]
    assert desk.world.called("start") == []


def _running(name: str) -> Execution:
    return Execution("e0", ResourceKey("shelf_item", name), ALICE.name, ExecutionStatus.RUNNING)


# Destroying


def test_destroying_leaves_nothing(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("x"), item("y", needs=["x"])), shelf("b", item("z"), reads=["a"]))
    operations = dcp.destroy_environment(ALICE)
    assert [each.manifest_id for each in operations] == ["shelf/b", "shelf/a"]
    assert {each.kind for each in operations} == {"destroy"}
    assert desk.world.items == {}
    assert dcp.store.inventory(ALICE.name) == ()
    assert dcp.destroy_environment(ALICE) == ()


def test_destroying_one_manifest_leaves_the_others(desk: Desk) -> None:
    dcp = desk.open()
    apply(dcp, shelf("a", item("x")), shelf("b", item("y")))
    dcp.apply(dcp.plan_destruction(ALICE, ["shelf/a"]))
    assert set(desk.world.items) == {"playground_alice__y"}
    with pytest.raises(NotFoundError, match="shelf/a"):
        dcp.plan_destruction(ALICE, ["shelf/a"])


# Running


def test_run_follows_who_reads_whom_and_skips_readers_of_what_failed(desk: Desk) -> None:
    dcp = desk.open()
    plans = (
        shelf("c", item("z", runnable=True), reads=["b"]),
        shelf("b", item("y", runnable=True, text="fails"), reads=["a"]),
        shelf("a", item("x", runnable=True)),
        shelf("d", item("w", runnable=True), reads=["a"]),
    )
    apply(dcp, *plans)
    results = {each.manifest_id: each for each in dcp.run(plans)}
    assert list(results) == ["shelf/a", "shelf/b", "shelf/c", "shelf/d"]
    assert [each.ok for each in results.values()] == [True, False, False, True]
    assert results["shelf/c"].skipped
    assert results["shelf/c"].error == "b was not refreshed"
    assert results["shelf/a"].executions[0].status == "SUCCEEDED"
    assert desk.world.called("start") == [f"playground_alice__{name}" for name in "xyw"]
    runs = [each for each in dcp.store.audit_records() if each.kind == "run"]
    assert [each.outcome.value for each in runs] == ["SUCCEEDED", "REFUSED", "FAILED", "SUCCEEDED"]


def test_a_run_that_cannot_start_is_a_result_and_is_recorded(desk: Desk) -> None:
    dcp, wanted = desk.open(), shelf("a", item("x", runnable=True))
    apply(dcp, wanted)
    desk.world.fail("start", "playground_alice__x", KeyError("oops"))
    (result,) = dcp.run(wanted)
    assert not result.ok
    assert "acme-shelf==1.0: start" in (result.error or "")
    assert dcp.store.audit_records()[0].outcome is OperationStatus.FAILED


def test_a_run_of_a_job_that_an_apply_could_not_make_says_so_and_starts_nothing(desk: Desk) -> None:
    dcp = desk.open()
    desk.world.fail("create", "playground_alice__x", PermanentError("no space"))
    wanted = shelf("a", item("x"), item("y", needs=["x"], runnable=True), item("free"))
    (operation,) = apply(dcp, wanted)
    assert operation.status is OperationStatus.PARTIAL
    (result,) = dcp.run(wanted)
    assert not result.ok
    assert "playground_alice__y was not made" in (result.error or "")
    assert desk.world.called("start") == []


def test_a_run_of_what_was_never_applied_starts_nothing(desk: Desk) -> None:
    (result,) = desk.open().run(shelf("a", item("x", runnable=True)))
    assert not result.ok
    assert result.error
    assert desk.world.called("start") == []


def test_preview_shows_rows_of_the_first_resource_that_has_any(desk: Desk) -> None:
    dcp, wanted = desk.open(), shelf("a", item("x", text="hi"))
    assert dcp.preview(wanted) is None
    apply(dcp, wanted)
    shown = dcp.preview(wanted)
    assert shown is not None
    assert shown.rows == (("hi",),)


def test_preview_passes_over_a_primitive_that_is_missing_and_names_it_when_nothing_else_has_rows(desk: Desk) -> None:
    class OtherShelf(Shelf):
        def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
            (first, *rest) = super().decompose(logical_plan)
            return (attrs.evolve(first, kind="acme_missing"), *rest)

    registry = desk.registry()
    registry.unregister(PLUGINS, "shelf")
    registry.register(PLUGINS, "shelf", OtherShelf(), "acme-shelf==1.0")
    dcp = desk.open(registry=registry)
    apply(dcp, shelf("a", item("w"), item("x", text="hi")))
    shown = dcp.preview(shelf("a", item("w"), item("x", text="hi")))
    assert shown is not None
    assert shown.rows == (("hi",),)
    with pytest.raises(UnknownKindError, match="acme_missing"):
        dcp.preview(shelf("b", item("w")))


# Recovering


def test_the_next_process_finishes_what_a_crashed_one_began(desk: Desk) -> None:
    wanted = shelf("a", item("x"), item("y", needs=["x"]))
    plan = desk.open().plan(wanted)
    desk.store.restart(crash_at=13)
    with pytest.raises(Crash):
        desk.open().apply(plan)
    desk.store.restart()
    desk.bury()
    dcp = desk.open("bob")
    (operation,) = dcp.recover(ALICE)
    assert operation.recovered
    assert operation.user == "alice"
    assert operation.status is OperationStatus.SUCCEEDED
    assert desk.world.called("create") == ["playground_alice__x", "playground_alice__y"]
    (record,) = dcp.store.audit_records()
    assert (record.user, record.message) == ("alice", "finished by bob")
    assert dcp.recover(ALICE) == ()


def test_a_live_operation_is_not_taken_over_and_its_holder_is_named(desk: Desk) -> None:
    wanted = shelf("a", item("x"))
    plan = desk.open().plan(wanted)
    desk.store.restart(crash_at=8)
    with pytest.raises(Crash):
        desk.open().apply(plan)
    desk.store.restart()
    dcp = desk.open()
    assert dcp.recover(ALICE) == ()
    (refused,) = dcp.apply(dcp.plan(wanted))
    assert refused.status is OperationStatus.REFUSED
    assert "alice on here (process 2)" in (refused.error or "")
    assert desk.world.called("create") == []


# Playgrounds and identities


def test_apply_creates_the_playground_and_says_so_once(desk: Desk) -> None:
    dcp = desk.open("Alice.Smith@example.com")
    environment = dcp.environment()
    assert environment.name == "playground_alice_smith"
    wanted = shelf("a", item("x"), environment=environment.name)
    apply(dcp, wanted)
    assert [each.id for each in dcp.created_sandboxes] == ["playground_alice_smith"]
    assert [each.identity for each in dcp.store.sandboxes()] == ["Alice.Smith@example.com"]
    assert (dcp.created_sandboxes[0].expires_at - desk.clock.now).days == 14
    apply(dcp, shelf("a", item("x", text="2"), environment=environment.name))
    assert len(dcp.created_sandboxes) == 1


def test_nobody_else_writes_to_a_playground(desk: Desk) -> None:
    apply(desk.open("alice"), shelf("a", item("x")))
    bob = desk.open("bob")
    plan = bob.plan(shelf("a", item("x", text="bob was here")))
    with pytest.raises(UnauthorizedError, match="belongs to alice"):
        bob.apply(plan)
    with pytest.raises(UnauthorizedError):
        bob.run(shelf("a", item("x", runnable=True)))
    assert desk.world.items["playground_alice__x"].values == {}


def test_two_identities_do_not_share_a_playground(desk: Desk) -> None:
    first, second = desk.open("alice@example.com"), desk.open("alice@example.org")
    assert first.environment() == second.environment()
    apply(first, shelf("a", item("x")))
    with pytest.raises(UnauthorizedError, match=r"alice@example\.com"):
        apply(second, shelf("b", item("y")))


def test_the_chosen_playground_is_the_default_environment(desk: Desk) -> None:
    dcp = desk.open("alice")
    desk.store.choose_sandbox("alice", "playground_team")
    assert dcp.environment().name == "playground_team"
    assert dcp.environment("production").is_production


def test_a_playground_whose_preparation_crashed_is_prepared_again(desk: Desk) -> None:
    prepared: list[str] = []

    class Preparing:
        @hookimpl(wrapper=True)
        def create_sandbox(self, user: str) -> Any:
            result = yield
            prepared.append(user)
            if len(prepared) == 1:
                raise PermanentError("lost the connection")
            return result

    registry = desk.registry()
    registry.register(EXTENSIONS, "preparing", Preparing())
    dcp = desk.open(registry=registry)
    with pytest.raises(PermanentError):
        apply(dcp, shelf("a", item("x")))
    assert desk.store.sandboxes() == ()
    apply(dcp, shelf("a", item("x")))
    assert prepared == ["alice", "alice"]
    assert [each.id for each in desk.store.sandboxes()] == ["playground_alice"]


def test_a_plugin_that_is_switched_off_keeps_nobody_from_a_playground(desk: Desk) -> None:
    registry = Registry(disabled=["other"])
    registry.register(PLUGINS, SHELF, type(desk.registry().get(PLUGINS, SHELF)), "acme-shelf==1.0")
    registry.register(PLUGINS, "other", object, "acme-other==1.0")
    registry.register(PRIMITIVES, "shelf_item", ShelfItem(desk.world), "acme-shelf==1.0")
    (operation,) = apply(desk.open(registry=registry), shelf("a", item("x")))
    assert operation.status is OperationStatus.SUCCEEDED


# Authorization


class Rule:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self, answer: Decision | Exception | None) -> None:
        self._answer = answer
        self.asked: list[AuthorizationRequest] = []

    @hookimpl
    def authorize(self, request: AuthorizationRequest) -> Decision | None:
        self.asked.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def guarded(desk: Desk, *answers: Decision | Exception | None) -> tuple[ControlPlane, list[Rule]]:
    registry, rules = desk.registry(), [Rule(answer) for answer in answers]
    for number, rule in enumerate(rules):
        registry.register(EXTENSIONS, f"rule{number}", rule, f"acme-rules=={number}")
    return desk.open(registry=registry), rules


def test_a_single_denial_denies(desk: Desk) -> None:
    yes, no = Decision(True, "why not"), Decision(False, "not on a Friday", "freeze")
    dcp, _ = guarded(desk, yes, no, None)
    (operation,) = apply(dcp, shelf("a", item("x")))
    assert operation.status is OperationStatus.REFUSED
    assert operation.error == "denied: not on a Friday (rule freeze)"
    assert [each.status for each in operation.results] == [STATUS.SKIPPED]
    assert desk.world.items == {}
    assert [each.outcome for each in dcp.store.audit_records()] == [OperationStatus.REFUSED]


def test_a_rule_that_fails_denies(desk: Desk) -> None:
    dcp, _ = guarded(desk, Decision(True, "fine"), RuntimeError("no LDAP"))
    (operation,) = apply(dcp, shelf("a", item("x")))
    assert operation.status is OperationStatus.REFUSED
    assert "no LDAP" in (operation.error or "")
    assert "acme-rules==1" in (operation.error or "")
    assert desk.world.items == {}


def test_opinions_that_allow_or_abstain_let_it_happen(desk: Desk) -> None:
    dcp, rules = guarded(desk, Decision(True, "fine"), None)
    assert apply(dcp, shelf("a", item("x")))[0].status is OperationStatus.SUCCEEDED
    assert [each.operation for each in rules[0].asked] == ["create_playground", "apply"]
    assert rules[0].asked[1].in_force is None


def test_rules_see_the_version_in_force_for_apply_run_and_destroy(desk: Desk) -> None:
    dcp, (rule,) = guarded(desk, None)
    apply(dcp, shelf("a", item("x", runnable=True), owner="old-team"))
    claimed = shelf("a", item("x", runnable=True), owner="thieves")
    apply(dcp, claimed)
    dcp.run(claimed)
    dcp.destroy_environment(ALICE)
    asked = [(each.operation, each.in_force.metadata.technical_owner if each.in_force else "") for each in rule.asked]
    asked = [each for each in asked if each[0] != "create_playground"]
    assert asked == [("apply", ""), ("apply", "old-team"), ("run", "thieves"), ("destroy", "thieves")]


def test_a_run_that_is_denied_is_recorded_and_starts_nothing(desk: Desk) -> None:
    apply(desk.open(), shelf("a", item("x", runnable=True)))
    dcp, _ = guarded(desk, Decision(False, "no"))
    (result,) = dcp.run(shelf("a", item("x", runnable=True)))
    assert not result.ok
    assert "denied: no" in (result.error or "")
    assert desk.world.called("start") == []
    assert dcp.store.audit_records()[0].outcome is OperationStatus.REFUSED


# Events


class Diary:
    """Writes down every event."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @hookimpl
    def operation_started(self, operation: Operation) -> None:
        self.lines.append("operation_started")

    @hookimpl
    def action_started(self, action: Any) -> None:
        self.lines.append(f"action_started {action.label}")

    @hookimpl
    def action_finished(self, action: Any, result: Any) -> None:
        self.lines.append(f"action_finished {result.status}")

    @hookimpl
    def execution_changed(self, execution: Any) -> None:
        self.lines.append(f"execution_changed {execution.status}")

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        self.lines.append(f"audit {record.outcome}")

    @hookimpl
    def operation_finished(self, operation: Operation) -> None:
        self.lines.append(f"operation_finished {operation.status}")


def test_listeners_hear_everything_in_order(desk: Desk) -> None:
    dcp, diary = desk.open(), Diary()
    dcp.listen(diary)
    wanted = shelf("a", item("x", runnable=True))
    apply(dcp, wanted)
    dcp.run(wanted)
    assert diary.lines == [
        "operation_started", "action_started CREATE_ITEM", "action_finished SUCCEEDED",
        "audit SUCCEEDED", "operation_finished SUCCEEDED",
        "operation_started", "execution_changed SUCCEEDED", "audit SUCCEEDED", "operation_finished SUCCEEDED",
    ]  # fmt: skip


def test_a_listener_that_fails_stops_nothing(desk: Desk) -> None:
    class Broken:
        @hookimpl
        def operation_started(self, operation: Operation) -> None:
            raise RuntimeError("deaf")

    dcp = desk.open()
    dcp.listen(Broken())
    assert apply(dcp, shelf("a", item("x")))[0].status is OperationStatus.SUCCEEDED


# Opening and closing


def test_from_config_reads_identity_and_required_extensions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "dcp.toml"
    config.write_text('[identity]\nuser = "carol"\n')
    dcp = ControlPlane.from_config(config)
    assert (dcp.identity, dcp.settings.root) == ("carol", tmp_path)
    config.write_text('[extensions]\nrequired = ["house_rules"]\n')
    strict = ControlPlane.from_config(config, identity="carol")
    with pytest.raises(SettingsError, match="house_rules"):
        strict.registry.broadcast("operation_started", operation=None)


def test_a_required_extension_that_cannot_load_denies_everything(desk: Desk) -> None:
    class Broken:
        def __init__(self) -> None:
            raise ImportError("no such module")

    registry = Registry(required=["house_rules"], disabled=["house_rules"])
    for group, name, made in (
        (PLUGINS, SHELF, type(desk.registry().get(PLUGINS, SHELF))),
        (PRIMITIVES, "shelf_item", ShelfItem(desk.world)),
        (EXTENSIONS, "house_rules", Broken),
    ):
        registry.register(group, name, made)
    with pytest.raises(PluginLoadError, match="no such module"):
        desk.open(registry=registry).plan(shelf("a", item("x")))


def test_a_store_of_an_unknown_scheme_is_a_settings_error(tmp_path: Path) -> None:
    settings = Settings(tmp_path, {"store": {"url": "papyrus://x"}}, {})
    with pytest.raises(SettingsError, match="papyrus"):
        ControlPlane(settings, Registry(), "alice").environment()


def test_closing_closes_what_hooks_shared(desk: Desk) -> None:
    closed: list[str] = []

    class Connection:
        def close(self) -> None:
            closed.append("closed")

    with desk.open() as dcp:
        made = dcp.context(ALICE).shared("connection", Connection)
        assert dcp.context(ALICE).shared("connection", Connection) is made
    assert closed == ["closed"]


def test_an_unknown_manifest_type_is_named_with_what_is_installed(desk: Desk) -> None:
    stranger = attrs.evolve(shelf("a", item("x")), plugin_type="cupboard")
    with pytest.raises(UnknownManifestTypeError, match="cupboard") as failed:
        desk.open().plan(stranger)
    assert failed.value.hint == "installed: shelf"


def test_outside_an_operation_nothing_can_be_changed(desk: Desk) -> None:
    ctx = desk.open().context(ALICE)
    with pytest.raises(UsageError, match="outside an operation"):
        ctx.execute(())
