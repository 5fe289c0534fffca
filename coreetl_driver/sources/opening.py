"""Which kind of source a connection is: by its driver if it names one, else by its scheme."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from coreetl_driver.sources.connections import Connection, resolved_connection
from dcp_core.errors import SettingsError

if TYPE_CHECKING:
    from coreetl_driver.sources.source import Source
    from dcp_core.settings import Settings

_CONNECTORX = ("mysql", "mariadb", "mssql", "oracle", "redshift", "clickhouse", "trino")
_SCHEMES: Mapping[str, tuple[str, str]] = {  # to the driver's package and what installs it
    "sqlite": ("adbc_driver_sqlite", "coreetl-driver[local]"),
    "postgresql": ("adbc_driver_postgresql", "coreetl-driver[postgresql]"),
    "postgres": ("adbc_driver_postgresql", "coreetl-driver[postgresql]"),
    **dict.fromkeys(_CONNECTORX, ("connectorx", "coreetl-driver[connectorx]")),
}


def open_source(settings: Settings, name: str) -> Source:
    """The source of a connection in ``dcp.toml``; close it, or use it as a context manager.

    Raises:
        NotFoundError: There is no such connection; the nearest name is suggested.
        SettingsError: A setting is wrong, a variable is not set, or the driver is not installed.
    """
    return open_connection(resolved_connection(settings, name))


def open_connection(connection: Connection) -> Source:
    """The source of a connection that is resolved already.

    Raises:
        SettingsError: No driver is known for its scheme, or it is not installed.
    """
    driver, extra = _SCHEMES.get(connection.scheme, ("", ""))
    if connection.driver:
        driver, extra = connection.driver, connection.driver.replace("_", "-")
    where = f"[connections.{connection.name}]"
    if not driver and not connection.scheme:
        raise SettingsError(
            f"{where} uri is not of the form scheme://…",
            hint=f"known schemes: {', '.join(_SCHEMES)}; or name the package of an ADBC driver with driver = …",
        )
    if not driver:
        raise SettingsError(
            f"{where} uri has scheme {connection.scheme!r}, for which no driver is known",
            hint=f"known schemes: {', '.join(_SCHEMES)}; or name the package of an ADBC driver with driver = …",
        )
    if not _is_installed(driver):
        raise SettingsError(f"{where} needs {driver}, which is not installed", hint=f"pip install '{extra}'")
    if driver == "connectorx":
        from coreetl_driver.sources.connectorx import ConnectorxSource

        return ConnectorxSource(connection)
    # By its scheme, not its driver: another driver of the same database still speaks the same SQL.
    if connection.scheme == "sqlite":
        from coreetl_driver.sources.sqlite import SqliteSource

        return SqliteSource(connection, driver)
    if connection.scheme in ("postgresql", "postgres"):
        from coreetl_driver.sources.postgresql import PostgresqlSource

        return PostgresqlSource(connection, driver)
    from coreetl_driver.sources.generic import GenericSource

    return GenericSource(connection, driver)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
