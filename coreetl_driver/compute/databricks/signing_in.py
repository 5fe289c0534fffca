"""A service principal signs in with its OAuth secret, machine to machine.

The SDK can do it too, but it takes a workspace that is away for one that refuses, after five minutes.

Source: https://docs.databricks.com/dev-tools/auth/oauth-m2m.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from coreetl_driver.compute.databricks.settings import DatabricksSettings
from dcp_core.errors import TransientError

_SPARE_S = 60.0  # a token is renewed so long before it expires
_BUSY = (429, 503)
_REFUSED = (400, 401, 403)


class SignInRefusedError(Exception):
    """The service principal is not let in; holds what the workspace says of it."""


class ServicePrincipal:
    """A credentials strategy for Databricks' SDK. Thread-safe.

    Args:
        section: With the host, ``client_id`` and ``client_secret``.
        clock: Seconds, monotonic.
    """

    def __init__(self, section: DatabricksSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._section = section
        self._clock = clock
        self._headers: dict[str, str] = {}
        self._until = float("-inf")
        self._lock = threading.Lock()

    def auth_type(self) -> str:
        """As the SDK calls this way of signing in."""
        return "oauth-m2m"

    def __call__(self, _config: object) -> Callable[[], dict[str, str]]:
        """What the SDK asks for the headers of each request."""
        return self.headers

    def headers(self) -> dict[str, str]:
        """With a token that is valid for a while.

        Raises:
            SignInRefusedError: The secret is not that of the client.
            TransientError: The workspace is busy or away.
            requests.RequestException: It cannot be reached.
        """
        with self._lock:
            if self._clock() >= self._until:
                began = self._clock()
                granted = self._granted()
                self._headers = {"Authorization": f"Bearer {granted['access_token']}"}
                self._until = began + float(granted["expires_in"]) - _SPARE_S
            return self._headers

    def _granted(self) -> dict[str, Any]:
        import requests

        section = self._section
        answer = requests.post(
            f"{section.host.rstrip('/')}/oidc/v1/token",
            data={"grant_type": "client_credentials", "scope": "all-apis"},
            auth=(section.client_id, section.client_secret.reveal()),
            timeout=section.http_timeout_s,
        )
        if answer.ok:
            granted: dict[str, Any] = answer.json()
            return granted
        if answer.status_code in _REFUSED:
            raise SignInRefusedError(_said(answer))
        after = answer.headers.get("Retry-After", "") if answer.status_code in _BUSY else ""
        raise TransientError(
            f"signing in to Databricks fails: {_said(answer)}",
            where=section.host,
            retry_after_s=float(after) if after.isdecimal() else None,
        )


def _said(answer: Any) -> str:
    try:
        document = answer.json()
        return str(document.get("error_description") or document.get("message") or document.get("error") or document)
    except (ValueError, AttributeError):  # a page
        return f"{answer.status_code} {answer.reason}"
