"""Attempts that a worker process of this machine works on: the conversation with it, and what is kept of its end."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from attrs import define, field

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute.tasks import Outcome, Task
from coreetl_driver.compute.worker_process import WorkerDied, WorkerProcess
from dcp_core.errors import NotFoundError, PermanentError

LOG_FILE = "log.txt"
_LOOK_S = 0.2
GRACE_S = 15.0  # for the last commit of what ends by itself when it is asked to
_KEPT = 1000  # attempts that have ended; each is a few hundred bytes


class WorkerAttempt(ABC):
    """One worker process with one job; a subclass says what the job's end means.

    Args:
        task: Its folder gets the log and the scratch folder.
        opening: What opens the worker's session.
        request: The job.
        variables: Names of environment variables that the worker gets.
        on_note: Takes what the worker says before its answer.

    Raises:
        PermanentError: This machine cannot start it.
    """

    def __init__(
        self,
        task: Task,
        opening: Mapping[str, Any],
        request: Mapping[str, Any],
        variables: tuple[str, ...],
        on_note: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._scratch = task.folder / "scratch"
        for left in task.folder.parent.glob("*/scratch"):  # by an attempt whose driver was killed
            shutil.rmtree(left, ignore_errors=True)
        self.log_file = task.folder / LOG_FILE
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            self.process = WorkerProcess(self.log_file, self._scratch, variables=variables, on_note=on_note)
        except OSError as error:  # no memory for a process, no space for a file: the machine's, not a bug
            raise PermanentError(f"the worker process does not start: {error}") from error
        self.process.send(opening)
        self.process.send(request)
        self._is_stream = task.spec.kind == "stream"
        self._opened = False
        self._is_stopping = False
        self._outcome: Outcome | None = None
        self._ending = threading.Lock()

    def wait(self, timeout_s: float) -> Outcome | None:
        """The outcome, or None when ``timeout_s`` seconds passed without one."""
        deadline = time.monotonic() + timeout_s
        while self._outcome is None:
            try:
                answer = self.process.answer(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                return None
            except WorkerDied as death:
                return self._end(str(death))
            if not answer["ok"]:
                return self._end(answer["error"], has_said=True)
            if self._opened:
                self._is_stopping = self._is_stopping or bool(answer.get("stopped"))  # by whoever asked the process
                return self._end(None, answer.get("rows"), is_done=True)
            self._opened = True
        return self._outcome

    def stop(self) -> None:
        """End it now, a stream after its last commit; ``wait`` tells how it ended."""
        if self._outcome is None:
            self._is_stopping = True
            if self._is_stream and self._opened:
                self.process.send({"op": "finish"})
                deadline = time.monotonic() + GRACE_S
                while self._outcome is None and time.monotonic() < deadline:
                    self.wait(_LOOK_S)
            self.process.kill()
            self._end(None)

    def _end(
        self, error: str | None, rows: int | None = None, *, is_done: bool = False, has_said: bool = False
    ) -> Outcome:
        with self._ending:
            if self._outcome is None:
                status = ExecutionStatus.SUCCEEDED if is_done else ExecutionStatus.FAILED
                if self._is_stopping and (not is_done or self._is_stream):
                    status = ExecutionStatus.CANCELLED
                    if not (self._is_stream and has_said):  # anything else may be the stop itself
                        error = None
                self._outcome = self._judge(error, rows, status)
                self.process.kill()  # whatever it still does is for nobody
                shutil.rmtree(self._scratch, ignore_errors=True)
            return self._outcome

    @abstractmethod
    def _judge(self, error: str | None, rows: int | None, status: ExecutionStatus) -> Outcome:
        """The outcome.

        Args:
            error: Why the worker, or its job, failed; of a stream also while it was stopped.
            rows: How many it says that it wrote, where it counted them.
            status: As far as the worker's answer goes: SUCCEEDED, FAILED, or CANCELLED when it was stopped before.

        Called before the worker is ended for good; from now on nothing of it may commit. When it raises, it is asked
        again.
        """


A = TypeVar("A", bound=WorkerAttempt)


@define
class _Ended:
    outcome: Outcome
    log_file: Path


@define
class WorkerAttempts(Generic[A]):
    """The attempts of this process by handle; of those that have ended, the last ones with their outcome."""

    _live: dict[str, A] = field(factory=dict)
    _ended: dict[str, _Ended] = field(factory=dict)
    _handles: dict[str, str] = field(factory=dict)
    lock: threading.RLock = field(factory=threading.RLock)

    def handle_of(self, task: Task) -> str | None:
        """The handle of an attempt that was submitted before."""
        return self._handles.get(task.key)

    def add(self, task: Task, handle: str, attempt: A) -> str:
        """Keep a new one."""
        with self.lock:
            self._live[handle], self._handles[task.key] = attempt, handle
        return handle

    def live(self, handle: str) -> A | None:
        """The attempt, while it has not ended."""
        return self._live.get(handle)

    def wait(self, handle: str, timeout_s: float) -> Outcome | None:
        """See ``ComputeSpec.poll``."""
        attempt = self._live.get(handle)
        if attempt is None:
            return self._known(handle).outcome
        outcome = attempt.wait(timeout_s)
        if outcome is not None:
            self._keep(handle, attempt, outcome)
        return outcome

    def logs(self, handle: str) -> str:
        """See ``ComputeSpec.logs``."""
        attempt = self._live.get(handle)
        file = attempt.log_file if attempt is not None else self._known(handle).log_file
        with contextlib.suppress(FileNotFoundError):
            return file.read_text(encoding="utf-8", errors="replace")
        return ""

    def all_live(self) -> tuple[A, ...]:
        """What has not ended."""
        return tuple(self._live.values())

    def has_ended(self, handle: str) -> bool:
        """Whether it was an attempt of this process, and its end is known."""
        return handle in self._ended

    def _keep(self, handle: str, attempt: A, outcome: Outcome) -> None:
        with self.lock:
            self._ended[handle] = _Ended(outcome, attempt.log_file)
            self._live.pop(handle, None)
            while len(self._ended) > _KEPT:
                oldest = next(iter(self._ended))
                del self._ended[oldest]
                self._handles = {key: known for key, known in self._handles.items() if known != oldest}

    def _known(self, handle: str) -> _Ended:
        try:
            return self._ended[handle]
        except KeyError:
            raise NotFoundError(f"this process has no attempt {handle!r}") from None


def job_request(task: Task) -> dict[str, Any]:
    """The job itself, as the worker takes it."""
    spec = task.spec.to_json()
    request = {"columns": spec["columns"], "sink": spec["sink"], "params": dict(task.params)}
    if task.spec.kind == "stream":
        assert task.broker is not None, "the driver resolves it"
        return {"op": "stream", **request, "source": spec["source"], "broker": task.broker.to_json()}
    if task.spec.kind == "extract":
        assert task.connection is not None, "the driver resolves it"
        return {"op": "extract", **request, "source": spec["source"], "connection": task.connection.to_json()}
    return {"op": "job", **request, "sql": spec["sql"]}
