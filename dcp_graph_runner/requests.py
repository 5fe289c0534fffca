"""Requests of the server that go on after their answer: a durable queue that several replicas work on.

Who accepts a request holds it by a lease, as operations are held: writes carry the fence, and no row means that another
replica has taken it over. A request that came with tokens of the user's cannot be taken over, for they are stored
nowhere: it waits for the user instead.

Source: design.md sections 7 and 9.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import attrs
from sqlalchemy import Connection, func, insert, or_, select, update

from dcp_core.digests import JsonValue, digest_of
from dcp_core.documents import from_json
from dcp_core.errors import ConflictError, LeaseLostError, NotSupportedError
from dcp_core.store import Holder, Store
from dcp_graph_runner import holder as processes
from dcp_graph_runner.api.long_running import Event, OperationState, Problem, RequestStatus
from dcp_graph_runner.database import Database
from dcp_graph_runner.journal_rows import dump
from dcp_graph_runner.request_rows import (
    LEASE,
    AnyRow,
    Claim,
    GivenUp,
    Request,
    count_events,
    fenced,
    held_by,
    holder_of,
    request_of,
    state_of,
    unknown,
)
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import request_events, requests

TAKE_OVERS_AT_MOST = 5
GIVEN_UP = "request.given_up"


@attrs.frozen
class RequestLog:
    """All requests. Thread-safe.

    Args:
        database: The state database.
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

    def accept(self, request: Request, holder: Holder, idempotency_key: str | None = None) -> tuple[Claim | None, str]:
        """Keep a request and hold it.

        Returns:
            The claim, and the request's id; no claim when the key came before, with the id that it got then.

        Raises:
            ConflictError: The key came before, with another request.
        """
        digest = digest_of({"method": request.method, "document": request.document})

        def insert_once(connection: Connection) -> str:
            if idempotency_key is not None:
                known = connection.execute(
                    select(requests.c.id, requests.c.digest).where(
                        requests.c.identity == request.caller.identity, requests.c.idempotency_key == idempotency_key
                    )
                ).one_or_none()
                if known is not None:
                    if known.digest != digest:
                        raise ConflictError(
                            f"the idempotency key came before, with another request: {known.id}",
                            hint="a key belongs to one request; make a new one",
                            code="request.key_used",
                        )
                    return str(known.id)
            now = self._now(connection)
            connection.execute(
                insert(requests).values(
                    id=request.id,
                    method=request.method,
                    identity=request.caller.identity,
                    groups=json.dumps(list(request.caller.groups)),
                    environment=request.environment,
                    idempotency_key=idempotency_key,
                    digest=digest,
                    document=json.dumps(request.document, separators=(",", ":")),
                    needs=json.dumps(list(request.needs)),
                    status=RequestStatus.RUNNING.value,
                    is_cancelled=False,
                    created_at=now,
                    fence=1,
                    **held_by(holder, now),
                )
            )
            return request.id

        id = self.database.settle(insert_once)
        return (Claim(request, 1) if id == request.id else None), id

    def claim(self, holder: Holder, at_most: int) -> tuple[tuple[Claim, ...], tuple[GivenUp, ...]]:
        """Take over what other processes have left, oldest first; what needs the user's tokens waits for the user.

        Returns:
            What is held now, and what was given up because it has ended too many processes.
        """
        claims: list[Claim] = []
        given_up: list[GivenUp] = []
        for row in self._interrupted():
            if len(claims) == at_most:
                break
            taken = self._take(row, holder)
            if isinstance(taken, Claim):
                claims.append(taken)
            elif isinstance(taken, GivenUp):
                given_up.append(taken)
        return tuple(claims), tuple(given_up)

    def resume(self, id: str, holder: Holder, identity: str) -> Claim:
        """Hold a request that waits for its user, who has come with the tokens.

        Raises:
            NotFoundError: There is none of that id, or it is somebody else's.
            ConflictError: It does not wait.
        """

        def take(connection: Connection) -> Claim:
            row = self._row(connection, id)
            if row.identity != identity:
                raise unknown(id)
            now = self._now(connection)
            taken = connection.execute(
                update(requests)
                .where(requests.c.id == id, requests.c.status == RequestStatus.WAITING_FOR_USER.value)
                .values(status=RequestStatus.RUNNING.value, fence=row.fence + 1, **held_by(holder, now))
            )
            if taken.rowcount == 0:
                raise ConflictError(f"operation {id} does not wait for anybody: it is {row.status}")
            return Claim(request_of(row), row.fence + 1, count_events(connection, id))

        return self.database.settle(take)

    def renew(self, claims: Sequence[Claim]) -> frozenset[str]:
        """Extend the leases of all of them in one transaction; gives the ids that are still held."""
        if not claims:
            return frozenset()
        fences = {each.request.id: each.fence for each in claims}
        with self.database.writing() as connection:
            connection.execute(
                update(requests)
                .where(or_(*(fenced(id, fence) for id, fence in fences.items())))
                .values(lease_expires_at=self._now(connection) + LEASE)
            )
            rows = connection.execute(
                select(requests.c.id, requests.c.fence).where(
                    requests.c.id.in_(fences), requests.c.status == RequestStatus.RUNNING.value
                )
            ).all()
        return frozenset(row.id for row in rows if row.fence == fences[row.id])

    def cancelled(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of them somebody has cancelled."""
        if not ids:
            return frozenset()
        query = select(requests.c.id).where(requests.c.id.in_(ids), requests.c.is_cancelled)
        with self.database.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def add_events(self, events: Mapping[Claim, Sequence[Event]]) -> None:
        """Write what happened in several requests in one transaction; what is no longer held is left out."""
        with self.database.writing() as connection:
            for claim, several in events.items():
                held = connection.execute(
                    select(requests.c.id).where(fenced(claim.request.id, claim.fence)).with_for_update()
                ).first()
                if held is not None and several:
                    connection.execute(
                        insert(request_events),
                        [
                            {
                                "request_id": claim.request.id,
                                "sequence": each.sequence,
                                "type": each.type,
                                "document": dump(each),
                                "at": each.at,
                            }
                            for each in several
                        ],
                    )

    def finish(
        self, claim: Claim, status: RequestStatus, *, answer: JsonValue = None, error: Problem | None = None
    ) -> None:
        """End it, with its last event.

        Raises:
            LeaseLostError: Another replica has it now.
        """
        with self.database.writing() as connection:
            self._finish(connection, claim, status, answer, error)

    def cancel(self, id: str, identity: str | None) -> None:
        """Have whoever works on it stop; nothing happens to what has ended.

        Args:
            id: Which.
            identity: Whose it must be; None for anybody's.

        Raises:
            NotFoundError: There is none of that id, or it is somebody else's.
        """
        with self.database.writing() as connection:
            row = self._row(connection, id)
            if identity is not None and row.identity != identity:
                raise unknown(id)
            connection.execute(update(requests).where(requests.c.id == id).values(is_cancelled=True))

    def get(self, id: str, *, with_answer: bool = True) -> OperationState:
        """How it stands. Raises NotFoundError."""
        with self.database.reading() as connection:
            return state_of(self._row(connection, id), count_events(connection, id), with_answer)

    def all(self, environment: str | None, limit: int) -> tuple[OperationState, ...]:
        """Newest first, without answers."""
        query = select(requests).order_by(requests.c.created_at.desc(), requests.c.id.desc()).limit(limit)
        if environment is not None:
            query = query.where(requests.c.environment == environment)
        with self.database.reading() as connection:
            return tuple(state_of(row, 0, False) for row in connection.execute(query))

    def running(self) -> int:
        """How many have not ended."""
        open_ones = (RequestStatus.RUNNING.value, RequestStatus.WAITING_FOR_USER.value)
        query = select(func.count()).select_from(requests).where(requests.c.status.in_(open_ones))
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

    def _interrupted(self) -> list[AnyRow]:
        with self.database.reading() as connection:
            now = self._now(connection)
            rows = connection.execute(
                select(requests)
                .where(requests.c.status == RequestStatus.RUNNING.value)
                .order_by(requests.c.created_at, requests.c.id)
            ).all()
        return [row for row in rows if row.lease_expires_at <= now or self.is_gone(holder_of(row))]

    def _take(self, row: AnyRow, holder: Holder) -> Claim | GivenUp | None:
        is_waiting, is_poison = json.loads(row.needs) != [], row.fence > TAKE_OVERS_AT_MOST
        with self.database.writing() as connection:
            now = self._now(connection)
            status = RequestStatus.WAITING_FOR_USER if is_waiting and not is_poison else RequestStatus.RUNNING
            taken = connection.execute(
                update(requests)
                .where(fenced(row.id, row.fence))
                .values(status=status.value, fence=row.fence + 1, **held_by(holder, now))
            )
            if taken.rowcount == 0:
                return None
            claim = Claim(request_of(row), row.fence + 1, count_events(connection, row.id))
            if is_poison:
                words = f"given up: {row.fence} processes ended while they worked on it"
                problem = Problem(
                    GIVEN_UP, words, hint="find out what ends the process, and look at what it left: plan again"
                )
                self._finish(connection, claim, RequestStatus.FAILED, None, problem)
                return GivenUp(claim.request)
            return None if is_waiting else claim

    def _finish(
        self, connection: Connection, claim: Claim, status: RequestStatus, answer: JsonValue, error: Problem | None
    ) -> None:
        now = self._now(connection)
        ended = connection.execute(
            update(requests)
            .where(fenced(claim.request.id, claim.fence))
            .values(
                status=status.value,
                answer=None if answer is None else json.dumps(answer, separators=(",", ":")),
                error=None if error is None else dump(error),
                finished_at=now,
            )
        )
        if ended.rowcount == 0:
            raise LeaseLostError(f"another replica has taken request {claim.request.id} over")

    def _now(self, connection: Connection) -> datetime:
        return self.database.now(connection, self.clock)

    def _row(self, connection: Connection, id: str) -> AnyRow:
        row = connection.execute(select(requests).where(requests.c.id == id)).one_or_none()
        if row is None:
            raise unknown(id)
        return row
