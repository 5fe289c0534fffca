"""Sources behind an ADBC driver: connecting, statements as streams of Arrow, and errors that hold no secret.

Source: ADBC 1.1 specification, https://arrow.apache.org/adbc/.
"""

from __future__ import annotations

import contextlib
import importlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from coreetl_driver.sources.driver_errors import told
from coreetl_driver.sources.source import Source
from dcp_core.errors import DcpError, PermanentError, SettingsError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa

    from coreetl_driver.sources.connections import Connection

_READ_ONLY = "adbc.connection.readonly"


class AdbcSource(Source):
    """Connects through the package of an ADBC driver, by its ``dbapi.connect``.

    Args:
        driver: The package, such as ``adbc_driver_sqlite``; installed.
    """

    def __init__(self, connection: Connection, driver: str) -> None:
        super().__init__(connection)
        self._driver = driver
        self._opened: Any = None
        self._cursors: list[Any] = []

    def close(self) -> None:
        for cursor in self._cursors:
            with contextlib.suppress(Exception):  # what is open must not keep the rest from closing
                cursor.close()
        self._cursors.clear()
        opened, self._opened = self._opened, None
        if opened is not None:
            with contextlib.suppress(Exception):
                opened.close()

    @abstractmethod
    def _address(self) -> tuple[str, Mapping[str, str]]:
        """What the driver connects to, and options of its database."""

    def _prepare(self, opened: Any) -> None:
        """Do what a new connection needs, such as asking for read-only."""
        with contextlib.suppress(Exception):  # not every driver knows the option
            opened.adbc_connection.set_options(**{_READ_ONLY: "true"})

    def _open(self) -> Any:
        if self._opened is None:
            uri, options = self._address()
            try:
                connect = importlib.import_module(f"{self._driver}.dbapi").connect
            except (ImportError, AttributeError) as error:
                raise SettingsError(
                    f"[connections.{self.name}] driver {self._driver!r} is not the package of an ADBC driver: {error}"
                ) from None
            given = {"db_kwargs": dict(options)} if options else {}
            try:
                self._opened = connect(uri, autocommit=True, **given)
                self._prepare(self._opened)
            except DcpError:
                raise
            except Exception as error:  # drivers raise all sorts, with the address in the message
                raise self._error(error, connecting=True) from None
        return self._opened

    def _query(self, sql: str, options: Mapping[str, str] | None = None) -> Iterator[pa.RecordBatch]:
        """The batches of one statement.

        Raises:
            DcpError: See ``Source``.
        """
        cursor = self._open().cursor(adbc_stmt_kwargs=dict(options) if options else None)
        self._cursors.append(cursor)
        try:
            cursor.execute(sql)
            yield from cursor.fetch_record_batch()
        except (DcpError, GeneratorExit):
            raise
        except Exception as error:
            raise self._error(error) from None
        finally:
            with contextlib.suppress(Exception):
                cursor.close()
            if cursor in self._cursors:
                self._cursors.remove(cursor)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        rows: list[tuple[Any, ...]] = []
        for batch in self._query(sql):
            rows += list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        return rows

    def _error(self, error: Exception, *, connecting: bool = False) -> DcpError:
        """What a driver's error means; ``_is_transient`` tells whether it may pass."""
        message = told(self._connection, error)
        text = f"connection {self.name!r}{' cannot be opened' if connecting else ''}: {message}"
        if self._is_transient(message, connecting):
            return TransientError(text, code="source.unavailable")
        return PermanentError(text, code="source.refused")

    def _is_transient(self, message: str, connecting: bool) -> bool:
        return connecting
