"""Backend ``spark_connect``: the job program against a Spark elsewhere, over Spark Connect.

A worker process of this machine drives a session of its own on the cluster, which reads and writes the catalogs that
the cluster itself knows by the same names. No endpoint of the driver stands in between, so what may be written is up
to the credentials that the cluster has: they must be able to write the environment's own catalog only.

The session's id is made from the execution and the attempt, so that any driver can end it: its operations are
interrupted and waited for, and a closed session takes no new ones. The execution's id is in the summary of the snapshot
that it commits, by Iceberg's session settings ``spark.sql.iceberg.snapshot-property.*``, which MERGE heeds too.

Source: design.md section 10; https://iceberg.apache.org/docs/latest/spark-configuration/.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coreetl_driver import CoreetlSettings
from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute.endings import SETTLE_S
from coreetl_driver.compute.interfaces import ComputeBackend
from coreetl_driver.compute.tasks import Capabilities, Outcome, Task
from coreetl_driver.compute.worker_attempts import LOG_FILE, WorkerAttempt, WorkerAttempts, job_request
from coreetl_driver.compute.worker_process import WorkerDied, WorkerProcess
from coreetl_driver.spark_connect_address import check_address
from dcp_core.errors import DcpError, SettingsError, TransientError
from dcp_core.settings import CONFIG_FILE, Settings

_LOG = logging.getLogger(__name__)
_SESSIONS = uuid.UUID("6f0d4a0e-3f4b-4c35-9a59-0e4c1b0b7c11")  # the namespace of session ids
_RELEASE_TIMEOUT_S = 60.0
_CLOSE_TIMEOUT_S = 5.0


class SparkConnectBackend(ComputeBackend):
    """Runs jobs on ``[coreetl] spark_connect_url``. A handle is the id of the session on the cluster.

    Raises:
        SettingsError: There is no ``spark_connect_url``, or it is of another kind.
    """

    name = "spark_connect"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        section = settings.section("coreetl", CoreetlSettings)
        if not section.spark_connect_url:
            raise SettingsError(
                "compute backend 'spark_connect' needs the address of a Spark Connect server",
                where=str(settings.file) if settings.file else None,
                hint=f'add to {CONFIG_FILE}: [coreetl] spark_connect_url = "sc://host:15002"',
            )
        check_address(section.spark_connect_url, settings)
        self._url = section.spark_connect_url
        self._variables = section.worker_environment
        self._attempts: WorkerAttempts[SparkConnectAttempt] = WorkerAttempts()

    def capabilities(self) -> Capabilities:
        """An extraction stages its rows on this machine, where the cluster cannot read them."""
        return Capabilities(kinds=("query",))

    def submit(self, task: Task) -> str:
        with self._attempts.lock:
            known = self._attempts.handle_of(task)
            if known is not None:
                return known
            session = str(uuid.uuid5(_SESSIONS, task.key))
            opening = {
                "spark_connect_url": self._url,
                "session_id": session,
                "default_catalog": task.spec.default_catalog,
            }
            attempt = SparkConnectAttempt(self, task, opening, self._variables, session)
            return self._attempts.add(task, session, attempt)

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        return self._attempts.wait(handle, wait_s)

    def cancel(self, handle: str) -> None:
        attempt = self._attempts.live(handle)
        if attempt is not None:
            attempt.stop()
        elif _is_session(handle) and not self._attempts.has_ended(handle):
            self._release(handle)  # of another process

    def logs(self, handle: str) -> str:
        return self._attempts.logs(handle)

    def close(self) -> None:
        for attempt in self._attempts.all_live():
            try:
                attempt.stop()
            except DcpError:
                _LOG.exception("a session on the cluster cannot be ended")

    def _release(self, session: str) -> None:
        """End a session from a process of its own, whatever has become of the one that opened it.

        Raises:
            TransientError: The cluster does not answer.
        """
        folder = Path(tempfile.mkdtemp(prefix="coreetl-release-"))
        process = None
        try:
            process = WorkerProcess(folder / LOG_FILE, folder, variables=self._variables)
            process.send({"spark_connect_url": self._url, "release": session})
            answer = process.answer(_RELEASE_TIMEOUT_S)
        except (TimeoutError, WorkerDied, OSError) as error:
            raise TransientError(f"session {session} on the cluster cannot be ended: {error or 'no answer'}") from None
        finally:
            if process is not None:
                process.kill()
            shutil.rmtree(folder, ignore_errors=True)
        if not answer["ok"]:
            raise TransientError(f"session {session} on the cluster cannot be ended: {answer['error']}")
        time.sleep(SETTLE_S)


class SparkConnectAttempt(WorkerAttempt):
    """One worker process with one job, and its session on the cluster."""

    def __init__(
        self,
        backend: SparkConnectBackend,
        task: Task,
        opening: dict[str, Any],
        variables: tuple[str, ...],
        session: str,
    ) -> None:
        self._release: Callable[[], None] = lambda: backend._release(session)
        self._rows: Callable[[], int | None] = lambda: backend.committed_rows(task)
        super().__init__(task, opening, {**job_request(task), "marks": task.marks}, variables)

    def _judge(self, error: str | None, rows: int | None, status: ExecutionStatus) -> Outcome:
        """May raise a TransientError: the cluster is away, so that nobody knows yet; asked again then."""
        if not self._opened and (status is ExecutionStatus.FAILED or not self._has_opened()):
            return Outcome(status, error=error)  # nothing has been asked of the cluster
        if status is ExecutionStatus.SUCCEEDED:
            self.process.close(_CLOSE_TIMEOUT_S)  # and with it the session on the cluster
            return Outcome(status, rows)
        self._release()
        try:
            committed = self._rows()
        except Exception as problem:
            raise TransientError(f"whether the job's commit was made cannot be found out: {problem}") from problem
        if committed is not None:
            return Outcome(ExecutionStatus.SUCCEEDED, committed)
        return Outcome(status, error=error)

    def _has_opened(self) -> bool:
        """Whether the worker, which is gone, had said that its session was open, and so had begun the job."""
        try:
            return bool(self.process.answer(_CLOSE_TIMEOUT_S)["ok"])
        except (TimeoutError, WorkerDied):
            return False


def _is_session(handle: str) -> bool:
    try:
        uuid.UUID(handle)
    except ValueError:
        return False
    return True
