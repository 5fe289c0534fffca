"""A job registry that is away for certain calls, and two backends without engines to run jobs meanwhile."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute import Capabilities, ComputeBackend, Outcome, Task
from coreetl_driver.job_registry import JobRegistry
from dcp_core.errors import TransientError

_METHODS = ("add_execution", "get_run", "get_job", "change", "take_over", "leave", "unfinished")


class Hiccups:
    """Fails calls of every job registry of this process, counted from when it is armed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._lock = threading.Lock()
        self._from, self._until, self._is_done_first, self._calls = 0, 0, False, 0
        for name in _METHODS:
            monkeypatch.setattr(JobRegistry, name, self._wrapped(getattr(JobRegistry, name)))

    def arm(self, first: int, count: int, *, is_done_first: bool) -> None:
        """From the ``first`` call on, ``count`` of them fail: before they are done, or after, as a lost answer is."""
        with self._lock:
            self._from, self._until, self._is_done_first, self._calls = first, first + count, is_done_first, 0

    def disarm(self) -> bool:
        """Whether any has failed."""
        with self._lock:
            has_fired, self._until = self._calls >= self._from, 0
            return has_fired

    def _fails(self) -> bool:
        with self._lock:
            self._calls += 1
            return self._from <= self._calls < self._until

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            fails = self._fails()
            if fails and not self._is_done_first:
                raise TransientError("the job registry does not answer")
            result = method(*args, **kwargs)
            if fails:
                raise TransientError("the job registry does not answer: the connection was lost")
            return result

        return call


class Lasting(ComputeBackend):
    """An attempt outlives its driver; it has ended, and written, as soon as its job's file ``go`` is there."""

    name = "lasting"

    def capabilities(self) -> Capabilities:
        return Capabilities(survives_driver=True)

    def submit(self, task: Task) -> str:
        self._file("job", task.key).write_text(task.job_id)  # once or twice: it is the same attempt
        return task.key

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        if self._file("ended", handle).exists():
            return Outcome(ExecutionStatus.CANCELLED)
        if not self._file("go", self._file("job", handle).read_text()).exists():
            return None
        self._file("written", handle).touch()
        return Outcome(ExecutionStatus.SUCCEEDED, 1)

    def cancel(self, handle: str) -> None:
        if not self._file("written", handle).exists():
            self._file("ended", handle).touch()

    def committed_rows(self, task: Task) -> int | None:
        return 1 if list(self._file("written", "").parent.glob(f"written-{task.execution_id}-*")) else None

    def _file(self, what: str, name: str) -> Path:
        return self._settings.state / f"{what}-{name}"


class Mortal(Lasting):
    """An attempt ends with its driver, and the next driver begins another one."""

    name = "mortal"

    def capabilities(self) -> Capabilities:
        return Capabilities()
