"""An execution that this driver runs, between the thread that follows it and whoever stops it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from attrs import define, field

from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.tasks import Task


@define
class Live:
    """One of them.

    Args:
        survives: Whether its attempt goes on without this process.
        ready: Makes the task ready to begin, or refuses it.
        is_noted: Whether the registry knows the handle.
        is_left: Whether it is nobody's, or somebody else's, from now on.
        failure: Why it is to end as soon as its attempt has been ended.
    """

    backend: Backend
    task: Task
    survives: bool
    ready: Callable[[Task], Task]
    handle: str | None = None
    is_noted: bool = False
    is_left: bool = False
    is_stopping: bool = False
    failure: Exception | None = None
    is_cancelled: bool = False
    handed_over: bool = False
    thread: threading.Thread | None = None
    wake: threading.Event = field(factory=threading.Event)
    ended: threading.Event = field(factory=threading.Event)

    @property
    def may_run(self) -> bool:
        """Whether an attempt may run that the driver's own troubles do not end."""
        return self.survives and (self.handle is not None or self.task.may_run)

    def cancel(self) -> None:
        """End the attempt; a backend that is away is asked again by the execution's thread."""
        try:
            if self.handle is not None:
                self.backend.cancel(self.handle)
                self.is_cancelled = True
        finally:
            self.wake.set()

    def paused(self, seconds: float) -> bool:
        """Wait; whether somebody has woken it."""
        is_woken = self.wake.wait(seconds)
        self.wake.clear()
        return is_woken
