"""The Iceberg REST endpoint that the driver serves to its workers on loopback.

A worker holds no catalog credentials: it holds a token for one execution, and this endpoint decides. It may read the
catalogs of its job; the only change it may make is one commit of data to its job's own table. Everything else is
denied here, whatever the job's program or SQL tries. A stream may commit again and again, to its two tables.

Must not import the job program or the backends.

Source: design.md sections 8 and 10; Iceberg REST catalog specification, https://iceberg.apache.org/rest-catalog-spec/.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from attrs import define, field, frozen

from coreetl_driver import cursors
from coreetl_driver.loopback import LoopbackServer
from coreetl_driver.stream_notes import StreamNotes
from coreetl_driver.warehouse import CURSOR_MOVED, Warehouse, WarehouseError, committed_snapshot, rows_of_stream

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_LOG = logging.getLogger(__name__)
_SEPARATOR = "\x1f"  # between the levels of a namespace in a URL, as the specification says
_MAX_BODY_BYTES = 64 * 1024 * 1024
_NOTE_TIMEOUT_S = 30.0
_ENDPOINTS = (
    "GET /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
)


@frozen
class Grant:
    """What the holder of one token may do.

    Args:
        catalogs: pyiceberg properties by catalog name, references resolved: all it may read.
        default_catalog: The name under which ``read_overlay`` is preferred.
        sink_catalog: Where its one commit may go; None for a reader.
        sink_table: ``namespace.name`` in ``sink_catalog``.
        keeps_cursor: Whether its commit must say how far it has read, and be the next after where it began.
        may_commit: Asked just before its commit: whether the execution is still this driver's.
        dead_letter_table: Of a stream: ``namespace.name`` of the second table that it may write, in ``sink_catalog``.
    """

    execution_id: str
    job_id: str
    environment: str
    catalogs: Mapping[str, Mapping[str, str]] = field(repr=False)
    default_catalog: str = ""
    read_overlay: tuple[str, ...] = ()
    sink_catalog: str | None = None
    sink_table: str | None = None
    keeps_cursor: bool = False
    may_commit: Callable[[], bool] | None = field(default=None, repr=False, eq=False)
    dead_letter_table: str | None = None

    @property
    def is_stream(self) -> bool:
        """Whether it may commit again and again, each time with a note of its own, to either of its two tables."""
        return self.dead_letter_table is not None

    @property
    def tables(self) -> tuple[str, ...]:
        """What it may write, in ``sink_catalog``."""
        return tuple(each for each in (self.sink_table, self.dead_letter_table) if each)

    def sources(self, name: str) -> tuple[str, ...]:
        """The catalogs that stand behind a name, the preferred first."""
        if name == self.default_catalog:
            return (*(overlay for overlay in self.read_overlay if overlay != name), name)
        return (name,)


@define
class Pass:
    """One live grant: its token, and whether its commit has been made.

    Args:
        unclear: A commit failed in a way that does not tell whether the catalog has made it.
    """

    grant: Grant
    token: str = field(repr=False)
    url: str
    committed: bool = False
    unclear: bool = False
    denials: list[str] = field(factory=list)
    notes: dict[str, str] = field(factory=dict)
    noted: threading.Event = field(factory=threading.Event, repr=False)
    stream_notes: StreamNotes = field(factory=StreamNotes, repr=False)
    lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def take_note(self, note: Mapping[str, Any]) -> None:
        """Remember what the commit's summary is to say."""
        if self.grant.is_stream:
            self.stream_notes.take(note)
            return
        self.notes.update(note)
        if cursors.TAKEN_FROM in note:
            self.noted.set()

    def catalog_uri(self, catalog: str) -> str:
        """The base URI of one catalog, as an Iceberg client takes it."""
        return f"{self.url}/{quote(catalog, safe='')}"


