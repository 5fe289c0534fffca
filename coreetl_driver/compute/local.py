"""Backend ``local``: a worker process per execution, with an embedded engine, on this machine.

This process serves the catalogs to the worker and holds their credentials; the worker holds a token for one
execution. So the driver must live as long as the worker; when it dies, the worker ends too and cannot commit.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from coreetl_driver import CoreetlSettings
from coreetl_driver.api import ExecutionStatus
from coreetl_driver.catalog_endpoint import CatalogEndpoint, Grant, Pass
from coreetl_driver.compute.interfaces import ComputeBackend
from coreetl_driver.compute.tasks import Capabilities, Outcome, Task
from coreetl_driver.compute.worker_attempts import GRACE_S, WorkerAttempt, WorkerAttempts, job_request
from coreetl_driver.job_sources import SourceTopic
from coreetl_driver.owners import Owner
from coreetl_driver.warehouse import rows_of
from dcp_core.settings import Settings

_LOG = logging.getLogger(__name__)


class LocalBackend(ComputeBackend):
    """Starts workers; one catalog endpoint serves them all. A handle names the worker's process."""

    name = "local"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._variables = settings.section("coreetl", CoreetlSettings).worker_environment
        self._endpoint = CatalogEndpoint()
        self._attempts: WorkerAttempts[LocalAttempt] = WorkerAttempts()

    def capabilities(self) -> Capabilities:
        return Capabilities(kinds=("query", "extract", "stream"), reads_overlay=True)

    def submit(self, task: Task) -> str:
        with self._attempts.lock:
            known = self._attempts.handle_of(task)
            if known is not None:
                return known
            issued = self._endpoint.grant(_grant(task))
            try:
                attempt = LocalAttempt(self._endpoint, issued, task, self._variables)
            except BaseException:
                self._endpoint.revoke(issued)
                raise
            return self._attempts.add(task, str(attempt.process.owner), attempt)

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        return self._attempts.wait(handle, wait_s)

    def cancel(self, handle: str) -> None:
        attempt = self._attempts.live(handle)
        if attempt is not None:
            attempt.stop()
            return
        with contextlib.suppress(ValueError):  # not a handle of this backend
            worker = Owner.parse(handle)
            if worker is not None and worker.is_local:
                worker.end_group(GRACE_S)  # of another process, whose driver is gone or judges it

    def logs(self, handle: str) -> str:
        return self._attempts.logs(handle)

    def committed_rows(self, task: Task) -> int | None:
        if task.spec.kind == "stream":  # however much it has committed, there may be more to read
            return None
        summary = self._endpoint.committed(_grant(task))
        return None if summary is None else rows_of(summary)

    def close(self) -> None:
        for attempt in self._attempts.all_live():
            attempt.stop()
        self._endpoint.stop()


class LocalAttempt(WorkerAttempt):
    """One worker process with one job, and its pass at the endpoint."""

    def __init__(self, endpoint: CatalogEndpoint, issued: Pass, task: Task, variables: tuple[str, ...]) -> None:
        self._endpoint = endpoint
        self._issued = issued
        super().__init__(task, session_request(issued), job_request(task), variables, issued.take_note)

    def _judge(self, error: str | None, rows: int | None, status: ExecutionStatus) -> Outcome:
        self._endpoint.revoke(self._issued)
        with self._issued.lock:  # a commit that is being made decides the outcome
            return self._judge_commit(error, rows, status)

    def _judge_commit(self, error: str | None, rows: int | None, status: ExecutionStatus) -> Outcome:
        if self._issued.grant.is_stream:
            return self._judge_stream(error, status)
        committed, summary = self._issued.committed, None
        if self._issued.unclear or (committed and rows is None):
            try:
                summary = self._endpoint.committed(self._issued.grant)
                committed = committed or summary is not None
            except Exception as problem:  # a catalog that is away is no reason to leave the outcome open
                _LOG.exception("what execution %s has written cannot be found out", self._issued.grant.execution_id)
                if not committed:
                    doubt = f"whether its commit was made cannot be found out: {type(problem).__name__}"
                    return Outcome(ExecutionStatus.FAILED, error="; ".join(filter(None, [error, doubt])))
        if committed:  # the table has the rows, whatever became of the worker
            counted = rows_of(summary) if summary is not None else None
            return Outcome(ExecutionStatus.SUCCEEDED, rows if rows is not None else counted)
        if status is ExecutionStatus.CANCELLED:
            return Outcome(status)
        if error is None or status is ExecutionStatus.SUCCEEDED:  # nothing to write: an empty result
            return Outcome(ExecutionStatus.SUCCEEDED, rows or 0)
        denied = [denial for denial in dict.fromkeys(self._issued.denials) if denial not in error]
        return Outcome(ExecutionStatus.FAILED, error="; ".join([error, *denied]))

    def _judge_stream(self, error: str | None, status: ExecutionStatus) -> Outcome:
        """What it has committed stays, however it ended, and is counted; the next run goes on from there."""
        rows = None
        try:
            rows = self._endpoint.rows_of_stream(self._issued.grant)
        except Exception:  # a catalog that is away is no reason to leave the outcome open
            _LOG.exception("how many rows execution %s wrote cannot be found out", self._issued.grant.execution_id)
        if status is not ExecutionStatus.FAILED and error is None:
            return Outcome(status, rows)
        told = error or "the worker gave no reason"
        denied = [denial for denial in dict.fromkeys(self._issued.denials) if denial not in told]
        return Outcome(status, rows, "; ".join([told, *denied]))


def session_request(issued: Pass) -> dict[str, Any]:
    """What opens a worker's session on the catalogs of a grant."""
    grant = issued.grant
    return {
        "catalogs": {name: {"uri": issued.catalog_uri(name), "token": issued.token} for name in grant.catalogs},
        "default_catalog": grant.default_catalog,
        "sink": {"catalog": grant.sink_catalog, "table": grant.sink_table} if grant.sink_catalog else None,
        "dead_letters": {"catalog": grant.sink_catalog, "table": grant.dead_letter_table} if grant.is_stream else None,
    }


def _grant(task: Task) -> Grant:
    return Grant(
        execution_id=task.execution_id,
        job_id=task.job_id,
        environment=task.environment,
        catalogs=task.catalogs,
        default_catalog=task.spec.default_catalog,
        read_overlay=task.spec.read_overlay,
        sink_catalog=task.spec.sink.catalog,
        sink_table=task.spec.sink.table,
        keeps_cursor=task.spec.kind == "extract",
        may_commit=task.may_commit,
        dead_letter_table=task.spec.source.dead_letter_table if isinstance(task.spec.source, SourceTopic) else None,
    )
