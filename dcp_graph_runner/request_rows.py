"""Requests as rows of the database: what one is, and how it is read.

Source: design.md sections 7 and 9.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs
from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from dcp_core.digests import JsonValue, digest_of
from dcp_core.documents import from_json
from dcp_core.errors import LeaseLostError, NotFoundError, TransientError, UnauthorizedError
from dcp_core.records import Caller
from dcp_core.store import Holder
from dcp_graph_runner.api.long_running import OperationState, Problem, RequestStatus
from dcp_graph_runner.database import Database
from dcp_graph_runner.tables import request_events, requests

LEASE = timedelta(seconds=30)
CANCELLED = "cancelled"
WAITED = "request.waited_too_long"
TOO_MANY = "request.too_many"
_RETRY_AFTER_S = 5.0

_IDS_AT_A_TIME = 500

AnyRow = Row[tuple[object, ...]]
Standing = tuple[str, int]

# Documents and answers may be as large as a repository: they are read when they are wanted.
SMALL = tuple(each for each in requests.c if each.name not in ("document", "answer"))
STATE = tuple(each for each in requests.c if each.name != "document")


@attrs.frozen
class Request:
    """One, as it was asked.

    Args:
        id: ``req_…``.
        method: ``Operations.Apply``.
        caller: Who asked, with the id of the request.
        environment: Where.
        document: The request's JSON.
        needs: The platforms whose tokens came along.
        as_asked: The JSON as it came, where ``document`` says what it left open; None where it is the same.
    """

    id: str
    method: str
    caller: Caller
    environment: str
    document: JsonValue
    needs: tuple[str, ...] = ()
    as_asked: JsonValue = attrs.field(default=None, eq=False)

    @property
    def digest(self) -> str:
        """Of what was asked: the same again under the same idempotency key."""
        document = self.document if self.as_asked is None else self.as_asked
        return digest_of({"method": self.method, "document": document})


@attrs.frozen(eq=False)
class Claim:
    """The right to work on a request until its lease ends.

    Args:
        request: Which.
        fence: Grows with every take-over.
        events: How many events it has.
        is_cancelled: Whether its user has cancelled it by then.
    """

    request: Request
    fence: int
    events: int = 0
    is_cancelled: bool = False


@attrs.frozen(eq=False)
class Hopeless:
    """A request that nobody will go on with; who has the claim ends what it left, and then the request.

    Args:
        claim: The right to end it.
        status: How it is to end.
        problem: Why.
    """

    claim: Claim
    status: RequestStatus
    problem: Problem


def new_request_id(at: datetime) -> str:
    """Ids sort by time and do not collide across machines."""
    return f"req_{at.strftime('%Y%m%dT%H%M%S')}_{secrets.token_hex(6)}"


def fenced(id: str, fence: int) -> ColumnElement[bool]:
    """What a write has to find, so that a former holder's changes nothing."""
    return and_(requests.c.id == id, requests.c.fence == fence, requests.c.status == RequestStatus.RUNNING.value)


def held_by(holder: Holder, now: datetime) -> dict[str, object]:
    """The columns that say who holds it from now on."""
    return {
        "lease_expires_at": now + LEASE,
        "holder_host": holder.host,
        "holder_pid": holder.pid,
        "holder_started": holder.started,
        "holder_user": holder.user,
    }


NOBODY = {"holder_host": "", "holder_pid": 0, "holder_started": "", "holder_user": ""}
"""The columns of a request whose process has handed it back."""


def holder_of(row: AnyRow) -> Holder:
    """Who holds it."""
    return Holder(row.holder_host, row.holder_pid, row.holder_started, row.holder_user)


def check_owner(row: AnyRow, identity: str, does: str) -> None:
    """Raises UnauthorizedError when the request is somebody else's."""
    if row.identity != identity:
        raise UnauthorizedError(f"operation {row.id} is {row.identity}'s; only who asked for it {does} it")


def count_events(connection: Connection, id: str) -> int:
    """How many events it has."""
    newest = select(func.max(request_events.c.sequence)).where(request_events.c.request_id == id)
    return int(connection.execute(newest).scalar() or 0)