class CatalogEndpoint:
    """Serves granted catalogs until ``stop``; starts on the first grant."""

    def __init__(self) -> None:
        self._passes: dict[str, Pass] = {}
        self._warehouse = Warehouse()
        self._server: LoopbackServer | None = None
        self._lock = threading.Lock()

    def grant(self, grant: Grant) -> Pass:
        """A token for one execution, valid until ``revoke``."""
        with self._lock:
            if self._server is None:
                self._server = LoopbackServer(_application(self), name="coreetl-catalogs")
                self._warehouse.warm_up()
            issued = Pass(grant, secrets.token_urlsafe(32), self._server.url)
            self._passes[issued.token] = issued
        return issued

    def revoke(self, issued: Pass) -> None:
        """The token opens nothing any more."""
        with self._lock:
            self._passes.pop(issued.token, None)

    def stop(self) -> None:
        """Stop serving and forget every token."""
        with self._lock:
            server, self._server = self._server, None
            self._passes.clear()
        if server is not None:
            server.stop()

    def holder(self, authorization: str) -> Pass | None:
        """Whose bearer token this is; every token is compared, in constant time."""
        scheme, _, offered = authorization.partition(" ")
        found = None
        with self._lock:
            passes = tuple(self._passes.values())
        for issued in passes:
            if hmac.compare_digest(issued.token.encode(), offered.strip().encode()):
                found = issued
        return found if scheme.lower() == "bearer" else None

    def read(self, issued: Pass, catalog: str, what: str, namespace: tuple[str, ...], table: str) -> dict[str, Any]:
        """Answer one GET.

        Raises:
            WarehouseError: With the status to answer.
        """
        grant = issued.grant
        if catalog not in grant.catalogs:
            raise _denied(issued, f"read catalog {catalog!r}", "has no such catalog")
        stores = [(name, grant.catalogs[name]) for name in grant.sources(catalog) if name in grant.catalogs]
        if what == "namespaces":
            return self._warehouse.namespaces(stores, namespace)
        if what == "namespace":
            return self._warehouse.namespace(stores, namespace)
        if what == "tables":
            return self._warehouse.tables(stores, namespace)
        if what == "table":
            return self._warehouse.table(stores, namespace, table)
        if what == "views":
            return {"identifiers": []}
        if what == "view":
            raise WarehouseError(404, "NoSuchViewException", f"there is no view {'.'.join((*namespace, table))!r}")
        raise WarehouseError(404, "NotFoundException", f"this endpoint does not serve {what!r}")

    def commit(
        self, issued: Pass, catalog: str, namespace: tuple[str, ...], table: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make the one commit of an execution, marked with its id.

        Raises:
            WarehouseError: 403 for any other table or a second commit, 409 for a lost race.
        """
        grant = issued.grant
        target = ".".join((*namespace, table))
        if catalog != grant.sink_catalog or target not in grant.tables:
            own = " and ".join(f"{grant.sink_catalog}.{each}" for each in grant.tables) or "nothing"
            raise _denied(issued, f"commit to table {target!r} in catalog {catalog!r}", f"may write {own} only")
        # A note and a commit come by different ways: without this the commit could overtake the cursor.
        noted = issued.stream_notes.of(target, _NOTE_TIMEOUT_S) if grant.is_stream else issued.notes
        if noted is None or (grant.keeps_cursor and not issued.noted.wait(_NOTE_TIMEOUT_S)):
            raise _denied(issued, f"commit to {catalog}.{target}", "has not said how far it has read")
        with issued.lock:  # two commits of one execution at once must not both pass the check below
            if issued.committed and not grant.is_stream:
                raise _denied(issued, f"commit to {catalog}.{target} again", "has already made its one commit")
            marks = {
                "coreetl.execution-id": grant.execution_id,
                "coreetl.job": grant.job_id,
                "coreetl.environment": grant.environment,
                **noted,
            }
            taken_from = marks.pop(cursors.TAKEN_FROM, None)
            if grant.may_commit is not None and not grant.may_commit():
                why = "is another driver's now, or its job registry does not answer"
                raise _denied(issued, f"commit to {catalog}.{target}", why)
            try:
                answer, made_snapshot = self._warehouse.commit(
                    (catalog, grant.catalogs[catalog]), (*namespace, table), body, marks, taken_from,
                    is_stream=grant.is_stream,
                )  # fmt: skip
            except WarehouseError as refused:  # nothing was written
                if refused.kind == CURSOR_MOVED:
                    issued.denials.append(refused.message)
                raise
            except Exception:  # a lost connection, a timeout: the catalog may have committed before it
                issued.unclear = True
                raise
            issued.committed = issued.committed or made_snapshot
            issued.stream_notes.done(target)
        return answer

    def rows_of_stream(self, grant: Grant) -> int:
        """How many rows a stream's execution has committed to its table, by this driver and earlier ones."""
        assert grant.sink_catalog is not None, "a stream has a sink"
        assert grant.sink_table is not None, "a stream has a sink"
        store = (grant.sink_catalog, grant.catalogs[grant.sink_catalog])
        table = self._warehouse.load(store, tuple(grant.sink_table.split(".")))
        return 0 if table is None else rows_of_stream(table, grant.execution_id)

    def committed(self, grant: Grant) -> dict[str, str] | None:
        """The summary of the snapshot that an execution committed, by this driver or an earlier one; else None."""
        if grant.sink_catalog is None or grant.sink_table is None:
            return None
        store = (grant.sink_catalog, grant.catalogs[grant.sink_catalog])
        table = self._warehouse.load(store, tuple(grant.sink_table.split(".")))
        return None if table is None else committed_snapshot(table, grant.execution_id)


def _denied(issued: Pass, deed: str, reason: str) -> WarehouseError:
    grant = issued.grant
    message = f"environment {grant.environment!r} may not {deed}: job {grant.job_id!r} {reason}"
    _LOG.warning("denied execution %s: %s", grant.execution_id, message)
    issued.denials.append(message)  # engines drop the body of an error, so the driver tells it itself
    return WarehouseError(403, "ForbiddenException", message)


def _application(endpoint: CatalogEndpoint) -> Starlette:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    def failure(error: WarehouseError) -> Response:
        document = {"error": {"message": error.message, "type": error.kind, "code": error.status}}
        return JSONResponse(document, status_code=error.status)

    async def answer(request: Request) -> Response:
        issued = endpoint.holder(request.headers.get("authorization", ""))
        if issued is None:
            return failure(WarehouseError(401, "NotAuthorizedException", "the token is missing, wrong or expired"))
        try:
            return await respond(request, issued)
        except WarehouseError as error:
            return failure(error)
        except Exception as error:  # a bug here must reach the client as an error and the log as a traceback
            _LOG.exception("catalog endpoint failed on %s %s", request.method, request.url.path)
            return failure(WarehouseError(500, "InternalServerError", f"{type(error).__name__} in the endpoint"))

    async def respond(request: Request, issued: Pass) -> Response:
        catalog, what, namespace, table = _route(request.scope["raw_path"], request.query_params.get("parent"))
        if request.method in ("GET", "HEAD"):
            if what == "config":
                return JSONResponse({"defaults": {}, "overrides": {}, "endpoints": list(_ENDPOINTS)})
            document = await run_in_threadpool(endpoint.read, issued, catalog, what, namespace, table)
            return Response(status_code=204) if request.method == "HEAD" else JSONResponse(document)
        if request.method == "POST" and what == "metrics":
            return Response(status_code=204)  # a scan report: nothing is kept
        if request.method != "POST" or what != "table":
            deed = f"{request.method} {what} in catalog {catalog!r}"
            raise _denied(issued, deed, "may commit data to its own table only")
        body = await _commit_body(request)
        return JSONResponse(await run_in_threadpool(endpoint.commit, issued, catalog, namespace, table, body))

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(routes=[Route("/{path:path}", answer, methods=methods)])


async def _commit_body(request: Request) -> dict[str, Any]:
    """The body, counted as it comes: a chunked one announces no length, and an announced one may be a lie."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise WarehouseError(413, "BadRequestException", "the commit is too large")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise WarehouseError(400, "BadRequestException", "the commit is not JSON") from None
    if not isinstance(document, dict):
        raise WarehouseError(400, "BadRequestException", "the commit is not a JSON object")
    return document


def _route(raw_path: bytes, parent: str | None) -> tuple[str, str, tuple[str, ...], str]:
    """What a path names: (catalog, kind, namespace, table). An unknown kind is the path itself.

    The raw path, for a name may hold an escaped slash that must not become a level.
    """
    parts = [unquote(part) for part in raw_path.decode("ascii", "replace").split("?")[0].split("/")][1:]
    catalog, rest = parts[0], parts[2:]
    if len(parts) < 3 or parts[1] != "v1":
        return catalog, "/".join(parts[1:]), (), ""
    if rest == ["config"]:
        return catalog, "config", (), ""
    if rest == ["namespaces"]:
        return catalog, "namespaces", tuple(parent.split(_SEPARATOR)) if parent else (), ""
    if rest[0] == "namespaces":
        namespace = tuple(rest[1].split(_SEPARATOR))
        if len(rest) == 2:
            return catalog, "namespace", namespace, ""
        if len(rest) == 3 and rest[2] in ("tables", "views"):
            return catalog, rest[2], namespace, ""
        if len(rest) == 4 and rest[2] in ("tables", "views"):
            return catalog, rest[2].removesuffix("s"), namespace, rest[3]
        if len(rest) == 5 and rest[2] == "tables" and rest[4] == "metrics":
            return catalog, "metrics", namespace, rest[3]
    return catalog, "/".join(rest), (), ""
