"""Who runs an execution, and when: what has lost its driver is taken over, and later ones of its job wait for it.

Executions belong to a process, which beats its heart in the registry. When that process is gone, or does nothing about
one, the next round finds it. An attempt that survives its driver is taken up by its handle. Of any other: an execution
that committed has succeeded, one whose stop was asked for is cancelled, and the rest is run again.

A registry that is away for a moment ends nothing: what cannot be noted is noted later, by this driver or the next one.

Source: design.md section 10.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from attrs import evolve

from coreetl_driver import holding
from coreetl_driver.api import Execution, ExecutionStatus, Job
from coreetl_driver.compute.finding import Backends
from coreetl_driver.compute.tasks import Outcome
from coreetl_driver.job_registry import JobRegistry, Run
from coreetl_driver.owners import Owner
from coreetl_driver.preparing import Tasks
from coreetl_driver.recording import Record, reason
from coreetl_driver.supervising import HEARTBEAT_S, MAX_ATTEMPTS, Supervisor
from dcp_core.errors import TransientError
from dcp_core.settings import Secret

_LOG = logging.getLogger(__name__)
LEASE_S = 60.0  # an owner on another machine that is silent for longer is taken for dead


class Recovery:
    """The beginnings of one driver's executions, the first and the later ones.

    Args:
        route: The backend that a job goes to.
        poll_interval_s: Between looks at an execution that another process runs, or that is waited for.
    """

    def __init__(
        self,
        *,
        registry: JobRegistry,
        record: Record,
        me: Owner,
        backends: Backends,
        tasks: Tasks,
        running: Supervisor,
        route: Callable[[Job], str],
        poll_interval_s: float,
    ) -> None:
        self._registry = registry
        self._record = record
        self._me = me
        self._backends = backends
        self._tasks = tasks
        self._running = running
        self._route = route
        self._poll_interval_s = poll_interval_s
        self._waiting: dict[str, tuple[str, ...]] = {}  # each for those
        self._recovered: dict[tuple[str, str], list[str]] = {}
        self._lock = threading.RLock()
        self._closed = False

    def is_lost(self, run: Run) -> bool:
        """Whether nobody runs this execution any more."""
        if run.owner is None:
            return True
        if run.owner == self._me:  # an answer of the registry was lost, or it was away when this was to be given up
            return not holding.is_held(run.execution.execution_id)
        if run.owner.is_local:
            return not run.owner.is_alive
        silent_since = run.heartbeat_at or datetime.min.replace(tzinfo=UTC)
        return datetime.now(UTC) - silent_since > timedelta(seconds=LEASE_S)

    def needs_token(self, execution: Execution) -> bool:
        """Whether only its user can go on with it."""
        return self._backends.get(execution.backend).capabilities.acts_as_user_in(execution.environment)

    def wait(self, execution_id: str, timeout_s: float | None = None) -> Execution:
        """Look until it has ended, or so many seconds have passed, or this driver closes; take it over when lost."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            run = self._registry.get_run(execution_id)
            left = None if deadline is None else deadline - time.monotonic()
            if run.execution.status.is_final or (left is not None and left <= 0) or self._closed:
                return run.execution
            live = self._running.live(execution_id)
            if live is not None:
                live.ended.wait(left)
                continue
            if self.is_lost(run) and self.recover(run) is not None:
                continue
            time.sleep(self._poll_interval_s if left is None else min(left, self._poll_interval_s))

    def recover_all(
        self, job_id: str | None, environment: str | None, token: Secret | None = None, user: str | None = None
    ) -> tuple[Execution, ...]:
        """Take over what is lost.

        Args:
            token: Of ``user``, for what runs as that user.

        Raises:
            TransientError: Some of it cannot be taken over now.
        """
        found, problem = [], None
        for run in self._registry.unfinished(job_id, environment):
            if not self.is_lost(run):
                continue
            try:
                recovered = self.recover(run, token if run.execution.user == user else None)
            except TransientError as error:  # one that cannot be taken over is in nobody's way
                problem = problem or error
            else:
                found += [] if recovered is None else [recovered]
        if problem is not None:
            raise problem
        return tuple(found)

    def recover(self, run: Run, user_token: Secret | None = None) -> Execution | None:
        """Take over one; None when somebody else does, or nobody can yet.

        Raises:
            TransientError: It cannot be taken over now.
        """
        execution_id, key = run.execution.execution_id, _job_of(run.execution)
        try:
            backend, run = run.execution.backend, self._routed(run)
            if user_token is None and self._waits_for_user(run):
                return None
            if not self._taken(run):
                return None
            _LOG.warning("execution %s of job %s was left by its driver", execution_id, run.execution.job_id)
            try:
                if run.execution.backend != backend:
                    _LOG.warning("execution %s goes to %s now, not to %s", execution_id, run.execution.backend, backend)
                    self._registry.change(execution_id, self._me, backend=run.execution.backend)
                self._go_on(execution_id, user_token)
            except Exception:  # whatever it is, the execution must not stay with an owner who does nothing
                with self._lock:
                    if execution_id in self._recovered.get(key, ()):
                        self._recovered[key].remove(execution_id)
                self._record.leave(execution_id)
                raise
            finally:
                holding.release(execution_id)
        except Exception as error:
            raise TransientError(f"execution {execution_id} cannot be taken over: {reason(error)}") from error
        return self._registry.get_run(execution_id).execution

    def start(self, run: Run, job: Job, user_token: Secret | None, handle: str | None = None) -> None:
        """Begin at once, or when the job's recovered executions have ended: two at a time would undo each other.

        What may run already waits for nobody: it is followed, and stopped when that is asked for.

        Raises:
            Exception: What goes wrong with one that may run elsewhere: it has not ended, and is to be left.
        """
        execution_id = run.execution.execution_id
        with self._lock:
            earlier = () if self._may_run(run) else self._earlier(run.execution)
            if earlier:
                self._waiting[execution_id] = earlier
                holding.hold(execution_id)
        if not earlier:
            self._begin(run, job, user_token, handle)
            return
        arguments, name = (earlier, run, job, user_token), f"coreetl-{execution_id[:8]}-waits"
        try:
            threading.Thread(target=self._begin_after, args=arguments, name=name, daemon=True).start()
        except BaseException:
            self._wait_no_longer(execution_id)
            raise

    def start_new(self, run: Run, job: Job, user_token: Secret | None) -> None:
        """Begin one that has just been recorded.

        Raises:
            TransientError: It cannot be followed now, though it may run; the next round takes it up.
        """
        try:
            self.start(run, job, user_token)
        except Exception as error:
            self._record.leave(run.execution.execution_id)
            message = f"execution {run.execution.execution_id} cannot be followed yet: {reason(error)}"
            raise TransientError(message) from error

    def hand_over(self) -> bool:
        """Let go of everything; whether the registry knows of it. What it does not know is found by the owner's end."""
        with self._lock:
            self._closed = True
            waiting = tuple(self._waiting)
        were_left = [self._record.leave(each) for each in waiting]
        return self._running.close() and all(were_left)

    def _waits_for_user(self, run: Run) -> bool:
        """Whether it needs its user's token, which nobody has; then it is nobody's, and says so."""
        if not run.may_run and run.stop_requested:
            return False  # nothing of it is anywhere
        able = self._backends.get(run.execution.backend).capabilities
        if not able.acts_as_user_in(run.execution.environment):
            return False
        waits = f"backend {run.execution.backend!r} needs its user's token: run the job again to go on with it"
        if run.owner is not None or run.execution.error != waits:
            self._registry.leave(run, waits)
        return True

    def _routed(self, run: Run) -> Run:
        """As the settings send its job now, when nothing of it is anywhere: the backend that it had may be gone."""
        execution = run.execution
        if run.may_run or run.stop_requested or execution.attempt > 1:
            return run
        job = self._registry.get_job(execution.job_id, execution.environment, execution.job_version)
        return evolve(run, execution=evolve(execution, backend=self._route(job)))

    def _taken(self, run: Run) -> bool:
        """Whether it is this driver's from now on, and held; whoever begins a later one of its job sees it then."""
        execution_id, is_taken = run.execution.execution_id, False
        with self._lock:  # a closing driver must not take back what it has just handed over
            if self._closed or not holding.claim(execution_id):
                return False
            try:
                is_taken = self._registry.take_over(run, self._me)
            except TransientError:
                self._record.leave(execution_id)  # the answer may be lost
                raise
            finally:
                if not is_taken:
                    holding.release(execution_id)
            recovered = self._recovered.setdefault(_job_of(run.execution), [])
            if is_taken and execution_id not in recovered:
                recovered.append(execution_id)
        return is_taken

    def _go_on(self, execution_id: str, user_token: Secret | None) -> None:
        """With one that this driver has just taken over."""
        run = self._registry.get_run(execution_id)  # again: now nobody else changes it
        execution = run.execution
        if execution.attempt == 1 and not run.may_run and run.stop_requested:  # nothing of it is anywhere
            self._record.finish(execution_id, Outcome(ExecutionStatus.CANCELLED))
            return
        job = self._registry.get_job(execution.job_id, execution.environment, execution.job_version)
        backend = self._backends.get(execution.backend)
        able = backend.capabilities
        if able.survives_driver and not run.may_run and run.stop_requested:
            self._record.finish(execution_id, Outcome(ExecutionStatus.CANCELLED))
            return
        if able.survives_driver:
            # With the user's token it is submitted again, which starts nothing: that hands the token on.
            self.start(run, job, user_token, None if able.acts_as_user_in(execution.environment) else run.handle)
            return
        if run.handle is not None:
            backend.cancel(run.handle)  # what is left of it must not write after the next attempt
        rows = backend.committed_rows(self._tasks.of(run, job, user_token))
        if rows is not None:
            self._record.finish(execution_id, Outcome(ExecutionStatus.SUCCEEDED, rows))
        elif self._registry.get_run(execution_id).stop_requested:
            self._record.finish(execution_id, Outcome(ExecutionStatus.CANCELLED))
        elif execution.attempt >= MAX_ATTEMPTS and run.may_run:
            given_up = f"given up after {MAX_ATTEMPTS} attempts: each time the driver was lost while the job ran"
            self._record.finish(execution_id, Outcome(ExecutionStatus.FAILED, error=given_up))
        else:
            number = execution.attempt + 1 if run.may_run else execution.attempt
            again = {"attempt": number, "handle": None, "unsubmitted_attempt": number}
            if self._registry.change(execution_id, self._me, **again):
                following = evolve(execution, attempt=number)
                self.start(evolve(run, execution=following, handle=None, unsubmitted_attempt=number), job, user_token)

    def _earlier(self, execution: Execution) -> tuple[str, ...]:
        """What a beginning of it has to wait for."""
        recovered = self._recovered.get(_job_of(execution), [])
        recovered[:] = [each for each in recovered if each == execution.execution_id or self._is_in_the_way(each)]
        others = (each for each in recovered if each != execution.execution_id)
        return tuple(each for each in others if not self._waits_for(each, execution.execution_id))

    def _is_in_the_way(self, execution_id: str) -> bool:
        try:
            run = self._registry.get_run(execution_id)
        except TransientError:  # whoever waits for it looks again
            return True
        if run.execution.status.is_final:
            return False
        return run.owner is not None or not self.needs_token(run.execution)  # else it waits for its user

    def _waits_for(self, waiting: str, execution_id: str) -> bool:
        earlier = self._waiting.get(waiting, ())
        return execution_id in earlier or any(self._waits_for(each, execution_id) for each in earlier)

    def _begin_after(self, earlier: Sequence[str], run: Run, job: Job, user_token: Secret | None) -> None:
        execution_id = run.execution.execution_id
        try:
            is_to_stop = self._outwaited(earlier, execution_id)
            if is_to_stop:  # nothing of it has been begun
                self._record.finish(execution_id, Outcome(ExecutionStatus.CANCELLED))
            elif is_to_stop is not None:
                self._begin(run, job, user_token)
        except Exception:  # an execution must not stay with an owner who does nothing
            _LOG.exception("execution %s cannot be begun yet", execution_id)
            self._record.leave(execution_id)
        finally:
            self._wait_no_longer(execution_id)

    def _wait_no_longer(self, execution_id: str) -> None:
        with self._lock:
            self._waiting.pop(execution_id, None)
        holding.release(execution_id)

    def _outwaited(self, earlier: Sequence[str], execution_id: str) -> bool | None:
        """Whether it is to be stopped, once the others have ended; None when it is not this driver's any more."""
        left, beaten_at, pause_s = list(earlier), time.monotonic(), self._poll_interval_s
        while not self._closed:
            try:
                if self._registry.get_run(execution_id).stop_requested:
                    return True
                if left and not self._is_in_the_way(left[0]):
                    del left[0]
                if not left:
                    return False
                self.wait(left[0], self._poll_interval_s)
                pause_s = self._poll_interval_s
            except TransientError as error:  # of the registry, or of one that cannot be taken over yet
                _LOG.warning("execution %s waits for another one of its job: %s", execution_id, error)
                pause_s = min(2 * pause_s, HEARTBEAT_S)
                time.sleep(pause_s)
            if time.monotonic() - beaten_at > HEARTBEAT_S:
                beaten_at = time.monotonic()
                if not self._record.heartbeat(execution_id):
                    return None
        return None

    def _begin(self, run: Run, job: Job, user_token: Secret | None, handle: str | None = None) -> None:
        try:
            task = evolve(self._tasks.of(run, job, user_token), may_run=self._may_run(run))
            backend = self._backends.get(run.execution.backend)
        except Exception as error:
            if run.may_run:
                raise
            self._running.fail(run.execution.execution_id, error)
        else:
            self._running.begin(backend, task, self._tasks.ready, handle)

    def _may_run(self, run: Run) -> bool:
        """Whether an attempt of it may run elsewhere."""
        return run.may_run and self._backends.get(run.execution.backend).capabilities.survives_driver


def _job_of(execution: Execution) -> tuple[str, str]:
    return execution.environment, execution.job_id
