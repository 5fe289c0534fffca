"""An environment's Iceberg catalog: what is in it, and the connection that changes it.

Looking creates nothing: neither the embedded catalog's database, nor its tables, nor a namespace.
"""

from __future__ import annotations

import gzip
import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlparse

from coreetl_driver.catalog_abilities import NotOfferedError
from coreetl_driver.catalog_opening import open_catalog, open_in_time
from coreetl_driver.embedded import sqlite_file
from dcp_core.context import Context
from dcp_core.errors import DcpError, PermanentError, TransientError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

T = TypeVar("T")


class MetadataLostError(PermanentError):
    """The catalog has the table, and the file that describes it does not exist.

    Args:
        table: ``namespace.name``; None when it is not known here.
        location: Where the file should be; None when the storage did not say.
    """

    code = "iceberg.metadata_lost"

    def __init__(self, location: str | None, table: str | None = None) -> None:
        self.location = location
        what = f"table {table}" if table else "a table"
        super().__init__(
            f"the catalog has {what}, and its metadata file is gone: {location or 'the storage does not say which'}",
            hint="bring the file back, or destroy the manifest, which takes the entry out of the catalog",
        )


_COMMIT_TRIES = 5
_PATIENCE_S = 10.0
_INDEX = "SELECT * FROM iceberg_tables WHERE catalog_name = "


def is_sql(properties: Mapping[str, str]) -> bool:
    """Whether the catalog is rows of the JDBC catalog standard, which can be read without pyiceberg."""
    return properties.get("type") == "sql"


def database_file(properties: Mapping[str, str]) -> Path | None:
    """The database file of an embedded catalog; None for any other."""
    return sqlite_file(properties.get("uri", "")) if is_sql(properties) else None


def connect(ctx: Context) -> Catalog:
    """The environment's own catalog through pyiceberg, one connection for the life of the control plane.

    Raises:
        SettingsError: The properties do not describe a catalog.
        TransientError: It cannot be reached now.
    """
    name = ctx.environment.catalog
    return ctx.shared(f"iceberg.catalog.{name}", lambda: _load(name, ctx.settings.catalog_properties(name)))


def prepare(catalog: Catalog) -> None:
    """Make room for the first table: the embedded database's folder, and the tables of a SQL catalog."""
    if is_sql(catalog.properties):
        file = database_file(catalog.properties)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        for last_try in (False, False, True):
            try:
                with reaching(catalog.name):
                    catalog.create_tables()  # type: ignore[attr-defined]  # only of SqlCatalog
                    return
            except TransientError:
                # Somebody else makes the same two tables at this moment; the next look finds them there.
                if last_try:
                    raise


def _load(name: str, properties: dict[str, str]) -> Catalog:
    if is_sql(properties):
        properties = {"init_catalog_tables": "false", **properties}
        file = database_file(properties)
        if file is not None:
            # SQLite makes the file on the first look; only a caller that is about to write gets here.
            file.parent.mkdir(parents=True, exist_ok=True)
        with reaching(name):
            return open_catalog(name, properties)
    with reaching(name):
        return open_in_time(name, properties)


def exists(properties: Mapping[str, str]) -> bool:
    """False when an embedded catalog has never been written; opening it would create it."""
    file = database_file(properties)
    return file is None or file.is_file()


def read_index(name: str, properties: Mapping[str, str], patience_s: float = _PATIENCE_S) -> Mapping[str, str] | None:
    """Where the metadata of every table of a SQL catalog lies, by ``namespace.name``, in one query.

    Args:
        name: The catalog's.
        properties: As ``Settings.catalog_properties`` gives them.
        patience_s: How long to wait while somebody else holds an embedded catalog's lock.

    Returns:
        None when the catalog is of another type and has to be asked table by table.

    Raises:
        TransientError: The database cannot be reached now.
    """
    if not is_sql(properties):
        return None
    file = database_file(properties)
    rows = _rows_of_sqlite(file, name, patience_s) if file is not None else _rows_of_database(properties["uri"], name)
    return {
        f"{row['table_namespace']}.{row['table_name']}": row["metadata_location"] or ""
        for row in rows
        if row.get("iceberg_type") in (None, "TABLE")
    }


