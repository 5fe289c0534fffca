"""Brings a state database to this version's schema, or refuses one that it does not know.

A current database costs one SELECT and no import of alembic. Two processes that open a new database at once both
succeed: the second waits for the first's transaction and finds the work done.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Inspector, column, inspect, select, table

from dcp_core.errors import PermanentError
from dcp_graph_runner.database import Database
from dcp_graph_runner.tables import VERSION_TABLE

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every revision in ``migrations/versions``, oldest first; a test holds the two together."""

MIGRATIONS = Path(__file__).parent / "migrations"


def ensure_current(database: Database) -> None:
    """Migrate when the schema is behind; all in one transaction.

    Raises:
        PermanentError: A newer DCP made the database, or it cannot be read or migrated.
        TransientError: Another process held it for too long.
    """
    with database.reading() as connection:
        if _version(database, connection) == REVISIONS[-1]:
            return
    with database.writing() as connection:
        database.lock_schema(connection)
        if _version(database, connection) != REVISIONS[-1]:
            _upgrade(connection)


def _version(database: Database, connection: Connection) -> str | None:
    # Asking the catalog first: on PostgreSQL a failed SELECT would end the transaction.
    inspector: Inspector = inspect(connection)
    if not inspector.has_table(VERSION_TABLE):
        return None
    found = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
    if found is not None and found not in REVISIONS:
        raise PermanentError(
            f"a newer version of DCP made the state database: it is at schema {found}, this one knows up to "
            f"{REVISIONS[-1]}",
            where=database.where,
            hint="upgrade dcp-graph-runner",
            code="store.newer",
        )
    return None if found is None else str(found)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
