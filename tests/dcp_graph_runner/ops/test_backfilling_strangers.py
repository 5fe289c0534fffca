"""Backfills of a stranger's manifest type: by hooks alone, in order, each interval once wherever they are killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from dcp_core import ControlPlane, hookimpl
from dcp_core.errors import ConflictError, UnauthorizedError
from dcp_core.records import Caller, Execution, Operation
from dcp_core.registry import EXTENSIONS
from dcp_graph_runner.api.ops import BACKFILL, RETRY
from dcp_graph_runner.ops.messages import BackfillAnswer, BackfillRequest, Reprocess, RetryRequest
from tests.dcp_graph_runner.ops.clockwork import CLOCK, ENVIRONMENT, Clock, backfill_and_die, hours, opened
from tests.dcp_graph_runner.ops.test_running import Nobody
from tests.warm import warm_process

HOURS = 12


def request(reprocess: str = "none", *, upto: int = HOURS, **options: object) -> BackfillRequest:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, upto, tzinfo=UTC)
    return BackfillRequest(ENVIRONMENT, CLOCK.id, start, end, Reprocess(reprocess), **options)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dcp(tmp_path: Path, clock: Clock) -> Iterator[ControlPlane]:
    with opened(tmp_path, clock) as dcp:
        yield dcp


def run(dcp: ControlPlane, reprocess: str = "none", **options: object) -> BackfillAnswer:
    answer: BackfillAnswer = BACKFILL.function(dcp, request(reprocess, **options))  # type: ignore[arg-type]
    return answer


def test_the_earliest_come_first_and_the_first_failure_ends_it(dcp: ControlPlane, clock: Clock, tmp_path: Path) -> None:
    clock._fails = {3}
    answer = run(dcp)
    assert (answer.status, hours(tmp_path)) == ("FAILED", [0, 1, 2])
    assert [each.error for each in answer.rows if each.error] == ["not run: one before it failed"] * (HOURS - 4)
    assert run(dcp).status == "SUCCEEDED", "what failed is left out"
    assert hours(tmp_path) == [0, 1, 2, *range(4, HOURS)]
    clock._fails = set()
    assert [each.start.hour for each in run(dcp, "failed").rows if each.wanted] == [3]
    assert sorted(hours(tmp_path)) == list(range(HOURS))


def test_it_keeps_going_where_that_is_wanted(dcp: ControlPlane, clock: Clock, tmp_path: Path) -> None:
    clock._fails = {0, 5}
    answer = run(dcp, keep_going=True, max_parallel=4)
    assert (answer.status, len(hours(tmp_path))) == ("FAILED", HOURS - 2)
    assert {each.start.hour for each in answer.rows if each.status == "FAILED"} == {0, 5}


def test_one_that_somebody_stops_ends_it_though_it_keeps_going_after_failures(
    dcp: ControlPlane, clock: Clock, tmp_path: Path
) -> None:
    clock._fails, clock._stopped = {1}, {2}
    answer = run(dcp, keep_going=True)
    assert (answer.status, hours(tmp_path), hours(tmp_path, "CANCELLED")) == ("CANCELLED", [0], [2])
    assert [each.error for each in answer.rows[3:]] == (HOURS - 3) * ["not run: one before it was stopped"]


def test_everything_is_run_again_once_for_each_backfill_that_comes_to_its_end(
    dcp: ControlPlane, tmp_path: Path
) -> None:
    for times in (1, 2, 3):
        assert run(dcp, "completed").status == "SUCCEEDED"
        assert sorted(hours(tmp_path)) == sorted(times * list(range(HOURS)))


class Watching:
    """What is told of operations and executions."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.changed: set[tuple[str, str]] = set()

    @hookimpl
    def operation_started(self, operation: Operation) -> None:
        self.started.append((operation.kind, operation.id))

    @hookimpl
    def execution_changed(self, operation: Operation, execution: Execution) -> None:
        self.changed.add((operation.kind, operation.id))


def test_each_interval_is_a_run_with_a_record_of_its_own_also_within_one_request(tmp_path: Path) -> None:
    watching = Watching()
    with opened(tmp_path, Clock(), Caller("alice", request_id="req_20260101T000000_abc")) as dcp:
        dcp.listen(watching)
        assert run(dcp, "completed").status == "SUCCEEDED"
        runs = [each for each in dcp.store.audit_records() if each.kind == "run"]
        assert {(each.kind, each.operation_id) for each in runs} == set(watching.started) == watching.changed
        assert len(runs) == HOURS
        assert not any(each.wanted for each in run(dcp, "completed").rows), "the same request has run them"


