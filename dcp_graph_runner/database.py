"""The connection to the state database: the only module that knows SQLite from PostgreSQL.

SQLite runs in WAL mode with foreign keys on; a writing transaction begins with ``BEGIN IMMEDIATE``, so that it
waits for another writer at its start and never fails half-way because of one. ``synchronous`` stays FULL: a step
written ahead must still be there after a power cut.

PostgreSQL runs at READ COMMITTED: a look is settled by a row lock or by a constraint, never by itself. Its clock is
the one that counts, since replicas need not agree on the time; those who share a SQLite file share a machine. Every
session has limits for statements, locks and idle transactions, so that a replica that stands still in the middle of
one does not hold the others up. Whoever writes through ``settle`` survives deadlocks, restarts and lost connections.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Interval,
    Row,
    Select,
    create_engine,
    event,
    func,
    literal,
    select,
    text,
    type_coerce,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from dcp_core.errors import ConflictError, DcpError, PermanentError, SettingsError, TransientError
from dcp_core.sections import StoreSettings
from dcp_core.sqlite import use_wal
from dcp_graph_runner.tables import UtcTime

T = TypeVar("T")

_RACES_AT_MOST = 5
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
# Undone for certain, and fit to be done again at once: somebody was in the way.
_COLLISIONS = ("40001", "40P01")
# It may be otherwise in a moment: no lock in time, a server that starts, stops, is full, or was demoted to a standby.
_PASSING = ("55P03", "57P01", "57P02", "57P03", "57P05", "53300", "25006", "25P03")
_READ_ONLY = "25006"
_BEGIN = "dcp_begin"
# Any constant of our own will do: PostgreSQL asks for a number that everybody who migrates agrees on.
_MIGRATION_LOCK = 0x0DC9
_NAMES_LOCK = 0x0DCA


class Database:
    """Reads and writes in transactions, with errors in words of ours. Thread-safe.

    Args:
        url: ``sqlite:////absolute/path`` or ``postgresql://…``. A SQLite file and its folder are made when
            missing.
        settings: Timeouts, the size of the pool, patience. Its ``url`` is not looked at.
        sleep: Between tries, in seconds.

    Raises:
        SettingsError: The URL cannot be used.
        PermanentError: The folder cannot be made.
    """

    def __init__(
        self, url: str, settings: StoreSettings | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        parsed = _parse(url)
        self.where = parsed.database if _is_sqlite(parsed) else parsed.render_as_string(hide_password=True)
        self.settings = settings or StoreSettings()
        self._sleep = sleep
        self.engine = self._engine(parsed)
        self._writer = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})

    @property
    def is_shared(self) -> bool:
        """Whether other machines may use it: a PostgreSQL."""
        return self.engine.dialect.name == "postgresql"

    def moment(self, clock: Callable[[], datetime], after: timedelta = timedelta()) -> ColumnElement[datetime]:
        """The time now, or ``after`` it, to write or to compare with: PostgreSQL's own, else ``clock``'s."""
        if not self.is_shared:
            return literal(clock() + after, UtcTime)
        told: ColumnElement[Any] = func.clock_timestamp(type_=DateTime(timezone=True))
        return type_coerce(told + literal(after, Interval) if after else told, UtcTime)

    def now(self, connection: Connection, clock: Callable[[], datetime]) -> datetime:
        """The time by which leases count, UTC: PostgreSQL's own, else ``clock``'s.

        A replica whose clock is wrong, or jumps, neither steals nor loses a lease by it.
        """
        if not self.is_shared:
            return clock()
        told: datetime = connection.execute(select(self.moment(clock))).scalar_one()
        return told

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction; each statement sees one state of the database."""
        with self._explained(), self.engine.begin() as connection:
            yield connection

    def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """All rows of one query; asked again when the connection is lost, see ``settle``."""
        return self._repeated(self.engine, lambda connection: connection.execute(query).all())

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One transaction whose statements all see the same state; ``reading`` promises that on SQLite alone."""
        engine = self.engine
        if self.is_shared:
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with self._explained(), engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that changes something, or nothing when the block raises.

        ``IntegrityError`` comes out as it is: the caller knows which constraint it ran into. Nothing is done again;
        for that there is ``settle``.
        """
        with self._explained(), self._writer.begin() as connection:
            yield connection

    def settle(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in a writing transaction, and on PostgreSQL again when it did not fit or was cut off.

        Again, when another writer's row came in between its look and its write, after a deadlock, and for
        ``[store] patience_s`` when the connection is lost or the server is away. A connection that is lost while a
        transaction ends does not tell whether it was kept. So ``work`` must find out for itself that an earlier
        call of it was kept, or do no harm when it is done twice.

        Raises:
            ConflictError: It never fits, so it is not a race.
            TransientError: The database was away for too long; what was written may be there.
        """
        return self._repeated(self._writer, work)

    def lock(self, connection: Connection, name: str) -> None:
        """Let nobody else who locks the same name go on until this writing transaction ends."""
        if self.is_shared:
            given = {"names": _NAMES_LOCK, "name": name}
            connection.execute(text("SELECT pg_advisory_xact_lock(:names, hashtext(:name))"), given)
        # On SQLite BEGIN IMMEDIATE has done it.

    def lock_schema(self, connection: Connection) -> None:
        """Let nobody else migrate until this writing transaction ends."""
        if self.is_shared:
            # A migration may take its time, and so may waiting for somebody else's.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATION_LOCK})
        # On SQLite BEGIN IMMEDIATE has done it.

    def close(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()

    def _engine(self, url: URL) -> Engine:
        if not _is_sqlite(url):
            try:
                return self._postgresql(url)
            except ModuleNotFoundError as error:
                raise SettingsError(
                    f"the state database's URL needs the module {error.name}, which is not installed",
                    where=self.where,
                    hint="pip install 'dcp-graph-runner[postgresql]' and write postgresql+psycopg://…",
                ) from None
        try:
            Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PermanentError(
                f"cannot make the folder of the state database: {error.strerror}",
                where=url.database,
                code="store.unavailable",
            ) from None
        # No limit on connections: a thread without one would wait for other threads' whole transactions.
        timeout = {"timeout": self.settings.lock_timeout_s}
        engine = create_engine(url, max_overflow=-1, hide_parameters=True, connect_args=timeout)
        event.listen(engine, "connect", self._prepare_sqlite)
        event.listen(engine, "begin", _begin)
        return engine

    def _postgresql(self, url: URL) -> Engine:
        settings = self.settings
        told = {
            "connect_timeout": max(1, round(settings.connect_timeout_s)),
            # A peer that vanished without a word is noticed by the kernel, not by a person.
            "keepalives": 1,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": round(settings.statement_timeout_s * 1000),
            "application_name": "dcp",
        }
        engine = create_engine(
            url,
            # A server that restarted meanwhile must not fail the first statement after it.
            pool_pre_ping=True,
            pool_size=settings.pool_size,
            max_overflow=settings.pool_size,
            pool_timeout=settings.connect_timeout_s,
            hide_parameters=True,
            connect_args={name: value for name, value in told.items() if name not in url.query},
        )
        event.listen(engine, "connect", self._prepare_postgresql)
        return engine

    def _prepare_postgresql(self, connection: Any, _record: Any) -> None:
        # By a statement and not as options of the connection, which a pooler in between may refuse.
        limits = {
            "statement_timeout": self.settings.statement_timeout_s,
            "lock_timeout": self.settings.lock_timeout_s,
            # A replica that stands still holds rows that others need: less than a lease.
            "idle_in_transaction_session_timeout": self.settings.lock_timeout_s,
        }
        cursor = connection.cursor()
        for name, limit_s in limits.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, str(round(limit_s * 1000))))
        cursor.close()
        connection.commit()

    def _prepare_sqlite(self, connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin with our own BEGIN, see _begin
        connection.execute("PRAGMA foreign_keys = ON")
        use_wal(connection, self.settings.lock_timeout_s)

    def _repeated(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        deadline = time.monotonic() + self.settings.patience_s
        pause_s, tries = _FIRST_PAUSE_S, 0
        while True:
            tries += 1
            try:
                with engine.begin() as connection:
                    return work(connection)
            except IntegrityError as error:
                if tries >= _RACES_AT_MOST:
                    raise ConflictError(f"the state database refused: {error.orig}", where=self.where) from error
                continue
            except (DBAPIError, NoConnectionFree) as error:
                explained = self._explain(error)
                may_go_on = tries < _RACES_AT_MOST if _state(error) in _COLLISIONS else time.monotonic() < deadline
                if not (self._passes(error) and may_go_on):
                    raise explained from error
            self._sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _passes(self, error: SQLAlchemyError) -> bool:
        """Whether doing it again may help; never on SQLite, which has waited already."""
        if not self.is_shared:
            return False
        if isinstance(error, NoConnectionFree):
            return True
        state = _state(error)
        if state is None or state.startswith("08"):
            # Without a code it is the connection that failed and not a statement.
            return isinstance(error, OperationalError) or getattr(error, "connection_invalidated", False)
        return state in _COLLISIONS or state in _PASSING or getattr(error, "connection_invalidated", False)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (DBAPIError, NoConnectionFree) as error:
            raise self._explain(error) from error

    def _explain(self, error: DBAPIError | NoConnectionFree) -> DcpError:
        if isinstance(error, NoConnectionFree):
            return TransientError(
                f"no connection to the state database was free for {self.settings.connect_timeout_s:g} s",
                where=self.where,
                hint="more at once need a larger [store] pool_size",
                code="store.busy",
            )
        said = str(error.orig).strip().partition("\n")[0]
        if self.is_shared:
            return self._explain_postgresql(error, said)
        if "locked" in said or "busy" in said:
            return TransientError(
                f"the state database stayed locked for {self.settings.lock_timeout_s:g} s: {said}",
                where=self.where,
                hint="another process holds it; try again",
                code="store.busy",
            )
        if "not a database" in said or "malformed" in said or "file is encrypted" in said:
            return PermanentError(
                f"the state database cannot be read: {said}",
                where=self.where,
                hint="the file is damaged or is something else; restore it from a backup, or move it away",
                code="store.corrupt",
            )
        if isinstance(error, DatabaseError):
            return PermanentError(f"the state database refused: {said}", where=self.where, code="store.unavailable")
        return PermanentError(f"the state database failed: {said}", where=self.where, code="store.unavailable")

    def _explain_postgresql(self, error: DBAPIError, said: str) -> DcpError:
        if _state(error) == _READ_ONLY:
            # After a failover the pool may lead to what is a standby now.
            self.engine.dispose()
        if isinstance(error, OperationalError) or self._passes(error):
            return TransientError(f"the state database does not answer: {said}", where=self.where, code="store.busy")
        return PermanentError(f"the state database refused: {said}", where=self.where, code="store.unavailable")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except ArgumentError:
        # The text may hold a password: it is not repeated.
        raise SettingsError("the state database's URL is not one", hint="sqlite:////absolute/path/state.db") from None
    except NoSuchModuleError as error:
        raise SettingsError(f"the state database's URL: {error}", hint="use sqlite or postgresql") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(f"the state cannot be kept in {parsed.get_backend_name()}", hint="use sqlite or postgresql")
    if _is_sqlite(parsed) and parsed.database in (None, "", ":memory:"):
        raise SettingsError("the state database needs a file: other processes must see it")
    if _is_sqlite(parsed) and not Path(str(parsed.database)).is_absolute():
        # Relative to the working folder it would be another database wherever a command is started.
        raise SettingsError(
            f"the state database's path is relative: {parsed.database}",
            hint="write sqlite:///{root}/… or sqlite:///{state}/… in [store] url",
        )
    return parsed


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _state(error: SQLAlchemyError) -> str | None:
    """The SQLSTATE; None where the server did not come to say one."""
    state: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state