def row_of(request: Request, holder: Holder | None, now: datetime) -> dict[str, object]:
    """The columns of a new request; without a holder it is free at once, and nobody has begun it."""
    held = {"lease_expires_at": now, **NOBODY} if holder is None else held_by(holder, now)
    return {
        "id": request.id,
        "method": request.method,
        "identity": request.caller.identity,
        "groups": teams_of(request.caller),
        "environment": request.environment,
        "digest": request.digest,
        "document": json.dumps(request.document, separators=(",", ":")),
        "needs": json.dumps(list(request.needs)),
        "status": RequestStatus.RUNNING.value,
        "is_cancelled": False,
        "created_at": now,
        "fence": 0 if holder is None else 1,
        "interruptions": 0,
        **held,
    }


def teams_of(caller: Caller) -> str:
    """The column of a caller's teams, with the environments that their token is for where it says so."""
    if caller.tenants is None:
        return json.dumps(list(caller.groups))
    return json.dumps({"groups": list(caller.groups), "tenants": list(caller.tenants)})


def refuse_more(connection: Connection, identity: str, most: int) -> None:
    """Raises TransientError when that many requests of theirs run, or wait for a free hand."""
    mine = and_(requests.c.identity == identity, requests.c.status == RequestStatus.RUNNING.value)
    count = connection.execute(select(func.count()).select_from(requests).where(mine)).scalar_one()
    if count >= most:
        raise TransientError(
            f"{count} operations of {identity} have not ended: no more are taken",
            hint="wait for the end of one, or cancel it",
            retry_after_s=_RETRY_AFTER_S,
            code=TOO_MANY,
        )


def request_of(row: AnyRow) -> Request:
    """The request as it was asked."""
    teams = json.loads(row.groups)
    groups, tenants = (teams["groups"], tuple(teams["tenants"])) if isinstance(teams, dict) else (teams, None)
    caller = Caller(row.identity, tuple(groups), row.id, is_remote=True, tenants=tenants)
    needs = tuple(json.loads(row.needs))
    return Request(row.id, row.method, caller, row.environment, json.loads(row.document), needs)


def state_of(row: AnyRow, events: int, with_answer: bool) -> OperationState:
    """How it stands."""
    return OperationState(
        id=row.id,
        method=row.method,
        environment=row.environment,
        identity=row.identity,
        status=RequestStatus(row.status),
        created_at=row.created_at,
        finished_at=row.finished_at,
        answer=json.loads(row.answer) if with_answer and row.answer is not None else None,
        error=None if row.error is None else from_json(json.loads(row.error), Problem),
        needs=tuple(json.loads(row.needs)) if row.status == RequestStatus.WAITING_FOR_USER.value else (),
        events=events,
    )


def waited(claim: Claim, row: AnyRow, days: float) -> Hopeless:
    """The end of what waits for its user, who has cancelled it, or has not come for so many days."""
    if row.is_cancelled:
        return Hopeless(claim, RequestStatus.CANCELLED, Problem(CANCELLED, "it was cancelled", 409))
    words = f"it has waited for {row.identity} for {days:g} days, and was ended"
    problem = Problem(WAITED, words, 409, hint="the same command again begins anew")
    return Hopeless(claim, RequestStatus.FAILED, problem)


def lost(claim: Claim) -> LeaseLostError:
    """What ends the writes of a former holder."""
    return LeaseLostError(f"another replica has taken request {claim.request.id} over")


def standings(database: Database, ids: Sequence[str]) -> dict[str, Standing]:
    """By id, how each stands and the number of its newest event; those that are not there are left out."""
    newest = select(func.max(request_events.c.sequence)).where(request_events.c.request_id == requests.c.id)
    found: dict[str, Standing] = {}
    for start in range(0, len(ids), _IDS_AT_A_TIME):
        mine = requests.c.id.in_(ids[start : start + _IDS_AT_A_TIME])
        for row in database.rows(
            select(requests.c.id, requests.c.status, newest.scalar_subquery().label("newest")).where(mine)
        ):
            found[row.id] = (row.status, row.newest or 0)
    return found


def unknown(id: str) -> NotFoundError:
    """There is no such request."""
    return NotFoundError(f"there is no operation {id}", code="operation.not_found")
