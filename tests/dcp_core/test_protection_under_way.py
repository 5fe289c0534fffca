"""Protection that comes after a plan was made: before it is applied, in the middle, and before it is finished."""

from __future__ import annotations

import pytest

from dcp_core import Action, ControlPlane, Environment, Operation, OperationStatus, PlanOptions, ResultStatus, hookimpl
from dcp_core.model import ActionKind, Plan
from dcp_core.store import Store
from tests.dcp_core.world import Crash, Desk, item, key, shelf

ALICE = Environment.named("playground_alice")
X = "playground_alice__x"
WORDS = "carol protects it: `pretzel ops unprotect shelf/a` lifts that"


class Carol:
    """Protects x when an action on it begins."""

    def __init__(self, dcp: ControlPlane) -> None:
        self._store: Store = dcp.store

    @hookimpl
    def action_started(self, operation: Operation, action: Action) -> None:
        protect(self._store)


def protect(store: Store) -> None:
    store.set_protected(ALICE.name, key("x"), False, by="carol")


def deadly(dcp: ControlPlane, how: str) -> tuple[Plan, str]:
    """A plan by which x would lose what it has, and the operation's kind."""
    if how == "delete":
        return dcp.plan_destruction(ALICE), "destroy"
    changed = item("x", size=2, loses=1) if how == "replace" else item("x", size=1, loses=2)
    return dcp.plan(shelf("a", changed), options=PlanOptions(allow_destructive=True)), "apply"


@pytest.mark.parametrize("how", ["delete", "replace", "update"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_was_protected_after_the_plan_was_made_is_not_lost(desk: Desk, how: str, when: str) -> None:
    dcp = desk.open()
    dcp.apply(dcp.plan(shelf("a", item("x", size=1, loses=1))))
    plan, kind = deadly(dcp, how)
    assert plan.actions[0].kind is ActionKind(how)
    there = desk.world.items[X]
    if when == "before":
        protect(desk.store)
    else:
        dcp.listen(Carol(dcp))
    (operation,) = dcp.apply(plan, kind=kind)
    refused = OperationStatus.REFUSED if when == "before" else OperationStatus.FAILED
    assert operation.status is refused
    told = operation.error if when == "before" else operation.results[0].error
    assert WORDS in (told or "")
    if when == "meanwhile":
        assert (operation.results[0].status, operation.results[0].code) == (ResultStatus.BLOCKED, "protected")
    assert desk.world.items[X] is there
    assert desk.world.called(how if how != "replace" else "delete") == []
    assert dcp.store.inventory(ALICE.name)[0].protected_by == "carol"
    desk.store.set_protected(ALICE.name, key("x"), False, by="")
    plan, kind = deadly(desk.open(), how)
    assert desk.open().apply(plan, kind=kind)[0].status is OperationStatus.SUCCEEDED, "lifted"


def test_a_destruction_that_crashed_before_it_deleted_deletes_nothing_that_is_protected_by_then(desk: Desk) -> None:
    dcp = desk.open()
    dcp.apply(dcp.plan(shelf("a", item("x"))))
    desk.world.fail("delete", X, Crash())
    with pytest.raises(Crash):
        dcp.destroy_environment(ALICE)
    desk.bury()
    protect(desk.store)
    (operation,) = desk.open().recover(ALICE)
    assert (operation.status, operation.results[0].status) == (OperationStatus.FAILED, ResultStatus.BLOCKED)
    assert X in desk.world.items


def test_what_protects_nothing_that_would_be_lost_is_in_nobodys_way(desk: Desk) -> None:
    dcp = desk.open()
    dcp.apply(dcp.plan(shelf("a", item("x", text="old"))))
    plan = dcp.plan(shelf("a", item("x", text="new")))
    protect(desk.store)
    assert dcp.apply(plan)[0].status is OperationStatus.SUCCEEDED
    gone = dcp.plan(shelf("a", item("x", text="newer", protect=False)))
    desk.store.set_protected(ALICE.name, key("x"), True, by="")
    assert dcp.apply(gone)[0].status is OperationStatus.SUCCEEDED


def test_a_plan_that_would_have_lost_nothing_of_it_is_applied_all_the_same(desk: Desk) -> None:
    dcp = desk.open()
    dcp.apply(dcp.plan(shelf("a", item("x", loses=1))))
    plan = dcp.plan(shelf("a", item("x", loses=2), item("y")))
    assert plan.actions[0].kind is ActionKind.BLOCKED, "nobody allowed it"
    protect(desk.store)
    (operation,) = dcp.apply(plan)
    assert operation.status is OperationStatus.PARTIAL
    assert "playground_alice__y" in desk.world.items
