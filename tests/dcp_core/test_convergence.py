"""Random little worlds, failures and crashes: whatever happens, applying again ends where it should."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp_core import Environment, LogicalPlan, OperationStatus, PermanentError, PlanOptions, TransientError
from tests.dcp_core.world import Crash, Desk, item, shelf

ALICE = Environment.named("playground_alice")
ANYTHING = PlanOptions(allow_destructive=True)
NAMES = "abcdef"


@st.composite
def shelves(draw: st.DrawFn) -> LogicalPlan:
    """A shelf of up to six items, each of which needs some of the earlier ones."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    items = []
    for number, name in enumerate(names):
        fields: dict[str, Any] = {"text": draw(st.sampled_from(["one", "two"])), "size": draw(st.integers(1, 2))}
        if number:
            fields["needs"] = draw(st.lists(st.sampled_from(names[:number]), max_size=2, unique=True))
        fields["runnable"] = draw(st.booleans())
        items.append(item(name, **fields))
    return shelf("a", *items)


failures = st.lists(
    st.tuples(st.sampled_from(["create", "update", "delete"]), st.sampled_from(NAMES), st.booleans()), max_size=4
)


def new_desk() -> Desk:
    return Desk(Path(tempfile.gettempdir()))


def run_a_job(desk: Desk, wanted: LogicalPlan) -> set[str]:
    """Start every runnable item behind DCP's back; gives their names."""
    dcp = desk.open()
    started = set()
    for resource in dcp.registry.plugin("shelf", "decompose", logical_plan=wanted):
        if resource.runnable and resource.name in desk.world.items:
            dcp.registry.primitive(
                "shelf_item", "start", resource=resource, params={}, idempotency_key=resource.name,
                ctx=dcp.context(ALICE),
            )  # fmt: skip
            started.add(resource.name)
    return started


def converge(desk: Desk, wanted: LogicalPlan) -> None:
    """A new process: take over, plan, apply; then all is as wanted and nothing is left to do."""
    desk.store.restart()
    desk.bury()
    desk.world.failures.clear()
    dcp = desk.open()
    dcp.recover(ALICE)
    for operation in dcp.apply(dcp.plan(wanted, options=ANYTHING)):
        assert operation.status is OperationStatus.SUCCEEDED, operation
    assert {action.kind.value for action in dcp.plan(wanted).actions} == {"noop"}
    resources = dcp.registry.plugin("shelf", "decompose", logical_plan=wanted)
    assert {name: state.values for name, state in desk.world.items.items()} == {
        each.name: each.spec for each in resources
    }
    inventory = {entry.resource.name for entry in dcp.store.inventory(ALICE.name)}
    assert inventory == set(desk.world.items)
    audited = [each.operation_id for each in dcp.store.audit_records()]
    assert len(audited) == len(set(audited))
    assert dcp.store.interrupted(ALICE.name) == ()
    writes = desk.store.writes
    dcp.apply(dcp.plan(wanted, options=ANYTHING))
    assert desk.store.writes == writes, "apply after apply does nothing"


@settings(max_examples=60, deadline=None)
@given(first=shelves(), second=shelves())
def test_any_shelf_becomes_any_other_and_then_nothing(first: LogicalPlan, second: LogicalPlan) -> None:
    desk = new_desk()
    converge(desk, first)
    converge(desk, second)
    desk.open().destroy_environment(ALICE)
    assert desk.world.items == {}
    assert desk.store.inventory(ALICE.name) == ()


@settings(max_examples=60, deadline=None)
@given(first=shelves(), second=shelves(), wrong=failures)
def test_whatever_fails_a_second_apply_converges(
    first: LogicalPlan, second: LogicalPlan, wrong: list[tuple[str, str, bool]]
) -> None:
    desk = new_desk()
    converge(desk, first)
    for hook, name, retried in wrong:
        error = TransientError("busy", retry_after_s=0.0) if retried else PermanentError("no")
        desk.world.fail(hook, f"playground_alice__{name}", error)
    dcp = desk.open()
    dcp.apply(dcp.plan(second, options=ANYTHING))
    converge(desk, second)


@settings(max_examples=120, deadline=None)
@given(first=shelves(), second=shelves(), crash_at=st.integers(0, 60), again_at=st.none() | st.integers(0, 30))
def test_wherever_the_process_dies_the_next_ones_converge(
    first: LogicalPlan, second: LogicalPlan, crash_at: int, again_at: int | None
) -> None:
    desk = new_desk()
    converge(desk, first)
    running = run_a_job(desk, first)
    desk.world.calls.clear()
    plan = desk.open().plan(second, options=ANYTHING)
    replaced = {each.resource.name for each in plan.actions if each.kind == "replace"}
    for limit, is_first in ((crash_at, True), (again_at, False)):
        if limit is None:
            continue
        desk.store.restart(crash_at=limit)
        desk.bury()
        dcp = desk.open()
        try:
            if is_first:
                dcp.apply(plan)
            else:
                dcp.recover(ALICE)
        except Crash:
            pass
    converge(desk, second)
    created = desk.world.called("create")
    assert len(created) == len(set(created)), "a create that succeeded does not happen twice"
    deleted = desk.world.called("delete")
    assert len(deleted) == len(set(deleted)), "nor a delete"
    assert len(desk.world.called("start")) == len(set(desk.world.called("start")))
    stopped = set(desk.world.called("stop"))
    still_there = {name for name in stopped if name in desk.world.items} - replaced
    assert still_there <= set(desk.world.running), "what was stopped is resumed, whoever finishes the operation"
    assert running - stopped - set(deleted) <= set(desk.world.running), "what was not stopped still runs"


@pytest.mark.parametrize("crash_at", range(40))
def test_destroying_survives_a_crash_at_every_write(crash_at: int) -> None:
    desk = new_desk()
    converge(desk, shelf("a", item("a"), item("b", needs=["a"]), item("c", needs=["b"], runnable=True)))
    desk.store.restart(crash_at=crash_at)
    with contextlib.suppress(Crash):
        desk.open().destroy_environment(ALICE)
    desk.store.restart()
    desk.bury()
    desk.open().destroy_environment(ALICE)
    assert desk.world.items == {}
    assert desk.store.inventory(ALICE.name) == ()
    names = ["playground_alice__c", "playground_alice__b", "playground_alice__a"]
    assert desk.world.called("delete") == names


def test_an_operation_that_kills_every_process_is_given_up() -> None:
    desk = new_desk()
    wanted = shelf("a", item("a"))
    plan = desk.open().plan(wanted)
    for number in range(6):
        desk.store.restart(crash_at=8 if number == 0 else 2)
        desk.bury()
        dcp = desk.open()
        with pytest.raises(Crash):
            dcp.recover(ALICE) if number else dcp.apply(plan)
    desk.store.restart()
    desk.bury()
    with pytest.raises(PermanentError, match="given up"):
        desk.open().recover(ALICE)
    assert desk.open().recover(ALICE) == ()
    assert [each.status for each in desk.store.operations()] == [OperationStatus.FAILED]
    converge(desk, wanted)
