"""What goes along with each call: who asks, and the user's own tokens for platforms.

Tokens leave this machine over TLS only. Nothing here is logged or stored.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping, Sequence

import attrs

from dcp_core.errors import SettingsError, UnauthenticatedError
from dcp_core.settings import Secret
from dcp_graph_runner.client.address import Address

AUTHORIZATION = "authorization"
IDENTITY = "x-dcp-identity"
CREDENTIAL = "x-dcp-credential-"
IDEMPOTENCY_KEY = "idempotency-key"
_COMMAND_TIMEOUT_S = 60.0

Headers = tuple[tuple[str, str], ...]


@attrs.define(eq=False)
class SigningIn:
    """One client's. Thread-safe.

    Args:
        address: Of the server.
        identity: Who works here, for a server on this machine where nobody signs in.
        token: Bearer token; "" for none.
        token_command: Prints one, in place of ``token``.
        credentials: The user's tokens for platforms, by name.

    Raises:
        SettingsError: A token would go over the network in clear.
    """

    address: Address
    identity: str
    token: Secret = attrs.field(default=Secret(""), repr=False)
    token_command: tuple[str, ...] = ()
    credentials: Mapping[str, Secret] = attrs.field(factory=dict, repr=False)
    _fetched: Secret | None = attrs.field(default=None, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if (self.token.reveal() or self.token_command) and not self.address.is_private:
            raise SettingsError(
                f"a token is not sent to {self.address} in clear", hint="grpcs:// is gRPC over TLS", code="remote.clear"
            )

    def headers(self, key: str | None = None) -> Headers:
        """Names in lower case.

        The tenant, ``x-tenant-id``, is left out: each request names its environment itself, which may be a playground
        that is not the caller's own, to be read.

        Args:
            key: Idempotency key of the call.

        Raises:
            UnauthenticatedError: The token command gave none.
            SettingsError: A value is nothing that a header can hold. It is not shown.
        """
        token = self._token()
        found = [(AUTHORIZATION, f"Bearer {token.reveal()}")] if token is not None else [(IDENTITY, self.identity)]
        if key is not None:
            found.append((IDEMPOTENCY_KEY, key))
        if self.address.is_private:
            found += [(f"{CREDENTIAL}{name}", value.reveal()) for name, value in self.credentials.items()]
        for name, value in found:
            if not (value.isascii() and value.isprintable() and value.strip() == value):
                what = "the token" if name == AUTHORIZATION else f"{name} ({value!r})" if name == IDENTITY else name
                raise SettingsError(f"{what} cannot be sent: headers hold printable ASCII only")
        return tuple(found)

    def renew(self) -> bool:
        """Forget a token that was refused; whether another one may be had."""
        with self._lock:
            had_one, self._fetched = self._fetched is not None, None
        return had_one

    def has_all(self, platforms: Sequence[str]) -> bool:
        """Whether the user's tokens for these go along."""
        return self.address.is_private and all(each in self.credentials for each in platforms)

    def _token(self) -> Secret | None:
        if self.token.reveal():
            return self.token
        if not self.token_command:
            return None
        with self._lock:
            if self._fetched is None:
                self._fetched = _printed(self.token_command)
            return self._fetched


def _printed(command: Sequence[str]) -> Secret:
    """What a command prints; what it says goes to the user's terminal, for it may ask them to sign in."""
    failed = UnauthenticatedError(
        f"the token command {command[0]!r} gave no token", hint="[remote] token_command must print one, and exit 0"
    )
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_COMMAND_TIMEOUT_S, check=False)
    except OSError as error:
        failed.message += f": {error.strerror}"
        raise failed from None
    except (subprocess.TimeoutExpired, UnicodeDecodeError):
        raise failed from None  # the exception would hold what was printed
    token = done.stdout.strip()
    if done.returncode != 0 or not token:
        raise failed
    return Secret(token)
