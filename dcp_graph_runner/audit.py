"""The audit log on SQL: appended to, never changed, each record bound to the one before it (``audit_chain``).

The head (number and hash of the newest record) is a row of its own. It serialises writers, so that the chain has no
fork and no gap, and it shows when the end of the log was cut off.

Source: design.md section 9.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta

import attrs
from sqlalchemy import Connection, Row, delete, insert, select, update

from dcp_core.digests import canonical_json
from dcp_core.documents import to_json
from dcp_core.errors import ConflictError, NotSupportedError
from dcp_core.operating import id_in_request
from dcp_core.records import AuditRecord, OperationStatus
from dcp_core.store import Holder, Store
from dcp_graph_runner import holder as processes
from dcp_graph_runner.audit_chain import Break, Damage, Head, Link, Verdict, chain_hash, follow, read_record
from dcp_graph_runner.database import Database
from dcp_graph_runner.tables import audit, audit_announced, audit_head, audit_outbox, operations, requests

LOG = logging.getLogger("dcp")
ANNOUNCEMENT = timedelta(minutes=5)
"""How long a process on another machine may be silent before its record is written for it."""

_Announced = Row[tuple[object, ...]]
_Read = tuple[_Announced, AuditRecord]
_HEAD = audit_head.c.id == 1
_ROWS_AT_A_TIME = 1_000


@attrs.frozen
class Unreadable:
    """What is in the log and is no record of this version: changed by hand, or written by a newer one.

    Args:
        sequence: Its number.
        operation_id: As kept beside it; likewise the environment and the manifest.
        environment: Where.
        manifest_id: What it concerned.
        problem: Why it cannot be read.
    """

    sequence: int
    operation_id: str
    environment: str
    manifest_id: str
    problem: str


@attrs.frozen
class Outgoing:
    """The log's name among others, and how far it was delivered.

    Args:
        log_id: Made with the database, for good.
        sequence: Everything up to this record was in the table when somebody last looked; the table itself
            knows better.
        delivered_at: When that was; None for never.
    """

    log_id: str
    sequence: int
    delivered_at: datetime | None


def append(connection: Connection, record: AuditRecord) -> None:
    """Add ``record`` in the writing transaction at hand; a known operation id changes nothing.

    Raises:
        ConflictError: The head is missing.
    """
    head = connection.execute(select(audit_head).where(_HEAD).with_for_update()).one_or_none()
    if head is None:
        raise Break(Damage.TRUNCATED, None, None, "its head is missing").to_error()
    connection.execute(delete(audit_announced).where(audit_announced.c.operation_id == record.operation_id))
    # Asked under the head's lock, so that two writers of one operation id cannot both find it absent.
    known = connection.execute(select(audit.c.sequence).where(audit.c.operation_id == record.operation_id)).first()
    if known is not None:
        return
    sequence, document = head.sequence + 1, canonical_json(to_json(record))
    new_hash = chain_hash(sequence, head.hash, document)
    connection.execute(
        insert(audit).values(
            sequence=sequence,
            operation_id=record.operation_id,
            environment=record.environment,
            manifest_id=record.manifest_id,
            document=document,
            prev_hash=head.hash,
            hash=new_hash,
        )
    )
    connection.execute(update(audit_head).where(_HEAD).values(sequence=sequence, hash=new_hash))


def deed_id(request_id: str, kind: str, about: str) -> str:
    """The id of a deed's record in a server's request: the same again when another replica takes the request over.

    Args:
        request_id: Of the request.
        kind: Of the record.
        about: The manifest's id; the environment of what is about none.
    """
    return id_in_request(request_id, f"{kind} {about}")


class AuditLog:
    """One database's log. Thread-safe.

    Args:
        database: Where; its schema is current.
        clock: UTC now; on PostgreSQL the database's own counts instead (``Database.now``).
        is_gone: Whether a holder's process has ended for certain.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        is_gone: Callable[[Holder], bool] = processes.is_gone,
    ) -> None:
        self._database = database
        self._clock = clock
        self._is_gone = is_gone

    def append(self, record: AuditRecord) -> None:
        """See ``Store.append_audit``."""
        self._database.settle(lambda connection: append(connection, record))

    def announce(self, record: AuditRecord, holder: Holder) -> None:
        """See ``Store.announce_audit``; one that has ended is not announced again."""
        holder = processes.identified(holder)
        mine = audit_announced.c.operation_id == record.operation_id
        expires_at = self._database.moment(self._clock, ANNOUNCEMENT)

        def write(connection: Connection) -> None:
            if connection.execute(update(audit_announced).where(mine).values(expires_at=expires_at)).rowcount:
                return
            ended = select(audit.c.sequence).where(audit.c.operation_id == record.operation_id)
            if connection.execute(ended).first() is not None:
                return
            connection.execute(
                insert(audit_announced).values(
                    operation_id=record.operation_id,
                    document=canonical_json(to_json(record)),
                    announced_at=self._database.moment(self._clock),
                    expires_at=expires_at,
                    holder_host=holder.host,
                    holder_pid=holder.pid,
                    holder_started=holder.started,
                    holder_user=holder.user,
                )
            )

        self._database.settle(write)

    def settle(self) -> tuple[AuditRecord, ...]:
        """See ``Store.settle_audit``. Of several processes that look at once, one gets each record.

        What cannot be read (a newer version may have announced it) is left to who can, and keeps nobody from work. What
        a server's open request goes on with is left to whoever works on that, or ends it (``settle_request``).
        """
        over = self._announced(self._is_over)
        if not over:
            return ()
        # Read after the announcements: a request that is missing here has ended since it announced anything.
        unfinished = select(requests.c.id).where(requests.c.finished_at.is_(None))
        ids = [str(row.id) for row in self._database.rows(unfinished)]
        free = [each for each in over if not any(is_in(each[1], id) for id in ids)]
        return tuple(record for row, record in free if self._settle(row, record))

    def settle_request(self, request_id: str) -> tuple[AuditRecord, ...]:
        """As ``settle``, for what was announced in a request that nobody goes on with; its worker alone may ask."""
        mine = [(row, record) for row, record in self._announced() if is_in(record, request_id)]
        return tuple(record for row, record in mine if self._settle(row, record))

    def is_announced(self, operation_id: str) -> bool:
        """Whether it has begun, and has not ended."""
        mine = audit_announced.c.operation_id == operation_id
        return bool(self._database.rows(select(audit_announced.c.operation_id).where(mine)))

    def _announced(self, is_wanted: Callable[[_Announced], bool] = lambda _row: True) -> list[_Read]:
        """In order, with the records as they would be written now."""
        read_at = self._database.moment(self._clock).label("read_at")
        waiting = select(audit_announced, read_at)
        in_order = waiting.order_by(audit_announced.c.announced_at, audit_announced.c.operation_id)
        found = []
        for row in filter(is_wanted, self._database.rows(in_order)):
            try:
                found.append((row, attrs.evolve(read_record(row.document), at=row.read_at)))
            except ConflictError as error:
                LOG.warning("the end of %s is not recorded yet: %s", row.operation_id, error.message)
        return found

    def _settle(self, row: Row[tuple[object, ...]], record: AuditRecord) -> bool:
        mine = audit_announced.c.operation_id == row.operation_id
        # Locked: its process may have come back to life and be about to say so.
        still = select(audit_announced.c.expires_at).where(mine).with_for_update()

        def write(connection: Connection) -> bool:
            # The head first, as ``append`` does: whoever locks in another order may wait for ever.
            connection.execute(select(audit_head).where(_HEAD).with_for_update())
            # Still as it was seen, or somebody was faster.
            if connection.execute(still).scalar_one_or_none() != row.expires_at:
                return False
            append(connection, record)
            return True

        return self._database.settle(write)

    def announced(self) -> int:
        """How many operations are under way, or have ended without a word."""
        return len(self._database.rows(select(audit_announced.c.operation_id)))

    def records(self, environment: str | None, manifest_id: str | None, limit: int) -> tuple[AuditRecord, ...]:
        """See ``Store.audit_records``.

        Raises:
            ConflictError: One of them is no record of this version; ``listed`` gives the others all the same.
        """
        return tuple(link.record for link in self._newest(environment, manifest_id, limit))

    def listed(
        self, environment: str | Collection[str] | None, manifest_id: str | None, limit: int
    ) -> tuple[AuditRecord | Unreadable, ...]:
        """Newest first; for people, who want to see the rest when somebody has changed one by hand."""
        return tuple(_listed(link) for link in self._newest(environment, manifest_id, limit))

    def environments(self) -> tuple[str, ...]:
        """Those that records are about, by name; "" is what was refused before it was about any."""
        return tuple(str(row.environment) for row in self._database.rows(select(audit.c.environment).distinct()))

    def _newest(
        self, environment: str | Collection[str] | None, manifest_id: str | None, limit: int
    ) -> tuple[Link, ...]:
        query = select(audit).order_by(audit.c.sequence.desc()).limit(limit)
        if environment is not None:
            names = [environment] if isinstance(environment, str) else environment
            query = query.where(audit.c.environment.in_(names))
        if manifest_id is not None:
            query = query.where(audit.c.manifest_id == manifest_id)
        return tuple(_link(row) for row in self._database.rows(query))

    def verify(self, noted: str | None = None) -> Verdict:
        """Follow the whole chain; then look for operations that have ended and are not in it.

        Args:
            noted: A head's hash that somebody noted elsewhere; the log must hold it still.
        """
        with self._database.snapshot() as connection:
            row = connection.execute(select(audit_head).where(_HEAD)).one_or_none()
            head = None if row is None else Head(row.sequence, row.hash)
            verdict = follow(_links(connection, 0), head, noted)
            if verdict.broken is None:
                verdict = attrs.evolve(verdict, broken=_unrecorded(connection))
        return verdict

    def links(self, after: int, limit: int) -> tuple[Link, ...]:
        """At most ``limit`` records after number ``after``, oldest first."""
        with self._database.reading() as connection:
            return tuple(_links(connection, after, limit))

    def outgoing(self) -> Outgoing:
        """The log's name, and how far it was delivered."""
        (row,) = self._database.rows(select(audit_outbox))
        return Outgoing(row.log_id, row.sequence, row.delivered_at)

    def note_delivered(self, sequence: int) -> None:
        """Remember how far the table has come: for people, and never what delivery relies on."""
        noted = update(audit_outbox).values(sequence=sequence, delivered_at=self._database.moment(self._clock))
        self._database.settle(lambda connection: connection.execute(noted))

    def _is_over(self, row: Row[tuple[object, ...]]) -> bool:
        holder = Holder(row.holder_host, row.holder_pid, row.holder_started, row.holder_user)
        expired: bool = row.expires_at <= row.read_at
        # A machine that slept wakes up with its announcements expired and its processes alive.
        return self._is_gone(holder) or (expired and not processes.is_alive(holder))


