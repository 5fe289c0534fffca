"""Who may call a driver that runs as a service: bearer tokens, each for certain environments.

Must not import grpc or Starlette: both servers use it.
"""

from __future__ import annotations

import fnmatch
import hmac
from collections.abc import Mapping

from attrs import field, frozen

from dcp_core.errors import SettingsError, UnauthorizedError
from dcp_core.settings import Secret, Settings

_SECTION = "coreetl_tokens"
_EXAMPLE = f"""\
[{_SECTION}.airflow]
token = "${{COREETL_TOKEN}}"
environments = ["production"]"""


class UnauthenticatedError(UnauthorizedError):
    """The call carries no token, or one that nobody was given."""

    code = "unauthenticated"


@frozen
class Caller:
    """One who was given a token.

    Args:
        environments: Patterns such as ``production`` or ``playground_*``.
    """

    name: str
    token: Secret = field(repr=False)
    environments: tuple[str, ...]

    def may(self, environment: str) -> bool:
        return any(fnmatch.fnmatchcase(environment, pattern) for pattern in self.environments)

    def require(self, environment: str) -> None:
        """Raises: UnauthorizedError when this caller may not touch ``environment``."""
        if not self.may(environment):
            raise UnauthorizedError(f"caller {self.name!r} may not use environment {environment!r}")


@frozen
class Access:
    """All callers, from ``[coreetl_tokens.NAME]`` with ``token`` and ``environments``."""

    callers: tuple[Caller, ...]

    @classmethod
    def from_settings(cls, settings: Settings) -> Access:
        """Read the callers.

        Raises:
            SettingsError: There is none, or an entry is wrong. A service without callers would serve nobody.
        """
        callers = []
        for name, entry in settings.subsections(_SECTION).items():
            callers.append(_caller(settings, name, entry))
        if not callers:
            raise SettingsError(
                "a driver that runs as a service needs at least one caller",
                hint=f"add to dcp.toml, and set the variable to 16 characters or more:\n{_EXAMPLE}",
            )
        return cls(tuple(callers))

    def authenticate(self, authorization: str) -> Caller:
        """The caller of a request, by its ``authorization`` header.

        Raises:
            UnauthenticatedError: Nobody has this token.
        """
        scheme, _, offered = authorization.partition(" ")
        found = None
        for caller in self.callers:  # all of them, each in constant time
            if hmac.compare_digest(caller.token.reveal().encode(), offered.strip().encode()):
                found = caller
        if found is None or scheme.lower() != "bearer":
            raise UnauthenticatedError("the bearer token is missing or wrong")
        return found


def _caller(settings: Settings, name: str, entry: Mapping[str, object]) -> Caller:
    where = f"[{_SECTION}.{name}]"
    token, environments = entry.get("token"), entry.get("environments")
    if set(entry) != {"token", "environments"} or not isinstance(token, str) or not isinstance(environments, list):
        raise SettingsError(f"{where} takes token (a string) and environments (a list of patterns)")
    revealed = settings.resolve(token, f"{where} token")
    if len(revealed) < 16:
        raise SettingsError(f"{where} token is shorter than 16 characters")
    return Caller(name, Secret(revealed), tuple(str(pattern) for pattern in environments))
