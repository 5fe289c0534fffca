"""The driver in process: the job registry, the router and the backends, and who owns an execution.

Executions belong to a process, which beats its heart in the registry. When that process is gone, ``recover`` finds
what it left. An attempt that survives its driver is taken up by its handle. Of any other: an execution that committed
has succeeded, one whose stop was asked for is cancelled, and the rest is run again. The commit itself carries the
execution's id, so that nothing is written twice.

Source: design.md section 10.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import evolve

from coreetl_driver import CoreetlSettings
from coreetl_driver.api import Execution, ExecutionStatus, Job, JobSpec
from coreetl_driver.catalog_abilities import check_sink
from coreetl_driver.compute.finding import Backends
from coreetl_driver.compute.routing import Choice, Router, check_capabilities
from coreetl_driver.compute.tasks import Outcome
from coreetl_driver.job_registry import JobRegistry, Run
from coreetl_driver.owners import Owner
from coreetl_driver.preparing import Tasks
from coreetl_driver.recording import Record, reason
from coreetl_driver.specs import check_catalogs, check_connection, check_names, check_spec, chosen_parameters
from coreetl_driver.supervising import HEARTBEAT_S, MAX_ATTEMPTS, Supervisor
from dcp_core.errors import DcpError, PermanentError, TransientError
from dcp_core.settings import Secret, Settings

_LOG = logging.getLogger(__name__)
LEASE_S = 60.0  # an owner on another machine that is silent for longer is taken for dead
STOP_TIMEOUT_S = 30.0
MAX_LOG_BYTES = 1024 * 1024  # of one attempt


class Driver:
    """Implements ``CoreETLDriver`` in this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = settings.section("coreetl", CoreetlSettings)
        self._registry = JobRegistry(self._own.store)
        self._folder = settings.state / "coreetl" / "executions"
        self._backends = Backends(settings)
        self._router = Router.from_settings(settings)
        self._waiting: set[str] = set()
        self._recovered: dict[tuple[str, str], list[str]] = {}
        self._lock = threading.RLock()
        self._me = Owner.current()
        self._record = Record(self._registry, self._me)
        self._tasks = Tasks(settings, self._record, self._folder)
        self._running = Supervisor(self._registry, self._record, self._me)
        self._closed = False

    # Jobs

    def create_job(self, job_id: str, environment: str, name: str, spec: JobSpec, labels: Mapping[str, str]) -> Job:
        check_names(job_id, environment)
        check_spec(spec)
        check_catalogs(environment, spec, self._settings)
        check_connection(spec, self._settings)
        return self._registry.create_job(job_id, environment, name, spec, labels)

    def update_job(
        self,
        job_id: str,
        environment: str,
        spec: JobSpec,
        labels: Mapping[str, str],
        expected_version: int | None = None,
    ) -> Job:
        check_spec(spec)
        check_catalogs(environment, spec, self._settings)
        check_connection(spec, self._settings)
        return self._registry.update_job(job_id, environment, spec, labels, expected_version)

    def delete_job(self, job_id: str, environment: str) -> None:
        self._registry.delete_job(job_id, environment)

    def get_job(self, job_id: str, environment: str) -> Job:
        return self._registry.get_job(job_id, environment)

    def list_jobs(self, environment: str | None = None, job_ids: Sequence[str] | None = None) -> tuple[Job, ...]:
        return self._registry.list_jobs(environment, job_ids)

    # Executions

    def run_job(
        self,
        job_id: str,
        environment: str,
        *,
        params: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        user_token: Secret | None = None,
        user: str | None = None,
    ) -> Execution:
        if self._closed:
            raise PermanentError("this driver is closed")
        job = self._registry.get_job(job_id, environment)
        check_catalogs(environment, job.spec, self._settings)
        check_spec(job.spec)  # again: the registry is a file that somebody may have written to
        check_sink(job.spec.sink.catalog, self._settings)
        chosen = chosen_parameters(job.spec, params or {})
        backend = self._router.choose(environment, job.spec.kind, job.spec.compute).backend
        self._router.check_backends(self._backends.names())
        check_capabilities(backend, self._backends.get(backend).capabilities, job.spec, environment, user_token)
        self._recover_all(job_id, environment, user_token, user)  # a lost execution must not write after the new one
        execution = Execution(
            execution_id=uuid.uuid4().hex,
            job_id=job_id,
            job_version=job.version,
            environment=environment,
            backend=backend,
            status=ExecutionStatus.PENDING,
            idempotency_key=idempotency_key,
            user=user,
        )
        execution, is_new = self._registry.add_execution(execution, chosen, self._me)
        if is_new:
            self._start(self._registry.get_run(execution.execution_id), job, user_token)
            execution = self.get_execution(execution.execution_id)
        return execution

    def explain_run(self, job_id: str, environment: str) -> Choice:
        job = self._registry.get_job(job_id, environment)
        return self._router.choose(environment, job.spec.kind, job.spec.compute)

    def stop_job(
        self, job_id: str, environment: str, *, user_token: Secret | None = None, user: str | None = None
    ) -> tuple[Execution, ...]:
        stopped = []
        for run in self._registry.unfinished(job_id, environment):
            execution_id = run.execution.execution_id
            self._registry.change(execution_id, None, stop_requested=True)
            patience_s = STOP_TIMEOUT_S
            try:
                if _is_lost(run) and self._needs_token(run.execution):
                    token = user_token if run.execution.user == user else None
                    patience_s = 0.0 if self._recover(run, token) is None else patience_s
                else:
                    self._cancel(run)
            except Exception:  # whoever runs it asks again: it knows of the stop by the registry
                _LOG.warning("execution %s cannot be stopped yet", execution_id, exc_info=True)
            stopped.append(self.wait(execution_id, patience_s))
        return tuple(stopped)

    def get_execution(self, execution_id: str) -> Execution:
        return self._registry.get_run(execution_id).execution

    def list_executions(
        self, job_id: str | None = None, environment: str | None = None, limit: int = 100
    ) -> tuple[Execution, ...]:
        return self._registry.list_executions(job_id, environment, limit)

    def get_logs(self, execution_id: str) -> str:
        run = self._registry.get_run(execution_id)  # NotFoundError, before a file name is made of what the caller said
        files = sorted((self._folder / execution_id).glob("attempt-*/*.txt"))
        texts = {file.parent.name: _tail(file) for file in files}
        current = self._tasks.attempt_folder(execution_id, run.execution.attempt).name
        if run.handle is not None and current not in texts:  # it runs elsewhere, or ended on another driver
            texts[current] = self._log_elsewhere(run.execution.backend, run.handle)
        return "".join(f"-- {attempt}\n{text}" for attempt, text in texts.items())

    def _log_elsewhere(self, backend: str, handle: str) -> str:
        try:
            return self._backends.get(backend).logs(handle)
        except DcpError as error:  # those of earlier attempts are worth something too
            return f"the log cannot be had now: {error}\n"

    def wait(self, execution_id: str, timeout_s: float | None = None) -> Execution:
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
            if _is_lost(run) and self._recover(run) is not None:
                continue
            time.sleep(self._own.poll_interval_s if left is None else min(left, self._own.poll_interval_s))

    def close(self) -> None:
        """Hand over what still runs: the next driver that looks takes it up, or runs it again where it cannot go on."""
        with self._lock:
            self._closed = True
            waiting = tuple(self._waiting)
        for execution_id in waiting:
            self._registry.change(execution_id, self._me, owner=None)
        self._running.close()
        self._backends.close()
        self._record.close()
        self._registry.close()

    def recover(self, job_id: str | None = None, environment: str | None = None) -> tuple[Execution, ...]:
        """Take over executions whose driver is gone; returns those, some of them running again.

        Called by what runs and applies, never by what reads.
        """
        return self._recover_all(job_id, environment)

    def _recover_all(
        self, job_id: str | None, environment: str | None, token: Secret | None = None, user: str | None = None
    ) -> tuple[Execution, ...]:
        found, problem = [], None
        for run in self._registry.unfinished(job_id, environment):
            if not _is_lost(run):
                continue
            try:
                recovered = self._recover(run, token if run.execution.user == user else None)
            except TransientError as error:  # one that cannot be taken over is in nobody's way
                problem = problem or error
            else:
                found += [] if recovered is None else [recovered]
        if problem is not None:
            raise problem
        return tuple(found)

    def _recover(self, run: Run, user_token: Secret | None = None) -> Execution | None:
        """Take over one; None when somebody else does, or nobody can yet."""
        execution = run.execution
        with self._lock:  # a closing driver must not take back what it has just handed over
            if self._closed or not self._registry.take_over(run, self._me):
                return None
        _LOG.warning("execution %s of job %s was lost with its driver", execution.execution_id, execution.job_id)
        try:
            job = self._registry.get_job(execution.job_id, execution.environment, execution.job_version)
            backend = self._backends.get(execution.backend)
            able = backend.capabilities
            if able.survives_driver and not run.may_run and self._is_to_stop(run):
                self._record.finish(execution.execution_id, Outcome(ExecutionStatus.CANCELLED))
                return self.get_execution(execution.execution_id)
            if able.acts_as_user_in(execution.environment) and user_token is None:
                waits = f"backend {execution.backend!r} needs its user's token: run the job again to go on with it"
                self._registry.change(execution.execution_id, self._me, owner=None, error=waits)
                return None
            if able.survives_driver:
                # With the user's token it is submitted again, which starts nothing: that hands the token on.
                handle = None if able.acts_as_user_in(execution.environment) else run.handle
                self._take_up(execution, job, user_token, handle)
                return self.get_execution(execution.execution_id)
            if run.handle is not None:
                backend.cancel(run.handle)  # what is left of it must not write after the next attempt
            rows = backend.committed_rows(self._tasks.of(run, job, user_token))
        except Exception as error:  # whatever it is, the execution must not stay with an owner who does nothing
            self._registry.change(execution.execution_id, self._me, owner=None)
            message = f"execution {execution.execution_id} cannot be taken over: {reason(error)}"
            raise TransientError(message) from error
        if rows is not None:
            self._record.finish(execution.execution_id, Outcome(ExecutionStatus.SUCCEEDED, rows))
        elif self._is_to_stop(run):
            self._record.finish(execution.execution_id, Outcome(ExecutionStatus.CANCELLED))
        elif execution.attempt >= MAX_ATTEMPTS:
            given_up = f"given up after {MAX_ATTEMPTS} attempts: each time the driver was lost while the job ran"
            self._record.finish(execution.execution_id, Outcome(ExecutionStatus.FAILED, error=given_up))
        else:
            number = execution.attempt + 1
            again = {"attempt": number, "handle": None, "unsubmitted_attempt": number}
            self._registry.change(execution.execution_id, self._me, **again)
            self._take_up(execution, job, user_token, None)
        return self.get_execution(execution.execution_id)

    def _is_to_stop(self, run: Run) -> bool:
        return self._registry.get_run(run.execution.execution_id).stop_requested

    def _take_up(self, execution: Execution, job: Job, user_token: Secret | None, handle: str | None) -> None:
        """Go on with a recovered execution; later ones of its job wait for it.

        Raises:
            Exception: What goes wrong with one that may run elsewhere, before it is followed.
        """
        recovered = self._recovered.setdefault((execution.environment, execution.job_id), [])
        if execution.execution_id not in recovered:
            recovered.append(execution.execution_id)
        self._start(self._registry.get_run(execution.execution_id), job, user_token, handle)

    def _needs_token(self, execution: Execution) -> bool:
        able = self._backends.get(execution.backend).capabilities
        return able.acts_as_user_in(execution.environment)

    def _cancel(self, run: Run) -> None:
        """End the attempt of an execution, whoever runs it; its owner records the end."""
        live = self._running.live(run.execution.execution_id)
        if live is not None:
            live.cancel()
        elif run.handle is not None and not _is_lost(run):
            self._backends.get(run.execution.backend).cancel(run.handle)

    # Running

    def _start(self, run: Run, job: Job, user_token: Secret | None, handle: str | None = None) -> None:
        """Begin at once, or when the job's recovered executions have ended: two at a time would undo each other."""
        execution = run.execution
        try:
            with self._lock:
                recovered = self._recovered.get((execution.environment, execution.job_id), [])
                recovered[:] = [each for each in recovered if not self.get_execution(each).status.is_final]
                earlier = [each for each in recovered if each != execution.execution_id]
        except Exception as error:
            self._cannot_begin(run, error)
            return
        if not earlier or handle is not None:
            self._begin(run, job, user_token, handle)
            return
        self._waiting.add(execution.execution_id)
        threading.Thread(
            target=self._begin_after,
            args=(earlier, run, job, user_token),
            name=f"coreetl-{execution.execution_id[:8]}-waits",
            daemon=True,
        ).start()

    def _begin_after(self, earlier: Sequence[str], run: Run, job: Job, user_token: Secret | None) -> None:
        execution_id = run.execution.execution_id
        beaten_at = time.monotonic()
        try:
            for each in earlier:
                while not self._closed and not self.wait(each, self._own.poll_interval_s).status.is_final:
                    if self._is_to_stop(run):
                        break
                    if time.monotonic() - beaten_at > HEARTBEAT_S:
                        beaten_at = time.monotonic()
                        if not self._record.heartbeat(execution_id):
                            return  # somebody else runs it now
            if self._is_to_stop(run) and not self._may_run(run):
                self._record.finish(execution_id, Outcome(ExecutionStatus.CANCELLED))
            elif not self._closed:
                self._begin(run, job, user_token)
        except Exception as error:  # an execution must not stay PENDING for ever because of a bug here
            if not self._closed and self._may_run(run):
                _LOG.warning("execution %s cannot be taken over yet", execution_id, exc_info=True)
                self._registry.change(execution_id, self._me, owner=None)
            elif not self._closed:
                self._running.fail(execution_id, error)
        finally:
            self._waiting.discard(execution_id)

    def _begin(self, run: Run, job: Job, user_token: Secret | None, handle: str | None = None) -> None:
        try:
            task = evolve(self._tasks.of(run, job, user_token), may_run=self._may_run(run))
            self._running.begin(self._backends.get(run.execution.backend), task, self._tasks.ready, handle)
        except Exception as error:
            self._cannot_begin(run, error)

    def _may_run(self, run: Run) -> bool:
        """Whether an attempt of it may run elsewhere."""
        return run.may_run and self._backends.get(run.execution.backend).capabilities.survives_driver

    def _cannot_begin(self, run: Run, error: Exception) -> None:
        """End an execution of which nothing runs; raise the error for one that may go on without this driver."""
        if self._may_run(run):
            raise error
        self._running.fail(run.execution.execution_id, error)


def _tail(file: Path) -> str:
    """The end of a log, whole lines; a log that grew beyond reason must not fill a message."""
    with file.open("rb") as log:
        size = log.seek(0, 2)
        log.seek(max(0, size - MAX_LOG_BYTES))
        text = log.read().decode("utf-8", errors="replace")
    return text if size <= MAX_LOG_BYTES else f"… the first {size - MAX_LOG_BYTES} bytes are left out\n{text}"


def _is_lost(run: Run) -> bool:
    """Whether nobody runs this execution any more."""
    if run.owner is None:
        return True
    if run.owner.is_local:
        return not run.owner.is_alive
    silent_since = run.heartbeat_at or datetime.min.replace(tzinfo=UTC)
    return datetime.now(UTC) - silent_since > timedelta(seconds=LEASE_S)