def log_of(store: Store) -> AuditLog:
    """The log of a store that keeps a chain.

    Raises:
        NotSupportedError: It keeps none.
    """
    log = getattr(store, "audit_log", None)
    if not isinstance(log, AuditLog):
        raise NotSupportedError(f"{type(store).__name__} keeps no audit log that can be verified or delivered")
    return log


def listed(
    store: Store, environment: str | Collection[str] | None = None, manifest_id: str | None = None, limit: int = 100
) -> tuple[AuditRecord | Unreadable, ...]:
    """As ``Store.audit_records``; of a store that keeps a chain, what cannot be read is shown as such."""
    log = getattr(store, "audit_log", None)
    if isinstance(log, AuditLog):
        return log.listed(environment, manifest_id, limit)
    if environment is None or isinstance(environment, str):
        return store.audit_records(environment, manifest_id, limit)
    found = [store.audit_records(each, manifest_id, limit) for each in environment]
    return tuple(sorted((record for some in found for record in some), key=lambda each: each.at, reverse=True)[:limit])


def is_in(record: AuditRecord, request_id: str) -> bool:
    """Whether it is of that request: a manifest's operation, or a deed."""
    deed = deed_id(request_id, record.kind, record.manifest_id or record.environment)
    return record.operation_id in (id_in_request(request_id, record.manifest_id), deed)


