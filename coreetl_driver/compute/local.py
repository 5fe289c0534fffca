"""Backend ``local``: a worker process per execution, with an embedded engine, on this machine.

This process serves the catalogs to the worker and holds their credentials; the worker holds a token for one
execution. So the driver must live as long as the worker; when it dies, the worker ends too and cannot commit.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from typing import Any

from coreetl_driver import CoreetlSettings
from coreetl_driver.api import ExecutionStatus
from coreetl_driver.catalog_endpoint import CatalogEndpoint, Grant, Pass
from coreetl_driver.compute import Outcome, Task
from coreetl_driver.compute.worker_process import WorkerDied, WorkerProcess
from coreetl_driver.owners import Owner
from dcp_core.settings import Settings

_LOG = logging.getLogger(__name__)
LOG_FILE = "log.txt"


class LocalBackend:
    """Starts workers; one catalog endpoint serves them all."""

    def __init__(self, settings: Settings) -> None:
        self._variables = settings.section("coreetl", CoreetlSettings).worker_environment
        self._endpoint = CatalogEndpoint()

    def start(self, task: Task) -> LocalAttempt:
        issued = self._endpoint.grant(_grant(task))
        return LocalAttempt(self._endpoint, issued, task, self._variables)

    def committed_rows(self, task: Task) -> int | None:
        summary = self._endpoint.committed(_grant(task))
        return None if summary is None else rows_of(summary)

    def close(self) -> None:
        self._endpoint.stop()


class LocalAttempt:
    """One worker process with one job."""

    def __init__(self, endpoint: CatalogEndpoint, issued: Pass, task: Task, variables: tuple[str, ...]) -> None:
        self._endpoint = endpoint
        self._issued = issued
        self._scratch = task.folder / "scratch"
        for left in task.folder.parent.glob("*/scratch"):  # by an attempt whose driver was killed
            shutil.rmtree(left, ignore_errors=True)
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._process = WorkerProcess(
            task.folder / LOG_FILE, self._scratch, variables=variables, on_note=issued.take_note
        )
        self._process.send(session_request(issued))
        self._process.send(_job_request(task))
        self._opened = False
        self._outcome: Outcome | None = None
        self._ending = threading.Lock()

    @property
    def worker(self) -> Owner:
        return self._process.owner

    def wait(self, timeout_s: float) -> Outcome | None:
        deadline = time.monotonic() + timeout_s
        while self._outcome is None:
            try:
                answer = self._process.answer(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                return None
            except WorkerDied as death:
                return self._end(str(death))
            if not answer["ok"]:
                return self._end(answer["error"])
            if self._opened:
                return self._end(None, answer.get("rows"))
            self._opened = True
        return self._outcome

    def stop(self) -> Outcome:
        self._process.kill()
        return self._end(None, status=ExecutionStatus.CANCELLED)

    def _end(
        self, error: str | None, rows: int | None = None, status: ExecutionStatus = ExecutionStatus.FAILED
    ) -> Outcome:
        with self._ending:
            if self._outcome is None:
                self._endpoint.revoke(self._issued)
                with self._issued.lock:  # a commit that is being made decides the outcome
                    self._outcome = self._judge(error, rows, status)
                self._process.kill()  # whatever it still does is for nobody
                shutil.rmtree(self._scratch, ignore_errors=True)
            return self._outcome

    def _judge(self, error: str | None, rows: int | None, status: ExecutionStatus) -> Outcome:
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
        if error is None:  # nothing to write: an empty result
            return Outcome(ExecutionStatus.SUCCEEDED, rows or 0)
        denied = [denial for denial in dict.fromkeys(self._issued.denials) if denial not in error]
        return Outcome(ExecutionStatus.FAILED, error="; ".join([error, *denied]))


def rows_of(summary: dict[str, str]) -> int:
    """The rows an execution wrote, from its snapshot's summary."""
    return int(summary.get("coreetl.rows-written") or summary.get("added-records") or 0)


def session_request(issued: Pass) -> dict[str, Any]:
    """What opens a worker's session on the catalogs of a grant."""
    grant = issued.grant
    return {
        "catalogs": {name: {"uri": issued.catalog_uri(name), "token": issued.token} for name in grant.catalogs},
        "default_catalog": grant.default_catalog,
        "sink": {"catalog": grant.sink_catalog, "table": grant.sink_table} if grant.sink_catalog else None,
    }


def _job_request(task: Task) -> dict[str, Any]:
    spec = task.spec.to_json()
    request = {"columns": spec["columns"], "sink": spec["sink"], "params": dict(task.params)}
    if task.spec.kind == "extract":
        assert task.connection is not None, "the driver resolves it"
        return {"op": "extract", **request, "source": spec["source"], "connection": task.connection.to_json()}
    return {"op": "job", **request, "sql": spec["sql"]}


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
    )
