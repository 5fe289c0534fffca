"""The HTTP of the stand-in for a Databricks workspace: requests in, JSON documents and errors out.

An answer can be lost: then what was asked for has been done, and the connection is closed.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, TypeVar


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, dict(headers or {})


class Answering(Protocol):
    """What is served."""

    url: str

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> tuple[Any, bool]:
        """The document, and whether nobody is to see it."""


S = TypeVar("S", bound=Answering)


@contextmanager
def serving(workspace: S) -> Iterator[S]:
    """The workspace on loopback, for as long as the block lasts; its runs go on."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                document, is_lost = workspace.answer(self.command, self.path, self.headers, body)
            except Refused as refused:
                said = str(refused)
                document = said if said.startswith("<") else {"error_code": refused.code, "message": said}
                self._say(refused.status, document, refused.headers)
                return
            if is_lost:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._say(200, document, {})

        def _say(self, status: int, document: Any, headers: Mapping[str, str]) -> None:
            """A text is the page of whatever stands between a client and the service."""
            content = (document if isinstance(document, str) else json.dumps(document)).encode()
            self.send_response(status)
            for name, value in {
                **headers,
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    workspace.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield workspace
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def form(headers: Any, body: bytes) -> dict[str, Any]:
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body
    )
    found: dict[str, Any] = {}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content: Any = part.get_payload(decode=True)
        found[name] = content if name == "content" else content.decode().strip()
    return found
