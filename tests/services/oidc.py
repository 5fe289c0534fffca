"""A real OIDC server (Dex) for tests of whoever checks its tokens, and every kind of token that must not count."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.services import install, servers
from tests.services.oidc_building import PROGRAM

AUDIENCE = "dcp"
ANOTHER_AUDIENCE = "another-program"
ADMINS = "platform-admins"
USERS: Mapping[str, Sequence[str]] = {
    "alice@example.com": ("logistics-de",),
    "bob@example.com": ("billing",),
    "carol@example.com": ("logistics-de", "billing"),
    "root@example.com": (ADMINS,),
}
"""Everybody who can sign in, with their groups."""

_CLIENT_SECRET = "a-secret-of-the-tests"
_PASSWORD = "a-password-of-the-tests"
_SHORT_S = 8


@frozen
class Oidc:
    """A running issuer.

    Args:
        issuer: Its address, the ``iss`` of its tokens.
        brief: Another server of the same users, whose tokens live eight seconds; another issuer, too.
        pid: Of the first one's process.
    """

    issuer: str
    brief: str
    pid: int

    audience = AUDIENCE

    def section(self, **more: Any) -> dict[str, Any]:
        """The values of ``[auth]`` for this issuer."""
        return {"issuer": self.issuer, "audience": [AUDIENCE], "admin_groups": [ADMINS], **more}

    def token(self, user: str, audience: str = AUDIENCE, issuer: str | None = None) -> str:
        """What the issuer gives this user for this audience, by a password grant (RFC 6749 section 4.3)."""
        form = {"grant_type": "password", "scope": "openid email groups", "username": user, "password": _PASSWORD}
        request = urllib.request.Request(
            (issuer or self.issuer) + "/token", urllib.parse.urlencode(form).encode(), method="POST"
        )
        credentials = base64.b64encode(f"{audience}:{_CLIENT_SECRET}".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            given = json.load(answer)["id_token"]
        assert isinstance(given, str)
        return given

    def other_audience(self, user: str) -> str:
        """A good token, made for another program."""
        return self.token(user, ANOTHER_AUDIENCE)

    def other_issuer(self, user: str) -> str:
        """A good token of another issuer."""
        return self.token(user, issuer=self.brief)

    def brief_section(self, **more: Any) -> dict[str, Any]:
        """``[auth]`` for the issuer whose tokens live eight seconds, without leeway: for ``expired``."""
        return {**self.section(**more), "issuer": self.brief, "leeway_s": 0}

    def expired(self, user: str) -> str:
        """A token of ``brief`` that has expired; waits for that."""
        given = self.token(user, issuer=self.brief)
        left_s = jwt.decode(given, options={"verify_signature": False})["exp"] - time.time()
        time.sleep(max(0.0, left_s) + 0.1)
        return given

    def unsigned(self, user: str) -> str:
        """What a good token says, with ``alg: none`` and no signature."""
        good = self.token(user)
        head = {**jwt.get_unverified_header(good), "alg": "none"}
        first = base64.urlsafe_b64encode(json.dumps(head).encode()).rstrip(b"=").decode()
        return f"{first}.{good.split('.')[1]}."

    def unknown_key(self, user: str) -> str:
        """What a good token says, signed by a key that the issuer never had."""
        claims = jwt.decode(self.token(user), options={"verify_signature": False})
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return jwt.encode(claims, stranger, "RS256", {"kid": "a-key-of-nobody"})

    def forged(self, user: str) -> str:
        """The same, under the id of the issuer's own key."""
        good = self.token(user)
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        claims = jwt.decode(good, options={"verify_signature": False})
        return jwt.encode(claims, stranger, "RS256", {"kid": jwt.get_unverified_header(good)["kid"]})

    def rotate(self) -> None:
        """Have the issuer sign with a new key from now on; returns when it does."""
        before = self._newest_key()
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + 20
        while self._newest_key() == before:
            assert time.monotonic() < deadline, "the signing key was not rotated"
            time.sleep(0.05)

    def _newest_key(self) -> str:
        return str(jwt.get_unverified_header(self.token("root@example.com"))["kid"])


@contextmanager
def serving(folder: Path) -> Iterator[Oidc]:
    """Both servers for as long as the block lasts; ``install.missing("dex")`` says whether they can be had."""
    first, second = servers.free_ports(2)
    log = folder / "oidc.log"
    with _server(folder, first, 3600, log) as (issuer, pid), _server(folder, second, _SHORT_S, log) as (brief, _):
        yield Oidc(issuer, brief, pid)


@contextmanager
def _server(folder: Path, port: int, valid_s: int, log: Path) -> Iterator[tuple[str, int]]:
    issuer = f"http://127.0.0.1:{port}/dex"
    config = folder / f"oidc_{port}.json"
    config.write_text(
        json.dumps(
            {
                "issuer": issuer,
                "listen": f"127.0.0.1:{port}",
                "tokens_valid_for_s": valid_s,
                "clients": [{"id": each, "secret": _CLIENT_SECRET} for each in (AUDIENCE, ANOTHER_AUDIENCE)],
                "users": [
                    {"email": user, "password": _PASSWORD, "groups": list(groups)} for user, groups in USERS.items()
                ],
            }
        )
    )

    def is_ready() -> bool:
        with urllib.request.urlopen(issuer + "/.well-known/openid-configuration", timeout=2) as answer:
            return bool(json.load(answer)["issuer"] == issuer)

    program = install.folder("dex") / "bin" / PROGRAM
    with servers.running([str(program), str(config)], log) as process:
        servers.wait_until(is_ready, "starting the OIDC server", log, [process])
        yield issuer, process.pid
