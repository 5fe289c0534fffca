"""The issuer's public keys: fetched when they are needed, kept for a while, and never asked for in a storm.

Whoever sends tokens decides which keys are looked for, so what is sent must not decide how often the issuer is asked:
between two requests there is a pause, after failures as well. An issuer that cannot be reached is no reason to turn
away users whose key is known, for a bounded time.

Source: RFC 7517; OpenID Connect Discovery 1.0 section 4.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from dcp_core.errors import DcpError, TransientError, UnauthenticatedError
from dcp_graph_runner.access.settings import AuthSettings, is_loopback, is_safe_url

if TYPE_CHECKING:
    from jwt import PyJWK

DISCOVERY = "/.well-known/openid-configuration"
LARGEST_ANSWER_BYTES = 1 << 20
_KEY_TYPES = ("RSA", "EC", "OKP")  # never "oct": a shared secret would let anybody who checks tokens make them


@attrs.frozen
class _Known:
    """What the issuer said last, by key id, and when (None: never); replaced as a whole."""

    keys: Mapping[str, Mapping[str, Any]]
    at: float | None


class SigningKeys:
    """The keys of one issuer. Safe to use from several threads.

    Args:
        auth: Where the keys are, and how long they are used.
        clock: Seconds that only grow.
    """

    def __init__(self, auth: AuthSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._auth = auth
        self._clock = clock
        self._asking = threading.Lock()
        self._known = _Known({}, None)
        self._tried_at: float | None = None
        self._failure: DcpError | None = None
        self._jwks_url = auth.jwks_url

    def find(self, key_id: str, algorithm: str) -> PyJWK:
        """The key of that id, for that algorithm.

        Args:
            key_id: The ``kid`` of a token.
            algorithm: One that the settings allow.

        Raises:
            UnauthenticatedError: The issuer has no such key. Never retried.
            TransientError: The issuer cannot be reached, and what is known does not do.
        """
        found = self._usable(key_id)
        # Whoever's key is known does not wait for somebody else's request, which an issuer that hangs makes long.
        if (found is None or self._is_old()) and self._asking.acquire(blocking=found is None):
            try:
                if (self._usable(key_id) is None or self._is_old()) and self._may_ask():
                    self._refresh()
            finally:
                self._asking.release()
            found = self._usable(key_id)
        if found is not None:
            return _as_key(found, algorithm)
        failure = self._failure
        if failure is not None:
            raise TransientError(failure.message, where=failure.where, retry_after_s=self._auth.keys_interval_s)
        raise UnauthenticatedError(
            "the token is signed with a key that its issuer does not have",
            hint=f"sign in again; a key that is very new is known in {self._auth.keys_interval_s} s",
        )

    def _usable(self, key_id: str) -> Mapping[str, Any] | None:
        known = self._known
        if known.at is None or self._clock() - known.at >= self._auth.keys_lifetime_s + self._auth.keys_grace_s:
            return None
        return known.keys.get(key_id)

    def _is_old(self) -> bool:
        return self._known.at is None or self._clock() - self._known.at >= self._auth.keys_lifetime_s

    def _may_ask(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= self._auth.keys_interval_s

    def _refresh(self) -> None:
        """Ask the issuer; what was known stays when it does not answer."""
        try:
            self._known = _Known(_signing(self._fetch(self._jwks_url or self._discover())), self._clock())
            self._failure = None
        except DcpError as error:
            self._failure = error
            self._jwks_url = self._auth.jwks_url  # they may be elsewhere now
        self._tried_at = self._clock()

    def _discover(self) -> str:
        url = self._auth.issuer.rstrip("/") + DISCOVERY
        document = self._fetch(url)
        told = document.get("jwks_uri")
        if document.get("issuer") != self._auth.issuer:
            raise TransientError("its discovery document is of another issuer", where=url)
        if not isinstance(told, str) or not is_safe_url(told):
            raise TransientError("its discovery document names no jwks_uri with https", where=url)
        self._jwks_url = told
        return told

    def _fetch(self, url: str) -> Mapping[str, Any]:
        try:
            with _opener(url, self._auth).open(url, timeout=self._auth.timeout_s) as answer:
                text = answer.read(LARGEST_ANSWER_BYTES + 1)
            document = json.loads(text) if len(text) <= LARGEST_ANSWER_BYTES else None
        except (OSError, ValueError, RecursionError) as error:  # timeouts are OSErrors
            raise TransientError(f"the issuer's keys cannot be had: {_in_words(error)}", where=url) from None
        except Exception as error:  # http.client has a family of its own
            raise TransientError(f"the issuer's keys cannot be had: {type(error).__name__}", where=url) from None
        if not isinstance(document, dict):
            raise TransientError("the issuer's keys cannot be had: the answer is no JSON object", where=url)
        return document


def _signing(document: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The keys that signatures can be checked with, by id."""
    listed = document.get("keys")
    keys = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    found = {
        each["kid"]: each
        for each in keys
        if isinstance(each.get("kid"), str) and each.get("kty") in _KEY_TYPES and each.get("use") in (None, "sig")
    }
    if not found:
        raise TransientError("the issuer's keys cannot be had: its document holds no key for signatures")
    return found


def _as_key(found: Mapping[str, Any], algorithm: str) -> PyJWK:
    import jwt

    try:
        if found.get("alg") in (None, algorithm):
            return jwt.PyJWK(dict(found), algorithm)
    except (jwt.PyJWTError, ValueError):
        pass
    raise UnauthenticatedError("the token's algorithm is not the one of its key")


def _opener(url: str, auth: AuthSettings) -> urllib.request.OpenerDirector:
    """Follows no redirects: the address was checked, and the next one would not be."""
    context = ssl.create_default_context(cafile=str(auth.ca_file) if auth.ca_file else None)
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects(), urllib.request.HTTPSHandler(context=context)]
    if is_loopback(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


def _in_words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(error, ValueError):
        return "the answer is not JSON"
    return str(reason or error or type(error).__name__)
