"""The query engine that ``test`` and lint use: analysis, plans and small results, and never a write.

A worker process like that of a job, with an endpoint that lets nobody write; or a real Spark behind
``[coreetl] spark_connect_url``. A result is labelled with ``name``, for engines differ.

Source: design.md section 10.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from coreetl_driver import CoreetlSettings
from coreetl_driver.api import Column
from coreetl_driver.catalog_endpoint import CatalogEndpoint, Grant
from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.compute.local import session_request
from coreetl_driver.compute.worker_process import WorkerDied, WorkerProcess
from coreetl_driver.spark_connect_address import check_address
from coreetl_driver.sql import parameters, require_query, source_tables
from coreetl_driver.values import decode, encode
from dcp_core.errors import PermanentError, TransientError
from dcp_core.settings import Settings

Rows = tuple[tuple[Column, ...], tuple[tuple[Any, ...], ...]]
_START_TIMEOUT_S = 60.0
_QUERY_TIMEOUT_S = 300.0
_MAX_LOG_CHARACTERS = 2000


class Engine:
    """One engine for many queries; a context manager. Starts on the first query.

    Args:
        catalogs: pyiceberg properties by catalog name; ``${NAME}`` references are resolved here.
        default_catalog: Where an unqualified ``namespace.table`` resolves.
        read_overlay: Catalogs preferred, in order, before ``default_catalog``.

    Errors of every method:
        InvalidSpecError: The SQL is not one plain query. Never retried.
        PermanentError: The engine refuses the query, in its own words, cleaned.
        TransientError: The engine did not start, or died.
    """

    def __init__(
        self,
        catalogs: Mapping[str, Mapping[str, str]],
        default_catalog: str,
        read_overlay: Sequence[str] = (),
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings if settings is not None else Settings.load()
        self._own = self._settings.section("coreetl", CoreetlSettings)
        resolve = self._settings.resolve
        self._grant = Grant(
            execution_id="engine",
            job_id="engine",
            environment="test",
            catalogs={
                name: {
                    key: resolve(value, f"property {key!r} of catalog {name!r}") for key, value in properties.items()
                }
                for name, properties in catalogs.items()
            },
            default_catalog=default_catalog,
            read_overlay=tuple(read_overlay),
        )
        self._endpoint = CatalogEndpoint()
        self._folder: Path | None = None
        self._process: WorkerProcess | None = None
        self._name = ""
        self._views = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """``sail 0.7.2 (embedded)`` or ``spark 4.1.0``: what judged."""
        self._started()
        return self._name

    def analyze(self, sql: str, params: Mapping[str, str] | None = None) -> tuple[Column, ...]:
        """The columns that a query returns, without running it; ``required`` where the engine knows it."""
        request = {"op": "analyze", "sql": sql, "params": _arguments(sql, params)}
        return _columns(self._ask(request)["columns"])

    def explain(self, sql: str, params: Mapping[str, str] | None = None) -> str:
        """The engine's plans of a query, as text."""
        return str(self._ask({"op": "explain", "sql": sql, "params": _arguments(sql, params)})["plan"])

    def check(self, sql: str, params: Mapping[str, str] | None = None) -> None:
        """Run a query for no rows: what analysis lets pass may still have no execution."""
        self.rows(sql, limit=0, params=params)

    def rows(
        self,
        sql: str,
        inputs: Mapping[str, tuple[Sequence[Column], Sequence[Sequence[Any]]]] | None = None,
        limit: int = 1000,
        params: Mapping[str, str] | None = None,
    ) -> Rows:
        """The first rows of a query.

        Args:
            inputs: Rows in place of source tables, by the name the query uses (``raw.orders``). Values are JSON-like
                Python, with Decimal, date, datetime and None; each must fit its column's type.
            limit: At most so many rows.
            params: Values of ``:name`` parameters; one that is left out is NULL.

        Returns:
            Columns, and rows of Python values (Decimal, date, aware datetime for ``timestamp``, dict, list).
        """
        require_query(sql, allowed_catalogs=self._grant.catalogs or None)
        rewritten, views = self._with_inputs(sql, inputs or {})
        values = _arguments(sql, params)
        answer = self._ask({"op": "rows", "sql": rewritten, "views": views, "limit": limit, "params": values})
        columns = _columns(answer["columns"])
        types = [parse_engine_type(column.type) for column in columns]
        rows = tuple(
            tuple(decode(value, type_) for value, type_ in zip(row, types, strict=True)) for row in answer["rows"]
        )
        return columns, rows

    def close(self) -> None:
        """End the engine's process and forget its token."""
        if self._process is not None:
            self._process.close()
            self._process = None
        self._endpoint.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _with_inputs(
        self, sql: str, inputs: Mapping[str, tuple[Sequence[Column], Sequence[Sequence[Any]]]]
    ) -> tuple[str, list[dict[str, Any]]]:
        """The query with its source tables replaced by views, and the views."""
        names = {}
        views = []
        for source, (columns, rows) in inputs.items():
            self._views += 1
            names[source.lower()] = f"coreetl_input_{self._views}"
            types = [(column.name, parse_engine_type(column.type)) for column in columns]
            # Checked here, where the error can name the input and its row.
            for index, row in enumerate(rows):
                if len(row) != len(types):
                    raise PermanentError(
                        f"input {source!r}, row {index + 1}: {len(row)} values for {len(types)} columns"
                    )
                for (column, type_), value in zip(types, row, strict=True):
                    decode(value, type_, f"input {source!r}, row {index + 1}, column {column!r}")
            views.append(
                {
                    "name": names[source.lower()],
                    "columns": [[column, of.spark] for column, of in types],
                    "rows": [[encode(value) for value in row] for row in rows],
                }
            )
        for table in reversed(source_tables(sql)):  # from the end, so that earlier positions stay true
            view = names.get(table.name.lower())
            if view is not None:
                # Without an alias the columns are qualified with the table's own name.
                alias = "" if table.alias else f" AS `{table.parts[-1]}`"
                sql = sql[: table.start] + view + alias + sql[table.end :]
        return sql, views

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        require_query(request["sql"])
        process = self._started()
        process.send(request)
        try:
            answer = process.answer(_QUERY_TIMEOUT_S)
        except TimeoutError:
            self.close()
            raise TransientError(f"the engine did not answer within {_QUERY_TIMEOUT_S:.0f} s") from None
        except WorkerDied as death:
            raise TransientError(f"the engine died: {death}{self._last_words()}") from None
        if not answer["ok"]:
            raise PermanentError(answer["error"], code="engine.refused")
        return answer

    def _started(self) -> WorkerProcess:
        if self._process is not None:
            return self._process
        if self._own.spark_connect_url:
            check_address(self._own.spark_connect_url, self._settings)
        self._folder = Path(tempfile.mkdtemp(prefix="coreetl-engine-"))
        scratch = self._folder / "scratch"
        scratch.mkdir()
        process = WorkerProcess(self._folder / "log.txt", scratch, variables=self._own.worker_environment)
        if self._own.spark_connect_url:
            process.send(
                {"spark_connect_url": self._own.spark_connect_url, "default_catalog": self._grant.default_catalog}
            )
        else:
            process.send(session_request(self._endpoint.grant(self._grant)))
        try:
            answer = process.answer(_START_TIMEOUT_S)
        except (TimeoutError, WorkerDied) as error:
            process.kill()
            reason = str(error) or f"no answer within {_START_TIMEOUT_S:.0f} s"
            raise TransientError(f"the engine does not start: {reason}{self._last_words()}") from None
        if not answer["ok"]:
            process.kill()
            raise TransientError(answer["error"])
        self._name = answer["engine"]
        self._process = process
        return process

    def _last_words(self) -> str:
        if self._folder is None:
            return ""
        lines = (self._folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f" ({lines[-1][:_MAX_LOG_CHARACTERS]})" if lines else ""


def _arguments(sql: str, params: Mapping[str, str] | None) -> dict[str, Any]:
    """A value for each parameter of the SQL: NULL where none is given, for that analyses as any type."""
    given = params or {}
    return {name: given.get(name) for name in parameters(sql)}


def _columns(found: Sequence[Sequence[Any]]) -> tuple[Column, ...]:
    return tuple(Column(name, parse_engine_type(of).spark, required=not nullable) for name, of, nullable in found)
