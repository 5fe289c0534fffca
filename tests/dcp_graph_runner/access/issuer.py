"""An OIDC issuer of these tests: a real HTTP server on loopback with discovery and keys, that signs real tokens."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "dcp"


def made_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """What it serves can be changed while it runs; ``asked`` lists the paths of all requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys: dict[str, Any] = {"first": made_key()}
        self.documents: dict[str, Any] = {}
        self.status = 200
        self.delay_s = 0.0
        self.answers = threading.Event()
        self.answers.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                issuer.answers.wait(60)
                time.sleep(issuer.delay_s)
                document = issuer.documents.get(self.path)
                if document is None:
                    document = issuer.discovery() if self.path.startswith("/.well-known") else issuer.jwks()
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(issuer.status)
                if issuer.status in (301, 302):
                    self.send_header("Location", issuer.url + "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Issuer]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def discovery(self) -> dict[str, Any]:
        return {"issuer": self.url, "jwks_uri": self.url + "/keys"}

    def jwks(self) -> dict[str, Any]:
        return {"keys": [public(key, id) for id, key in self.keys.items()]}

    def section(self, **more: Any) -> dict[str, Any]:
        """The values of a ``dcp.toml``."""
        return {"auth": {"issuer": self.url, "audience": AUDIENCE, **more}}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Of a good token; None takes one away."""
        now = int(time.time())
        good = {
            "iss": self.url, "aud": AUDIENCE, "sub": "u-1", "iat": now, "exp": now + 300,
            "email": "alice@example.com", "email_verified": True, "groups": ["logistics-de", "readers"],
        }  # fmt: skip
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(self, key_id: str | None = "first", key: Any = None, algorithm: str = "RS256", **changed: Any) -> str:
        headers = {} if key_id is None else {"kid": key_id}
        signed_with = key if key is not None else self.keys[key_id or "first"]
        return jwt.encode(self.claims(**changed), signed_with, algorithm, headers)


def public(key: Any, id: str) -> dict[str, Any]:
    kind = "EC" if isinstance(key, ec.EllipticCurvePrivateKey) else "RSA"
    algorithm = jwt.get_algorithm_by_name("ES256" if kind == "EC" else "RS256")
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": id, "use": "sig"}


def unsigned(claims: dict[str, Any], algorithm: str = "none") -> str:
    """A token without a signature, as PyJWT would not make it."""
    parts = ({"alg": algorithm, "typ": "JWT", "kid": "first"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts) + "."


def confused(issuer: Issuer) -> str:
    """Signed by HMAC with the public key, which everybody has, as the secret."""
    import hashlib
    import hmac

    key = issuer.keys["first"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = unsigned(issuer.claims(), "HS256").rstrip(".")
    digest = hmac.new(key, body.encode(), hashlib.sha256).digest()
    return body + "." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
