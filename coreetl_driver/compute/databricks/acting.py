"""Who acts: a user by the token that came with a run, or an environment's service principal.

A user's token is kept in memory, for as long as something of that user runs, under the name that Databricks has for
its owner. So a newer token of theirs, which comes with any run, serves what runs already too. That a run is left to
another driver no backend is told: the token then stays until this driver ends, which forgets all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from coreetl_driver.compute.databricks.calling import REFUSED, asking, opened, require_token
from coreetl_driver.compute.databricks.settings import USER, DatabricksSettings
from coreetl_driver.compute.tasks import Task
from dcp_core.errors import DcpError, SettingsError, TransientError, UnauthorizedError
from dcp_core.settings import Secret

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from databricks.sdk import WorkspaceClient


@frozen
class Actor:
    """Somebody who can ask the workspace.

    Args:
        me: As Databricks names them: a user's address, a service principal's application id.
    """

    me: str
    host: str
    client: WorkspaceClient = field(repr=False)
    token: Secret = field(repr=False)
    _section: DatabricksSettings = field(repr=False)

    def asks(self, what: str, refusal: Callable[..., DcpError] | None = None) -> AbstractContextManager[None]:
        """A block of calls; see ``calling.asking``."""
        return _asks(what, self._section, self.token, self.me, refusal)


@define
class _User:
    actor: Actor
    attempts: set[str] = field(factory=set)


class Actors:
    """All who act for one driver.

    Args:
        section_of: The settings of an environment.
    """

    def __init__(self, section_of: Callable[[str], DatabricksSettings]) -> None:
        self._section_of = section_of
        self._users: dict[tuple[str, str], _User] = {}
        self._principals: dict[str, Actor] = {}
        self._lock = threading.Lock()

    def of_task(
        self, task: Task, refusal: Callable[..., DcpError] = UnauthorizedError, known_as: str | None = None
    ) -> Actor:
        """Whoever this task runs as, and is known by from now on.

        Args:
            refusal: What becomes of credentials that the service refuses.
            known_as: Who submitted this attempt before, if anybody did: a newer token of theirs does as well.

        Raises:
            UnauthorizedError: No token came along, or the service refuses it.
            TransientError: The service does not answer.
        """
        section = self._section_of(task.environment) if known_as is None else self.section_of_running(task.environment)
        if section.auth != USER:
            return self._principal(task.environment, section, refusal)
        token = require_token(task.user_token, section.host)
        known = self._known(section.host, token, task.key)
        if known is not None:
            return known
        try:
            actor = _introduced(section, token, refusal)
        except UnauthorizedError:
            with self._lock:
                user = self._users.get((section.host, known_as or ""))
                if user is None:
                    raise
                user.attempts.add(task.key)
                return user.actor
        with self._lock:
            user = self._users.setdefault((section.host, actor.me), _User(actor))
            user.actor = actor
            user.attempts.add(task.key)
        return actor

    def of_attempt(self, environment: str, me: str) -> Actor:
        """Whoever started an attempt.

        Raises:
            TransientError: They have not been here since this driver started; asked again until they come.
        """
        section = self.section_of_running(environment)
        if section.auth != USER:
            return self._principal(environment, section, None)
        with self._lock:
            user = self._users.get((section.host, me))
        if user is None:
            raise TransientError(
                f"only {me} can be asked for, whose token this driver does not have; it comes with their next run",
                where=section.host,
                code=REFUSED,
            )
        return user.actor

    def section_of_running(self, environment: str) -> DatabricksSettings:
        """The settings of an environment where something runs.

        Raises:
            TransientError: They are wrong now, which ends nothing that runs.
        """
        try:
            return self._section_of(environment)
        except SettingsError as error:
            raise TransientError(str(error), hint=error.hint) from error

    def forget(self, key: str) -> None:
        """An attempt has ended; the token of a user of whom nothing runs any more is forgotten."""
        with self._lock:
            for name, user in list(self._users.items()):
                user.attempts.discard(key)
                if not user.attempts:
                    del self._users[name]

    def forget_all(self) -> None:
        with self._lock:
            self._users.clear()
            self._principals.clear()

    def _known(self, host: str, token: Secret, key: str) -> Actor | None:
        """Whose token this is, when it is the newest of somebody here."""
        with self._lock:
            for user in self._users.values():
                if user.actor.host == host and user.actor.token.reveal() == token.reveal():
                    user.attempts.add(key)
                    return user.actor
        return None

    def _principal(
        self, environment: str, section: DatabricksSettings, refusal: Callable[..., DcpError] | None
    ) -> Actor:
        with self._lock:
            known = self._principals.get(environment)
        if known is None:
            known = _introduced(section, section.token, refusal)
            with self._lock:
                self._principals[environment] = known
        return known


def _introduced(section: DatabricksSettings, token: Secret, refusal: Callable[..., DcpError] | None) -> Actor:
    """Ask the workspace whose credentials these are.

    Source: https://docs.databricks.com/api/workspace/currentuser/me.
    """
    with _asks("does not say whose credentials these are", section, token, "", refusal):
        client = opened(section, token)
        me = client.current_user.me().user_name
    if not me:
        raise TransientError("Databricks does not say whose credentials these are", where=section.host)
    return Actor(me, section.host, client, token, section)


def _asks(
    what: str, section: DatabricksSettings, token: Secret, me: str, refusal: Callable[..., DcpError] | None
) -> AbstractContextManager[None]:
    if section.auth == USER:
        credential = f"the token of {me or 'the user'} may have expired, or may not do this: run again with a new one"
    else:
        kind = "token" if section.token else "client_secret"
        whose = me or "the service principal"
        credential = (
            f"[databricks] {kind} of {whose} may have expired, or may not do this: renew it, restart the driver"
        )
    return asking(what, section, credential, token or section.client_secret, refusal)
