"""The journalled executor: retries, once after a crash, and the steps around the actions."""

from __future__ import annotations

from typing import Any

import pytest

from dcp_core import (
    Action,
    ActionResult,
    Context,
    Environment,
    LogicalPlan,
    OperationStatus,
    Owner,
    PermanentError,
    ResultStatus,
    State,
    TransientError,
)
from dcp_core.applying import MAX_BACKOFF_S, MAX_TRIES, JournalledExecutor, outcome
from dcp_core.errors import LeaseLostError
from dcp_core.operating import new_operation
from dcp_core.registry import PLUGINS
from dcp_core.store import Holder, Lease, StepStatus
from tests.dcp_core.world import ITEM, SHELF, START, Crash, Desk, Shelf, item, key, shelf

ALICE = Environment.named("playground_alice")
X = "playground_alice__x"
ME = Holder("here", 1, "", "alice")


class Work:
    """An operation in the middle: its lease, its planned actions, and how long it slept."""

    def __init__(self, desk: Desk, *items: dict[str, Any]) -> None:
        dcp = desk.open()
        plan = dcp.plan(shelf("a", *items))
        self.desk, self.actions, self.slept = desk, plan.actions, list[float]()
        self.lease: Lease = desk.store.begin(new_operation("apply", plan.manifests[0], "alice", START), ME)
        self.ctx = dcp.context(ALICE)

    def executor(self) -> JournalledExecutor:
        """A new one, as a new process has it."""
        return JournalledExecutor(self.lease, self.desk.store, self.desk.registry(), self.ctx, sleep=self.slept.append)

    def execute(self) -> ActionResult:
        return self.executor().execute(self.actions)[0]

    def step(self, name: str) -> StepStatus:
        return self.desk.store.steps(self.lease)[name].status


def test_a_transient_error_is_tried_again_after_the_time_it_names(desk: Desk) -> None:
    work = Work(desk, item("x"))
    desk.world.fail("create", X, TransientError("busy", retry_after_s=7.0), TransientError("busy", retry_after_s=0.0))
    assert work.execute().status is ResultStatus.SUCCEEDED
    assert work.slept == [7.0, 0.0]
    assert desk.world.called("create") == [X]


def test_without_a_time_it_backs_off_with_jitter_and_gives_up(desk: Desk) -> None:
    work = Work(desk, item("x"))
    desk.world.fail("create", X, *[TransientError("busy") for _ in range(MAX_TRIES)])
    result = work.execute()
    assert (result.status, result.code) == (ResultStatus.FAILED, "dcp.transient")
    assert len(work.slept) == MAX_TRIES - 1
    for number, slept_s in enumerate(work.slept):
        most_s = min(0.5 * 2**number, MAX_BACKOFF_S)
        assert most_s / 2 <= slept_s <= most_s


def test_a_permanent_error_and_a_bug_are_not_tried_again(desk: Desk) -> None:
    for error, code in ((PermanentError("no"), "dcp.permanent"), (OSError("disk"), "plugin.bug")):
        fresh = Desk(desk.root)
        work = Work(fresh, item("x"))
        fresh.world.fail("create", X, error)
        result = work.execute()
        assert (result.status, result.code, work.slept) == (ResultStatus.FAILED, code, [])
        assert work.step(f"action:{ITEM}:{X}") is StepStatus.FAILED
        assert fresh.store.inventory(ALICE.name) == ()


def test_a_try_that_failed_after_all_was_done_is_not_done_twice(desk: Desk) -> None:
    work = Work(desk, item("x", text="hi"))
    create = desk.world.do

    def lost(hook: str, name: str, change: Any = lambda: None) -> None:
        create(hook, name, change)
        if hook == "create":
            raise TransientError("the answer was lost", retry_after_s=0.0)

    desk.world.do = lost  # type: ignore[method-assign]
    assert work.execute().status is ResultStatus.SUCCEEDED
    assert desk.world.called("create") == [X]
    assert desk.world.called("update") == []


def test_a_step_that_is_done_is_not_done_again(desk: Desk) -> None:
    work = Work(desk, item("x"))
    assert work.execute() == work.execute()
    assert desk.world.called("create") == [X]


def test_what_somebody_else_made_meanwhile_is_left_alone(desk: Desk) -> None:
    work = Work(desk, item("x"))
    desk.store.start_step(work.lease, f"action:{ITEM}:{X}")  # a crash came next
    desk.world.items[X] = State({"text": "theirs"}, Owner("shelf/theirs", ALICE.name))
    result = work.execute()
    assert (result.status, result.code) == (ResultStatus.FAILED, "conflict")
    assert desk.world.items[X].values == {"text": "theirs"}


def test_what_somebody_else_took_over_meanwhile_is_left_alone(desk: Desk) -> None:
    desk.open().apply(desk.open().plan(shelf("a", item("x"))))
    work = Work(desk, item("x", text="new"))
    desk.store.start_step(work.lease, f"action:{ITEM}:{X}")
    desk.world.items[X] = State({"text": "theirs"}, Owner("shelf/theirs", ALICE.name))
    assert work.execute().code == "conflict"
    assert desk.world.items[X].values == {"text": "theirs"}


