"""Backend ``sk8``: Spark on Kubernetes.

A handle is ``<environment>/<namespace>/<name>``: enough for any driver, with the same settings, to find the application
and the credentials for it. Attempts go on without a driver.

How a job ended is what the program said in its pod's termination log or in its log, not the operator's state alone: a
driver pod that was lost (a node gone, memory, a preemption) may have committed, so that such an attempt is one that the
backend has lost, and the table is asked.

Source: design.md section 10.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute.artifacts import job_program, job_specification
from coreetl_driver.compute.interfaces import ComputeBackend
from coreetl_driver.compute.results import judged, result_in, says_ok
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.compute.sk8.kubernetes_api import KubernetesApi
from coreetl_driver.compute.sk8.resources import Application
from coreetl_driver.compute.sk8.settings import NAME, Sk8Settings, sk8_settings
from coreetl_driver.compute.sk8.spark_runner import SparkRunner
from coreetl_driver.compute.spark_submit import submission
from coreetl_driver.compute.tasks import Capabilities, Outcome, Task
from dcp_core.errors import NotFoundError, SettingsError, TransientError, UnauthorizedError, UsageError
from dcp_core.model import Environment
from dcp_core.settings import Settings

_LAST_LINES = 200  # Spark says goodbye after the program
_POD_IS_THERE = "already exist"  # of a submission that a restarted operator makes again: the first one ran


@frozen
class _Place:
    """What a handle says."""

    environment: str
    namespace: str
    name: str

    @staticmethod
    def of(handle: str) -> _Place:
        """Raises NotFoundError for what is no handle of ours."""
        parts = handle.split("/")
        if len(parts) != 3 or not all(NAME.fullmatch(part) for part in parts[1:]):
            raise NotFoundError(f"{handle!r} is no attempt on Kubernetes")
        try:
            return _Place(Environment.named(parts[0]).name, *parts[1:])
        except UsageError as error:
            raise NotFoundError(f"{handle!r} is no attempt on Kubernetes: {error}") from None

    def __str__(self) -> str:
        return f"{self.environment}/{self.namespace}/{self.name}"


class Sk8Backend(ComputeBackend):
    """Runs jobs as SparkApplications in the namespace of their environment."""

    name = "sk8"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._lock = threading.Lock()
        self._apis: dict[tuple[Path | None, str], KubernetesApi] = {}
        self._runners: dict[tuple[Path | None, str, str], SparkRunner] = {}

    def capabilities(self) -> Capabilities:
        """An extraction needs its source's credentials, which no resource on a cluster may hold."""
        return Capabilities(kinds=("query",), survives_driver=True)

    def submit(self, task: Task) -> str:
        section = sk8_settings(self._settings, task.environment)
        program, specification = job_program(), job_specification(task)
        application = resources.spark_application(
            task, section, submission(self._settings, task), program, specification
        )
        self._runner(section, section.namespace).start(
            application, resources.specification_map(task, specification, section.namespace), program
        )
        return str(_Place(task.environment, section.namespace, resources.attempt_name(task)))

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        place = _Place.of(handle)
        with _patient():
            _, runner = self._at(place)
            try:
                application = runner.wait(place.name, wait_s)
            except NotFoundError:
                # One that had committed before it was cancelled has succeeded: the table is asked for that too.
                if runner.is_cancelled(place.name):
                    raise NotFoundError(f"attempt {handle} was cancelled") from None
                raise
            if not application.has_ended or (application.has_failed and runner.may_still_run(place.name)):
                return None
            return _outcome(runner, application, handle)

    def cancel(self, handle: str) -> None:
        try:
            place = _Place.of(handle)
        except NotFoundError:
            return
        with _patient():
            section, runner = self._at(place)
            runner.stop(place.name, section.cancel_timeout_s)

    def logs(self, handle: str) -> str:
        place = _Place.of(handle)
        with _patient():
            _, runner = self._at(place)
            return runner.log(runner.wait(place.name, 0.0))

    def close(self) -> None:
        with self._lock:
            apis = list(self._apis.values())
            self._apis.clear()
            self._runners.clear()
        for api in apis:
            api.close()

    def _at(self, place: _Place) -> tuple[Sk8Settings, SparkRunner]:
        section = sk8_settings(self._settings, place.environment)
        return section, self._runner(section, place.namespace)

    def _runner(self, section: Sk8Settings, namespace: str) -> SparkRunner:
        file = section.kubeconfig_file
        if file is not None:
            file = self._settings.root / file
        with self._lock:
            if (file, section.context, namespace) not in self._runners:
                if (file, section.context) not in self._apis:
                    self._apis[file, section.context] = KubernetesApi(file, section.context)
                api = self._apis[file, section.context]
                self._runners[file, section.context, namespace] = SparkRunner(api, namespace, section.time_to_live_s)
            return self._runners[file, section.context, namespace]


def _outcome(runner: SparkRunner, application: Application, handle: str) -> Outcome:
    """How an application that has ended did its job.

    Raises:
        NotFoundError: Its driver pod ended without a word: only the table knows.
    """
    pod = runner.driver_pod(application)
    result = _whole(resources.last_words(pod)) if pod is not None else None
    result = result or result_in(runner.log(application, _LAST_LINES))
    has_succeeded = application.has_succeeded or says_ok(result)
    if has_succeeded or result is not None:
        return judged(has_succeeded, result, application.error)
    why = application.error or "its driver pod failed"
    if not application.was_run and pod is None and _POD_IS_THERE not in why:
        return Outcome(ExecutionStatus.FAILED, error=f"the Spark operator could not submit it: {why}")
    raise NotFoundError(f"Kubernetes has lost attempt {handle}: {why}")


def _whole(text: str) -> str | None:
    """A result that is not cut off; the log has the whole otherwise."""
    try:
        return text if isinstance(json.loads(text), dict) else None
    except ValueError:
        return None


@contextmanager
def _patient() -> Iterator[None]:
    """What runs goes on, whatever becomes of the driver's credentials and settings: it says so, and is tried again."""
    try:
        yield
    except (UnauthorizedError, SettingsError) as error:
        raise TransientError(error.message, where=error.where, hint=error.hint) from error
