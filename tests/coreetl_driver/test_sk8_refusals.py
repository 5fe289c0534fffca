"""What backend sk8 makes of a Kubernetes API server that refuses; the server is one that says what it is told."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import define, field

from coreetl_driver.compute.sk8.kubernetes_api import BadRequestError, GoneError, KubernetesApi
from dcp_core.errors import (
    ConflictError,
    DcpError,
    NotFoundError,
    PermanentError,
    TransientError,
    UnauthorizedError,
)

TOKEN = "token-of-the-tests-0123456789"
OTHERS_FIELDS = {"causes": [{"reason": "FieldManagerConflict", "field": ".spec.image"}]}


@define
class Server:
    """Answers the same to everybody.

    Attributes:
        accepted: The token that is good; None for all.
        asked: The tokens that came.
        open: How many connections are.
        together: Requests wait for each other there.
    """

    url: str = ""
    status: int = 200
    content: bytes = b"{}"
    headers: dict[str, str] = field(factory=dict)
    accepted: str | None = None
    asked: list[str] = field(factory=list)
    open: int = 0
    together: threading.Barrier | None = None

    def refuses(self, status: int, reason: str = "", message: str = "told to", **details: Any) -> None:
        self.status = status
        said = {"kind": "Status", "code": status, "reason": reason, "message": message, "details": details}
        self.content = json.dumps(said).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            made.open += 1

        def finish(self) -> None:
            super().finish()
            made.open -= 1

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append(str(self.headers["Authorization"]).removeprefix("Bearer "))
            if made.together is not None:
                made.together.wait(10.0)
            is_good = made.accepted in (None, made.asked[-1])
            self.send_response(made.status if is_good else 401)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(made.content)))
            self.end_headers()
            self.wfile.write(made.content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{listening.server_address[1]}"
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield made
    listening.shutdown()
    listening.server_close()
    thread.join()


def kubeconfig(folder: Path, url: str, token: str = TOKEN, user: Mapping[str, Any] | None = None) -> Path:
    file = folder / "kubeconfig"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": dict(user or {"token": token})}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.fixture
def api(tmp_path: Path, server: Server) -> Iterator[KubernetesApi]:
    opened = KubernetesApi(kubeconfig(tmp_path, server.url), "here")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("status", "reason", "details", "expected"),
    [
        (400, "BadRequest", {}, BadRequestError),
        (401, "Unauthorized", {}, UnauthorizedError),
        (403, "Forbidden", {}, UnauthorizedError),
        (404, "NotFound", {}, NotFoundError),
        (409, "AlreadyExists", {}, ConflictError),
        (409, "Conflict", OTHERS_FIELDS, ConflictError),
        (409, "Conflict", {}, TransientError),
        (410, "Expired", {}, GoneError),
        (422, "Invalid", {}, PermanentError),
        (429, "TooManyRequests", {}, TransientError),
        (500, "InternalError", {}, TransientError),
        (504, "Timeout", {}, TransientError),
    ],
)
def test_each_refusal_is_an_error_that_decides_whether_it_is_tried_again(
    api: KubernetesApi, server: Server, status: int, reason: str, details: dict[str, Any], expected: type[DcpError]
) -> None:
    server.refuses(status, reason, "for a reason", **details)
    with pytest.raises(expected, match="for a reason") as refused:
        api.apply("/apis/x", {"a": 1}, "tests")
    assert type(refused.value) is expected
    assert refused.value.where == server.url
    assert TOKEN not in f"{refused.value!r} {refused.value.hint}"


def test_a_server_that_says_when_is_not_asked_before(api: KubernetesApi, server: Server) -> None:
    server.refuses(503)
    server.headers["Retry-After"] = "11"
    with pytest.raises(TransientError) as busy:
        api.get("/api/v1/pods")
    assert busy.value.retry_after_s == 11.0
    assert len(server.asked) == 1, "nobody here waits or tries again by itself"


def test_a_namespace_without_room_is_waited_for(api: KubernetesApi, server: Server) -> None:
    server.refuses(403, "Forbidden", "exceeded quota: jobs, used: count/sparkapplications=5")
    with pytest.raises(TransientError, match="the namespace is full"):
        api.create("/apis/x", {}, "tests")


def test_a_page_of_a_proxy_is_told_in_short(api: KubernetesApi, server: Server) -> None:
    server.status, server.content = 502, b"<html>\n  bad gateway" + b"!" * 10_000
    with pytest.raises(TransientError, match="<html> bad gateway") as told:
        api.get("/api/v1/pods")
    assert len(str(told.value)) < 2200


def test_what_is_no_json_and_nobody_who_listens_are_tried_again(
    api: KubernetesApi, server: Server, tmp_path: Path
) -> None:
    server.content = b"half of {"
    with pytest.raises(TransientError, match="does not answer"):
        api.get("/api/v1/pods")
    nobody = KubernetesApi(kubeconfig(tmp_path, "http://127.0.0.1:1"))
    with pytest.raises(TransientError, match="does not answer") as refused:
        nobody.get("/api/v1/pods")
    assert TOKEN not in str(refused.value)
    nobody.close()


def test_a_token_that_was_renewed_in_its_place_is_taken_up_and_one_that_was_not_is_said(
    api: KubernetesApi, server: Server, tmp_path: Path
) -> None:
    assert api.get("/api/v1/pods") == {}
    server.accepted = "a-renewed-token"
    with pytest.raises(
        UnauthorizedError, match=r"does not accept the credentials any more: context 'here' of .*kubeconfig"
    ):
        api.get("/api/v1/pods")
    assert server.asked == [TOKEN] * 3, "it looks once, and does not knock again and again"
    kubeconfig(tmp_path, server.url, "a-renewed-token")
    assert api.get("/api/v1/pods") == {}
    assert api.get("/api/v1/pods") == {}
    assert server.asked[3:] == [TOKEN, "a-renewed-token", "a-renewed-token"]


def test_signing_in_again_leaves_no_connection_behind(api: KubernetesApi, server: Server, tmp_path: Path) -> None:
    """Even where another thread still holds what was replaced."""
    held, server.together = api._client, threading.Barrier(3)
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(api.get, ["/api/v1/pods"] * 3)) == [{}] * 3
    assert server.open == 3, "all are kept"
    server.accepted, server.together = "a-renewed-token", None
    kubeconfig(tmp_path, server.url, server.accepted)
    assert api.get("/api/v1/pods") == {}
    assert api._client is not held
    deadline = time.monotonic() + 10
    while server.open != 1:
        assert time.monotonic() < deadline, f"{server.open} connections are open"
        time.sleep(0.01)


PLUGIN = """
import json, pathlib, sys
token = pathlib.Path(sys.argv[1]).read_text()
print(json.dumps({"apiVersion": sys.argv[2], "kind": "ExecCredential", "status": {"token": token}}))
"""


@pytest.mark.parametrize("kind", ["tokenFile", "exec"])
def test_tokens_of_files_and_of_plugins_that_sign_in_are_renewed_too(tmp_path: Path, server: Server, kind: str) -> None:
    """As the clouds' own kubeconfigs have them."""
    token, version = tmp_path / "token", "client.authentication.k8s.io/v1"
    command = {
        "apiVersion": version,
        "command": sys.executable,
        "args": ["-c", PLUGIN, str(token), version],
        "interactiveMode": "Never",
    }
    token.write_text("first")
    user = {"tokenFile": str(token)} if kind == "tokenFile" else {"exec": command}
    api = KubernetesApi(kubeconfig(tmp_path, server.url, user=user))
    server.accepted = "first"
    assert api.get("/api/v1/pods") == {}
    server.accepted = "second"
    token.write_text("second")
    assert api.get("/api/v1/pods") == {}
    assert server.asked[-1] == "second"
    api.close()


def test_a_watch_tells_events_as_they_come_and_ends_with_its_time(api: KubernetesApi, server: Server) -> None:
    events = [{"type": kind, "object": {"n": n}} for n, kind in enumerate(("ADDED", "MODIFIED", "BOOKMARK"))]
    server.content = b"\n".join(json.dumps(each).encode() for each in events) + b"\n"
    told = list(api.watch("/apis/x", 1.0, resourceVersion="3"))
    assert [(event.kind, event.document["n"]) for event in told] == [("ADDED", 0), ("MODIFIED", 1), ("BOOKMARK", 2)]
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
    server.content = json.dumps(gone).encode() + b"\n"
    with pytest.raises(GoneError, match="too old"):
        list(api.watch("/apis/x", 1.0, resourceVersion="1"))
