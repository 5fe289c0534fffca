"""Who may call a driver that runs as a service: bearer tokens, each for certain environments and actions.

Must not import grpc or Starlette: both servers use it.
"""

from __future__ import annotations

import enum
import fnmatch
import hmac
from collections.abc import Mapping

from attrs import field, frozen

from dcp_core.errors import SettingsError, UnauthenticatedError, UnauthorizedError
from dcp_core.settings import Secret, Settings

_SECTION = "coreetl_tokens"
_EXAMPLE = f"""\
[{_SECTION}.airflow]
token = "${{COREETL_TOKEN}}"
environments = ["production"]"""


class Action(enum.StrEnum):
    """What a call does to an environment."""

    READ = "read"  # look at jobs, executions and logs
    RUN = "run"  # start and stop jobs
    WRITE = "write"  # create, change and delete jobs


@frozen
class Caller:
    """One who was given a token.

    Args:
        environments: Patterns such as ``production`` or ``playground_*``.
        allows: What it may do there.
    """

    name: str
    token: Secret = field(repr=False)
    environments: tuple[str, ...]
    allows: tuple[Action, ...] = tuple(Action)

    def may(self, action: Action, environment: str) -> bool:
        return action in self.allows and self._sees(environment)

    def require(self, action: Action, environment: str | None = None) -> None:
        """Refuse what this caller may not do.

        Args:
            environment: None asks whether it may do this anywhere.

        Raises:
            UnauthorizedError: It may not touch ``environment``, or not in this way. Never retried.
        """
        if environment is not None and not self._sees(environment):
            raise UnauthorizedError(f"caller {self.name!r} may not use environment {environment!r}")
        if action not in self.allows:
            raise UnauthorizedError(
                f"caller {self.name!r} may not {action} here", hint=f"it may: {', '.join(self.allows)}"
            )

    def _sees(self, environment: str) -> bool:
        return any(fnmatch.fnmatchcase(environment, pattern) for pattern in self.environments)


@frozen
class Access:
    """All callers, from ``[coreetl_tokens.NAME]`` with ``token``, ``environments`` and, if not all, ``allows``."""

    callers: tuple[Caller, ...]

    @classmethod
    def from_settings(cls, settings: Settings) -> Access:
        """Read the callers.

        Raises:
            SettingsError: There is none, an entry is wrong, or two have the same token. A service without callers
                would serve nobody.
        """
        callers: list[Caller] = []
        for name, entry in settings.subsections(_SECTION).items():
            caller = _caller(settings, name, entry)
            for other in callers:
                if hmac.compare_digest(other.token.reveal().encode(), caller.token.reveal().encode()):
                    raise SettingsError(
                        f"[{_SECTION}.{other.name}] and [{_SECTION}.{name}] have the same token",
                        hint="give each caller one of its own: by its token alone is it known who calls",
                    )
            callers.append(caller)
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
    known = ("token", "environments", "allows")
    token, environments, allows = (entry.get(key) for key in known)
    if not set(entry) <= set(known) or not isinstance(token, str) or not isinstance(environments, list):
        raise SettingsError(f"{where} takes token (a string), environments (a list of patterns) and allows")
    if "allows" in entry and (not isinstance(allows, list) or not allows or not {*allows} <= {*Action}):
        raise SettingsError(f"{where} allows takes a list of: {', '.join(Action)}")
    revealed = settings.resolve(token, f"{where} token")
    if not revealed:
        hint = f"it is what {token} says" if token else 'a reference to a variable: "${COREETL_TOKEN}"'
        raise SettingsError(f"{where} token is empty", hint=hint)
    if len(revealed) < 16:
        raise SettingsError(f"{where} token is shorter than 16 characters")
    allowed = tuple(Action(each) for each in allows) if isinstance(allows, list) else tuple(Action)
    return Caller(name, Secret(revealed), tuple(str(pattern) for pattern in environments), allowed)
