"""An execution from its submission to its end: one thread each, which asks the backend and tells the registry.

A backend that does not answer is asked again, with backoff, for as long as the execution lives: first silently, then
the execution's ``error`` says so, and it is never given up. A backend that has lost an attempt is asked what of it has
been committed, and gets the next attempt when nothing has.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time

from attrs import define, evolve, field

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.routing import TOKEN_NEEDED
from coreetl_driver.compute.tasks import Outcome, Task
from coreetl_driver.compute.worker_attempts import LOG_FILE
from coreetl_driver.job_registry import JobRegistry, now
from coreetl_driver.owners import Owner
from coreetl_driver.recording import Record, reason
from dcp_core.errors import DcpError, NotFoundError, TransientError, UnauthorizedError

_LOG = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
HEARTBEAT_S = 5.0
REPORT_AFTER_S = 30.0  # of a backend that does not answer
_MAX_BACKOFF_S = 30.0
_WAIT_S = 2.0  # how long a poll may take
_FIRST_LOOK_S, _LAST_LOOK_S, _SLOWER = 0.1, 5.0, 1.5  # between two polls of a backend that does not wait


@define
class Live:
    """An execution that this driver runs.

    Args:
        survives: Whether its attempt goes on without this process.
    """

    backend: Backend
    task: Task
    survives: bool
    handle: str | None = None
    is_cancelled: bool = False
    handed_over: bool = False
    thread: threading.Thread | None = None
    wake: threading.Event = field(factory=threading.Event)
    ended: threading.Event = field(factory=threading.Event)

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


class Supervisor:
    """The executions that run in this process."""

    def __init__(self, registry: JobRegistry, record: Record, me: Owner) -> None:
        self._registry = registry
        self._record = record
        self._me = me
        self._live: dict[str, Live] = {}
        self._closed = False
        self._lock = threading.Lock()

    def live(self, execution_id: str) -> Live | None:
        """An execution of this process that has not ended."""
        return self._live.get(execution_id)

    def begin(self, backend: Backend, task: Task, handle: str | None = None) -> None:
        """Submit a task, or take up one that runs as ``handle``, and watch it from now on.

        The first try of the submission is made here, so that what fails at once has failed when this returns.
        """
        execution_id = task.execution_id
        try:
            live = Live(backend, task, backend.capabilities.survives_driver, handle)
            with self._lock:
                is_open = not self._closed
                if is_open:
                    self._live[execution_id] = live
            if not is_open:  # it was closed meanwhile: the next driver begins it
                self._registry.change(execution_id, self._me, owner=None)
                return
            task.folder.mkdir(parents=True, exist_ok=True)
            trouble = _Trouble(execution_id, backend.name)
            try:
                self._submit(live)
            except TransientError as error:
                trouble.note(error)
            except UnauthorizedError as error:
                if not self._waits_for_user(execution_id, error):
                    raise
                self._forget(execution_id, live)
                return
            thread = threading.Thread(
                target=self._supervise, args=(live, trouble), name=f"coreetl-{execution_id[:8]}", daemon=True
            )
            with self._lock:  # ``close`` joins it, and a thread can be joined only once it has started
                thread.start()
                live.thread = thread
        except Exception as error:  # nobody would watch it: its attempt ends, and so does the execution
            self.fail(execution_id, error)

    def fail(self, execution_id: str, error: Exception) -> None:
        """End an execution that could not begin."""
        if not isinstance(error, (DcpError, OSError)):
            _LOG.error("execution %s cannot begin", execution_id, exc_info=error)
        live = self._live.get(execution_id)
        self._record.finish(execution_id, _failed(error, live))
        self._forget(execution_id, live)

    def close(self) -> None:
        """Let go of what still runs: attempts that survive go on, others end, and the next driver takes them over."""
        with self._lock:
            self._closed = True
            live = dict(self._live)
        for running in live.values():
            running.handed_over = True
            if running.survives:
                running.wake.set()
                continue
            try:
                running.cancel()
            except DcpError:
                _LOG.exception("execution %s cannot be ended", running.task.execution_id)
        for execution_id, running in live.items():
            with self._lock:
                thread = running.thread
            if thread is not None:
                thread.join(timeout=10.0)
            kept = {} if running.survives else {"handle": None}
            self._registry.change(execution_id, self._me, owner=None, **kept)

    def _submit(self, live: Live) -> None:
        execution_id = live.task.execution_id
        if live.handle is None:
            live.handle = live.backend.submit(live.task)
            if live.handed_over and not live.survives:  # meanwhile
                live.cancel()
        changes = {"status": ExecutionStatus.RUNNING.value, "handle": live.handle, "error": None}
        started = {} if self._registry.get_run(execution_id).execution.started_at else {"started_at": now()}
        self._registry.change(execution_id, self._me, **changes, **started)

    def _supervise(self, live: Live, trouble: _Trouble) -> None:
        execution_id = live.task.execution_id
        try:
            outcome = self._follow(live, trouble)
            if outcome is None or (live.handed_over and outcome.status is not ExecutionStatus.SUCCEEDED):
                return
            if outcome.status is ExecutionStatus.FAILED and self._record.stop_requested(execution_id):
                outcome = Outcome(ExecutionStatus.CANCELLED)
            _keep_log(live)
            self._record.finish(execution_id, _counted(outcome, live))
        except Exception as error:  # an execution must not stay RUNNING for ever because of a bug here
            _LOG.exception("supervising execution %s failed", execution_id)
            self._record.finish(execution_id, _failed(error, live))
        finally:
            self._forget(execution_id, live)

    def _follow(self, live: Live, trouble: _Trouble) -> Outcome | None:
        """The outcome; None when somebody else follows the execution from now on."""
        execution_id, pace, beaten_at = live.task.execution_id, _FIRST_LOOK_S, time.monotonic()
        is_stopping = self._record.stop_requested(execution_id)
        while not (live.handed_over and (live.survives or live.handle is None)):
            if time.monotonic() - beaten_at > HEARTBEAT_S:
                beaten_at = time.monotonic()
                if not self._record.heartbeat(execution_id):
                    self._let_go(live)
                    return None
                is_stopping = self._record.stop_requested(execution_id)
            if trouble.left_s > 0:
                if live.paused(min(trouble.left_s, HEARTBEAT_S)):  # in between it is still alive
                    is_stopping = self._record.stop_requested(execution_id)
                continue
            try:
                if live.handle is None:
                    self._submit(live)
                if is_stopping and not live.is_cancelled:
                    live.cancel()  # asked for where the backend could not be reached
                looked_at = time.monotonic()
                outcome = self._look(live)
            except TransientError as error:
                trouble.note(error)
                if trouble.is_lasting:
                    self._report(execution_id, trouble.report())
                continue
            except UnauthorizedError as error:
                if not self._waits_for_user(execution_id, error):
                    raise
                return None
            if outcome is not None:
                return outcome
            if trouble.is_over():
                self._report(execution_id, None)
            if time.monotonic() - looked_at < pace:  # it only looked
                if live.paused(pace):
                    is_stopping = self._record.stop_requested(execution_id)
                pace = min(_LAST_LOOK_S, pace * _SLOWER)
        return None

    def _look(self, live: Live) -> Outcome | None:
        assert live.handle is not None, "it was submitted"
        try:
            return live.backend.poll(live.handle, _WAIT_S)
        except NotFoundError as error:
            return self._begin_again(live, error)

    def _begin_again(self, live: Live, error: NotFoundError) -> Outcome | None:
        """The backend has lost the attempt: what has become of the execution, or None when the next one can begin."""
        task = live.task
        _LOG.warning("execution %s: %s", task.execution_id, error)
        if live.handle is not None:
            live.backend.cancel(live.handle)  # what is left of it must not write after the next attempt
        rows = live.backend.committed_rows(task)
        if rows is not None:
            return Outcome(ExecutionStatus.SUCCEEDED, rows)
        if live.is_cancelled or self._record.stop_requested(task.execution_id):
            return Outcome(ExecutionStatus.CANCELLED)
        if task.attempt >= MAX_ATTEMPTS:
            return Outcome(ExecutionStatus.FAILED, error=f"given up after {MAX_ATTEMPTS} attempts: {error}")
        number = task.attempt + 1
        folder = task.folder.with_name(f"attempt-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        live.task, live.handle = evolve(task, attempt=number, folder=folder, handle=None), None
        self._registry.change(task.execution_id, self._me, attempt=number, handle=None)
        return None

    def _waits_for_user(self, execution_id: str, error: UnauthorizedError) -> bool:
        """Whether only its user can go on with what may run already; then it is nobody's until they run the job."""
        if error.code != TOKEN_NEEDED:
            return False
        self._registry.change(execution_id, self._me, owner=None, error=f"{error}; to go on with it, run the job again")
        return True

    def _let_go(self, live: Live) -> None:
        """Somebody else runs it now. What it takes up must go on; what it begins again must not write twice."""
        if not live.survives:
            live.cancel()

    def _report(self, execution_id: str, trouble: str | None) -> None:
        with contextlib.suppress(Exception):  # the next round tells it
            self._registry.change(execution_id, self._me, error=trouble)

    def _forget(self, execution_id: str, live: Live | None) -> None:
        self._live.pop(execution_id, None)
        if live is not None:
            live.ended.set()


