"""Job runs of EMR Serverless.

Source: https://docs.aws.amazon.com/emr-serverless/latest/APIReference/API_StartJobRun.html and its neighbours,
https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/logging.html
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from coreetl_driver.compute.aws import Aws
from coreetl_driver.compute.emr.service import Files, Look, Phase
from coreetl_driver.compute.emr.settings import EmrSettings
from coreetl_driver.compute.spark_submit import Submission
from coreetl_driver.compute.tasks import Task
from dcp_core.errors import PermanentError

_SERVICE = "emr-serverless"
_PHASES = {"SUCCESS": Phase.SUCCEEDED, "FAILED": Phase.FAILED, "CANCELLED": Phase.CANCELLED}
_QUEUED = ("SUBMITTED", "PENDING", "QUEUED", "SCHEDULED")
_PAGE = 50  # the most that a page may hold


class Serverless:
    """One application.

    Args:
        logs: Where the logs of its job runs go, ``s3://…``.
    """

    kind = "serverless"
    takes_tokens = True

    def __init__(self, aws: Aws, settings: EmrSettings, logs: str) -> None:
        self._aws = aws
        self._settings = settings
        self._logs = logs.rstrip("/")

    @property
    def target(self) -> str:
        """The application."""
        return self._settings.application_id

    def find(self, name: str) -> str | None:
        """The job run of this name; all of the application's are looked through, newest first."""
        more: dict[str, Any] = {}
        while True:
            page = self._call("list_job_runs", applicationId=self.target, maxResults=_PAGE, **more)
            for run in page["jobRuns"]:
                if run.get("name") == name:
                    return str(run["id"])
            if not page.get("nextToken"):
                return None
            more = {"nextToken": page["nextToken"]}

    def start(self, name: str, task: Task, files: Files, submission: Submission) -> str:
        """Start a job run. The service takes a client token, and gives the same one for the same token."""
        request: dict[str, Any] = {
            "applicationId": self.target,
            "clientToken": task.key,
            "name": name,
            "executionRoleArn": self._settings.role,
            "jobDriver": {
                "sparkSubmit": {
                    "entryPoint": files.main,
                    "entryPointArguments": files.arguments,
                    "sparkSubmitParameters": shlex.join([*_options(submission), "--py-files", files.archive]),
                }
            },
            "executionTimeoutMinutes": self._settings.timeout_minutes,
            "configurationOverrides": {
                "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": f"{self._logs}/"}}
            },
            "tags": {"coreetl-environment": task.environment, "coreetl-job": task.job_id},
        }
        if self._settings.policy:
            request["executionIamPolicy"] = {"policy": self._settings.policy}
        try:
            return str(self._call("start_job_run", has_begun=False, **request)["jobRunId"])
        except PermanentError as error:
            # The token is known with another request: settings or versions have changed since it was first sent.
            found = self.find(name) if "ConflictException" in error.message else None
            if found is None:
                raise
            return found

    def look(self, target: str, job: str) -> Look:
        """Where a job run is."""
        run = self._call("get_job_run", applicationId=target, jobRunId=job)["jobRun"]
        state = str(run["state"])
        phase = _PHASES.get(state, Phase.GOING_ON)
        return Look(phase, state, str(run.get("stateDetails") or ""), state not in _QUEUED, state == "CANCELLING")

    def cancel(self, target: str, job: str) -> None:
        """Cancel a job run."""
        self._call("cancel_job_run", applicationId=target, jobRunId=job)

    def logs(self, target: str, job: str) -> Sequence[str]:
        """What Spark's driver says."""
        folder = f"{self._logs}/applications/{target}/jobs/{job}/SPARK_DRIVER"
        return (f"{folder}/stderr.gz", f"{folder}/stdout.gz")

    def _call(self, operation: str, *, has_begun: bool = True, **arguments: Any) -> dict[str, Any]:
        return self._aws.call(_SERVICE, operation, has_begun=has_begun, **arguments)


def _options(submission: Submission) -> list[str]:
    """Python's interpreter is told in the environment there, not by Spark's configuration alone."""
    options = list(submission.arguments)
    if submission.python:
        for name in ("driverEnv.PYSPARK_DRIVER_PYTHON", "driverEnv.PYSPARK_PYTHON"):
            options += ["--conf", f"spark.emr-serverless.{name}={submission.python}"]
        options += ["--conf", f"spark.executorEnv.PYSPARK_PYTHON={submission.python}"]
    return options
