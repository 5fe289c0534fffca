"""Who asks, as the server knows them once they are authenticated, and the tenant that they name.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import attrs

from dcp_core.errors import UnauthorizedError, UsageError
from dcp_core.model import PLAYGROUND_PREFIX, PRODUCTION, Environment
from dcp_core.records import Caller
from dcp_core.sandboxes import playground_user

TENANT_HEADER = "x-tenant-id"


@attrs.frozen
class Principal:
    """One who has shown who they are.

    Args:
        identity: As the rest of DCP names them: ``alice@example.com``.
        groups: The teams they belong to, as the issuer says.
        subject: The issuer's own, lasting name for them; "" where nobody signs in.
        issuer: Who says all this; "" where nobody signs in.
        tenants: The environments that the token is for, ``playground_*`` is one too; None when tokens do not say.
        expires_at: UTC; the token counts no more after it. None where nobody signs in.
    """

    identity: str
    groups: tuple[str, ...] = ()
    subject: str = ""
    issuer: str = ""
    tenants: tuple[str, ...] | None = None
    expires_at: datetime | None = None

    def caller(self, request_id: str = "") -> Caller:
        """On whose behalf a control plane works."""
        return Caller(self.identity, self.groups, request_id, is_remote=True, tenants=self.tenants)


class Authenticates(Protocol):
    """What the server asks about every call."""

    def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Who sends this. May wait for the issuer: not for an event loop's own thread.

        Raises:
            UnauthenticatedError: Nobody can tell. Never retried.
            TransientError: The issuer's keys cannot be had now.
        """
        ...


def header(headers: Mapping[str, str], name: str) -> str:
    """The value of a header, whose name is written in any case; "" when it is missing."""
    return next((value for each, value in headers.items() if each.lower() == name), "")


def check_tenant(principal: Principal, tenant_header: str, environment: str | None) -> None:
    """Refuse a call whose tenant is not what its token and its request say.

    A token whose issuer names tenants is for these alone, with the header and without it. One that names none may name
    production and the caller's own playground in the header.

    Args:
        principal: Who asks.
        tenant_header: The value of ``x-tenant-id``; "" when it is missing.
        environment: What the request is about; None when it leaves that to the header or to the server.

    Raises:
        UnauthorizedError: Header, token and request disagree. Never retried.
    """
    tenant = tenant_header.strip()
    if tenant:
        try:
            Environment.named(tenant)
        except UsageError as error:
            raise UnauthorizedError(f"{TENANT_HEADER}: {error.message}", hint=error.hint) from None
    if tenant and environment is not None and tenant != environment:
        raise UnauthorizedError(
            f"{TENANT_HEADER} names {tenant}, and the request is about {environment}",
            hint="send the environment of the request, or leave the header out",
        )
    concerned = tenant or environment
    if principal.tenants is not None:
        if concerned is not None and not principal.caller().may_enter(concerned):
            raise UnauthorizedError(f"the token of {principal.identity} is not for {concerned}")
    elif tenant and tenant not in (PRODUCTION, own_playground(principal.identity)):
        raise UnauthorizedError(
            f"{TENANT_HEADER} names {tenant}, which is not {principal.identity}'s own",
            hint=f"production, or {own_playground(principal.identity)}",
        )


def own_playground(identity: str) -> str:
    """The playground that is an identity's own by its name; "" when no name can be made of it."""
    try:
        return PLAYGROUND_PREFIX + playground_user(identity)
    except UsageError:
        return ""
