"""What runs is what was applied of a manifest, whatever a plan says of itself."""

from __future__ import annotations

import pytest
from attrs import evolve

from dcp_core import ControlPlane, ExecutionStatus, LogicalPlan, OperationStatus
from dcp_core.running import Runner
from tests.dcp_core.world import Desk, item, shelf

X, Y = "playground_alice__x", "playground_alice__y"


def test_a_plan_that_names_another_manifests_job_does_not_run_it(desk: Desk) -> None:
    dcp = desk.open()
    dcp.apply(dcp.plan([shelf("theirs", item("x", runnable=True)), shelf("mine", item("y", runnable=True))]))
    (result,) = dcp.run(shelf("mine", item("x", runnable=True)))
    assert result.error == "playground_alice__x was not made when it was applied; `pretzel plan` says what it waits for"
    assert desk.world.called("start") == []
    record = dcp.store.audit_records()[0]
    assert (record.kind, record.manifest_id, record.outcome.value) == ("run", "shelf/mine", "REFUSED")


def test_a_run_goes_by_the_version_in_force_and_says_that_the_manifest_has_changed(desk: Desk) -> None:
    dcp = desk.open()
    applied = shelf("a", item("x", runnable=True), item("y", runnable=True))
    dcp.apply(dcp.plan(applied))
    (result,) = dcp.run(shelf("a", item("x", text="new", runnable=True), owner="somebody else"))
    assert result.ok
    assert result.note == "the manifest has changed since it was applied; this ran the version applied"
    assert desk.world.called("start") == ["playground_alice__x", "playground_alice__y"]
    assert dcp.store.audit_records()[0].plan_digest == applied.digest


# What goes on until it is stopped


def two_jobs(text: str = "old") -> LogicalPlan:
    return shelf("a", item("x", text=text, runnable=True), item("y", text=text, runnable=True))


def start(desk: Desk, dcp: ControlPlane, name: str, **params: str) -> None:
    """As somebody's run in another process has it."""
    (resource,) = [each.resource for each in dcp.plan(two_jobs()).actions if each.resource.name == name]
    ctx = dcp.context(dcp.environment("playground_alice"))
    desk.registry().primitive(
        resource.kind, "start", resource=resource, params=params, idempotency_key=f"theirs:{name}", ctx=ctx
    )


def applied(desk: Desk) -> ControlPlane:
    """Changed while one of two jobs goes on for ever."""
    dcp = desk.open()
    dcp.apply(dcp.plan(two_jobs()))
    start(desk, dcp, X, endless="yes")
    start(desk, dcp, Y)
    return dcp


def test_what_is_endless_is_started_again_and_not_waited_for_beside_what_ends(desk: Desk) -> None:
    dcp = applied(desk)
    operations = dcp.apply(dcp.plan(two_jobs("new")))
    found = {each.resource.name: each for each in dcp.wait(operations)}
    assert operations[-1].status is OperationStatus.SUCCEEDED
    assert (found[X].status, found[X].is_endless) == (ExecutionStatus.RUNNING, True)
    assert (found[Y].status, found[Y].is_endless) == (ExecutionStatus.SUCCEEDED, False)
    assert found[X].params == {"endless": "yes"}
    assert desk.world.called("stop") == [X, Y]
    assert desk.world.running == {X: found[X].id}


def test_an_apply_after_it_does_not_take_up_what_is_endless_and_takes_up_what_ends(desk: Desk) -> None:
    dcp = applied(desk)
    dcp.apply(dcp.plan(two_jobs("new")))  # nobody waits: its process is gone
    later = desk.open()
    looks = len(desk.world.called("look"))
    found = later.wait(later.apply(later.plan(two_jobs("new"))))
    assert [(each.resource.name, each.status) for each in found] == [(Y, ExecutionStatus.SUCCEEDED)]
    assert desk.world.called("look")[looks:] == [Y]
    assert list(desk.world.running) == [X]


def test_who_interrupts_the_wait_stops_what_was_waited_for_and_nothing_else(desk: Desk) -> None:
    dcp = applied(desk)
    operations = dcp.apply(dcp.plan(two_jobs("new")))
    desk.world.fail("look", Y, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        dcp.wait(operations)
    assert list(desk.world.running) == [X]


def test_a_run_waits_for_what_is_endless_until_somebody_stops_it(desk: Desk) -> None:
    dcp = desk.open()
    wanted = shelf("a", item("x", runnable=True))
    dcp.apply(dcp.plan(wanted))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            desk.world.executions["e1"] = evolve(desk.world.executions["e1"], status=ExecutionStatus.CANCELLED)

    (result,) = Runner(evolve(dcp.operator, sleep=sleep)).run([wanted], {"endless": "yes"})
    assert [each.status for each in result.executions] == [ExecutionStatus.CANCELLED]
    assert len(slept) == 3
