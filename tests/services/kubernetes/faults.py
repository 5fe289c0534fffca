"""In front of the API server: a network and a server in trouble, which the real one on this machine never is.

Requests are passed on as they come, and answers as they are, but for the faults that a test has ordered: an answer that
says to come back later, an answer that is lost on its way, a watch that is asked to begin too long ago (to which the
real server then says that it is gone), a connection that breaks.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field, frozen

from tests.services.kubernetes.control_plane import ControlPlane

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


@frozen
class Fault:
    """What happens to the next requests that fit.

    Args:
        method: Of the request.
        path: A pattern that is looked for in the path and the query.
        status: Answer with this in place of the server; None passes the request on.
        retry_after_s: Said with it, seconds.
        is_answer_lost: The request is done, and then the connection breaks.
        begin_at: A watch begins at this resource version instead.
        times: How often.
    """

    method: str
    path: str
    status: int | None = None
    retry_after_s: int | None = None
    is_answer_lost: bool = False
    begin_at: str | None = None
    times: int = 1


@define
class Faults:
    """The way to the API server.

    Attributes:
        url: In place of the server's.
        seen: Method and path of every request that arrived, with the status of its answer; None was lost.
    """

    url: str
    seen: list[tuple[str, str, int | None]] = field(factory=list)
    _ordered: list[tuple[Fault, list[int]]] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock)

    def order(self, fault: Fault) -> None:
        """Have it happen to what comes next."""
        with self._lock:
            self._ordered.append((fault, [fault.times]))

    def next(self, method: str, path: str) -> Fault | None:
        """The fault of a request that arrives."""
        with self._lock:
            for fault, left in self._ordered:
                if left[0] and fault.method == method and re.search(fault.path, path):
                    left[0] -= 1
                    return fault
        return None

    def count(self, method: str, path: str) -> int:
        """How many requests have arrived that fit."""
        return sum(1 for each in self.seen if each[0] == method and re.search(path, each[1]))


@contextmanager
def in_front_of(plane: ControlPlane) -> Iterator[Faults]:
    """The way as a server on loopback, for as long as the block lasts."""
    made = Faults("")
    host = urlsplit(plane.url).netloc
    context = ssl.create_default_context(cafile=str(plane.certificate))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            fault = made.next(self.command, self.path)
            path, length = self.path, int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            if fault is not None and fault.begin_at is not None:
                path = re.sub(r"resourceVersion=\d+", f"resourceVersion={fault.begin_at}", path)
            if fault is not None and fault.status is not None:
                self._answer(fault.status, fault.retry_after_s)
                return
            connection = HTTPSConnection(host, context=context, timeout=60)
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
            }
            try:
                connection.request(self.command, path, body, headers)
                answer = connection.getresponse()
                if fault is not None and fault.is_answer_lost:
                    answer.read()
                    made.seen.append((self.command, path, None))
                    self.close_connection = True
                    return
                made.seen.append((self.command, path, answer.status))
                self._pass_on(answer)
            finally:
                connection.close()

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_one  # noqa: N815

        def _answer(self, status: int, retry_after_s: int | None) -> None:
            made.seen.append((self.command, self.path, status))
            said: Mapping[str, Any] = {
                "kind": "Status",
                "code": status,
                "message": "too many requests, please try again",
            }
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if retry_after_s is not None:
                self.send_header("Retry-After", str(retry_after_s))
            self.end_headers()
            self.wfile.write(content)

        def _pass_on(self, answer: Any) -> None:
            """Piece by piece: a watch has no end."""
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            with suppress(OSError, HTTPException):  # one side or the other has gone
                while piece := answer.read1(65_536):
                    self.wfile.write(piece)
                    self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