def test_who_lost_the_lease_stops_at_once(desk: Desk) -> None:
    work = Work(desk, item("x"), item("y"))
    desk.store.gone.add(ME.pid)
    desk.store.take_over(work.lease.operation.id, Holder("here", 2, "", "bob"))
    with pytest.raises(LeaseLostError):
        work.execute()
    assert desk.world.called("create") == []


def test_stop_and_start_happen_once_however_often_they_are_repeated(desk: Desk) -> None:
    dcp = desk.open()
    plan = shelf("a", item("x", runnable=True))
    dcp.apply(dcp.plan(plan))
    (resource,) = dcp.registry.plugin(SHELF, "decompose", logical_plan=plan)
    ctx = dcp.context(ALICE)
    dcp.registry.primitive(ITEM, "start", resource=resource, params={}, idempotency_key="somebody's", ctx=ctx)
    desk.world.calls.clear()
    work = Work(desk, item("x", runnable=True, text="new"))
    first = work.executor().stop(resource)
    assert [each.id for each in first] == ["e1"]
    assert work.executor().stop(resource) == first, "from the journal: it looks idle by now"
    assert [stopped for stopped, _ in work.executor().stopped()] == [resource]
    started = work.executor().start(resource, {"day": "1"})
    assert work.executor().start(resource, {"day": "1"}) == started
    assert (desk.world.called("stop"), desk.world.called("start")) == ([X], [X])
    assert key("x") == resource.key
    waited = work.executor().wait(resource, started)
    assert waited.status == "SUCCEEDED"


def test_the_outcome_is_partial_when_something_was_done_and_something_not() -> None:
    def results(*statuses: ResultStatus) -> list[ActionResult]:
        return [ActionResult(key("x"), "CREATE_ITEM", status) for status in statuses]

    assert outcome([]) is OperationStatus.SUCCEEDED
    assert outcome(results(ResultStatus.SUCCEEDED, ResultStatus.NOOP)) is OperationStatus.SUCCEEDED
    assert outcome(results(ResultStatus.SUCCEEDED, ResultStatus.FAILED)) is OperationStatus.PARTIAL
    assert outcome(results(ResultStatus.NOOP, ResultStatus.BLOCKED)) is OperationStatus.FAILED
    assert outcome(results(ResultStatus.SUCCEEDED), "no") is OperationStatus.PARTIAL
    assert outcome([], "no") is OperationStatus.FAILED


# The hooks around the actions


class Careful(Shelf):
    """Says what it is asked; fails where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self._fails = fails
        self._said: list[str] = []

    def pre_apply(self, logical_plan: LogicalPlan, actions: tuple[Action, ...], ctx: Context) -> None:
        self._say("pre_apply")

    def apply(self, logical_plan: LogicalPlan, actions: tuple[Action, ...], ctx: Context) -> tuple[ActionResult, ...]:
        self._say("apply")
        return ctx.execute(tuple(reversed(actions)))

    def post_apply(self, logical_plan: LogicalPlan, results: tuple[ActionResult, ...], ctx: Context) -> None:
        self._said.extend(str(each.status) for each in results)
        self._say("post_apply")

    def _say(self, hook: str) -> None:
        self._said.append(hook)
        if hook == self._fails:
            raise PermanentError(f"{hook} does not like it")


@pytest.mark.parametrize(
    ("fails", "said", "status"),
    [
        ("", ["pre_apply", "apply", "SUCCEEDED", "SUCCEEDED", "post_apply"], OperationStatus.SUCCEEDED),
        ("pre_apply", ["pre_apply", "SKIPPED", "SKIPPED", "post_apply"], OperationStatus.FAILED),
        ("apply", ["pre_apply", "apply", "SKIPPED", "SKIPPED", "post_apply"], OperationStatus.FAILED),
        ("post_apply", ["pre_apply", "apply", "SUCCEEDED", "SUCCEEDED", "post_apply"], OperationStatus.PARTIAL),
    ],
)
def test_pre_apply_apply_and_post_apply_come_in_order_and_post_apply_always(
    desk: Desk, fails: str, said: list[str], status: OperationStatus
) -> None:
    plugin, registry = Careful(fails), desk.registry()
    registry.unregister(PLUGINS, SHELF)
    registry.register(PLUGINS, SHELF, plugin, "acme-careful==1.0")
    dcp = desk.open(registry=registry)
    (operation,) = dcp.apply(dcp.plan(shelf("a", item("x"), item("y", needs=["x"]))))
    assert (plugin._said, operation.status) == (said, status)
    assert (f"{fails} does not like it" in (operation.error or "")) == bool(fails)
    assert [each.outcome for each in dcp.store.audit_records()] == [status]
    if fails in ("", "post_apply"):
        assert desk.world.called("create") == [X, "playground_alice__y"], "dependency order, whatever the plugin's"


def test_a_crash_is_no_failure_and_leaves_the_operation_to_the_next(desk: Desk) -> None:
    dcp = desk.open()
    plan = dcp.plan(shelf("a", item("x")))
    desk.world.fail("create", X, Crash())
    with pytest.raises(Crash):
        dcp.apply(plan)
    assert [each.status for each in desk.store.operations()] == [OperationStatus.RUNNING]
    assert desk.store.audit_records() == ()
