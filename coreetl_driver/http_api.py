"""The driver over HTTP/JSON: what a generated DAG calls, with nothing to install but an HTTP client.

======  ==============================  =====================================================================
POST    /v1/jobs                        job_id, environment, name, spec, labels
GET     /v1/jobs?environment=           a list
GET     /v1/jobs/{id}?environment=
PUT     /v1/jobs/{id}                   environment, spec, labels, expected_version
DELETE  /v1/jobs/{id}?environment=
POST    /v1/jobs/{id}/run               environment, params, idempotency_key, user_token → an execution; the
                                        params data_interval_start and data_interval_end say what the run is for
GET     /v1/jobs/{id}/explain?environment=   where a run would go now, and why
GET     /v1/jobs/{id}/upstream?environment=&at=   whether what it reads is complete up to a moment (now)
POST    /v1/jobs/{id}/stop              environment, user_token, execution_id (all of the job) → executions
GET     /v1/executions?job_id=&environment=&limit=
GET     /v1/executions/{id}?wait_s=     answers when it is final, or after so many seconds (at most 10)
GET     /v1/executions/{id}/logs        text
GET     /healthz, /v1/health            no token needed: the process lives
GET     /readyz                         no token needed: 503 while it ends, or its registry does not answer
======  ==============================  =====================================================================

A ``user_token`` is taken from the body alone: URLs are kept in logs.

Errors are ``{"error": {"type", "message", "code", "hint"}}`` with a fitting status.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs

from coreetl_driver import failures
from coreetl_driver.api import Execution, Job, JobSpec
from coreetl_driver.compute.suggesting import nearest
from coreetl_driver.draining import CALL_THREADS
from coreetl_driver.guarded import Guard, GuardedDriver
from dcp_core.errors import DcpError, InvalidSpecError
from dcp_core.intervals import parse_moment

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_LOG = logging.getLogger(__name__)
_MAX_BODY_BYTES = 2 * 1024 * 1024
_PROBE_TIMEOUT_S = 2.0
Handler = Callable[[GuardedDriver, "_Call"], Any]


@attrs.frozen
class _Call:
    """A request, read: its path, query and body."""

    path: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any]

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        """A name that nobody reads was meant to be another: what it says must not be left out in silence."""
        for name in (*self.body, *self.query):
            if name not in known:
                raise InvalidSpecError(f"{name!r} is not known here", hint=nearest(name, known, "known"))

    def needed(self, name: str) -> str:
        value = self.body.get(name, self.query.get(name))
        if not isinstance(value, str) or not value:
            raise InvalidSpecError(f"{name} is missing, or not a string")
        return value

    def text(self, name: str) -> str | None:
        value = self.body.get(name, self.query.get(name))
        if value is not None and not isinstance(value, str):
            raise InvalidSpecError(f"{name} is not a string")
        return value

    def user_token(self) -> str | None:
        if "user_token" in self.query:
            raise InvalidSpecError("user_token is in the URL, where logs keep it", hint="send it in the body")
        return self.text("user_token")

    def texts(self, name: str) -> dict[str, str]:
        value = self.body.get(name) or {}
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise InvalidSpecError(f"{name} is not an object of strings")
        return value

    def number(self, name: str, default: float) -> float:
        try:
            value = float(self.query.get(name, default))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InvalidSpecError(f"{name} is not a number")
        return value

    def spec(self) -> JobSpec:
        value = self.body.get("spec")
        if not isinstance(value, dict):
            raise InvalidSpecError("spec is missing, or not an object")
        return JobSpec.from_json(value)

    def version(self) -> int | None:
        value = self.body.get("expected_version")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise InvalidSpecError("expected_version is not an integer")
        return value


def job_to_json(job: Job) -> dict[str, Any]:
    """One job as the API shows it."""
    return {**attrs.asdict(job, recurse=False), "spec": job.spec.to_json(), "labels": dict(job.labels)}


def execution_to_json(execution: Execution) -> dict[str, Any]:
    """One execution as the API shows it: times are ISO 8601, UTC."""
    document = attrs.asdict(execution, recurse=False)
    for name in ("created_at", "started_at", "finished_at"):
        document[name] = document[name].isoformat() if document[name] else None
    return document


def _create(driver: GuardedDriver, call: _Call) -> Any:
    job_id = call.needed("job_id")
    name = call.text("name") or job_id
    return job_to_json(driver.create_job(job_id, call.needed("environment"), name, call.spec(), call.texts("labels")))


def _update(driver: GuardedDriver, call: _Call) -> Any:
    job = driver.update_job(
        call.path["job_id"], call.needed("environment"), call.spec(), call.texts("labels"), call.version()
    )
    return job_to_json(job)


def _delete(driver: GuardedDriver, call: _Call) -> Any:
    driver.delete_job(call.path["job_id"], call.needed("environment"))
    return {}


def _get(driver: GuardedDriver, call: _Call) -> Any:
    return job_to_json(driver.get_job(call.path["job_id"], call.needed("environment")))


def _list(driver: GuardedDriver, call: _Call) -> Any:
    return {"jobs": [job_to_json(job) for job in driver.list_jobs(call.text("environment"), None)]}


def _run(driver: GuardedDriver, call: _Call) -> Any:
    execution = driver.run_job(
        call.path["job_id"],
        call.needed("environment"),
        call.texts("params"),
        call.text("idempotency_key"),
        call.user_token(),
    )
    return execution_to_json(execution)


def _explain(driver: GuardedDriver, call: _Call) -> Any:
    return attrs.asdict(driver.explain_run(call.path["job_id"], call.needed("environment")))


def _upstream(driver: GuardedDriver, call: _Call) -> Any:
    at = call.text("at")
    moment = None if at is None else parse_moment(at)
    tables = driver.get_upstream(call.path["job_id"], call.needed("environment"), moment)
    return {"tables": [{**attrs.asdict(each), "due": each.due and each.due.isoformat()} for each in tables]}


def _stop(driver: GuardedDriver, call: _Call) -> Any:
    job_id, execution_id = call.path["job_id"], call.text("execution_id")
    stopped = driver.stop_job(job_id, call.needed("environment"), call.user_token(), execution_id)
    return {"executions": [execution_to_json(execution) for execution in stopped]}


def _execution(driver: GuardedDriver, call: _Call) -> Any:
    return execution_to_json(driver.get_execution(call.path["execution_id"], call.number("wait_s", 0.0)))


def _executions(driver: GuardedDriver, call: _Call) -> Any:
    limit = int(call.number("limit", 100))
    found = driver.list_executions(call.text("job_id"), call.text("environment"), limit)
    return {"executions": [execution_to_json(execution) for execution in found]}


def _logs(driver: GuardedDriver, call: _Call) -> Any:
    return driver.get_logs(call.path["execution_id"])


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/v1/jobs", _create),
    ("GET", "/v1/jobs", _list),
    ("GET", "/v1/jobs/{job_id}", _get),
    ("PUT", "/v1/jobs/{job_id}", _update),
    ("DELETE", "/v1/jobs/{job_id}", _delete),
    ("POST", "/v1/jobs/{job_id}/run", _run),
    ("GET", "/v1/jobs/{job_id}/explain", _explain),
    ("GET", "/v1/jobs/{job_id}/upstream", _upstream),
    ("POST", "/v1/jobs/{job_id}/stop", _stop),
    ("GET", "/v1/executions", _executions),
    ("GET", "/v1/executions/{execution_id}", _execution),
    ("GET", "/v1/executions/{execution_id}/logs", _logs),
)
_CREATES = ("job_id", "environment", "name", "spec", "labels")
_TAKES: dict[Handler, tuple[str, ...]] = {
    _create: _CREATES,
    _list: ("environment",),
    _get: ("environment",),
    _update: (*_CREATES, "expected_version"),  # what a creation takes may be sent again
    _delete: ("environment",),
    _run: ("environment", "params", "idempotency_key", "user_token"),
    _explain: ("environment",),
    _upstream: ("environment", "at"),
    _stop: ("environment", "user_token", "execution_id"),
    _execution: ("wait_s",),
    _executions: ("job_id", "environment", "limit"),
    _logs: (),
}


def application(guard: Guard, is_ready: Callable[[], bool]) -> Starlette:
    """The Starlette application of a driver.

    Args:
        is_ready: Whether calls can be answered now; asked from a thread.
    """
    from anyio import CapacityLimiter
    from anyio.to_thread import run_sync
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse, PlainTextResponse
    from starlette.routing import Route

    threads = CapacityLimiter(CALL_THREADS)
    readiness = _Readiness(is_ready)

    def endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                with guard.draining.call():
                    # Before the body is read: a stranger's megabytes are of no interest.
                    driver = guard.admit(request.headers.get("authorization", ""))
                    call = _Call(dict(request.path_params), dict(request.query_params), await _body(request))
                    call.refuse_unknown(_TAKES[handler])
                    document = await run_sync(handler, driver, call, limiter=threads)
            except Exception as error:  # every failure becomes a status; what is a bug is logged
                described, _, status = failures.describe(error)
                if failures.is_denial(error):
                    peer = request.client.host if request.client else "?"
                    _LOG.warning("denied %s %s from %s: %s", request.method, request.url.path, peer, error)
                elif not isinstance(error, DcpError):
                    _LOG.exception("%s %s failed", request.method, request.url.path)
                after = described.get("retry_after_s")
                headers = {"retry-after": str(math.ceil(after))} if after is not None else None
                return JSONResponse({"error": described}, status_code=status, headers=headers)
            return PlainTextResponse(document) if isinstance(document, str) else JSONResponse(document)

        return answer

    async def unrouted(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        described = {"type": "not_found", "message": "there is no such call", "code": "http.unrouted", "hint": None}
        return JSONResponse({"error": described}, status_code=status)

    async def live(_request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def ready(_request: Request) -> Response:
        is_so = not guard.draining.has_begun and await readiness.known()
        return JSONResponse({"ok": is_so}, status_code=200 if is_so else 503)

    routes = [Route(path, endpoint(handler), methods=[method]) for method, path, handler in ROUTES]
    for path, probe in (("/healthz", live), ("/v1/health", live), ("/readyz", ready)):
        routes.append(Route(path, probe, methods=["GET"]))
    return Starlette(routes=routes, exception_handlers={HTTPException: unrouted})


class _Readiness:
    """Whether calls can be answered: asked once for all who want to know at a time, who may be any number.

    Belongs to one event loop.
    """

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready
        self._probe: asyncio.Task[bool] | None = None
        self._began_at = 0.0

    async def known(self) -> bool:
        """False where nobody can tell within two seconds, and at once where a probe takes longer already."""
        from anyio.to_thread import run_sync

        if self._probe is None or self._probe.done():
            self._began_at = time.monotonic()
            self._probe = asyncio.create_task(run_sync(self._is_ready, abandon_on_cancel=True))
        left_s = self._began_at + _PROBE_TIMEOUT_S - time.monotonic()
        done, _ = await asyncio.wait([self._probe], timeout=max(0.0, left_s))
        return bool(done) and self._probe.result()


async def _body(request: Request) -> dict[str, Any]:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            raise InvalidSpecError(f"the body is larger than {_MAX_BODY_BYTES // 1024} KiB")
        chunks.append(chunk)
    text = b"".join(chunks)
    if not text:
        return {}
    try:
        document = json.loads(text)
    except ValueError:
        raise InvalidSpecError("the body is not JSON") from None
    if not isinstance(document, dict):
        raise InvalidSpecError("the body is not a JSON object")
    return document
