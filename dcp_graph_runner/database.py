"""The connection to the state database: the only module that knows SQLite from PostgreSQL.

SQLite runs in WAL mode with foreign keys on; a writing transaction begins with ``BEGIN IMMEDIATE``, so that it
waits for another writer at its start and never fails half-way because of one. ``synchronous`` stays FULL: a step
written ahead must still be there after a power cut.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError

from dcp_core.errors import ConflictError, DcpError, PermanentError, SettingsError, TransientError

T = TypeVar("T")

BUSY_TIMEOUT_S = 15.0
_RACES_AT_MOST = 5
_BEGIN = "dcp_begin"
# Any constant of our own will do: PostgreSQL asks for a number that everybody who migrates agrees on.
_MIGRATION_LOCK = 0x0DC9


class Database:
    """Reads and writes in transactions, with errors in words of ours. Thread-safe.

    Args:
        url: ``sqlite:////absolute/path`` or ``postgresql://…``. A SQLite file and its folder are made when
            missing.
        busy_timeout_s: How long a SQLite writer waits for another one, in seconds.

    Raises:
        SettingsError: The URL cannot be used.
        PermanentError: The folder cannot be made.
    """

    def __init__(self, url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        parsed = _parse(url)
        self.where = parsed.database if _is_sqlite(parsed) else parsed.render_as_string(hide_password=True)
        self.busy_timeout_s = busy_timeout_s
        self.engine = self._engine(parsed)
        self._writer = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction; each statement sees one state of the database."""
        with self._explained(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One transaction whose statements all see the same state; ``reading`` promises that on SQLite alone."""
        engine = self.engine
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with self._explained(), engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that changes something, or nothing when the block raises.

        ``IntegrityError`` comes out as it is: the caller knows which constraint it ran into.
        """
        with self._explained(), self._writer.begin() as connection:
            yield connection

    def settle(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in a writing transaction; again when another writer's row came in between its look and its
        write (PostgreSQL only: SQLite's writers follow one another).

        Raises:
            ConflictError: It never fits, so it is not a race.
        """
        for _ in range(_RACES_AT_MOST):
            try:
                with self.writing() as connection:
                    return work(connection)
            except IntegrityError as error:
                last = error
        raise ConflictError(f"the state database refused: {last.orig}", where=self.where) from last

    def lock_schema(self, connection: Connection) -> None:
        """Let nobody else migrate until this writing transaction ends."""
        if self.engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATION_LOCK})
        # On SQLite BEGIN IMMEDIATE has done it.

    def close(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()

    def _engine(self, url: URL) -> Engine:
        if not _is_sqlite(url):
            # pool_pre_ping: a server that restarted meanwhile must not fail the first statement after it.
            try:
                return create_engine(url, pool_pre_ping=True, hide_parameters=True)
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
        engine = create_engine(
            url, max_overflow=-1, hide_parameters=True, connect_args={"timeout": self.busy_timeout_s}
        )
        event.listen(engine, "connect", self._prepare_sqlite)
        event.listen(engine, "begin", _begin)
        return engine

    def _prepare_sqlite(self, connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin with our own BEGIN, see _begin
        connection.execute("PRAGMA foreign_keys = ON")
        # Going over to WAL needs the file alone and does not wait for it as other statements do.
        deadline = time.monotonic() + self.busy_timeout_s
        while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise self._explain(error) from error

    def _explain(self, error: DBAPIError) -> DcpError:
        said = str(error.orig).strip().partition("\n")[0]
        if "locked" in said or "busy" in said:
            return TransientError(
                f"the state database stayed locked for {self.busy_timeout_s:g} s: {said}",
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
        if isinstance(error, OperationalError) and self.engine.dialect.name != "sqlite":
            return TransientError(f"the state database does not answer: {said}", where=self.where, code="store.busy")
        if isinstance(error, DatabaseError):
            return PermanentError(f"the state database refused: {said}", where=self.where, code="store.unavailable")
        return PermanentError(f"the state database failed: {said}", where=self.where, code="store.unavailable")


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
