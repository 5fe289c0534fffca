"""The durable queue of requests: who holds one, what is taken over, what is written twice or by a former holder."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import event

from dcp_core.errors import ConflictError, LeaseLostError, NotFoundError, TransientError, UnauthorizedError
from dcp_core.records import Caller
from dcp_core.sections import StoreSettings
from dcp_core.store import Holder
from dcp_graph_runner.api.long_running import Event, RequestStatus
from dcp_graph_runner.request_rows import LEASE, Claim, Request
from dcp_graph_runner.requests import RequestLog
from dcp_graph_runner.sql_store import SqlStore, open_store

A, B = Holder("a", 1, "x", "(server)"), Holder("b", 2, "y", "(server)")
START = datetime(2026, 11, 1, tzinfo=UTC)


@attrs.define
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[RequestLog]:
    store = open_store(f"sqlite:///{tmp_path}/state.db", clock, StoreSettings(take_overs=2, waiting_days=3))
    assert isinstance(store, SqlStore)
    yield RequestLog(store.database, clock, lambda _holder: False)
    store.close()


def accepted(log: RequestLog, id: str = "req_1", **more: Any) -> Claim:
    told = {"needs": (), "document": {"environment": "production"}, **more}
    claim, given = log.accept(
        Request(id, "Operations.Run", Caller("alice", ("t",), id, is_remote=True), "production", **told), A
    )
    assert claim is not None
    assert given == id
    return claim


def events(*sequences: int) -> list[Event]:
    return [Event(each, "node_started", START, node="plan") for each in sequences]


def expire(clock: Clock) -> None:
    clock.now += LEASE + timedelta(seconds=1)


@pytest.mark.parametrize("tenants", [None, (), ("playground_alice", "playground_b*")])
def test_what_a_token_was_for_goes_along_with_its_request(
    log: RequestLog, clock: Clock, tenants: tuple[str, ...] | None
) -> None:
    caller = Caller("alice", ("t",), "req_1", is_remote=True, tenants=tenants)
    request = Request("req_1", "Operations.Run", caller, "playground_alice", {}, ("databricks",))
    log.accept(attrs.evolve(request, needs=()), None)
    (begun,), _ = log.claim(A, 1)
    assert begun.request.caller == caller, "whoever has a free hand first"
    expire(clock)
    (taken_over,), _ = log.claim(B, 1)
    assert taken_over.request.caller == caller
    second = attrs.evolve(caller, request_id="req_2")
    log.accept(attrs.evolve(request, id="req_2", caller=second), A)
    expire(clock)
    now = attrs.evolve(second, groups=("u",), tenants=("production",))
    log.claim(B, 1, besides=["req_1"])
    assert log.resume("req_2", B, now).request.caller == now


def test_what_is_held_is_nobody_elses_until_its_lease_ends(log: RequestLog, clock: Clock) -> None:
    mine = accepted(log)
    clock.now += LEASE - timedelta(seconds=1)
    assert log.claim(B, 10) == ((), ())
    assert log.renew([mine]) == {"req_1"}
    clock.now += LEASE - timedelta(seconds=1)
    assert log.claim(B, 10) == ((), ())
    expire(clock)
    assert log.claim(B, 10, besides=["req_1"]) == ((), ())
    (theirs,), _ = log.claim(B, 10)
    assert theirs.request == mine.request
    assert log.renew([mine, theirs]) == {"req_1"}
    for write in (log.check_held, lambda claim: log.finish(claim, RequestStatus.DONE)):
        with pytest.raises(LeaseLostError):
            write(mine)
    log.finish(theirs, RequestStatus.DONE, answer={"a": 1})
    assert log.get("req_1").answer == {"a": 1}
    assert log.claim(A, 10) == ((), ())


def test_events_of_a_former_holder_are_dropped_and_those_written_twice_are_there_once(
    log: RequestLog, clock: Clock
) -> None:
    mine = accepted(log)
    log.add_events({mine: events(1, 2)})
    log.add_events({mine: events(1, 2, 3)})  # its first commit was kept, and nobody knew
    expire(clock)
    (theirs,), _ = log.claim(B, 10)
    assert theirs.events == 3
    log.add_events({mine: events(4, 5)})
    log.add_events({theirs: events(4)})
    found, status = log.events("req_1", 1)
    assert ([each.sequence for each in found], status) == ([2, 3, 4], RequestStatus.RUNNING)


def test_the_last_events_and_the_end_are_written_together_or_not_at_all(log: RequestLog, clock: Clock) -> None:
    former = accepted(log)
    log.add_events({former: events(1)})
    expire(clock)
    (mine,), _ = log.claim(B, 10)
    with pytest.raises(LeaseLostError):
        log.finish(former, RequestStatus.FAILED, events=events(2, 3))
    assert [each.sequence for each in log.events("req_1", 0)[0]] == [1]
    commits: list[object] = []
    event.listen(log.database.engine, "commit", commits.append)
    log.finish(mine, RequestStatus.DONE, answer={}, events=events(1, 2, 3))
    assert len(commits) == 1
    found, status = log.events("req_1", 0)
    assert ([each.sequence for each in found], status) == ([1, 2, 3], RequestStatus.DONE)
    log.finish(mine, RequestStatus.DONE, answer={}, events=events(1, 2, 3))  # it was kept, and nobody knew
    assert len(log.events("req_1", 0)[0]) == 3


def test_a_request_that_ended_too_many_processes_is_held_to_be_given_up(log: RequestLog, clock: Clock) -> None:
    accepted(log)
    for _ in range(2):
        expire(clock)
        (claim,), hopeless = log.claim(B, 10)
        assert (claim.request.id, hopeless) == ("req_1", ())
    for _ in range(2):  # whoever gives it up may end too
        expire(clock)
        claims, (last,) = log.claim(B, 10)
        assert (claims, last.status, last.problem.code) == ((), RequestStatus.FAILED, "request.given_up")
    log.finish(last.claim, last.status, error=last.problem)
    assert log.running() == 0


def test_what_a_replica_hands_back_is_free_at_once_and_does_not_count_as_its_end(log: RequestLog) -> None:
    accepted(log)
    (claim,) = [Claim(accepted(log, f"req_{number}").request, 1) for number in (2,)]
    log.release([claim])
    for _ in range(10):
        (claim,), hopeless = log.claim(B, 10)
        assert (claim.request.id, hopeless) == ("req_2", ())
        log.release([claim])


def test_what_needs_a_token_waits_for_its_user_and_is_taken_by_nobody_else(log: RequestLog, clock: Clock) -> None:
    accepted(log, needs=("databricks",))
    expire(clock)
    assert log.claim(B, 10) == ((), ())
    state = log.get("req_1")
    assert (state.status, state.needs) == (RequestStatus.WAITING_FOR_USER, ("databricks",))
    with pytest.raises(UnauthorizedError, match="req_1 is alice's"):
        log.resume("req_1", B, Caller("bob"))
    with pytest.raises(NotFoundError):
        log.resume("req_9", B, Caller("alice"))
    assert log.claim_waiting(B) == ()
    resumed = log.resume("req_1", B, Caller("alice", ("another-team",)))
    assert resumed.fence == 3
    assert resumed.request.caller.groups == ("another-team",)  # of now, not of when it was asked
    with pytest.raises(ConflictError, match="does not wait"):
        log.resume("req_1", B, Caller("alice"))


def test_what_waits_longer_than_the_settings_say_is_held_to_be_ended(log: RequestLog, clock: Clock) -> None:
    accepted(log, needs=("databricks",))
    accepted(log, "req_2", needs=("databricks",))
    expire(clock)
    log.claim(B, 10)
    clock.now += timedelta(days=2, hours=23)
    assert log.claim_waiting(A) == ()
    log.cancel("req_2", "alice")
    (cancelled,) = log.claim_waiting(A)
    assert (cancelled.claim.request.id, cancelled.status) == ("req_2", RequestStatus.CANCELLED)
    clock.now += timedelta(hours=2)
    (late,) = log.claim_waiting(A)
    assert (late.claim.request.id, late.status, late.problem.code) == (
        "req_1", RequestStatus.FAILED, "request.waited_too_long",
    )  # fmt: skip
    assert log.claim_waiting(B) == ()


def test_what_is_held_when_the_database_goes_away_is_worked_on(
    log: RequestLog, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        accepted(log, f"req_{number}")
    expire(clock)
    held: list[str] = []
    hold = RequestLog._hold

    def hold_one(self: RequestLog, row: Any, *more: Any) -> Claim | None:
        if held:
            raise TransientError("the database is away")
        held.append(row.id)
        return hold(self, row, *more)

    monkeypatch.setattr(RequestLog, "_hold", hold_one)
    (mine,), hopeless = log.claim(B, 10)
    assert ([mine.request.id], hopeless) == (held, ())
    with pytest.raises(TransientError):  # nothing is held: there is nothing to give back
        log.claim(B, 10, held)
    monkeypatch.undo()
    log.release([mine])
    assert [each.request.id for each in log.claim(B, 10)[0]] == ["req_0", "req_1", "req_2"]


def test_what_has_ended_is_not_cancelled(log: RequestLog) -> None:
    claim = accepted(log)
    log.finish(claim, RequestStatus.DONE, answer={})
    log.finish(claim, RequestStatus.DONE, answer={})  # its first commit was kept, and nobody knew
    log.cancel("req_1", "alice")
    assert log.cancelled(["req_1"]) == frozenset()
    with pytest.raises(UnauthorizedError):
        log.cancel("req_1", "bob")


def test_looking_for_what_was_left_reads_no_documents(log: RequestLog, clock: Clock) -> None:
    accepted(log, document={"environment": "production", "much": "x" * 100_000})
    said: list[str] = []
    event.listen(log.database.engine, "before_cursor_execute", lambda *told: said.append(told[2]))
    assert log.claim(B, 10) == ((), ())
    assert log.all(None, 10)[0].id == "req_1"
    assert said
    assert not any("document" in each or "answer" in each for each in said)


def test_however_many_there_are_few_are_read_and_each_identity_has_its_turn(
    log: RequestLog, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(identity: str, number: int, holder: Holder | None) -> str:
        id = f"req_{identity}_{number:03}"
        log.accept(Request(id, "Operations.Run", Caller(identity, (), id), "production", {}), holder)
        clock.now += timedelta(milliseconds=1)
        return id

    for number in range(300):
        ask("alice", number, B)  # held, and elsewhere
    for number in range(300):
        ask("carol", number, None)
    last = ask("bob", 0, None)
    read: list[int] = []
    rows = type(log.database).rows

    def counted(self: Any, query: Any) -> Any:
        found = rows(self, query)
        read.append(len(found))
        return found

    monkeypatch.setattr(type(log.database), "rows", counted)
    claims, _ = log.claim(A, 3, served={"carol": 2, "bob": 1})
    assert [each.request.id for each in claims] == [last, "req_carol_000", "req_carol_001"]
    assert sum(read) < 250
    ask("alice", 999, None)
    assert [each.request.id for each in log.claim(A, 2)[0]] == ["req_carol_002", "req_carol_003"]


def test_of_a_process_of_this_machine_that_has_ended_it_is_free_at_once(log: RequestLog) -> None:
    accepted(log)
    gone = attrs.evolve(log, is_gone=lambda holder: holder.pid == A.pid)
    assert gone.claim(attrs.evolve(A, pid=2), 5, besides=["req_1"]) == ((), ())
    ((mine,), _) = gone.claim(attrs.evolve(A, pid=2), 5)
    assert mine.fence == 2


def test_what_nobody_has_begun_and_its_user_cancels_is_held_to_be_ended(log: RequestLog) -> None:
    for id, holder in (("req_1", None), ("req_2", A)):
        log.accept(Request(id, "Operations.Run", Caller("alice", (), id), "production", {}), holder)
        log.cancel(id, "alice")
    (ended,) = log.claim_waiting(B)
    assert (ended.claim.request.id, ended.status) == ("req_1", RequestStatus.CANCELLED)
