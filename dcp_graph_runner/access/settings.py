"""Section ``[auth]``: whose tokens count, and which of their claims say who somebody is.

Source: design.md section 9.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from dcp_core.errors import SettingsError
from dcp_core.settings import Settings

SECTION = "auth"
ASYMMETRIC = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""What a token may be signed with: whoever can check one of these cannot make one."""


@attrs.frozen
class AuthSettings:
    """Section ``[auth]``; without an ``issuer`` nobody signs in, which a server takes on loopback only.

    Args:
        issuer: The ``iss`` of every token, exactly; an address with https, or of this machine.
        audience: One of these must be in the ``aud`` of a token.
        jwks_url: Where the issuer's keys are; by default its discovery document says.
        algorithms: What tokens may be signed with, of ``ASYMMETRIC``.
        identity_claim: The claim that names a user: ``email``, ``sub`` … With ``email`` an address that the issuer
            calls unverified does not count.
        groups_claim: The claim with the user's teams; ``realm_access.roles`` is a claim in a claim.
        tenants_claim: The claim with the environments that the token is for; "" when tokens have none.
        admin_groups: Whoever is in one of these may write to production whatever team owns it.
        leeway_s: How far clocks may be apart, in seconds, 0 to 300.
        timeout_s: For each request to the issuer, in seconds, > 0.
        keys_lifetime_s: How long keys are used before they are asked for again, in seconds, > 0.
        keys_grace_s: How long they are used after that while the issuer cannot be reached, in seconds.
        keys_interval_s: The least time between two requests for keys, in seconds, whatever tokens come.
        ca_file: Certificates that the issuer's is checked with, instead of this machine's.
    """

    issuer: str = ""
    audience: tuple[str, ...] = ()
    jwks_url: str = ""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    identity_claim: str = "email"
    groups_claim: str = "groups"
    tenants_claim: str = ""
    admin_groups: tuple[str, ...] = ()
    leeway_s: int = 30
    timeout_s: int = 5
    keys_lifetime_s: int = 300
    keys_grace_s: int = 3600
    keys_interval_s: int = 5
    ca_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> AuthSettings:
        """The section, checked.

        Raises:
            SettingsError: It contradicts itself, or would let in whom it should not. Never retried.
        """
        auth = settings.section(SECTION, cls)
        problem = auth._problem()
        if problem is not None:
            raise SettingsError(f"[{SECTION}] {problem}", where=str(settings.file) if settings.file else None)
        return auth

    @property
    def is_on(self) -> bool:
        """Whether callers must sign in."""
        return bool(self.issuer)

    def _problem(self) -> str | None:
        """What is wrong with it; None when nothing is."""
        if not self.issuer:
            # Half a section is a slip of the pen that must not open the server.
            return None if self == AuthSettings() else "needs an issuer; take the whole section out to switch it off"
        for name, url in (("issuer", self.issuer), ("jwks_url", self.jwks_url)):
            if url and not is_safe_url(url):
                return f"{name} must begin with https://, or be of this machine"
        if not self.audience or not all(self.audience):
            return "needs an audience: tokens made for others would count too"
        unfit = [each for each in self.algorithms if each not in ASYMMETRIC]
        if unfit or not self.algorithms:
            return f"algorithms takes some of {', '.join(ASYMMETRIC)}" + (f"; not {unfit[0]}" if unfit else "")
        if not self.identity_claim or not self.groups_claim:
            return "identity_claim and groups_claim must name a claim"
        if self.ca_file is not None and not self.ca_file.is_file():
            return f"ca_file: there is no file {self.ca_file}"
        if not 0 <= self.leeway_s <= 300:
            return "leeway_s must be 0 to 300"
        if min(self.timeout_s, self.keys_lifetime_s, self.keys_interval_s) <= 0 or self.keys_grace_s < 0:
            return "timeout_s, keys_lifetime_s and keys_interval_s must be more than 0, and keys_grace_s 0 or more"
        return None


def is_safe_url(url: str) -> bool:
    """Whether nobody in between can read or change what is fetched from it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host or "")))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it; a name counts when it is ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