def _links(connection: Connection, after: int, limit: int | None = None) -> Iterator[Link]:
    # From the very first row when all are asked for: one numbered 0 or less was put in.
    query = select(audit).order_by(audit.c.sequence).limit(limit)
    if after:
        query = query.where(audit.c.sequence > after)
    for row in connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(query):
        yield _link(row)


def _link(row: Row[tuple[object, ...]]) -> Link:
    return Link(row.sequence, row.operation_id, row.environment, row.manifest_id, row.document, row.prev_hash, row.hash)


def _listed(link: Link) -> AuditRecord | Unreadable:
    try:
        return link.record
    except ConflictError as error:
        return Unreadable(link.sequence, link.operation_id, link.environment, link.manifest_id, error.message)


def _unrecorded(connection: Connection) -> Break | None:
    """Operations and their records are written in one transaction: the one without the other was tampered with."""
    missing = (
        select(operations.c.id)
        .outerjoin(audit, audit.c.operation_id == operations.c.id)
        .where(operations.c.status != OperationStatus.RUNNING.value, audit.c.sequence.is_(None))
        .order_by(operations.c.created_at, operations.c.id)
        .limit(1)
    )
    row = connection.execute(missing).first()
    if row is None:
        return None
    words = f"operation {row.id} has ended and has no record: the end of the log was cut off together with its head"
    return Break(Damage.UNRECORDED, None, row.id, words)
