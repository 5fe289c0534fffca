"""Requests of the server that go on after their answer: a durable queue that several replicas work on.

Who accepts a request holds it by a lease, as operations are held: writes carry the fence, and no row means that another
replica has taken it over. A request that came with tokens of the user's cannot be taken over, for they are stored
nowhere: it waits for the user instead.

Writes are done again when the database cuts them off (``Database.settle``), so each of them knows its own row again.

Source: design.md sections 7 and 9.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

import attrs
from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from dcp_core.digests import JsonValue
from dcp_core.documents import from_json
from dcp_core.errors import ConflictError, DcpError, NotSupportedError, UsageError
from dcp_core.records import Caller
from dcp_core.store import Holder, Store
from dcp_graph_runner import holder as processes
from dcp_graph_runner.api.long_running import Event, OperationState, Problem, RequestStatus
from dcp_graph_runner.database import Database
from dcp_graph_runner.journal_rows import dump
from dcp_graph_runner.request_events import write_events
from dcp_graph_runner.request_rows import (
    LEASE,
    NOBODY,
    SMALL,
    STATE,
    AnyRow,
    Claim,
    Hopeless,
    Request,
    check_owner,
    count_events,
    fenced,
    held_by,
    lost,
    refuse_more,
    request_of,
    row_of,
    state_of,
    teams_of,
    unknown,
    waited,
)
from dcp_graph_runner.request_turns import free_in_turn
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import request_events, requests

GIVEN_UP = "request.given_up"
LONGEST_KEY = 255
NOBODY_SERVED: Mapping[str, int] = {}
_OPEN = (RequestStatus.RUNNING.value, RequestStatus.WAITING_FOR_USER.value)


@attrs.frozen
class RequestLog:
    """All requests. Thread-safe.

    Args:
        database: The state database; its ``[store]`` settings say how often a request may be taken over.
        clock: UTC now, where the database has no clock of its own.
        is_gone: Whether a holder's process has ended for certain.
    """

    database: Database
    clock: Callable[[], datetime]
    is_gone: Callable[[Holder], bool] = processes.is_gone

    @classmethod
    def of(cls, store: Store, clock: Callable[[], datetime]) -> RequestLog:
        """Those that the store keeps.

        Raises:
            NotSupportedError: The store is none on SQL.
        """
        if not isinstance(store, SqlStore):
            raise NotSupportedError("requests are kept in a SQL store", hint="[store] url = sqlite:///… or postgresql…")
        return cls(store.database, clock)

    def accept(
        self, request: Request, holder: Holder | None, idempotency_key: str | None = None, most_open: int | None = None
    ) -> tuple[Claim | None, str]:
        """Keep a request and hold it; without a holder it is there for whoever has a free hand first (``claim``).

        Returns:
            The claim, and the request's id; no claim when the key came before, with the id that it got then.

        Raises:
            ConflictError: The key came before, with another request.
            TransientError: ``most_open`` of the caller's run already.
            UsageError: The key is too long.
        """
        if idempotency_key is not None and not 0 < len(idempotency_key) <= LONGEST_KEY:
            raise UsageError(f"an idempotency key has 1 to {LONGEST_KEY} characters, not {len(idempotency_key)}")
        mine = requests.c.id == request.id
        if idempotency_key is not None:
            same_key = and_(
                requests.c.identity == request.caller.identity, requests.c.idempotency_key == idempotency_key
            )
            mine = or_(mine, same_key)

        def insert_once(connection: Connection) -> str:
            known = connection.execute(select(requests.c.id, requests.c.digest).where(mine)).one_or_none()
            if known is not None:
                if known.digest != request.digest:
                    raise ConflictError(
                        f"the idempotency key came before, with another request: {known.id}",
                        hint="a key belongs to one request; make a new one",
                        code="request.key_used",
                    )
                return str(known.id)
            if most_open is not None:
                self.database.lock(connection, request.caller.identity)  # others of theirs come at the same time
                refuse_more(connection, request.caller.identity, most_open)
            row = row_of(request, holder, self._now(connection))
            connection.execute(insert(requests).values(**row, idempotency_key=idempotency_key))
            return request.id

        id = self.database.settle(insert_once)
        return (Claim(request, 1) if id == request.id and holder is not None else None), id

    def claim(
        self,
        holder: Holder,
        at_most: int,
        besides: Collection[str] = (),
        served: Mapping[str, int] = NOBODY_SERVED,
        after: timedelta = timedelta(),
    ) -> tuple[tuple[Claim, ...], tuple[Hopeless, ...]]:
        """Take over what other processes have left and what nobody has begun, identities in turn, of each the oldest.

        Args:
            holder: This process.
            at_most: How many to work on; those that are to be given up come on top.
            besides: What this process works on still, though its lease may have run out meanwhile.
            served: Identities by when one of theirs was begun here last: the larger, the later.
            after: Only what has been free for so long, and nobody had a hand for.

        Returns:
            What is held now: to work on, and to be given up because it has ended too many processes. What needs its
            user's tokens waits for the user.
        """
        claims: list[Claim] = []
        hopeless: list[Hopeless] = []
        for row in free_in_turn(self.database, self.clock, holder.host, self.is_gone, besides, served, after):
            if len(claims) == at_most:
                break
            try:
                taken = self._take(row, holder)
            except DcpError:
                if claims or hopeless:
                    break  # what is held is worked on; the rest is found again
                raise
            if isinstance(taken, Claim):
                claims.append(taken)
            elif isinstance(taken, Hopeless):
                hopeless.append(taken)
        return tuple(claims), tuple(hopeless)

    def claim_waiting(self, holder: Holder) -> tuple[Hopeless, ...]:
        """Hold what waits for a user who has cancelled it, or has not come for ``[store] waiting_days``.

        So too what was cancelled before anybody had a free hand for it.
        """
        longest = timedelta(days=self.database.settings.waiting_days)
        # When it began to wait, it got a last lease.
        too_long = requests.c.lease_expires_at < self.database.moment(self.clock, LEASE - longest)
        is_waiting = requests.c.status == RequestStatus.WAITING_FOR_USER.value
        is_unbegun = and_(requests.c.status == RequestStatus.RUNNING.value, requests.c.fence == 0)
        waiting = or_(
            and_(is_waiting, or_(too_long, requests.c.is_cancelled)), and_(is_unbegun, requests.c.is_cancelled)
        )
        held: list[Hopeless] = []
        for row in self.database.rows(select(*SMALL).where(waiting).order_by(requests.c.created_at)):
            try:
                claim = self._hold(row, waiting, {}, holder)
            except DcpError:
                if held:
                    break  # as in ``claim``
                raise
            if claim is not None:
                held.append(waited(claim, row, self.database.settings.waiting_days))
        return tuple(held)

    def asked(self, id: str, caller: Caller) -> Request:
        """A request that the caller has made, and would go on with as who they are by now.

        Raises:
            NotFoundError: There is none of that id.
            UnauthorizedError: It is somebody else's.
        """
        check_owner(self._row(id), caller.identity, "resumes")
        (row,) = self.database.rows(select(requests).where(requests.c.id == id))
        return attrs.evolve(request_of(row), caller=attrs.evolve(caller, request_id=id))

    def resume(self, id: str, holder: Holder, caller: Caller) -> Claim:
        """Hold a request that waits for its user, who has come with the tokens; teams and tenants are those of now.

        Raises:
            NotFoundError: There is none of that id.
            UnauthorizedError: It is somebody else's.
            ConflictError: It does not wait.
        """
        row = self._row(id)
        check_owner(row, caller.identity, "resumes")
        teams = {"groups": teams_of(caller)}
        claim = self._hold(row, requests.c.status == RequestStatus.WAITING_FOR_USER.value, teams, holder)
        if claim is None:
            raise ConflictError(
                f"operation {id} does not wait for anybody: it is {self.get(id, with_answer=False).status}",
                code="operation.not_waiting",
            )
        return claim

    def release(self, claims: Sequence[Claim]) -> None:
        """Hand back what this process does not bring to its end, for another one to take at once."""

        def hand_back(connection: Connection) -> None:
            for each in claims:
                mine = fenced(each.request.id, each.fence)
                now = self._now(connection)
                connection.execute(update(requests).where(mine).values(lease_expires_at=now, **NOBODY))

        if claims:
            self.database.settle(hand_back)

    def renew(self, claims: Sequence[Claim]) -> frozenset[str]:
        """Extend the leases of all of them in one transaction; gives the ids that are still held."""
        fences = {each.request.id: each.fence for each in claims}

        def extend(connection: Connection) -> frozenset[str]:
            held = set()
            until = self._now(connection) + LEASE
            for id, fence in sorted(fences.items()):  # in one order, so that two who renew never wait for each other
                mine = update(requests).where(fenced(id, fence)).values(lease_expires_at=until)
                if connection.execute(mine).rowcount:
                    held.add(id)
            return frozenset(held)

        return self.database.settle(extend) if fences else frozenset()

    def check_held(self, claim: Claim) -> None:
        """Raises LeaseLostError when another replica has it now, or it has ended."""
        mine = select(requests.c.id).where(fenced(claim.request.id, claim.fence))
        if not self.database.rows(mine):
            raise lost(claim)

    def cancelled(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of them somebody has cancelled."""
        if not ids:
            return frozenset()
        query = select(requests.c.id).where(requests.c.id.in_(ids), requests.c.is_cancelled)
        return frozenset(row.id for row in self.database.rows(query))

    def add_events(self, events: Mapping[Claim, Sequence[Event]]) -> None:
        """Write what happened in several requests in one transaction; what is no longer held is left out."""

        def add(connection: Connection) -> None:
            for claim, several in sorted(events.items(), key=lambda each: each[0].request.id):
                write_events(connection, claim, several)

        self.database.settle(add)

    def finish(
        self,
        claim: Claim,
        status: RequestStatus,
        *,
        answer: JsonValue = None,
        error: Problem | None = None,
        events: Sequence[Event] = (),
    ) -> None:
        """End it, with the last of its events in the same transaction.

        Raises:
            LeaseLostError: Another replica has it now.
        """
        ended = {
            "status": status.value,
            "answer": None if answer is None else json.dumps(answer, separators=(",", ":")),
            "error": None if error is None else dump(error),
        }

        def end(connection: Connection) -> None:
            mine = fenced(claim.request.id, claim.fence)
            if events:
                write_events(connection, claim, events)
            change = update(requests).where(mine).values(finished_at=self._now(connection), **ended)
            if connection.execute(change).rowcount == 0:
                by_id = requests.c.id == claim.request.id
                row = connection.execute(select(requests.c.fence, requests.c.status).where(by_id)).one_or_none()
                # Nobody but this claim ends a request with its fence: it was kept, and the answer lost.
                if row is None or row.fence != claim.fence or row.status != status.value:
                    raise lost(claim)

        self.database.settle(end)

    def cancel(self, id: str, identity: str) -> None:
        """Have whoever works on it stop; nothing happens to what has ended.

        Raises:
            NotFoundError: There is none of that id.
            UnauthorizedError: It is somebody else's.
        """
        check_owner(self._row(id), identity, "cancels")
        change = update(requests).where(requests.c.id == id, requests.c.status.in_(_OPEN)).values(is_cancelled=True)
        self.database.settle(lambda connection: connection.execute(change))

    def get(self, id: str, *, with_answer: bool = True) -> OperationState:
        """How it stands. Raises NotFoundError."""
        with self.database.reading() as connection:
            columns = STATE if with_answer else SMALL
            row = connection.execute(select(*columns).where(requests.c.id == id)).one_or_none()
            if row is None:
                raise unknown(id)
            return state_of(row, count_events(connection, id), with_answer)

    def all(self, environments: Sequence[str] | None, limit: int) -> tuple[OperationState, ...]:
        """Newest first, without answers."""
        query = select(*SMALL).order_by(requests.c.created_at.desc(), requests.c.id.desc()).limit(limit)
        if environments is not None:
            query = query.where(requests.c.environment.in_(environments))
        return tuple(state_of(row, 0, False) for row in self.database.rows(query))

    def running(self) -> int:
        """How many have not ended."""
        query = select(func.count()).select_from(requests).where(requests.c.status.in_(_OPEN))
        with self.database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def events(self, id: str, after: int, limit: int = 500) -> tuple[tuple[Event, ...], RequestStatus]:
        """The events after that one, oldest first, and how the request stood when they were read."""
        query = (
            select(request_events.c.document)
            .where(request_events.c.request_id == id, request_events.c.sequence > after)
            .order_by(request_events.c.sequence)
            .limit(limit)
        )
        with self.database.snapshot() as connection:
            status = connection.execute(select(requests.c.status).where(requests.c.id == id)).scalar_one_or_none()
            if status is None:
                raise unknown(id)
            found = tuple(from_json(json.loads(text), Event) for (text,) in connection.execute(query))
        return found, RequestStatus(status)

    def _take(self, row: AnyRow, holder: Holder) -> Claim | Hopeless | None:
        # One that was handed back has ended no process.
        interruptions = row.interruptions + (1 if row.holder_host else 0)
        is_waiting, is_poison = json.loads(row.needs) != [], interruptions > self.database.settings.take_overs
        status = RequestStatus.WAITING_FOR_USER if is_waiting and not is_poison else RequestStatus.RUNNING
        values = {"status": status.value, "interruptions": interruptions}
        claim = self._hold(row, requests.c.status == RequestStatus.RUNNING.value, values, holder)
        if claim is None or status is RequestStatus.WAITING_FOR_USER:
            return None
        if is_poison:
            words = f"given up: {interruptions} processes ended while they worked on it"
            hint = "find out what ends the process, and look at what it left: plan again"
            return Hopeless(claim, RequestStatus.FAILED, Problem(GIVEN_UP, words, hint=hint))
        return claim

    def _hold(
        self, row: AnyRow, still: ColumnElement[bool], values: Mapping[str, object], holder: Holder
    ) -> Claim | None:
        """Hold a request as it was seen; None when somebody was faster."""

        def take(connection: Connection) -> Claim | None:
            now = self._now(connection)
            taken = connection.execute(
                update(requests)
                .where(requests.c.id == row.id, requests.c.fence == row.fence, still)
                .values({"status": RequestStatus.RUNNING.value, **values, "fence": row.fence + 1})
                .values(**held_by(holder, now))
            )
            if taken.rowcount == 0:
                return None
            whole = connection.execute(select(requests).where(requests.c.id == row.id)).one()
            return Claim(request_of(whole), row.fence + 1, count_events(connection, row.id), whole.is_cancelled)

        return self.database.settle(take)

    def _now(self, connection: Connection) -> datetime:
        return self.database.now(connection, self.clock)

    def _row(self, id: str) -> AnyRow:
        rows = self.database.rows(select(*SMALL).where(requests.c.id == id))
        if not rows:
            raise unknown(id)
        return rows[0]
