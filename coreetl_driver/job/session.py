"""The session that a job works in: to Sail inside this process, to a Spark elsewhere, or of a Spark around it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coreetl_driver.job.engine_errors import JobError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_LOG = logging.getLogger(__name__)
_CONNECT_TIMEOUT_S = 10.0
_USER = "coreetl"


class Session:
    """An open session. Close it: an engine that outlives its session keeps the interpreter from ending.

    Args:
        server: The embedded engine, when the session is to that.
        default_catalog: Where an unqualified table resolves; the embedded engine knows it already.
    """

    def __init__(self, spark: SparkSession, *, server: Any = None, default_catalog: str = "") -> None:
        self._server = server
        self.spark = spark
        self.is_sail = server is not None
        self.spark.conf.set("spark.sql.session.timeZone", "UTC")
        if not self.is_sail:
            logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # the error itself says it better
            try:
                self.spark.conf.set("spark.sql.runSQLOnFiles", "false")
            except Exception:  # some clusters let nobody change it: the query guard stands alone there
                _LOG.warning("this cluster does not let a session forbid paths in place of tables")
            if default_catalog:
                self.spark.catalog.setCurrentCatalog(default_catalog)
        self.engine = self._name()

    @classmethod
    def opened(cls, settings: Mapping[str, Any]) -> Session:
        """A session over Spark Connect.

        Args:
            settings: ``catalogs`` (name to ``{"uri", "token"}``) and ``default_catalog`` for the embedded engine, or
                ``spark_connect_url`` for another, with the ``session_id`` (a UUID) that the session is to have there.
        """
        server, remote = None, settings.get("spark_connect_url")
        if remote:
            require_listener(remote)
            remote = addressed(remote, settings.get("session_id"))
        else:
            server, remote = _started_sail(settings)
        from pyspark.sql.connect.session import SparkSession

        spark: Any = SparkSession.builder.remote(remote).getOrCreate()  # the same interface, another class
        return cls(spark, server=server, default_catalog=settings.get("default_catalog") or "")

    def mark(self, marks: Mapping[str, str]) -> None:
        """Have the summary of each snapshot that this session commits say something; Sail's endpoint does it itself."""
        if not self.is_sail:
            for name, value in marks.items():
                self.spark.conf.set(f"spark.sql.iceberg.snapshot-property.{name}", value)

    def close(self) -> None:
        """End the session, then the server: in the other order the interpreter hangs."""
        self.spark.stop()
        if self._server is not None:
            self._server.stop()

    def _name(self) -> str:
        if self.is_sail:
            from pysail import __version__

            return f"sail {__version__} (embedded)"
        return f"spark {self.spark.version}"


def _started_sail(settings: Mapping[str, Any]) -> tuple[Any, str]:
    """The embedded engine and its address."""
    catalogs = ", ".join(
        f'{{type="iceberg-rest", name="{name}", uri="{catalog["uri"]}", bearer_access_token="{catalog["token"]}"}}'
        for name, catalog in settings["catalogs"].items()
    )
    if settings["catalogs"]:
        os.environ["SAIL_CATALOG__LIST"] = f"[{catalogs}]"
        os.environ["SAIL_CATALOG__DEFAULT_CATALOG"] = f'"{settings["default_catalog"]}"'
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    return server, f"sc://{host}:{port}"


def addressed(url: str, session_id: str | None) -> str:
    """The address with the session that is meant; its user is part of a session's identity there."""
    if session_id is None:
        return url
    parameters = f"session_id={session_id}" + ("" if "user_id=" in url else f";user_id={_USER}")
    return f"{url.rstrip(';')};{parameters}" if "/;" in url else f"{url.rstrip('/')}/;{parameters}"


def require_listener(url: str) -> None:
    """Fail at once where nobody listens: the client itself would try again for more than a minute."""
    place = urlsplit(url)  # its host and port only go into the message: the rest may hold a token
    try:
        socket.create_connection((place.hostname or "", place.port or 15002), timeout=_CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise JobError(f"no Spark Connect server answers at {place.hostname}:{place.port or 15002}: {error}") from None


def quoted(*names: str) -> str:
    """A name for SQL, each part in backticks."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)
