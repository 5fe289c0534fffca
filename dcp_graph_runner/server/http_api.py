"""The same handlers over HTTP/JSON: ``POST /apply`` and its siblings, made from the table.

What goes on after its answer is answered with 202, its state, and ``location: /operations/{id}``; with
``prefer: wait=N`` the answer waits for the end, N seconds at most. ``GET /operations/{id}/events`` tells what happens,
as server-sent events or, where ``accept`` asks for ``application/jsonl``, as a JSON object a line. Errors are
``application/problem+json``.

Beside them, without a token: ``/healthz``, ``/readyz``, ``/metrics``, ``/openapi.json``. There is no CORS, on purpose.

Source: RFC 9457 (problems), RFC 7240 (prefer), https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import attrs
from anyio import CancelScope
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dcp_core.documents import to_json
from dcp_core.errors import DcpError, NotFoundError, UsageError
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.long_running import (
    Event,
    GetOperationRequest,
    OperationState,
    Problem,
    WatchOperationRequest,
)
from dcp_graph_runner.server import metrics, openapi
from dcp_graph_runner.server.calls import TOO_SLOW, Asking, CallError, Calls
from dcp_graph_runner.server.http_requests import (
    NOT_TYPED,
    TOO_LARGE,
    body_of,
    from_body,
    from_query,
    refuse_browsers,
    wait_of,
)
from dcp_graph_runner.server.problems import problem_of
from dcp_graph_runner.server.settings import MEBIBYTE

if TYPE_CHECKING:
    from starlette.requests import Request

TRANSPORT = "http"
GET_OPERATION = "Operations.GetOperation"
_HEARTBEAT_S = 15.0
_LAST = 2**31 - 1
_LINES = (openapi.JSON_LINES, "application/x-ndjson", openapi.JSON)  # what asks for a JSON object a line
_STATUSES = {TOO_SLOW: 408, TOO_LARGE: 413, NOT_TYPED: 415}
Endpoint = Callable[["Request"], Awaitable[Response]]


@attrs.frozen
class HttpApi:
    """What the endpoints work with.

    Args:
        handlers: What is answered.
        calls: With what.
        has_tokens: Whether callers must show a token.
        is_ready: Whether calls can be answered now.
        measured: The metrics, as Prometheus reads them; blocks.
        max_request_mib: The largest body, in MiB.
    """

    handlers: Sequence[AnyHandler]
    calls: Calls
    has_tokens: bool
    is_ready: Callable[[], bool]
    measured: Callable[[], bytes]
    max_request_mib: int = 64

    def application(self) -> Starlette:
        """The Starlette application."""
        described = openapi.document(self.handlers, version("dcp-graph-runner"), has_tokens=self.has_tokens)

        async def live(_request: Request) -> Response:
            return JSONResponse({"ok": True})

        async def ready(_request: Request) -> Response:
            is_so = self.is_ready()
            return JSONResponse({"ok": is_so}, status_code=200 if is_so else 503)

        async def measured(_request: Request) -> Response:
            return Response(await run_sync(self.measured), media_type=metrics.CONTENT_TYPE)

        async def document(_request: Request) -> Response:
            return JSONResponse(described)

        probes = {"/healthz": live, "/readyz": ready, "/metrics": measured, "/openapi.json": document}
        routes = [Route(path, probe, methods=["GET"]) for path, probe in probes.items()]
        routes.append(Route(openapi.EVENTS_PATH, self._watching(), methods=["GET"]))
        routes += [Route(each.path, self._endpoint(each), methods=[each.verb]) for each in self.handlers]
        return Starlette(routes=routes, exception_handlers={HTTPException: _unrouted, Exception: _bug})

    def _endpoint(self, handler: AnyHandler) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            asking = _asking(request)
            given = {name: str(value) for name, value in request.path_params.items()}

            async def receive() -> bytes:
                refuse_browsers(asking.headers, has_tokens=self.has_tokens)
                return await body_of(request, self.max_request_mib * MEBIBYTE)

            def read(content: bytes) -> Any:
                if handler.verb == "GET":
                    return from_query(request.query_params.multi_items(), handler.request, given)
                if request.query_params:
                    raise UsageError("this call takes its fields in the body, not in the address")
                return from_body(content, handler.request, given)

            try:
                if handler.is_long:
                    state = await self.calls.answer(handler, asking, receive, read, lambda found: found)
                    return await self._accepted(state, asking)
                content = await self.calls.answer(handler, asking, receive, read, _dumped)
            except CallError as error:
                return _refused(error.problem, asking)
            return _json(content, 200, asking)

        return endpoint

    async def _accepted(self, state: OperationState, asking: Asking) -> Response:
        """202 at once, or 200 when it has ended while the caller waited."""
        wait_s = wait_of(asking.headers)
        headers = {"location": f"/operations/{state.id}"}
        if wait_s is not None:
            headers["preference-applied"] = f"wait={wait_s:g}"
            if not state.status.is_final:
                # It was accepted, whatever comes of the waiting.
                with contextlib.suppress(TimeoutError, CallError):
                    async with asyncio.timeout(wait_s):
                        async for event in self.calls.watch(WatchOperationRequest(state.id, _LAST), asking):
                            state = event.state or state
        content = await run_sync(_dumped, state)
        return _json(content, 200 if wait_s is not None and state.status.is_final else 202, asking, headers)

    def _watching(self) -> Endpoint:
        get = next(each for each in self.handlers if each.name == GET_OPERATION)

        async def nothing() -> bytes:
            return b""

        async def endpoint(request: Request) -> Response:
            asking = _asking(request)
            id = str(request.path_params["id"])

            def read(_content: bytes) -> WatchOperationRequest:
                refuse_browsers(asking.headers, has_tokens=self.has_tokens)
                last = request.headers.get("last-event-id")
                query = request.query_params.multi_items() or ([("after", last)] if last else [])
                self.calls.check_watchers()  # while its status can still be told
                watched: WatchOperationRequest = from_query(query, WatchOperationRequest, {"id": id})
                return watched

            try:
                watched = await run_sync(_or_problem, read)
                await self.calls.answer(get, asking, nothing, lambda _: GetOperationRequest(id), lambda _: None)
            except CallError as error:
                return _refused(error.problem, asking)
            accept = request.headers.get("accept", "")
            wants_lines = openapi.EVENT_STREAM not in accept and any(each in accept for each in _LINES)
            told = _lines if wants_lines else _server_sent
            kind = openapi.JSON_LINES if wants_lines else openapi.EVENT_STREAM
            headers = {"cache-control": "no-store", "x-accel-buffering": "no", **asking.reply}
            return StreamingResponse(told(self.calls.watch(watched, asking)), media_type=kind, headers=headers)

        return endpoint


def _asking(request: Request) -> Asking:
    peer = f"{request.client.host}:{request.client.port}" if request.client else ""
    return Asking(TRANSPORT, dict(request.headers), peer)


def _or_problem(read: Callable[[bytes], WatchOperationRequest]) -> WatchOperationRequest:
    try:
        return read(b"")
    except DcpError as error:
        raise CallError(problem_of(error, openapi.EVENTS_PATH)) from None


async def _lines(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """A JSON object a line; an error that ends the stream is its last one."""
    try:
        async for event in events:
            yield _dumped(event) + b"\n"
    except CallError as error:
        yield json.dumps({"problem": _document(error.problem)}).encode() + b"\n"


async def _server_sent(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """Server-sent events, and a comment now and then, so that nobody on the way takes the connection for dead."""
    following: asyncio.Future[Event] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([following], timeout=_HEARTBEAT_S)
            if not done:
                yield b": still here\n\n"
                continue
            event = following.result()
            following = None
            # A state is no event that is kept: who reconnects after it goes on after the last one that is.
            id = b"" if event.type == "state" else b"id: %d\n" % event.sequence
            yield b"%sevent: %s\ndata: %s\n\n" % (id, event.type.encode(), _dumped(event))
    except StopAsyncIteration:
        return
    except CallError as error:
        yield b"event: problem\ndata: %s\n\n" % json.dumps(_document(error.problem)).encode()
    finally:
        if following is not None:
            following.cancel()
            with CancelScope(shield=True):
                await asyncio.wait([following])


def _dumped(answer: Any) -> bytes:
    return json.dumps(to_json(answer), ensure_ascii=False, separators=(",", ":")).encode()


def _json(content: bytes, status: int, asking: Asking, headers: dict[str, str] | None = None) -> Response:
    told = {"cache-control": "no-store", **asking.reply, **(headers or {})}
    return Response(content, status, told, media_type=openapi.JSON)


def _document(problem: Problem) -> dict[str, Any]:
    document = {name: value for name, value in to_json(problem).items() if value not in (None, [])}
    phrase = http.HTTPStatus(problem.status).phrase
    return {"type": f"urn:dcp:{problem.code}", "title": phrase, "detail": problem.message, **document}


def _refused(problem: Problem, asking: Asking) -> Response:
    problem = attrs.evolve(problem, status=_STATUSES.get(problem.code, problem.status))
    headers = {"cache-control": "no-store", **asking.reply}
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    if problem.retry_after_s is not None or problem.status == 503:
        headers["retry-after"] = str(max(1, math.ceil(problem.retry_after_s or 1.0)))
    return JSONResponse(_document(problem), problem.status, headers, media_type=openapi.PROBLEM_JSON)


async def _unrouted(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    found = NotFoundError(
        f"there is no {request.method} {request.url.path}", hint="GET /openapi.json", code="http.unrouted"
    )
    problem = attrs.evolve(problem_of(found, request.url.path), status=status)
    response = _refused(problem, _asking(request))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def _bug(request: Request, error: Exception) -> Response:
    return _refused(problem_of(error, request.url.path), _asking(request))
