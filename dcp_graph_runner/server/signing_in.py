"""Who sends a call: the owner of its token, or on loopback without ``[auth]`` whoever it names; and their own tokens.

Source: design.md section 9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from dcp_core.errors import UsageError
from dcp_core.registry import Registry
from dcp_core.sandboxes import IdentitySettings
from dcp_core.sections import login_name
from dcp_core.settings import Secret, Settings
from dcp_core.store import Store
from dcp_graph_runner.access.oidc import authenticator
from dcp_graph_runner.access.principal import TENANT_HEADER, check_tenant, header
from dcp_graph_runner.access.rules import AccessRules
from dcp_graph_runner.access.settings import AuthSettings
from dcp_graph_runner.graphs.work import SignedIn

CREDENTIAL_HEADER = "x-dcp-credential-"
_PLATFORM = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class SigningIn:
    """Thread-safe.

    Args:
        settings: Of the project.
        host: What the server binds to.

    Raises:
        SettingsError: ``[auth]`` is wrong, or it is missing and others than this machine reach ``host``.
    """

    def __init__(self, settings: Settings, host: str) -> None:
        self._auth = AuthSettings.of(settings)
        own = settings.section("identity", IdentitySettings).user or login_name()
        self._authenticator = authenticator(settings, own, host)

    @property
    def is_on(self) -> bool:
        """Whether callers must show a token."""
        return self._auth.is_on

    def register_rules(self, registry: Registry, store: Store) -> None:
        """Have every operation asked about."""
        AccessRules.register(registry, self._auth, store.sandboxes)

    def sign_in(self, headers: Mapping[str, str]) -> SignedIn:
        """Who sends these headers.

        Raises:
            UnauthenticatedError: Nobody can tell.
            TransientError: The issuer's keys cannot be had now.
            UsageError: A credential's header is none.
        """
        principal = self._authenticator.authenticate(headers)
        tenant = header(headers, TENANT_HEADER)
        return SignedIn(principal.caller(), _credentials(headers), partial(check_tenant, principal, tenant))


def _credentials(headers: Mapping[str, str]) -> Mapping[str, Secret]:
    found = {}
    for name, value in headers.items():
        if name.startswith(CREDENTIAL_HEADER) and value:
            platform = name.removeprefix(CREDENTIAL_HEADER)
            if not _PLATFORM.fullmatch(platform):
                raise UsageError(f"{CREDENTIAL_HEADER}… ends with a platform's name: a-z, 0-9, - and _")
            found[platform] = Secret(value)
    return found