def read_metadata(location: str) -> Mapping[str, Any] | None:
    """A metadata document on this machine's disk; None when it lies elsewhere or is too old to be read as JSON.

    Raises:
        MetadataLostError: There is no such file.
        PermanentError: It cannot be read, or is broken.
    """
    parsed = urlparse(location)
    if parsed.scheme not in ("", "file") or parsed.netloc not in ("", "localhost"):
        return None
    path = Path(unquote(parsed.path) if parsed.scheme else location)
    try:
        if not path.is_file() and parsed.scheme:
            path = Path(parsed.path)  # pyiceberg does not quote what it writes
        data = path.read_bytes()
        if location.endswith(".gz.metadata.json"):
            data = gzip.decompress(data)
        document: dict[str, Any] = json.loads(data)
    except (FileNotFoundError, NotADirectoryError):
        raise MetadataLostError(location) from None
    except (OSError, ValueError) as error:
        raise PermanentError(
            f"the catalog points to {path}, which cannot be read: {error}",
            hint="the table's metadata was damaged outside the catalog, or may not be read",
            code="iceberg.metadata_unreadable",
        ) from None
    return document if document.get("format-version", 1) >= 2 else None


def committed(catalog: Catalog, attempt: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
    """``attempt``, tried again while others commit to the same table at the same time.

    Raises:
        TransientError: It lost the race every time.
    """
    from pyiceberg.exceptions import CommitFailedException

    for number in range(_COMMIT_TRIES):
        try:
            with reaching(catalog.name):
                return attempt()
        except CommitFailedException:
            if number + 1 < _COMMIT_TRIES:
                sleep(random.uniform(0.02, 0.1) * 2**number)
    raise TransientError(f"others keep committing to the table; gave up after {_COMMIT_TRIES} tries", retry_after_s=1)


@contextmanager
def reaching(name: str) -> Iterator[None]:
    """Turns what a catalog's transport raises into errors that say whether to try again."""
    from pyiceberg import exceptions

    try:
        yield
    except DcpError:
        raise
    except NotImplementedError as error:  # of a REST catalog's client, before it calls
        raise NotOfferedError(f"catalog {name!r} cannot do it: {_first_line(error)}") from None
    except (
        exceptions.ServiceUnavailableError,
        exceptions.ServerError,
        exceptions.TooManyRequestsError,
        exceptions.CommitStateUnknownException,
        exceptions.WaitingForLockException,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise TransientError(f"catalog {name!r} cannot be reached: {_first_line(error)}") from None
    except (
        exceptions.UnauthorizedError,
        exceptions.ForbiddenError,
        exceptions.OAuthError,
        exceptions.AuthorizationExpiredError,
    ) as error:
        raise PermanentError(f"catalog {name!r} denies access: {_first_line(error)}", code="iceberg.denied") from None
    except exceptions.RESTError as error:
        raise PermanentError(f"catalog {name!r} refuses: {_first_line(error)}", code="iceberg.refused") from None
    except Exception as error:
        # SQLAlchemy and requests are not imported for the sake of naming their errors.
        kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
        if kinds & {"sqlalchemy.OperationalError", "requests.ConnectionError", "requests.Timeout"}:
            raise TransientError(f"catalog {name!r} cannot be reached: {_first_line(error)}") from None
        raise


def _rows_of_sqlite(file: Path, name: str, patience_s: float) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=patience_s)
    except sqlite3.Error as error:
        raise TransientError(f"catalog {name!r} cannot be opened: {error}") from None
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(_INDEX + "?", (name,))]
    except sqlite3.DatabaseError as error:
        if "no such table: iceberg_tables" in str(error):
            return []
        if isinstance(error, sqlite3.OperationalError):
            raise TransientError(f"catalog {name!r} cannot be read: {error}") from None
        raise PermanentError(f"{file} is not a catalog: {error}", code="iceberg.catalog_broken") from None
    finally:
        connection.close()


def _rows_of_database(uri: str, name: str) -> list[dict[str, Any]]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            found = connection.execute(sqlalchemy.text(_INDEX + ":name"), {"name": name})
            return [dict(row) for row in found.mappings()]
    except sqlalchemy.exc.ProgrammingError as error:
        # Absent only where the table is: one that may not be read, or of another shape, says nothing of what exists.
        is_there = sqlalchemy.inspect(engine).has_table("iceberg_tables")
        if not is_there:
            return []  # the catalog has never been written
        raise PermanentError(
            f"catalog {name!r} cannot be read: {_first_line(error)}", code="iceberg.catalog_broken"
        ) from None
    except sqlalchemy.exc.OperationalError as error:
        raise TransientError(f"catalog {name!r} cannot be reached: {_first_line(error)}") from None
    finally:
        engine.dispose()


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
