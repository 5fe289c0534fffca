"""An HTTP server that answers as a test tells it to, where Airflow does as it likes: errors, delays, races.

What a real Airflow does is tested with a real one, in tests/services.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attrs import Factory, define, field, frozen

from dcp_core.settings import Secret
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.calling import Access, Api

PASSWORD = "hunter2-of-airflow"
T0 = "2026-01-01T00:00:00Z"


@frozen
class Call:
    """What was asked."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    token: str | None
    body: Any


@frozen
class Said:
    """What is answered; a string is no JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = Factory(dict)


@define
class Playing:
    """What plays Airflow.

    Args:
        answer: Gives the answer to everything but signing in and the version; None for 404.
        sign_in: Gives the answer to signing in.
    """

    answer: Callable[[Call], Said | None]
    sign_in: Callable[[int], Said] = lambda number: Said(201, {"access_token": f"token-{number}"})
    calls: list[Call] = Factory(list)
    sleeps: list[float] = Factory(list)
    url: str = ""
    signed_in: int = 0
    version: Said = field(factory=lambda: Said(body={"version": "3.3.2", "git_version": None}))

    def service(self, **access: Any) -> AirflowService:
        access = {"username": "dcp", "password": Secret(PASSWORD), **access}
        return AirflowService(Api(Access(self.url, **access), self.sleeps.append))

    def said(self, call: Call) -> Said:
        if call.path == "/auth/token":
            self.signed_in += 1
            return self.sign_in(self.signed_in)
        if call.path == "/api/v2/version":
            return self.version
        self.calls.append(call)
        return self.answer(call) or Said(404, {"detail": "Not Found"})


@contextmanager
def playing(it: Playing) -> Iterator[Playing]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            token = self.headers.get("Authorization")
            said = it.said(Call(self.command, parts.path, parse_qs(parts.query), token, body))
            data = said.body.encode() if isinstance(said.body, str) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in {"Content-Length": str(len(data)), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

        def log_message(self, *_arguments: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield it
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def row(dag_id: str, version: str | None = "v1", **changes: Any) -> dict[str, Any]:
    """A DAG as Airflow lists it."""
    tags = ["dcp", "environment:production", *([f"dcp:{version}"] if version else [])]
    return {
        "dag_id": dag_id,
        "is_paused": False,
        "is_stale": False,
        "has_import_errors": False,
        "last_parsed_time": T0,
        "bundle_name": "dags-folder",
        "relative_fileloc": f"{dag_id}.py",
        "file_token": f"token-of-{dag_id}",
        "tags": [{"name": name} for name in tags],
        **changes,
    }


def problem(file: str, at: str, text: str = "ModuleNotFoundError: No module named 'x'") -> dict[str, Any]:
    """An import error as Airflow lists it."""
    return {"import_error_id": 1, "timestamp": at, "filename": file, "bundle_name": "dags-folder", "stack_trace": text}
