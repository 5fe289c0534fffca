"""The database of the job registry: SQLite or PostgreSQL, opened, brought to this version, its errors in our words.

The tables are made on first use, with one row that holds the schema's version, and not by alembic: an embedded store is
opened by every command, and alembic costs more to import than the whole look-up. An older store is upgraded when it is
opened; a store of a newer version is refused.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from coreetl_driver.job_tables import METADATA, SCHEMA, SCHEMA_VERSION, UPGRADES
from dcp_core.errors import InvalidSpecError, SettingsError, TransientError
from dcp_core.sqlite import use_wal

_SQLITE_TIMEOUT_S = 30
_CONNECT_TIMEOUT_S = 10
_POOL_TIMEOUT_S = 15
_BEGIN = "coreetl_begin"
# Any constant of our own will do: PostgreSQL asks for a number that everybody who upgrades agrees on.
_UPGRADE_LOCK = 0xC0EE71


class RegistryDatabase:
    """Transactions, each of which sees the tables of this version. Safe to use from several threads.

    Args:
        url: SQLAlchemy's, ``sqlite:///…`` or ``postgresql+psycopg://…``. A SQLite file's folder is made.

    Raises:
        SettingsError: The URL cannot be used. Its password is not repeated.
    """

    def __init__(self, url: str) -> None:
        self._engine = _open(url)
        self._writer = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._is_postgresql = self._engine.dialect.name == "postgresql"
        self._ready = False

    @property
    def clock(self) -> Any:
        """The time now, UTC, as all who share the database see it: an SQL expression, or what to write as it is.

        The machines that share a PostgreSQL need not agree on the time. Those that share a file are one machine.
        """
        if self._is_postgresql:
            return sa.func.timezone("utc", sa.func.clock_timestamp(), type_=sa.DateTime)
        return now()

    @property
    def read_at(self) -> sa.Label[Any]:
        """A column, ``read_at``: ``clock`` at the moment of reading; NULL where it is this machine's."""
        clock = self.clock if self._is_postgresql else sa.null()
        return sa.type_coerce(clock, sa.DateTime).label("read_at")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One transaction that only looks: it waits for no writer. Errors as of ``writing``."""
        self._make_ready()
        with self._explained(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction that may change something; on SQLite there is one at a time.

        Raises:
            TransientError: The database does not answer, or is busy.
            InvalidSpecError: It cannot hold a value.
            SettingsError: It is of a newer version.
            IntegrityError: As it is; the caller knows which constraint it ran into.
        """
        self._make_ready()
        with self._explained(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._engine.dispose()

    def _make_ready(self) -> None:
        if not self._ready:
            with self._explained():
                self._prepare()

    def _prepare(self) -> None:
        with self._writer.begin() as connection:
            if self._is_postgresql:  # on SQLite the transaction itself keeps others out
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _UPGRADE_LOCK})
            SCHEMA.create(connection, checkfirst=True)
            version = connection.execute(sa.select(SCHEMA.c.version)).scalar()
            if version is not None and version > SCHEMA_VERSION:
                raise SettingsError(f"the job registry is of version {version}, this driver knows {SCHEMA_VERSION}")
            METADATA.create_all(connection)
            if version is None:
                connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))
            for older in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
                for statement in UPGRADES[older]:
                    connection.exec_driver_sql(statement)
                connection.execute(SCHEMA.update().values(version=older + 1))
        self._ready = True

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError) as error:
            raise TransientError(
                f"the job registry does not answer: {_first_line(error)}", code="coreetl.registry_away"
            ) from None
        except sa.exc.TimeoutError:
            raise TransientError(
                f"the job registry is busy: no connection in {_POOL_TIMEOUT_S} s", code="coreetl.registry_away"
            ) from None
        except sa.exc.DataError as error:
            raise InvalidSpecError(f"the job registry cannot hold a value: {_first_line(error)}") from None


def now() -> datetime.datetime:
    """UTC by this machine, without a zone, as the store keeps times."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def _open(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except sa.exc.ArgumentError:
        raise SettingsError("[coreetl] store is not a database's URL", hint="sqlite:///{state}/coreetl.db") from None
    if backend not in ("sqlite", "postgresql"):
        raise SettingsError(f"[coreetl] store: jobs are not kept in {backend}", hint="use sqlite or postgresql")
    return _open_sqlite(parsed) if backend == "sqlite" else _open_postgresql(parsed)


def _open_postgresql(url: sa.URL) -> sa.Engine:
    try:
        driver = url.get_dialect().driver
        timeout = {"connect_timeout": _CONNECT_TIMEOUT_S} if driver in ("psycopg", "psycopg2") else {}
        return sa.create_engine(
            url,
            connect_args=timeout,
            pool_pre_ping=True,  # a server that restarted meanwhile must not fail the first statement after it
            pool_size=8,
            max_overflow=24,
            pool_timeout=_POOL_TIMEOUT_S,
            hide_parameters=True,
        )
    except (ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
        raise SettingsError(
            f"[coreetl] store needs what is not installed: {error}",
            hint="pip install 'coreetl-driver[postgresql_store]' and write postgresql+psycopg://…",
        ) from None


def _open_sqlite(url: sa.URL) -> sa.Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": _SQLITE_TIMEOUT_S}, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours: see below
        use_wal(connection, _SQLITE_TIMEOUT_S)
        connection.execute("PRAGMA synchronous=NORMAL")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # One that reads and then writes must not fail half way because another one wrote in between: IMMEDIATE.
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    return engine


def _first_line(error: sa.exc.DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
