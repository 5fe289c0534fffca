"""An execution from its submission to its end: one thread each, which asks the backend and tells the registry.

A backend that does not answer is asked again, with backoff, for as long as the execution lives: first silently, then
the execution's ``error`` says so, and it is never given up. A backend that has lost an attempt is asked what of it has
been committed, and gets the next attempt when nothing has.

Where an attempt may run elsewhere, what the driver itself lacks (credentials, settings) is waited out in the same way,
and a refusal for good ends the execution only when its attempt has been ended.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from attrs import evolve

from coreetl_driver import holding
from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.routing import TOKEN_NEEDED
from coreetl_driver.compute.tasks import NOT_TAKEN, Outcome, Task
from coreetl_driver.compute.worker_attempts import LOG_FILE
from coreetl_driver.job_registry import JobRegistry, now
from coreetl_driver.live import Live
from coreetl_driver.owners import Owner
from coreetl_driver.recording import Record, reason
from coreetl_driver.troubles import Trouble, waited_out
from dcp_core.errors import (
    DcpError,
    NotFoundError,
    PermanentError,
    SettingsError,
    TransientError,
    UnauthorizedError,
)

_LOG = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
HEARTBEAT_S = 5.0
REPORT_AFTER_S = 30.0  # of a backend that does not answer
_WAIT_S = 2.0  # how long a poll may take
_FIRST_LOOK_S, _LAST_LOOK_S, _SLOWER = 0.1, 5.0, 1.5  # between two polls of a backend that does not wait


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

    def begin(self, backend: Backend, task: Task, ready: Callable[[Task], Task], handle: str | None = None) -> None:
        """Submit a task, or take up one that runs as ``handle``, and watch it from now on.

        The first try of the submission is made here, so that what fails at once has failed when this returns.

        Args:
            ready: Makes a task ready to begin; asked before each submission, and never for what is only followed.

        Raises:
            Exception: What goes wrong with an attempt that may run: the execution has not ended, and is to be left.
        """
        execution_id = task.execution_id
        live = Live(backend, task, backend.capabilities.survives_driver, ready, handle)
        try:
            with self._lock:
                is_open = not self._closed
                if is_open:
                    self._live[execution_id] = live
                    holding.hold(execution_id)
            if not is_open:  # it was closed meanwhile: the next driver begins it
                self._record.leave(execution_id)
                return
            task.folder.mkdir(parents=True, exist_ok=True)
            trouble = Trouble(execution_id, backend.name)
            outcome = self._try(live, trouble, self._submit)
            if live.failure is not None:  # nobody would watch it: its attempt ends, and so does the execution
                outcome = self._try(live, trouble, self._end)
            if outcome is not None:
                self._record.finish(execution_id, outcome)
            if outcome is not None or live.is_left:
                self._forget(execution_id, live)
                return
            thread = threading.Thread(
                target=self._supervise, args=(live, trouble), name=f"coreetl-{execution_id[:8]}", daemon=True
            )
            with self._lock:  # ``close`` joins it, and a thread can be joined only once it has started
                thread.start()
                live.thread = thread
        except Exception as error:
            if live.may_run and not isinstance(error, PermanentError):
                self._forget(execution_id, live)
                raise
            self.fail(execution_id, error)
        except BaseException:  # interrupted in the middle of the first try: nobody follows it
            self._forget(execution_id, live)
            self._record.leave(execution_id)
            raise

    def fail(self, execution_id: str, error: Exception) -> None:
        """End an execution that could not begin: nothing of it runs."""
        if not isinstance(error, (DcpError, OSError)):
            _LOG.error("execution %s cannot begin", execution_id, exc_info=error)
        self._record.finish(execution_id, _failed(error))
        self._forget(execution_id, self._live.get(execution_id))

    def close(self) -> bool:
        """Let go of what still runs: attempts that survive go on, others end, and the next driver takes them over.

        Returns:
            Whether the registry knows of each.
        """
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
        were_left = []
        for execution_id, running in live.items():
            with self._lock:
                thread = running.thread
            if thread is not None:
                thread.join(timeout=10.0)
            kept = {} if running.survives else {"handle": None}
            were_left.append(self._record.leave(execution_id, **kept))
        return all(were_left)

    def _submit(self, live: Live) -> None:
        execution_id = live.task.execution_id
        if live.handle is None:
            self._ask(live)
            if live.is_left:
                return
        changes = {"status": ExecutionStatus.RUNNING.value, "handle": live.handle, "error": None}
        started = {} if self._registry.get_run(execution_id).execution.started_at else {"started_at": now()}
        if not self._registry.change(execution_id, self._me, **changes, **started):
            live.is_left = True  # somebody else runs it now
            self._let_go(live)
        live.is_noted = True

    def _ask(self, live: Live) -> None:
        """Hand the task to the backend; that this may have started something is noted before."""
        execution_id, was_asked = live.task.execution_id, live.task.may_run
        task = self._made_ready(live)
        if not was_asked and not self._registry.change(execution_id, self._me, unsubmitted_attempt=None):
            live.is_left = True  # somebody else runs it now
            return
        try:
            live.handle = live.backend.submit(task)
        except TransientError as error:
            if error.code != NOT_TAKEN:
                live.task = evolve(live.task, may_run=True)
            elif not was_asked:
                self._registry.change(execution_id, self._me, unsubmitted_attempt=task.attempt)
            raise
        except KeyboardInterrupt as interruption:
            if not was_asked and NOT_TAKEN in getattr(interruption, "__notes__", ()):
                self._registry.change(execution_id, self._me, unsubmitted_attempt=task.attempt)
            raise
        if live.handed_over and not live.survives:  # meanwhile
            live.cancel()

    @staticmethod
    def _made_ready(live: Live) -> Task:
        try:
            return live.ready(live.task)
        except DcpError as error:
            if live.may_run:  # settings may have changed since it was submitted, and may become right again
                raise waited_out(error) from error
            raise

    def _supervise(self, live: Live, trouble: Trouble) -> None:
        execution_id = live.task.execution_id
        try:
            outcome = self._follow(live, trouble)
            if outcome is None or (live.handed_over and outcome.status is not ExecutionStatus.SUCCEEDED):
                return
            if outcome.status is ExecutionStatus.FAILED and self._record.stop_requested(execution_id):
                told = outcome.error if live.task.spec.kind == "stream" else None  # of others it is the stop itself
                outcome = Outcome(ExecutionStatus.CANCELLED, outcome.rows_written, told)
            _keep_log(live)
            self._record.finish(execution_id, _counted(outcome, live))
        except Exception as error:  # an execution must not stay RUNNING for ever because of a bug here
            _LOG.exception("supervising execution %s failed", execution_id)
            if live.may_run and not isinstance(error, PermanentError):
                self._record.leave(execution_id)  # it goes on; the next round takes it up
                return
            with contextlib.suppress(Exception):
                live.cancel()
            self._record.finish(execution_id, _failed(error))
        finally:
            self._forget(execution_id, live)

    def _follow(self, live: Live, trouble: Trouble) -> Outcome | None:
        """The outcome; None when somebody else follows the execution from now on."""
        execution_id, pace, beaten_at = live.task.execution_id, _FIRST_LOOK_S, time.monotonic()
        self._look_for_stop(live, trouble)
        while not (live.handed_over and (live.survives or live.handle is None)):
            if time.monotonic() - beaten_at > HEARTBEAT_S:
                beaten_at = time.monotonic()
                if not self._record.heartbeat(execution_id):
                    self._let_go(live)
                    return None
                self._look_for_stop(live, trouble)
            if live.is_stopping and live.handle is None and not live.may_run:
                return Outcome(ExecutionStatus.CANCELLED)  # without a submission, which would start it
            if trouble.left_s > 0:
                if live.paused(min(trouble.left_s, HEARTBEAT_S)):  # in between it is still alive
                    self._look_for_stop(live, trouble)
                continue
            looked_at = time.monotonic()
            outcome = self._try(live, trouble, self._advance if live.failure is None else self._end)
            if outcome is not None or live.is_left:
                return outcome
            if trouble.lasts_s is not None:
                if trouble.lasts_s >= REPORT_AFTER_S or live.failure is not None:
                    self._report(execution_id, _told(live, trouble))
            elif live.failure is None and time.monotonic() - looked_at < pace:  # it only looked
                if live.paused(pace):
                    self._look_for_stop(live, trouble)
                pace = min(_LAST_LOOK_S, pace * _SLOWER)
        return None

    def _try(self, live: Live, trouble: Trouble, step: Callable[[Live], Outcome | None]) -> Outcome | None:
        """One step of an execution. What may be tried again is noted, what may not is the execution's ``failure``.

        Raises:
            Exception: It cannot go on, and nothing of it runs.
        """
        try:
            outcome = step(live)
        except TransientError as error:
            trouble.note(error)
            return None
        except (UnauthorizedError, SettingsError) as error:
            if self._waits_for_user(live, error):
                return None
            if live.may_run:
                trouble.note(waited_out(error))
            else:
                self._to_end(live, error)
            return None
        except Exception as error:
            self._to_end(live, error)
            return None
        if trouble.is_over():
            self._report(live.task.execution_id, None)
        return outcome

    @staticmethod
    def _to_end(live: Live, error: Exception) -> None:
        if live.handle is None or live.failure is not None:
            raise error
        if not isinstance(error, DcpError):
            _LOG.error("supervising execution %s failed", live.task.execution_id, exc_info=error)
        live.failure = error

    def _advance(self, live: Live) -> Outcome | None:
        if live.handle is None or not live.is_noted:
            self._submit(live)
            if live.is_left:
                return None
        if live.is_stopping and not live.is_cancelled:
            live.cancel()  # asked for where the backend could not be reached
        return self._look(live)

    def _end(self, live: Live) -> Outcome:
        """End the attempt of an execution that something went wrong with, which then has failed, unless it committed.

        Raises:
            TransientError: Nobody knows yet whether it has ended.
        """
        assert live.handle is not None, "it was submitted"
        assert live.failure is not None, "something went wrong"
        try:
            live.backend.cancel(live.handle)
            outcome = live.backend.poll(live.handle, 0.0)
        except TransientError:
            raise
        except Exception as error:  # the first error is the one to tell
            if live.may_run and isinstance(error, (UnauthorizedError, SettingsError)):
                raise waited_out(error) from error
            _LOG.exception("the attempt of execution %s cannot be ended", live.task.execution_id)
        else:
            if outcome is not None and outcome.status is ExecutionStatus.SUCCEEDED:
                return _counted(outcome, live)
        return _failed(live.failure)

    def _look_for_stop(self, live: Live, trouble: Trouble) -> None:
        """A stop is worth one try at once, however long the service wants to be left alone."""
        if not live.is_stopping and self._record.stop_requested(live.task.execution_id):
            live.is_stopping = True
            trouble.hurry()

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
        self._registry.change(task.execution_id, self._me, attempt=number, handle=None, unsubmitted_attempt=number)
        live.task = evolve(task, attempt=number, folder=folder, handle=None, may_run=False)
        live.handle, live.is_noted = None, False
        return None

    def _waits_for_user(self, live: Live, error: UnauthorizedError | SettingsError) -> bool:
        """Whether only its user can go on with what may run already; then it is nobody's until they run the job."""
        acts_as_user = live.backend.capabilities.acts_as_user_in(live.task.environment)
        is_refused = live.may_run and acts_as_user and isinstance(error, UnauthorizedError)
        if error.code != TOKEN_NEEDED and not is_refused:
            return False
        waits = f"{error}; to go on with it, run the job again"
        self._record.leave(live.task.execution_id, error=waits)
        live.is_left = True
        return True

    def _let_go(self, live: Live) -> None:
        """Somebody else runs it now. What it takes up must go on; what it begins again must not write twice."""
        if not live.survives:
            live.cancel()

    def _report(self, execution_id: str, trouble: str | None) -> None:
        with contextlib.suppress(Exception):  # the next round tells it
            self._registry.change(execution_id, self._me, error=trouble)

    def _forget(self, execution_id: str, live: Live | None) -> None:
        if self._live.pop(execution_id, None) is not None:
            holding.release(execution_id)
        if live is not None:
            live.ended.set()


def _failed(error: Exception) -> Outcome:
    return Outcome(ExecutionStatus.FAILED, error=reason(error))


def _told(live: Live, trouble: Trouble) -> str:
    """What is wrong, for people."""
    told = trouble.report()
    return told if live.failure is None else f"{reason(live.failure)}; its attempt is to be ended, but {told}"


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
