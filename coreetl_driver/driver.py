"""The driver in process: the job registry, the backends, and one supervising thread per running execution.

Executions belong to a process, which beats its heart in the registry. When that process is gone, ``recover`` finds
what it left: an execution that committed has succeeded, one whose stop was asked for is cancelled, any other is run
again. The commit itself carries the execution's id, so that nothing is written twice.

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

from attrs import define, evolve, field

from coreetl_driver import CoreetlSettings
from coreetl_driver.api import Execution, ExecutionStatus, Job, JobSpec
from coreetl_driver.compute import Attempt, Backend, Outcome, Task, find_backend
from coreetl_driver.job_registry import JobRegistry, Run, now
from coreetl_driver.job_sources import SourceTable
from coreetl_driver.owners import Owner
from coreetl_driver.recording import Record, reason
from coreetl_driver.sources.connections import Connection, resolved_connection
from coreetl_driver.specs import check_catalogs, check_connection, check_names, check_spec, chosen_parameters
from dcp_core.errors import DcpError, PermanentError, TransientError
from dcp_core.settings import Secret, Settings

_LOG = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
HEARTBEAT_S = 5.0
LEASE_S = 60.0  # an owner on another machine that is silent for longer is taken for dead
STOP_TIMEOUT_S = 30.0
MAX_LOG_BYTES = 1024 * 1024  # of one attempt


@define
class _Live:
    """An execution that this driver runs."""

    attempt: Attempt
    thread: threading.Thread | None = None
    ended: threading.Event = field(factory=threading.Event)
    handed_over: bool = False


class Driver:
    """Implements ``CoreETLDriver`` in this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = settings.section("coreetl", CoreetlSettings)
        self._registry = JobRegistry(self._own.store)
        self._folder = settings.state / "coreetl" / "executions"
        self._backends: dict[str, Backend] = {}
        self._live: dict[str, _Live] = {}
        self._waiting: set[str] = set()
        self._recovered: dict[tuple[str, str], list[str]] = {}
        self._lock = threading.RLock()
        self._me = Owner.current()
        self._record = Record(self._registry, self._me)
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
        job = self._registry.get_job(job_id, environment)
        check_catalogs(environment, job.spec, self._settings)
        check_spec(job.spec)  # again: the registry is a file that somebody may have written to
        chosen = chosen_parameters(job.spec, params or {})
        backend = str(job.spec.compute.get("backend") or self._own.backend)
        self._backend(backend)
        self.recover(job_id, environment)  # a lost execution must not write after the new one
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
            self._start(execution, job, user_token)
            execution = self.get_execution(execution.execution_id)
        return execution

    def stop_job(self, job_id: str, environment: str) -> tuple[Execution, ...]:
        stopped = []
        for run in self._registry.unfinished(job_id, environment):
            execution_id = run.execution.execution_id
            self._registry.change(execution_id, None, stop_requested=True)
            live = self._live.get(execution_id)
            if live is not None:
                live.attempt.stop()
            else:
                worker = self._registry.get_run(execution_id).worker
                if worker is not None and worker.is_local:
                    worker.kill_group()  # its owner notices and records the end
            stopped.append(self.wait(execution_id, STOP_TIMEOUT_S))
        return tuple(stopped)

    def get_execution(self, execution_id: str) -> Execution:
        return self._registry.get_run(execution_id).execution

    def list_executions(
        self, job_id: str | None = None, environment: str | None = None, limit: int = 100
    ) -> tuple[Execution, ...]:
        return self._registry.list_executions(job_id, environment, limit)

    def get_logs(self, execution_id: str) -> str:
        self._registry.get_run(execution_id)  # NotFoundError, before a file name is made of what the caller said
        files = sorted((self._folder / execution_id).glob("attempt-*/*.txt"))
        return "".join(f"-- {file.parent.name}\n{_tail(file)}" for file in files)

    def wait(self, execution_id: str, timeout_s: float | None = None) -> Execution:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            run = self._registry.get_run(execution_id)
            left = None if deadline is None else deadline - time.monotonic()
            if run.execution.status.is_final or (left is not None and left <= 0):
                return run.execution
            live = self._live.get(execution_id)
            if live is not None:
                live.ended.wait(left)
                continue
            if _is_lost(run):
                self._recover(run)
                continue
            time.sleep(self._own.poll_interval_s if left is None else min(left, self._own.poll_interval_s))

    def close(self) -> None:
        """Hand over what still runs: its workers end, and the next driver that looks runs it again."""
        with self._lock:
            self._closed = True
            live = dict(self._live)
            waiting = tuple(self._waiting)
        for execution_id in waiting:
            self._registry.change(execution_id, self._me, owner=None)
        for execution_id, running in live.items():
            running.handed_over = True
            outcome = running.attempt.stop()
            if outcome.status is not ExecutionStatus.SUCCEEDED:
                self._registry.change(execution_id, self._me, owner=None, worker=None)
            if running.thread is not None:
                running.thread.join(timeout=10.0)
        for backend in self._backends.values():
            backend.close()
        self._record.close()
        self._registry.close()

    def recover(self, job_id: str | None = None, environment: str | None = None) -> tuple[Execution, ...]:
        """Take over executions whose driver is gone; returns those, some of them running again.

        Called by what runs and applies, never by what reads.
        """
        lost = [run for run in self._registry.unfinished(job_id, environment) if _is_lost(run)]
        return tuple(execution for run in lost if (execution := self._recover(run)) is not None)

    def _recover(self, run: Run) -> Execution | None:
        execution = run.execution
        if not self._registry.take_over(run, self._me):
            return None
        if run.worker is not None and run.worker.is_local:
            run.worker.kill_group()
        _LOG.warning("execution %s of job %s was lost with its driver", execution.execution_id, execution.job_id)
        try:
            job = self._registry.get_job(execution.job_id, execution.environment, execution.job_version)
            rows = self._backend(execution.backend).committed_rows(self._task(run, job, None))
        except Exception as error:  # whatever it is, the execution must not stay with an owner who does nothing
            self._registry.change(execution.execution_id, self._me, owner=None)
            message = f"execution {execution.execution_id} cannot be taken over: {reason(error)}"
            raise TransientError(message) from error
        if rows is not None:
            self._record.finish(execution.execution_id, Outcome(ExecutionStatus.SUCCEEDED, rows))
        elif self._registry.get_run(execution.execution_id).stop_requested:
            self._record.finish(execution.execution_id, Outcome(ExecutionStatus.CANCELLED))
        elif execution.attempt >= MAX_ATTEMPTS:
            given_up = f"given up after {MAX_ATTEMPTS} attempts: each time the driver was lost while the job ran"
            self._record.finish(execution.execution_id, Outcome(ExecutionStatus.FAILED, error=given_up))
        else:
            self._registry.change(execution.execution_id, self._me, attempt=execution.attempt + 1)
            self._recovered.setdefault((execution.environment, execution.job_id), []).append(execution.execution_id)
            self._start(execution, job, None)
        return self.get_execution(execution.execution_id)

    # Running

    def _start(self, execution: Execution, job: Job, user_token: Secret | None) -> None:
        """Begin at once, or when the job's recovered executions have ended: two at a time would undo each other."""
        try:
            run = self._registry.get_run(execution.execution_id)
            with self._lock:
                recovered = self._recovered.get((execution.environment, execution.job_id), [])
                recovered[:] = [each for each in recovered if not self.get_execution(each).status.is_final]
                earlier = [each for each in recovered if each != execution.execution_id]
        except Exception as error:
            self._fail(execution.execution_id, error)
            return
        if not earlier:
            self._begin(run, job, user_token)
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
                    if self._registry.get_run(execution_id).stop_requested:
                        break
                    if time.monotonic() - beaten_at > HEARTBEAT_S:
                        beaten_at = time.monotonic()
                        if not self._record.heartbeat(execution_id):
                            return  # somebody else runs it now
            with self._lock:
                if self._registry.get_run(execution_id).stop_requested:
                    self._record.finish(execution_id, Outcome(ExecutionStatus.CANCELLED))
                elif not self._closed:
                    self._begin(run, job, user_token)
        except Exception as error:  # an execution must not stay PENDING for ever because of a bug here
            if not self._closed:
                self._fail(execution_id, error)
        finally:
            self._waiting.discard(execution_id)

    def _begin(self, run: Run, job: Job, user_token: Secret | None) -> None:
        execution_id = run.execution.execution_id
        live: _Live | None = None
        try:
            check_catalogs(job.environment, job.spec, self._settings)  # again: a recovered run may be an old one
            task = evolve(self._task(run, job, user_token), connection=self._connection(job.spec))
            task.folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                if self._closed:
                    raise PermanentError("this driver is closed")
                live = _Live(self._backend(run.execution.backend).start(task))
                self._live[execution_id] = live
            worker = live.attempt.worker
            self._registry.change(
                execution_id,
                self._me,
                status=ExecutionStatus.RUNNING.value,
                started_at=now(),
                worker=None if worker is None else str(worker),
            )
            live.thread = threading.Thread(
                target=self._supervise, args=(execution_id, live), name=f"coreetl-{execution_id[:8]}", daemon=True
            )
            live.thread.start()
        except Exception as error:  # nobody would supervise it: its worker ends, and so does the execution
            self._fail(execution_id, error, live)

    def _fail(self, execution_id: str, error: Exception, live: _Live | None = None) -> None:
        """End an execution that could not begin."""
        if not isinstance(error, (DcpError, OSError)):
            _LOG.error("execution %s cannot begin", execution_id, exc_info=error)
        self._record.finish(execution_id, _failed(execution_id, error, live.attempt if live is not None else None))
        if live is not None:
            self._live.pop(execution_id, None)
            live.ended.set()

    def _supervise(self, execution_id: str, live: _Live) -> None:
        try:
            outcome = live.attempt.wait(HEARTBEAT_S)
            while outcome is None:
                if not self._record.heartbeat(execution_id):
                    live.attempt.stop()  # somebody else runs it now: this one must not write any more
                    return
                if self._record.stop_requested(execution_id):
                    live.attempt.stop()  # asked for from where the worker could not be reached
                outcome = live.attempt.wait(HEARTBEAT_S)
            if live.handed_over and outcome.status is not ExecutionStatus.SUCCEEDED:
                return
            if outcome.status is ExecutionStatus.FAILED and self._record.stop_requested(execution_id):
                outcome = Outcome(ExecutionStatus.CANCELLED)
            self._record.finish(execution_id, outcome)
        except Exception as error:  # an execution must not stay RUNNING for ever because of a bug here
            _LOG.exception("supervising execution %s failed", execution_id)
            self._record.finish(execution_id, _failed(execution_id, error, live.attempt))
        finally:
            self._live.pop(execution_id, None)
            live.ended.set()

    def _task(self, run: Run, job: Job, user_token: Secret | None) -> Task:
        execution = run.execution
        return Task(
            execution_id=execution.execution_id,
            job_id=execution.job_id,
            environment=execution.environment,
            spec=job.spec,
            params=run.params,
            # By name, of this driver's own settings: what a caller wrote is never resolved or opened.
            catalogs={name: self._settings.catalog_properties(name) for name in job.spec.catalogs},
            folder=self._attempt_folder(execution.execution_id, execution.attempt),
            user_token=user_token,
        )

    def _connection(self, spec: JobSpec) -> Connection | None:
        """What a job that extracts reads, of this driver's own settings; resolved only when it runs."""
        if not isinstance(spec.source, SourceTable):
            return None
        return resolved_connection(self._settings, spec.source.connection)

    def _attempt_folder(self, execution_id: str, attempt: int) -> Path:
        return self._folder / execution_id / f"attempt-{attempt}"

    def _backend(self, name: str) -> Backend:
        with self._lock:
            if name not in self._backends:
                self._backends[name] = find_backend(name, self._settings)
            return self._backends[name]


def _failed(execution_id: str, error: Exception, attempt: Attempt | None) -> Outcome:
    """The end of an execution that something went wrong with: its attempt is stopped, unless it has committed."""
    if attempt is not None:
        try:
            outcome = attempt.stop()
        except Exception:  # the first error is the one to tell
            _LOG.exception("the attempt of execution %s cannot be stopped", execution_id)
        else:
            if outcome.status is ExecutionStatus.SUCCEEDED:
                return outcome
    return Outcome(ExecutionStatus.FAILED, error=reason(error))


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
