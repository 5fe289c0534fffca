"""Every operation leaves one record of how it ended: stopped, refused, or cut off too."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from dcp_core import ControlPlane
from dcp_core.errors import TransientError
from dcp_core.hookspecs import hookimpl
from dcp_core.model import Environment, LogicalPlan, ManifestPlan
from dcp_core.operating import LEFT, RUN, new_operation
from dcp_core.records import AuditRecord, OperationStatus
from dcp_core.registry import EXTENSIONS
from dcp_core.store import Holder
from tests.dcp_core.world import Desk, item, shelf

NAME = "playground_alice__x"
WANTED = shelf("a", item("x", runnable=True), item("y"))


def apply(dcp: ControlPlane, *plans: LogicalPlan) -> None:
    dcp.apply(dcp.plan(plans))


def last(dcp: ControlPlane) -> AuditRecord:
    return dcp.store.audit_records()[0]


class AfterStart:
    """An extension beside ``start``: does something once a job runs."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    @hookimpl(wrapper=True)
    def start(self) -> Generator[None, Any, Any]:
        started = yield
        self._then()
        return started


class Heard:
    """A listener that keeps the records."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        self.records.append(record)


def with_extension(desk: Desk, extension: object) -> ControlPlane:
    registry = desk.registry()
    registry.register(EXTENSIONS, "beside", extension, "acme-beside==1.0")
    return desk.open(registry=registry)


def test_a_run_that_another_one_stops_is_cancelled_and_not_failed(desk: Desk) -> None:
    apply(desk.open(), WANTED)
    other = desk.open("bob")

    def stop() -> None:
        resource = next(
            each for each in other.registry.plugin("shelf", "decompose", logical_plan=WANTED) if each.name == NAME
        )
        ctx = other.context(Environment.named("playground_alice"))
        other.registry.primitive(resource.kind, "stop", resource=resource, ctx=ctx)

    dcp = with_extension(desk, AfterStart(stop))
    (result,) = dcp.run(WANTED)
    assert not result.ok
    record = last(dcp)
    assert (record.outcome, record.actions) == (OperationStatus.CANCELLED, (f"RUN {NAME} CANCELLED",))


def test_a_run_that_its_user_interrupts_is_cancelled(desk: Desk) -> None:
    apply(desk.open(), WANTED)

    def interrupt() -> None:
        raise KeyboardInterrupt

    dcp = with_extension(desk, AfterStart(interrupt))
    with pytest.raises(KeyboardInterrupt):
        dcp.run(WANTED)
    record = last(dcp)
    assert (record.kind, record.outcome, record.message) == ("run", OperationStatus.CANCELLED, "interrupted")


@pytest.mark.parametrize("second", [KeyboardInterrupt, SystemExit])
def test_a_run_that_is_interrupted_again_while_it_stops_its_job_is_cancelled(
    desk: Desk, second: type[BaseException]
) -> None:
    apply(desk.open(), WANTED)

    class Impatient(AfterStart):
        @hookimpl(wrapper=True)
        def stop(self) -> Generator[None, Any, Any]:
            yield
            raise second

    def interrupt() -> None:
        raise KeyboardInterrupt

    dcp = with_extension(desk, Impatient(interrupt))
    with pytest.raises(KeyboardInterrupt):  # a hook that exits is a bug of its package, and stops nothing here
        dcp.run(WANTED)
    record = last(dcp)
    assert (record.kind, record.outcome, record.message) == ("run", OperationStatus.CANCELLED, "interrupted")
    assert desk.store._announced == {}


def test_a_failure_among_what_was_stopped_is_a_failure(desk: Desk) -> None:
    failing = shelf("a", item("x", runnable=True, text="fails"))
    dcp = desk.open()
    apply(dcp, failing)
    dcp.run(failing)
    assert last(dcp).outcome is OperationStatus.FAILED


def test_while_it_runs_a_run_is_announced_so_that_its_death_leaves_a_record(desk: Desk) -> None:
    apply(desk.open(), WANTED)
    seen: list[dict[str, Any]] = []
    dcp = with_extension(desk, AfterStart(lambda: seen.append(dict(desk.store._announced))))
    dcp.run(WANTED)
    ((announced,),) = [each.values() for each in seen]
    ahead = announced[0]
    assert (ahead.kind, ahead.outcome, ahead.message) == ("run", OperationStatus.FAILED, LEFT)
    assert ahead.operation_id == last(dcp).operation_id
    assert last(dcp).outcome is OperationStatus.SUCCEEDED
    assert desk.store._announced == {}


@pytest.mark.parametrize("next_command", ["run", "apply"])
def test_the_next_command_records_a_run_whose_process_was_killed_and_tells_listeners(
    desk: Desk, next_command: str
) -> None:
    dcp = desk.open()
    apply(dcp, WANTED)
    killed = dcp.operator.audit_record(
        new_operation(RUN, ManifestPlan(WANTED, ()), "bob", desk.clock()), OperationStatus.FAILED, (), LEFT
    )
    desk.store.announce_audit(killed, Holder("here", 99, "", "bob"))
    desk.store.gone.add(99)
    heard = Heard()
    dcp.listen(heard)
    if next_command == "run":
        dcp.run(WANTED)
    else:
        apply(dcp, WANTED)
    assert heard.records[0] == killed
    assert killed in dcp.store.audit_records()


def test_a_run_of_what_was_never_applied_is_refused_and_recorded(desk: Desk) -> None:
    dcp = desk.open()
    (result,) = dcp.run(WANTED)
    assert not result.ok
    record = last(dcp)
    assert (record.kind, record.outcome) == ("run", OperationStatus.REFUSED)
    assert record.message == result.error
    assert record.plan_digest == WANTED.digest


def test_an_apply_that_a_service_keeps_from_beginning_is_recorded(desk: Desk) -> None:
    dcp = desk.open()
    plan = dcp.plan(WANTED)
    desk.world.fail("read", NAME, *[TransientError("the shelf is away")] * 9)
    with pytest.raises(TransientError):
        dcp.apply(plan)
    record = last(dcp)
    assert (record.kind, record.outcome) == ("apply", OperationStatus.REFUSED)
    assert "the shelf is away" in record.message
    assert desk.world.items == {}


def test_what_a_program_refuses_by_itself_can_be_recorded_too(desk: Desk) -> None:
    dcp = desk.open()
    plans = [ManifestPlan(each, ()) for each in (WANTED, shelf("b", item("z")))]
    with pytest.raises(TransientError), dcp.recording_refusal("destroy", plans):
        raise TransientError("no catalog")
    assert [(each.kind, each.manifest_id) for each in dcp.store.audit_records()] == [
        ("destroy", "shelf/b"),
        ("destroy", "shelf/a"),
    ]
