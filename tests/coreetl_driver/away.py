"""A service that is away now and then: what the files in the project's state folder say."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from coreetl_driver.compute import Capabilities, Outcome, Task
from dcp_core.errors import TransientError
from dcp_core.settings import Secret
from tests.coreetl_driver.outliving import Outliving


class Away(Outliving):
    """``away``: nobody answers. ``mute``: the next submission is made, and its answer is lost."""

    name = "away"

    def submit(self, task: Task) -> str:
        self._answer()
        handle = super().submit(task)
        mute = self._flag("mute")
        if mute.exists():
            mute.unlink()
            raise TransientError("the connection was closed", retry_after_s=0.05)
        return handle

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        self._answer()
        return super().poll(handle, wait_s)

    def cancel(self, handle: str) -> None:
        self._answer()
        super().cancel(handle)

    def _flag(self, name: str) -> Path:
        return self._settings.state / name

    def _answer(self) -> None:
        if self._flag("away").exists():
            raise TransientError("503, come back later", retry_after_s=0.05)


class Personal(Outliving):
    """Acts as the user: each process of the driver must be told the token before it may ask for anything."""

    name = "personal"
    token = Secret("dapi-of-alice-0123456789")

    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), needs_user_token=True)

    def submit(self, task: Task) -> str:
        assert task.user_token is not None
        assert task.user_token.reveal() == self.token.reveal()
        self._is_known = True
        return super().submit(task)

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        assert self._is_known, "no token was handed over"
        return super().poll(handle, wait_s)
