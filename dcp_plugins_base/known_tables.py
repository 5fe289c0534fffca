"""Which tables exist, for lints: cheaply, without pyiceberg, without a service, creating nothing.

Only an SQL catalog in a SQLite file can be asked so; of any other nobody can tell within a lint's milliseconds.

Source: the JDBC catalog's table ``iceberg_tables``, as pyiceberg and Iceberg's Java library share it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from coreetl_driver.embedded import sqlite_file
from dcp_core.errors import SettingsError
from dcp_core.model import Environment
from dcp_core.settings import Settings

_QUERY = "SELECT table_namespace || '.' || table_name FROM iceberg_tables WHERE catalog_name = ?"
_TIMEOUT_S = 1.0


def known_tables(settings: Settings, environment: Environment) -> frozenset[str] | None:
    """Names of the tables that a query of ``environment`` can read; None when that cannot be told.

    An embedded catalog that is not there yet has no tables.
    """
    names: set[str] = set()
    for catalog in catalogs_of(environment):
        found = _tables_in(settings, catalog)
        if found is None:
            return None
        names |= found
    return frozenset(names)


def catalogs_of(environment: Environment) -> tuple[str, ...]:
    """The catalogs that a source may come from, the preferred one first."""
    return (environment.catalog, environment.reads) if environment.overlay else (environment.reads,)


def has_catalog(settings: Settings, environment: Environment) -> bool:
    """Whether the catalog is more than an embedded one that nobody has written to yet."""
    file = _database_file(settings.catalog_properties(environment.reads, resolve=False))
    return file is None or file.is_file()


def _tables_in(settings: Settings, catalog: str) -> set[str] | None:
    try:
        properties = settings.catalog_properties(catalog)
    except SettingsError:
        return None  # a variable with a password is not set here: the engine's business, not a lint's
    file = _database_file(properties)
    if file is None:
        return None
    if not file.is_file():
        return set()
    try:
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=_TIMEOUT_S)
        ) as connection:
            return {name for (name,) in connection.execute(_QUERY, (catalog,))}
    except sqlite3.Error:
        return None


def _database_file(properties: dict[str, str]) -> Path | None:
    return sqlite_file(properties.get("uri", "")) if properties.get("type") == "sql" else None
