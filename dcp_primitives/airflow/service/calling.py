"""One call of Airflow's REST API v2: signed in, retried while Airflow is away, refused in words that say what to do.

Source: https://airflow.apache.org/docs/apache-airflow/stable/security/api.html
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from http.client import HTTPException
from typing import Any

from attrs import Factory, define, field, frozen

from dcp_core.digests import JsonValue
from dcp_core.errors import (
    ConflictError,
    PermanentError,
    SettingsError,
    TransientError,
    UnauthenticatedError,
    UnauthorizedError,
)
from dcp_core.settings import Secret, masked

API = "/api/v2"
Query = Mapping[str, str | int | bool | Sequence[str]]

_TRIES = 3
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
_MAX_BYTES = 64_000_000
_MESSAGE_CHARACTERS = 500
_HINT = "see url, username, password and token in [airflow]"


@frozen
class Access:
    """Where Airflow is, and as whom it is asked.

    Args:
        url: Up to what comes before ``/api/v2``.
        username: Signed in with the password at ``/auth/token``.
        password: Of that user.
        token: Instead of the two; whoever gives it sees to it that it is not too old.
        ca_file: Of the authority that signed the server's certificate; "" for those that the system trusts.
        timeout_s: Of one call.
    """

    url: str
    username: str = ""
    password: Secret = field(default=Secret(""))
    token: Secret = field(default=Secret(""))
    ca_file: str = ""
    timeout_s: float = 30.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token must not follow to where it was not meant for."""

    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        return None


@define
class Api:
    """Calls that are safe to share between threads.

    Args:
        access: To what.
        sleep: Waits that many seconds; handed in so that tests need not.
    """

    access: Access
    sleep: Callable[[float], None] = time.sleep
    _token: str = field(default="", repr=False)
    _is_airflow: bool = False
    _lock: threading.Lock = Factory(threading.Lock)

    def call(self, method: str, path: str, query: Query | None = None, body: JsonValue = None) -> Any:
        """The answer's JSON; None when there is no such thing (404) and for an empty answer.

        A call that fails because Airflow is away is repeated, so it has to be safe to repeat.

        Raises:
            TransientError: Airflow cannot be reached, or is busy. Tried several times already.
            UnauthenticatedError: Airflow does not know who asks.
            UnauthorizedError: Airflow knows, and refuses.
            ConflictError: Airflow has it already, or is still working with it (409).
            PermanentError: Airflow refuses the call, or what answers is no Airflow 3.
        """
        path = f"{API}{path}"
        if query:
            pairs = {name: _text(value) for name, value in query.items()}
            path = f"{path}?{urllib.parse.urlencode(pairs, doseq=True)}"
        self._check_it_is_airflow()
        token = self._signed_in()
        try:
            return self._tried(method, path, body, token)
        except UnauthenticatedError:
            if self.access.token.reveal() or not self.access.username:
                raise
        # It has expired, or Airflow's key is another one since.
        return self._tried(method, path, body, self._signed_in(instead_of=token))

    def require(self, path: str, query: Query | None = None) -> Any:
        """What is there in every Airflow 3.

        Raises:
            PermanentError: It is not, so that what answers is no Airflow 3. And as ``call``.
        """
        found = self.call("GET", path, query)
        if found is None:
            raise self._no_airflow(f"nothing at {API}{path}")
        return found

    def _check_it_is_airflow(self) -> None:
        """Once: elsewhere, what is asked for would not be found, which is no proof that it is not there."""
        if not self._is_airflow:
            # A token that is given is meant for all that is there: a gate before Airflow may ask for it.
            found = self._tried("GET", f"{API}/version", None, self.access.token.reveal())
            version = found.get("version") if isinstance(found, dict) else None
            if not isinstance(version, str):
                raise self._no_airflow(f"nothing at {API}/version")
            self._is_airflow = True

    def _signed_in(self, instead_of: str | None = None) -> str:
        """A token, and a new one instead of one that Airflow no longer takes."""
        given = self.access.token.reveal()
        if given:
            return given
        if not self.access.username:
            return ""
        with self._lock:
            if not self._token or self._token == instead_of:
                credentials = {"username": self.access.username, "password": self.access.password.reveal()}
                answer = self._tried("POST", "/auth/token", credentials, "")
                token = answer.get("access_token") if isinstance(answer, dict) else None
                if not isinstance(token, str) or not token:
                    raise self._no_airflow("no token at /auth/token")
                self._token = token
            return self._token

    def _tried(self, method: str, path: str, body: JsonValue, token: str) -> Any:
        """One call, and again while Airflow is away."""
        pause_s = _FIRST_PAUSE_S
        for number in range(1, _TRIES + 1):
            try:
                return self._once(method, path, body, token)
            except TransientError as error:
                wanted_s = error.retry_after_s
                if number == _TRIES or (wanted_s is not None and wanted_s > _LONGEST_PAUSE_S):
                    raise
                self.sleep(pause_s if wanted_s is None else wanted_s)
                pause_s *= 2
        raise AssertionError("unreachable: the last try returns or raises")

    def _once(self, method: str, path: str, body: JsonValue, token: str) -> Any:
        url = _checked(self.access.url).rstrip("/")
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310
        try:
            with self._opener().open(request, timeout=self.access.timeout_s) as answer:
                text = answer.read(_MAX_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404 and path != "/auth/token":
                    return None
                raise self._refusal(error, f"{method} {path.partition('?')[0]}") from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            if type(reason).__name__ == "SSLCertVerificationError":
                told, hint = f"the certificate of Airflow is not trusted: {reason}", "see ca_file in [airflow]"
                raise PermanentError(told, where=self._where, hint=hint) from None
            raise TransientError(f"Airflow cannot be reached: {self._clean(str(reason))}", where=self._where) from None
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise self._no_airflow("an answer that is no JSON") from None

    def _refusal(self, error: urllib.error.HTTPError, what: str) -> Exception:
        """What a status means for whoever reads it."""
        code, said = error.code, self._clean(_message(error))
        if code == 401 or (code == 403 and _is_about_token(said)):
            who = self.access.username or "the token"
            asked = (
                f"Airflow does not know {who}: {said}"
                if self._gives_credentials
                else f"Airflow asks who we are: {said}"
            )
            return UnauthenticatedError(asked, where=self._where, hint=_HINT)
        if code == 403:
            return UnauthorizedError(f"Airflow refuses {what}: {said}", where=self._where, hint=_HINT)
        if code in (408, 425, 429) or code >= 500:
            words = f"Airflow answers {code}: {said}"
            return TransientError(words, where=self._where, retry_after_s=_retry_after(error.headers))
        if code == 409:
            return ConflictError(said, where=self._where)
        if 300 <= code < 400 or code in (404, 405):
            return self._no_airflow(f"{code} at {what}")
        return PermanentError(f"Airflow answers {code} to {what}: {said}", where=self._where)

    def _no_airflow(self, found: str) -> PermanentError:
        return PermanentError(
            f"there is no REST API v2 of Airflow 3 at [airflow] url: {found}",
            where=self._where,
            hint="the address of Airflow's API server, up to what comes before /api/v2",
        )

    def _opener(self) -> urllib.request.OpenerDirector:
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if self.access.url.startswith("https:"):
            import ssl

            try:
                context = ssl.create_default_context(cafile=self.access.ca_file or None)
            except OSError as error:
                raise SettingsError(f"cannot read [airflow] ca_file {self.access.ca_file}: {error}") from None
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)

    @property
    def _gives_credentials(self) -> bool:
        return bool(self.access.username or self.access.token.reveal())

    @property
    def _where(self) -> str:
        return masked("url", self.access.url)

    def _clean(self, text: str) -> str:
        """Without what must not be told, whoever repeats it."""
        for secret in (self.access.password.reveal(), self.access.token.reveal(), self._token):
            if secret:
                text = text.replace(secret, "***")
        return masked("", text)