@define
class _Trouble:
    """A backend that does not answer: since when, what it says, and how long to wait before the next try."""

    execution_id: str
    backend: str
    since: float | None = None
    retry_at: float = 0.0
    tries: int = 0
    error: TransientError | None = None
    is_reported: bool = False

    def note(self, error: TransientError) -> None:
        self.since = time.monotonic() if self.since is None else self.since
        self.tries, self.error = self.tries + 1, error
        self.retry_at = time.monotonic() + self._delay_s()
        _LOG.warning("execution %s: backend %r does not answer: %s", self.execution_id, self.backend, error)

    @property
    def is_lasting(self) -> bool:
        """Whether it is time to tell people."""
        return self.since is not None and time.monotonic() - self.since >= REPORT_AFTER_S

    def report(self) -> str:
        """What the execution says of it."""
        self.is_reported = True
        return f"backend {self.backend!r} does not answer, and is asked again and again: {self.error}"

    @property
    def left_s(self) -> float:
        """Until the next try; not positive when it is time."""
        return self.retry_at - time.monotonic()

    def _delay_s(self) -> float:
        """What the service asks for, else exponential with jitter."""
        asked = self.error.retry_after_s if self.error is not None else None
        if asked is not None:
            return asked
        return random.uniform(0.5, 1.0) * min(_MAX_BACKOFF_S, 0.25 * 2.0 ** min(self.tries, 10))

    def is_over(self) -> bool:
        """It answers: forget the trouble. Whether it had been reported."""
        was_reported, self.is_reported = self.is_reported, False
        self.since, self.tries, self.error = None, 0, None
        return was_reported


