"""A small S3 on loopback, for whose credentials a request carries; objects are in memory.

What it does: objects by PUT (in one part or several, plain or in the SDK's chunks), GET with ranges, HEAD, DELETE, and
lists; a request whose access key or session token is none that it knows is denied. What it does not: it never computes
a signature, so a wrong secret passes where its key is right; no buckets, versions, metadata, or paging.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from attrs import define, field

_KEY = re.compile(r"Credential=([^/]+)/")


@define
class ObjectStore:
    """The objects, and who asked for what.

    Args:
        sessions: The session token of each access key that opens it; "" for a key without one.
        requests: Method, path and access key of every call.
    """

    sessions: dict[str, str]
    objects: dict[str, bytes] = field(factory=dict)
    requests: list[tuple[str, str, str]] = field(factory=list)
    url: str = ""
    _parts: dict[str, dict[int, bytes]] = field(factory=dict)


@contextmanager
def serving(store: ObjectStore) -> Iterator[ObjectStore]:
    """The server on a port of its own until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.body()
            if self.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
                body = _unchunked(body)
            url = urlsplit(self.path)
            name, query = unquote(url.path).lstrip("/"), parse_qs(url.query, keep_blank_values=True)
            found = _KEY.search(self.headers.get("Authorization", ""))
            key = found.group(1) if found else ""
            store.requests.append((self.command, name, key))
            if store.sessions.get(key) != self.headers.get("x-amz-security-token", ""):
                self.say(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
            elif self.command == "POST" and "uploads" in query:
                store._parts[name] = {}
                self.say(200, f"<R><UploadId>u</UploadId><Key>{escape(name)}</Key></R>".encode())
            elif self.command == "POST":
                store.objects[name] = b"".join(part for _, part in sorted(store._parts.pop(name).items()))
                self.say(200, b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
            elif self.command == "PUT" and "partNumber" in query:
                store._parts[name][int(query["partNumber"][0])] = body
                self.say(200)
            elif self.command == "PUT":
                store.objects[name] = body
                self.say(200)
            elif self.command == "DELETE":
                store.objects.pop(name, None)
                self.say(204)
            elif "list-type" in query:
                prefix = query.get("prefix", [""])[0]
                bucket = name.rstrip("/")
                keys = [each.removeprefix(bucket + "/") for each in store.objects if each.startswith(bucket + "/")]
                held = [f"<Contents><Key>{escape(each)}</Key></Contents>" for each in keys if each.startswith(prefix)]
                listed = f"<KeyCount>{len(held)}</KeyCount>{''.join(held)}"
                self.say(200, f"<ListBucketResult>{listed}</ListBucketResult>".encode())
            elif name not in store.objects:
                self.say(404, b"" if self.command == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>")
            else:
                self.give(store.objects[name])

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # names that http.server looks for

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                """A trailer."""
            return data

        def give(self, data: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted is None:
                self.say(200, data)
                return
            start, end = int(wanted.group(1)), min(int(wanted.group(2) or len(data)), len(data) - 1)
            self.say(206, data[start : end + 1], **{"Content-Range": f"bytes {start}-{end}/{len(data)}"})

        def say(self, status: int, data: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"ETag": '"e"', "Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_message: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    store.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _unchunked(body: bytes) -> bytes:
    """Without the SDK's framing: each chunk has its size in hex before it, a trailer of checksums comes last."""
    data, rest = b"", body
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        data, rest = data + rest[:size], rest[size + 2 :]
    return data
