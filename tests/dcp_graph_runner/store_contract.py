"""What every store must do, whatever it is made of: subclass ``StoreContract`` and give it a ``store``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from dcp_core.errors import ConflictError, LeaseLostError, NotFoundError, OperationInProgressError, PermanentError
from dcp_core.model import Action, ActionKind, LogicalPlan, ManifestPlan, Metadata, Resource, ResourceKey, Source, State
from dcp_core.records import (
    ActionResult,
    AuditRecord,
    InventoryEntry,
    Operation,
    OperationStatus,
    ResultStatus,
    Sandbox,
)
from dcp_core.store import Holder, InventoryChange, Lease, StateStore, StepStatus

ALICE = "playground_alice"
ORDERS = "derived_dataset/daily_orders"
START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LONGER_THAN_A_LEASE = timedelta(seconds=61)

# On machines that are not this one: only their leases can tell whether they live.
FIRST = Holder("elsewhere", 11, "100", "alice")
SECOND = Holder("elsewhere", 12, "200", "bob")


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


def logical_plan(
    manifest_id: str = ORDERS, environment: str = ALICE, file: str = "manifests/x.yaml", **spec: object
) -> LogicalPlan:
    manifest_type = manifest_id.partition("/")[0]
    source = Source(file, "sha256:0", {"x.sql": "sha256:1"})
    return LogicalPlan(
        manifest_type, manifest_id, environment, {"sql": "SELECT 1", **spec}, Metadata("logistics-de", 1), source
    )


def resource(name: str = "daily_orders", kind: str = "iceberg_table", manifest_id: str = ORDERS) -> Resource:
    return Resource(kind, name, manifest_id, ALICE, {"columns": [{"name": "id", "type": "string"}]})


def entry(name: str = "daily_orders", kind: str = "iceberg_table", manifest_id: str = ORDERS) -> InventoryEntry:
    return InventoryEntry(resource(name, kind, manifest_id), False, "sha256:a", "sha256:b")


def put(item: InventoryEntry) -> InventoryChange:
    return InventoryChange(item.resource.environment, item.resource.key, item)


def operation(
    operation_id: str = "op_1", manifest_id: str = ORDERS, environment: str = ALICE, names: Sequence[str] = ("t1", "t2")
) -> Operation:
    actions = tuple(
        Action(ActionKind.CREATE, resource(name, manifest_id=manifest_id), "missing", desired=State({"size": 2**60}))
        for name in names
    )
    plan = ManifestPlan(logical_plan(manifest_id, environment), actions)
    return Operation(operation_id, "apply", plan, "alice@example.com", created_at=START)


def record(of: Operation, outcome: OperationStatus = OperationStatus.SUCCEEDED, at: datetime = START) -> AuditRecord:
    return AuditRecord(
        of.id, of.kind, of.manifest_id, of.environment, of.user, outcome, of.plan.logical_plan.digest, ("A b C",), at
    )


def finish(store: StateStore, lease: Lease, status: OperationStatus = OperationStatus.SUCCEEDED) -> Operation:
    return store.finish(lease, status, (), None, record(lease.operation, status))


def apply(store: StateStore, of: Operation, *entries: InventoryEntry) -> None:
    """A whole operation that leaves ``entries`` behind."""
    lease = store.begin(of, FIRST)
    for item in entries:
        store.start_step(lease, f"action:{item.resource.key}")
        store.finish_step(lease, f"action:{item.resource.key}", StepStatus.DONE, None, (put(item),))
    finish(store, lease)


class StoreContract:
    """Subclass it, name the class ``Test…`` and define the fixture ``store(self, clock)``."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, clock: Clock) -> StateStore:
        raise NotImplementedError("the subclass gives the store")

    # Operations

    def test_an_operation_reads_back_as_it_was_begun(self, store: StateStore) -> None:
        lease = store.begin(operation(), FIRST)
        assert lease.holder == FIRST
        assert lease.operation == operation()
        assert store.operations(ALICE) == (lease.operation,)
        assert store.operations() == (lease.operation,)
        assert store.operations("production") == ()

    def test_a_second_operation_on_the_manifest_is_refused_and_told_who_holds_it(self, store: StateStore) -> None:
        store.begin(operation("op_1"), FIRST)
        with pytest.raises(OperationInProgressError, match="daily_orders") as refused:
            store.begin(operation("op_2"), SECOND)
        assert refused.value.holder == str(FIRST)
        assert [known.id for known in store.operations()] == ["op_1"]

    def test_other_manifests_and_environments_go_on_meanwhile(self, store: StateStore) -> None:
        store.begin(operation("op_1"), FIRST)
        store.begin(operation("op_2", "derived_dataset/other"), FIRST)
        store.begin(operation("op_3", environment="production"), FIRST)
        assert {known.id for known in store.operations()} == {"op_1", "op_2", "op_3"}

    def test_a_finished_operation_frees_its_manifest(self, store: StateStore) -> None:
        finish(store, store.begin(operation("op_1"), FIRST), OperationStatus.FAILED)
        assert store.begin(operation("op_2"), SECOND).operation.id == "op_2"

    def test_operations_come_newest_first_and_no_more_than_asked_for(self, store: StateStore, clock: Clock) -> None:
        for number in range(4):
            finish(store, store.begin(operation(f"op_{number}"), FIRST))
            clock.advance(timedelta(seconds=1))
        assert [known.id for known in store.operations(limit=3)] == ["op_3", "op_2", "op_1"]

    def test_finishing_keeps_results_error_and_time(self, store: StateStore, clock: Clock) -> None:
        lease = store.begin(operation(), FIRST)
        clock.advance(timedelta(seconds=5))
        key = ResourceKey("iceberg_table", "t1")
        results = (ActionResult(key, "CREATE_TABLE", ResultStatus.FAILED, "no space", "x"),)
        ended = store.finish(lease, OperationStatus.PARTIAL, results, "no space", record(lease.operation))
        assert (ended.status, ended.results, ended.error) == (OperationStatus.PARTIAL, results, "no space")
        assert (ended.finished_at, ended.recovered) == (clock.now, False)
        assert store.operations() == (ended,)

    def test_of_many_threads_that_begin_at_once_one_wins(self, store: StateStore) -> None:
        together = threading.Barrier(6)

        def begin(number: int) -> bool:
            together.wait()
            try:
                store.begin(operation(f"op_{number}"), FIRST)
            except OperationInProgressError:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(begin, range(6))) == [False] * 5 + [True]

    # Leases

    def test_an_operation_is_interrupted_when_its_lease_has_run_out(self, store: StateStore, clock: Clock) -> None:
        lease = store.begin(operation(), FIRST)
        assert store.interrupted(ALICE) == ()
        clock.advance(LONGER_THAN_A_LEASE)
        assert store.interrupted(ALICE) == (lease.operation,)
        assert store.interrupted(ALICE, [ORDERS]) == (lease.operation,)
        assert store.interrupted(ALICE, ["derived_dataset/other"]) == ()
        assert store.interrupted("production") == ()

    def test_renewing_and_working_keep_a_lease(self, store: StateStore, clock: Clock) -> None:
        lease = store.begin(operation(), FIRST)
        store.start_step(lease, "a")
        for _ in range(4):
            clock.advance(timedelta(seconds=20))
            store.renew(lease)
        assert store.interrupted(ALICE) == ()

    def test_a_live_operation_cannot_be_taken_over(self, store: StateStore) -> None:
        store.begin(operation(), FIRST)
        with pytest.raises(OperationInProgressError) as refused:
            store.take_over("op_1", SECOND)
        assert refused.value.holder == str(FIRST)

    def test_taking_over_gives_a_higher_fence_and_the_steps_so_far(self, store: StateStore, clock: Clock) -> None:
        lease = store.begin(operation(), FIRST)
        store.start_step(lease, "b")
        store.finish_step(lease, "b", StepStatus.DONE, {"stopped": ["x"]})
        store.start_step(lease, "a")
        clock.advance(LONGER_THAN_A_LEASE)
        taken = store.take_over("op_1", SECOND)
        assert taken.fence > lease.fence
        assert taken.operation == attrs.evolve(lease.operation, recovered=True)
        assert taken.holder == SECOND
        assert store.interrupted(ALICE) == ()
        steps = store.steps(taken)
        assert list(steps) == ["b", "a"]
        assert (steps["b"].status, steps["b"].result) == (StepStatus.DONE, {"stopped": ["x"]})
        assert (steps["a"].status, steps["a"].result) == (StepStatus.STARTED, None)
        assert finish(store, taken).recovered

    def test_a_former_holder_changes_nothing(self, store: StateStore, clock: Clock) -> None:
        former = store.begin(operation(), FIRST)
        store.start_step(former, "a")
        clock.advance(LONGER_THAN_A_LEASE)
        lease = store.take_over("op_1", SECOND)
        before = store.steps(lease)
        with pytest.raises(LeaseLostError):
            store.renew(former)
        with pytest.raises(LeaseLostError):
            store.start_step(former, "b")
        with pytest.raises(LeaseLostError):
            store.finish_step(former, "a", StepStatus.DONE, 1, (put(entry()),))
        with pytest.raises(LeaseLostError):
            finish(store, former)
        assert store.steps(lease) == before
        assert store.inventory(ALICE) == ()
        assert store.audit_records() == ()
        assert [one.status for one in store.operations()] == [OperationStatus.RUNNING]

    def test_a_finished_operation_takes_no_more_writes(self, store: StateStore) -> None:
        lease = store.begin(operation(), FIRST)
        ended = finish(store, lease)
        with pytest.raises(LeaseLostError):
            store.start_step(lease, "a")
        with pytest.raises(LeaseLostError):
            finish(store, lease, OperationStatus.FAILED)
        with pytest.raises(OperationInProgressError):
            store.take_over("op_1", SECOND)
        assert store.operations() == (ended,)
        assert len(store.audit_records()) == 1

    def test_an_unknown_operation_cannot_be_taken_over(self, store: StateStore) -> None:
        with pytest.raises(NotFoundError):
            store.take_over("op_none", SECOND)

    def test_an_operation_that_ends_every_process_is_given_up(self, store: StateStore, clock: Clock) -> None:
        lease = store.begin(operation(), FIRST)
        store.start_step(lease, "action:iceberg_table:t1")
        for _ in range(5):
            clock.advance(LONGER_THAN_A_LEASE)
            lease = store.take_over("op_1", SECOND)
        clock.advance(LONGER_THAN_A_LEASE)
        with pytest.raises(PermanentError, match="op_1") as given_up:
            store.take_over("op_1", SECOND)
        assert not isinstance(given_up.value, ConflictError)
        (ended,) = store.operations()
        assert ended.status is OperationStatus.FAILED
        assert ended.error
        assert [known.outcome for known in store.audit_records()] == [OperationStatus.FAILED]
        assert store.interrupted(ALICE) == ()
        with pytest.raises(LeaseLostError):
            store.renew(lease)
        store.begin(operation("op_2"), FIRST)

    # Steps

    def test_a_step_is_written_once(self, store: StateStore) -> None:
        lease = store.begin(operation(), FIRST)
        first, again = store.start_step(lease, "a"), store.start_step(lease, "a")
        assert (first.status, first.is_new) == (StepStatus.STARTED, True)
        assert (again.status, again.is_new) == (StepStatus.STARTED, False)
        store.finish_step(lease, "a", StepStatus.FAILED, {"why": "no"})
        ended = store.start_step(lease, "a")
        assert (ended.status, ended.result, ended.is_new) == (StepStatus.FAILED, {"why": "no"}, False)

    def test_a_failed_step_may_be_done_later(self, store: StateStore) -> None:
        lease = store.begin(operation(), FIRST)
        store.start_step(lease, "a")
        store.finish_step(lease, "a", StepStatus.FAILED, "once")
        store.finish_step(lease, "a", StepStatus.DONE, "twice")
        assert store.steps(lease)["a"].result == "twice"

    def test_ending_a_step_changes_the_inventory_with_it(self, store: StateStore) -> None:
        lease = store.begin(operation(), FIRST)
        store.start_step(lease, "a")
        store.finish_step(lease, "a", StepStatus.DONE, None, (put(entry("t1")), put(entry("t2"))))
        assert store.inventory(ALICE) == (entry("t1"), entry("t2"))
        store.start_step(lease, "b")
        gone = InventoryChange(ALICE, entry("t1").resource.key, None)
        store.finish_step(lease, "b", StepStatus.DONE, None, (gone,))
        assert store.inventory(ALICE) == (entry("t2"),)

    def test_threads_of_one_operation_write_steps_at_once(self, store: StateStore) -> None:
        lease = store.begin(operation(), FIRST)

        def work(number: int) -> None:
            store.start_step(lease, f"s{number}")
            store.finish_step(lease, f"s{number}", StepStatus.DONE, number, (put(entry(f"t{number}")),))

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(24)))
        assert {key: step.result for key, step in store.steps(lease).items()} == {f"s{n}": n for n in range(24)}
        assert len(store.inventory(ALICE)) == 24

    # Inventory

    def test_the_inventory_keeps_the_order_in_which_resources_came(self, store: StateStore) -> None:
        apply(store, operation("op_1"), entry("z"), entry("a"))
        changed = attrs.evolve(entry("z"), applied_digest="sha256:new", protected=True)
        apply(store, operation("op_2"), changed, entry("m"))
        assert store.inventory(ALICE) == (changed, entry("a"), entry("m"))

    def test_the_inventory_can_be_asked_for_some_manifests(self, store: StateStore) -> None:
        other = "derived_dataset/other"
        apply(store, operation("op_1"), entry("a"))
        apply(store, operation("op_2", other), entry("b", manifest_id=other))
        assert store.inventory(ALICE, [other]) == (entry("b", manifest_id=other),)
        assert store.inventory(ALICE, [other, ORDERS]) == (entry("a"), entry("b", manifest_id=other))
        assert store.inventory(ALICE, []) == ()
        assert store.inventory(ALICE, [f"derived_dataset/n{n}" for n in range(50_000)]) == ()
        assert store.inventory("production") == ()

    def test_resources_of_one_name_and_two_kinds_are_two(self, store: StateStore) -> None:
        apply(store, operation(), entry("x", "iceberg_table"), entry("x", "kafka_topic"))
        assert len(store.inventory(ALICE)) == 2

    def test_protection_is_kept(self, store: StateStore) -> None:
        apply(store, operation(), entry("x"))
        store.set_protected(ALICE, entry("x").resource.key, True)
        assert store.inventory(ALICE) == (attrs.evolve(entry("x"), protected=True),)
        store.set_protected(ALICE, entry("x").resource.key, False)
        assert store.inventory(ALICE) == (entry("x"),)
        with pytest.raises(NotFoundError):
            store.set_protected(ALICE, ResourceKey("iceberg_table", "unknown"), True)

    # Logical plans

    def test_history_keeps_every_version_and_repeats_none(self, store: StateStore) -> None:
        one, two = logical_plan(size=1), logical_plan(size=2**60)
        later = START + timedelta(hours=1)
        assert store.save_logical_plan(one, "op_1", "alice", START) == 1
        assert store.save_logical_plan(one, "op_2", "bob", START) == 1
        assert store.save_logical_plan(two, "op_3", "bob", later) == 2
        assert store.save_logical_plan(one, "op_4", "bob", later) == 3
        history = store.history(ALICE, ORDERS)
        assert [line[0] for line in history] == [3, 2, 1]
        assert history[1] == (2, two, "op_3", "bob", later)
        assert history[2] == (1, one, "op_1", "alice", START)
        assert store.history("production", ORDERS) == ()

    def test_a_manifest_that_moved_to_another_file_is_known_by_its_new_place(self, store: StateStore) -> None:
        apply(store, operation("op_1"), entry("a"))
        for file in ("old.yaml", "new.yaml"):
            store.save_logical_plan(logical_plan(file=file), "op_0", "alice", START)
        assert store.logical_plans(ALICE)[ORDERS].source.file == "new.yaml"

    def test_the_newest_plans_are_those_of_manifests_with_resources(self, store: StateStore) -> None:
        other, third = "derived_dataset/other", "derived_dataset/third"
        for manifest_id in (other, third, ORDERS):
            store.save_logical_plan(logical_plan(manifest_id), "op_0", "alice", START)
        newest = logical_plan(size=2)
        store.save_logical_plan(newest, "op_0", "alice", START)
        store.save_logical_plan(logical_plan(environment="production"), "op_0", "alice", START)
        assert dict(store.logical_plans(ALICE)) == {}
        apply(store, operation("op_1"), entry("a"))
        apply(store, operation("op_2", other), entry("b", manifest_id=other))
        assert dict(store.logical_plans(ALICE)) == {ORDERS: newest, other: logical_plan(other)}

    # Audit

    def test_every_operation_has_one_audit_record(self, store: StateStore) -> None:
        lease = store.begin(operation("op_1"), FIRST)
        written = record(lease.operation)
        store.finish(lease, OperationStatus.SUCCEEDED, (), None, written)
        refused = record(operation("op_2"), OperationStatus.REFUSED)
        store.append_audit(refused)
        store.append_audit(attrs.evolve(refused, message="again"))
        store.append_audit(attrs.evolve(written, message="again"))
        assert store.audit_records() == (refused, written)

    def test_audit_records_can_be_asked_for_by_place(self, store: StateStore) -> None:
        here, there = operation("op_1"), operation("op_2", environment="production")
        other = operation("op_3", "derived_dataset/other")
        for one in (here, there, other):
            store.append_audit(record(one))
        assert store.audit_records(ALICE) == (record(other), record(here))
        assert store.audit_records(manifest_id=ORDERS) == (record(there), record(here))
        assert store.audit_records(ALICE, ORDERS) == (record(here),)
        assert store.audit_records(limit=1) == (record(other),)

    def test_an_announced_record_is_written_when_its_process_is_silent_for_too_long(
        self, store: StateStore, clock: Clock
    ) -> None:
        ahead = record(operation("op_1"), OperationStatus.FAILED)
        store.announce_audit(ahead, FIRST)
        clock.advance(timedelta(minutes=4))
        store.announce_audit(ahead, FIRST)
        clock.advance(timedelta(minutes=4))
        assert store.settle_audit() == ()
        assert store.audit_records() == ()
        clock.advance(timedelta(minutes=4))
        (settled,) = store.settle_audit()
        assert attrs.evolve(settled, at=ahead.at) == ahead
        assert store.settle_audit() == ()
        assert store.audit_records() == (settled,)

    def test_an_announced_operation_that_ends_has_the_record_of_its_end_alone(
        self, store: StateStore, clock: Clock
    ) -> None:
        ended = record(operation("op_1"))
        store.announce_audit(record(operation("op_1"), OperationStatus.FAILED), FIRST)
        store.append_audit(ended)
        store.announce_audit(record(operation("op_1"), OperationStatus.FAILED), FIRST)
        clock.advance(timedelta(hours=1))
        assert store.settle_audit() == ()
        assert store.audit_records() == (ended,)

    # Playgrounds

    def test_a_playground_belongs_to_one_identity(self, store: StateStore) -> None:
        mine = Sandbox(ALICE, "alice", "alice@example.com", START, START + timedelta(days=14))
        longer = attrs.evolve(mine, expires_at=START + timedelta(days=20))
        store.put_sandbox(mine)
        store.put_sandbox(longer)
        with pytest.raises(ConflictError) as refused:
            store.put_sandbox(attrs.evolve(mine, identity="alice@example.org"))
        assert "alice@example.com" in str(refused.value)
        assert "alice@example.org" in str(refused.value)
        assert store.sandboxes() == (longer,)

    def test_playgrounds_are_listed_by_name(self, store: StateStore) -> None:
        for user in ("zoe", "bob"):
            store.put_sandbox(Sandbox(f"playground_{user}", user, user, START, START))
        assert [sandbox.user for sandbox in store.sandboxes()] == ["bob", "zoe"]

    def test_a_playground_with_resources_cannot_be_forgotten(self, store: StateStore) -> None:
        store.put_sandbox(Sandbox(ALICE, "alice", "alice", START, START))
        apply(store, operation(), entry("x"))
        with pytest.raises(ConflictError):
            store.delete_sandbox(ALICE)
        assert len(store.sandboxes()) == 1

    def test_a_forgotten_playground_is_nobodys_choice(self, store: StateStore) -> None:
        store.put_sandbox(Sandbox(ALICE, "alice", "alice", START, START))
        store.choose_sandbox("alice", ALICE)
        store.choose_sandbox("bob", ALICE)
        store.choose_sandbox("zoe", "playground_zoe")
        store.delete_sandbox(ALICE)
        store.delete_sandbox(ALICE)
        assert store.sandboxes() == ()
        assert [store.chosen_sandbox(name) for name in ("alice", "bob", "zoe")] == [None, None, "playground_zoe"]

    def test_a_choice_is_remembered_for_each_identity(self, store: StateStore) -> None:
        assert store.chosen_sandbox("alice") is None
        store.choose_sandbox("alice", ALICE)
        store.choose_sandbox("alice", "playground_bob")
        assert store.chosen_sandbox("alice") == "playground_bob"
        assert store.chosen_sandbox("bob") is None
        store.choose_sandbox("alice", None)
        store.choose_sandbox("alice", None)
        assert store.chosen_sandbox("alice") is None