def test_a_retry_that_another_replica_takes_over_is_the_same_one(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as dcp:
        clock._fails = {0}
        assert run(dcp, upto=1).status == "FAILED"
    clock._fails = set()
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    retry = RetryRequest(ENVIRONMENT, CLOCK.id, wait=True)
    with opened(tmp_path, clock, Caller("alice", request_id=f"req_{moment}_abc")) as dcp:
        first, second = RETRY.function(dcp, retry), RETRY.function(dcp, retry)
        assert first == second
    assert (hours(tmp_path), hours(tmp_path, "FAILED")) == ([0], [0])
    with opened(tmp_path, clock) as dcp, pytest.raises(ConflictError, match="nothing"):
        RETRY.function(dcp, retry)


def test_an_interrupted_backfill_says_what_it_has_run(dcp: ControlPlane, clock: Clock, tmp_path: Path) -> None:
    def interrupt() -> None:
        if len(hours(tmp_path)) == 3:
            raise KeyboardInterrupt

    clock._before = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(dcp, max_parallel=1)
    record = next(each for each in dcp.store.audit_records() if each.kind == "backfill")
    assert record.outcome == "CANCELLED"
    assert [each.rpartition(" ")[2] for each in record.actions] == 3 * ["SUCCEEDED"] + (HOURS - 3) * ["SKIPPED"]
    clock._before = lambda: None
    run(dcp)
    assert hours(tmp_path) == list(range(HOURS))


def test_a_job_that_is_none_of_the_manifests_own_is_not_run_with_it(dcp: ControlPlane, tmp_path: Path) -> None:
    newest = attrs.evolve(CLOCK, plugin_spec={"also": ["theirs"]})  # in force, though its job was never made
    dcp.store.save_logical_plan(newest, "op_1", "alice", datetime.now(UTC))
    with pytest.raises(ConflictError, match="theirs was not made when clockwork/clock was applied"):
        run(dcp)
    assert not (tmp_path / ".dcp" / "executions.jsonl").exists()
    (record,) = (each for each in dcp.store.audit_records() if each.kind == "backfill")
    assert (record.outcome, record.message) == ("REFUSED", "theirs was not made when clockwork/clock was applied")


def test_a_dry_run_leaves_a_record_of_a_denial_alone(dcp: ControlPlane) -> None:
    newest = attrs.evolve(CLOCK, plugin_spec={"also": ["theirs"]})
    dcp.store.save_logical_plan(newest, "op_1", "alice", datetime.now(UTC))
    with pytest.raises(ConflictError, match="theirs was not made"):
        run(dcp, dry_run=True)
    assert [each for each in dcp.store.audit_records() if each.kind == "backfill"] == []
    dcp.registry.register(EXTENSIONS, "nobody", Nobody(), "a test")
    with pytest.raises(UnauthorizedError, match="nobody may backfill"):
        run(dcp, dry_run=True)
    assert [each.outcome for each in dcp.store.audit_records() if each.kind == "backfill"] == ["REFUSED"]


def test_two_backfills_at_once_run_each_interval_once(tmp_path: Path) -> None:
    with opened(tmp_path, Clock()):
        pass
    ways = [(str(tmp_path), 10_000, False, "none")] * 2
    started = [
        warm_process().start(
            f"{backfill_and_die.__module__}:{backfill_and_die.__name__}", *way, cwd=tmp_path, environ=dict(os.environ)
        )
        for way in ways
    ]
    for each in started:
        each.wait()
    assert sorted(hours(tmp_path)) == list(range(HOURS))


@pytest.mark.parametrize("reprocess", ["none", "failed", "completed"])
@pytest.mark.parametrize("is_after", [False, True])
def test_wherever_it_is_killed_the_next_one_runs_what_is_missing(
    tmp_path: Path, reprocess: str, is_after: bool
) -> None:
    for deadly in (1, 2, 5):  # one after the other, each kills what the one before has left
        started = warm_process().start(
            f"{backfill_and_die.__module__}:{backfill_and_die.__name__}",
            str(tmp_path), deadly, is_after, reprocess, cwd=tmp_path, environ=dict(os.environ),
        )  # fmt: skip
        started.wait()
    with opened(tmp_path, Clock()) as dcp:
        assert run(dcp, reprocess).status == "SUCCEEDED"
        dcp.settle_audit()
        records = [each for each in dcp.store.audit_records(limit=200) if each.kind == "backfill"]
    assert sorted(hours(tmp_path)) == list(range(HOURS))
    assert [each.outcome.value for each in records] == ["SUCCEEDED", "FAILED", "FAILED", "FAILED"]
