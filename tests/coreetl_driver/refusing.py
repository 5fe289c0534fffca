"""A service that refuses in many ways: what the files in the project's state folder say."""

from __future__ import annotations

import math

from coreetl_driver.compute import Outcome, Task, taking_nothing
from dcp_core.errors import PermanentError, SettingsError, TransientError, UnauthorizedError
from tests.coreetl_driver.away import Away


class Refusing(Away):
    """``expired``, ``wrong``: it lets nobody in. ``full``: it takes nothing, ``interrupting``:
    the user loses patience meanwhile; ``busy``: it answers nothing, for ever.

    ``broken``: how an attempt is doing cannot be had, now or ever. ``unstoppable``: nobody can end one just now.
    """

    name = "refusing"

    def submit(self, task: Task) -> str:
        if self._flag("interrupting").exists():
            with taking_nothing():
                raise KeyboardInterrupt
        if self._flag("full").exists():
            with taking_nothing():
                raise TransientError("429, it is full", retry_after_s=math.inf)
        return super().submit(task)

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        if self._flag("broken").exists():
            raise PermanentError("this version of the interface has been switched off")
        return super().poll(handle, wait_s)

    def cancel(self, handle: str) -> None:
        if self._flag("unstoppable").exists():
            raise TransientError("503, not now", retry_after_s=0.05)
        super().cancel(handle)

    def _answer(self) -> None:
        if self._flag("expired").exists():
            raise UnauthorizedError("the credentials have expired", hint="renew them")
        if self._flag("wrong").exists():
            raise SettingsError("[refusing] has no cluster")
        if self._flag("busy").exists():
            raise TransientError("429, come back later", retry_after_s=math.inf)
        super()._answer()
