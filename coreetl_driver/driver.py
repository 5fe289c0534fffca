"""The driver in process: the job registry, the router and the backends; who runs an execution is in ``recovering``.

Source: design.md section 10.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from attrs import evolve

from coreetl_driver import CoreetlSettings, holding
from coreetl_driver.api import Execution, ExecutionStatus, Job, JobSpec
from coreetl_driver.catalog_abilities import check_sink
from coreetl_driver.compute.finding import Backends
from coreetl_driver.compute.routing import Choice, Router, check_capabilities
from coreetl_driver.job_registry import JobRegistry, Run
from coreetl_driver.known_catalogs import has_table
from coreetl_driver.owners import Owner
from coreetl_driver.preparing import Tasks
from coreetl_driver.recording import Record
from coreetl_driver.recovering import Recovery
from coreetl_driver.specs import check_catalogs, check_connection, check_names, check_spec, chosen_parameters
from coreetl_driver.supervising import Supervisor
from coreetl_driver.upstream import UpstreamTable, upstream_of
from dcp_core.errors import ConflictError, DcpError, PermanentError, TransientError
from dcp_core.settings import Secret, Settings

_LOG = logging.getLogger(__name__)
STOP_TIMEOUT_S = 30.0  # for all of a job's executions together: a client waits for an answer twice as long
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
        self._me = Owner.current()
        self._record = Record(self._registry, self._me)
        self._tasks = Tasks(settings, self._record, self._folder)
        self._running = Supervisor(self._registry, self._record, self._me)
        self._recovery = Recovery(
            registry=self._registry,
            record=self._record,
            me=self._me,
            backends=self._backends,
            tasks=self._tasks,
            running=self._running,
            route=self._backend_of,
            poll_interval_s=self._own.poll_interval_s,
        )
        self._closed = False
        self.was_handed_over = False

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
        backend = self._backend_of(job)
        self._router.check_backends(self._backends.names())
        check_capabilities(backend, self._backends.get(backend).capabilities, job.spec, environment, user_token)
        if job.spec.kind == "stream":
            self._make_way(job, idempotency_key)
        # A lost execution must not write after the new one.
        self._recovery.recover_all(job_id, environment, user_token, user)
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
        with holding.held(execution.execution_id):
            execution, is_new = self._added(execution, chosen)
            if is_new:
                self._recovery.start_new(Run.new(execution, self._me), job, user_token)
        with contextlib.suppress(TransientError):  # it has been accepted: that is the answer
            execution = self.get_execution(execution.execution_id)
        return execution

    def _make_way(self, job: Job, idempotency_key: str | None) -> None:
        """One run of a stream at a time: one that is lost is not begun again beside the new one, which goes on for it.

        Raises:
            ConflictError: A run goes on.
        """
        if idempotency_key is not None and self._registry.has_key(job.job_id, job.environment, idempotency_key):
            return  # nothing new is begun, whatever goes on
        for run in self._registry.unfinished(job.job_id, job.environment):
            execution = run.execution
            if idempotency_key is not None and execution.idempotency_key == idempotency_key:
                continue
            if not self._recovery.is_lost(run):
                raise ConflictError(
                    f"stream {job.job_id} runs already: execution {execution.execution_id}",
                    hint="wait until it ends, or stop it: pretzel ops stop",
                    code="coreetl.stream_runs",
                )
            self._registry.change(execution.execution_id, None, stop_requested=True)

    def _added(self, execution: Execution, params: Mapping[str, str]) -> tuple[Execution, bool]:
        """Record a new execution; one that is recorded though the answer was lost is not recorded again."""
        try:
            return self._registry.add_execution(execution, params, self._me)
        except TransientError as error:
            try:
                return self._registry.get_run(execution.execution_id).execution, True
            except DcpError:
                raise error from None

    def _backend_of(self, job: Job) -> str:
        return self._router.choose(job.environment, job.spec.kind, job.spec.compute).backend

    def explain_run(self, job_id: str, environment: str) -> Choice:
        job = self._registry.get_job(job_id, environment)
        return self._router.choose(environment, job.spec.kind, job.spec.compute)

    def get_upstream(self, job_id: str, environment: str, at: datetime | None = None) -> tuple[UpstreamTable, ...]:
        job = self._registry.get_job(job_id, environment)
        return upstream_of(job, at or datetime.now(UTC), self._registry, partial(has_table, self._settings))

    def stop_job(
        self,
        job_id: str,
        environment: str,
        *,
        user_token: Secret | None = None,
        user: str | None = None,
        execution_id: str | None = None,
    ) -> tuple[Execution, ...]:
        unfinished = self._registry.unfinished(job_id, environment)
        runs = [run for run in unfinished if execution_id in (None, run.execution.execution_id)]
        for run in runs:  # all of them before any is waited for
            self._registry.change(run.execution.execution_id, None, stop_requested=True)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        stops = [_Stop(partial(self._stop, run, user_token if run.execution.user == user else None)) for run in runs]
        stopped = []
        for run, stop in zip(runs, stops, strict=True):
            stop.join(max(0.0, deadline - time.monotonic()))
            left = max(0.0, deadline - time.monotonic()) if stop.is_worth_waiting_for else 0.0
            try:
                stopped.append(self.wait(run.execution.execution_id, left))
            except TransientError:  # it cannot be taken over yet, and says whether it runs
                stopped.append(self.get_execution(run.execution.execution_id))
        return tuple(stopped)

    def _stop(self, run: Run, user_token: Secret | None) -> bool:
        """Ask for the end of one whose stop is noted; whether it may then be expected."""
        try:
            if self._recovery.is_lost(run):
                asked = evolve(run, stop_requested=True)
                return self._recovery.recover(asked, user_token) is not None or not self._recovery.needs_token(
                    run.execution
                )
            self._cancel(run)
        except DcpError as error:  # whoever runs it asks again: it knows of the stop by the registry
            _LOG.warning("execution %s cannot be stopped yet: %s", run.execution.execution_id, error)
        except Exception:
            _LOG.exception("execution %s cannot be stopped yet", run.execution.execution_id)
        return True

    def get_execution(self, execution_id: str) -> Execution:
        return self._registry.get_run(execution_id).execution

    def list_executions(
        self,
        job_id: str | None = None,
        environment: str | None = None,
        limit: int = 100,
        sees: Callable[[str], bool] | None = None,
    ) -> tuple[Execution, ...]:
        return self._registry.list_executions(job_id, environment, limit, sees)

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
        return self._recovery.wait(execution_id, timeout_s)

    def close(self) -> None:
        """Hand over what still runs: the next driver that looks takes it up, or runs it again where it cannot go on.

        ``was_handed_over`` tells whether the registry knows; what it does not is found when this process has ended.
        """
        self._closed = True
        self.was_handed_over = self._recovery.hand_over()
        self._backends.close()
        self._record.close()
        self._registry.close()

    def recover(self, job_id: str | None = None, environment: str | None = None) -> tuple[Execution, ...]:
        """Take over executions whose driver is gone; returns those, some of them running again.

        Called by what runs and applies, never by what reads.
        """
        return self._recovery.recover_all(job_id, environment)

    def _cancel(self, run: Run) -> None:
        """End the attempt of an execution, whoever runs it; its owner records the end."""
        live = self._running.live(run.execution.execution_id)
        if live is not None:
            live.cancel()
        elif run.handle is not None:
            self._backends.get(run.execution.backend).cancel(run.handle)


def _tail(file: Path) -> str:
    """The end of a log, whole lines; a log that grew beyond reason must not fill a message."""
    with file.open("rb") as log:
        size = log.seek(0, 2)
        log.seek(max(0, size - MAX_LOG_BYTES))
        text = log.read().decode("utf-8", errors="replace")
    return text if size <= MAX_LOG_BYTES else f"… the first {size - MAX_LOG_BYTES} bytes are left out\n{text}"


class _Stop(threading.Thread):
    """Asks for one stop; a backend that is slow to answer must not keep the others waiting."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        super().__init__(name="coreetl-stop", daemon=True)
        self._ask = ask
        self.is_worth_waiting_for = True
        self.start()

    def run(self) -> None:
        self.is_worth_waiting_for = self._ask()