def _checked(url: str) -> str:
    """The address, when it is one: what is wrong with it is said without its text, which may hold a password.

    Raises:
        SettingsError: It is none, or holds a user's name or password.
    """
    where = "an address like https://airflow.example.com, up to what comes before /api/v2"
    if "@" in url:
        raise SettingsError(
            "[airflow] url holds a user's name or password", hint=f"username and password in [airflow], and {where}"
        )
    try:
        parts = urllib.parse.urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise SettingsError("[airflow] url is no address of http:// or https://", hint=where)
    return url


def _text(value: str | int | bool | Sequence[str]) -> str | Sequence[str]:
    """As Airflow reads it in a query."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


def _message(error: urllib.error.HTTPError) -> str:
    """What Airflow says about it: ``detail`` is a sentence, a list of what does not validate, or a document."""
    try:
        detail = json.loads(error.read(1_000_000))["detail"]
    except (OSError, ValueError, KeyError, TypeError, HTTPException):
        return str(error.reason)
    if isinstance(detail, list):
        detail = "; ".join(f"{'.'.join(map(str, each.get('loc', ())))}: {each.get('msg')}" for each in detail)
    if isinstance(detail, dict):
        detail = detail.get("message") or detail.get("reason") or json.dumps(detail)
    return str(detail)[:_MESSAGE_CHARACTERS]


def _is_about_token(said: str) -> bool:
    """Airflow 3.3 answers 403, as to a user who may not, to a token that it does not take any more."""
    return "token" in said.lower() and any(word in said.lower() for word in ("invalid", "expired", "revoked"))


def _retry_after(headers: Message) -> float | None:
    """Seconds, when the server says so in seconds."""
    try:
        return max(0.0, float(headers["Retry-After"]))
    except (TypeError, ValueError):
        return None