def _failed(error: Exception, live: Live | None) -> Outcome:
    """The end of an execution that something went wrong with: its attempt is ended, unless it has committed."""
    if live is not None and live.handle is not None:
        try:
            live.backend.cancel(live.handle)
            outcome = live.backend.poll(live.handle, 0.0)
        except Exception:  # the first error is the one to tell
            _LOG.exception("the attempt of execution %s cannot be ended", live.task.execution_id)
        else:
            if outcome is not None and outcome.status is ExecutionStatus.SUCCEEDED:
                return _counted(outcome, live)
    return Outcome(ExecutionStatus.FAILED, error=reason(error))


def _counted(outcome: Outcome, live: Live) -> Outcome:
    """With the rows, which the table knows where the backend does not."""
    if outcome.status is not ExecutionStatus.SUCCEEDED or outcome.rows_written is not None:
        return outcome
    try:
        return evolve(outcome, rows_written=live.backend.committed_rows(live.task) or 0)  # none: an empty result
    except Exception:  # it has succeeded all the same
        _LOG.exception("how many rows execution %s wrote cannot be found out", live.task.execution_id)
        return outcome


def _keep_log(live: Live) -> None:
    """What a service elsewhere said is kept here too: it will not remember for ever."""
    file = live.task.folder / LOG_FILE
    if live.handle is None or file.exists():
        return
    try:
        file.write_text(live.backend.logs(live.handle), encoding="utf-8")
    except TransientError as error:  # it has not come yet; whoever asks for it later gets it from the service
        _LOG.info("the log of execution %s is not there yet: %s", live.task.execution_id, error)
    except Exception:  # a log is no reason to lose an outcome
        _LOG.exception("the log of execution %s cannot be had", live.task.execution_id)
