"""Steps on a cluster of Amazon EMR.

A step runs ``spark-submit`` in client mode: Spark's driver is then a process of the step. Cancelling a step kills the
step's processes and nothing else, so that in cluster mode, where Spark's driver is YARN's, a cancelled job would go on
and commit.

Source: https://docs.aws.amazon.com/emr/latest/APIReference/API_AddJobFlowSteps.html and its neighbours,
https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-cancel-steps.html,
https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-manage-view-web-log-files.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coreetl_driver.compute.aws import Aws
from coreetl_driver.compute.emr.service import Files, Look, Phase
from coreetl_driver.compute.emr.settings import EmrSettings
from coreetl_driver.compute.spark_submit import Submission
from coreetl_driver.compute.tasks import NOT_TAKEN, Task
from dcp_core.errors import NotFoundError, PermanentError, TransientError

_SERVICE = "emr"
_PHASES = {
    "COMPLETED": Phase.SUCCEEDED,
    "FAILED": Phase.FAILED,
    "CANCELLED": Phase.CANCELLED,
    "INTERRUPTED": Phase.LOST,  # the cluster has ended
}
_FULL = "Maximum number of active steps"  # a cluster takes 256 at a time
_FULL_RETRY_S = 30.0


class Steps:
    """The steps of one cluster.

    Args:
        logs: Where the cluster puts its logs, ``s3://…``; empty to ask the cluster.
    """

    kind = "step"
    takes_tokens = False

    def __init__(self, aws: Aws, settings: EmrSettings, logs: str = "") -> None:
        self._aws = aws
        self._settings = settings
        self._logs = logs

    @property
    def target(self) -> str:
        """The cluster."""
        return self._settings.cluster_id

    def find(self, name: str) -> str | None:
        """The step of this name; all of the cluster's are looked through, newest first."""
        more: dict[str, Any] = {}
        while True:
            page = self._call("list_steps", ClusterId=self.target, **more)
            for step in page.get("Steps", ()):
                if step["Name"] == name:
                    return str(step["Id"])
            if not page.get("Marker"):
                return None
            more = {"Marker": page["Marker"]}

    def start(self, name: str, task: Task, files: Files, submission: Submission) -> str:
        """Add a step. The service knows no client tokens: whoever may have added it before looks for its name."""
        command = ["spark-submit", "--deploy-mode", "client", *submission.arguments, "--py-files", files.archive]
        step = {
            "Name": name,
            "ActionOnFailure": "CONTINUE",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": [*command, files.main, *files.arguments]},
        }
        role = {"ExecutionRoleArn": self._settings.role} if self._settings.role else {}
        try:
            added = self._call("add_job_flow_steps", has_begun=False, JobFlowId=self.target, Steps=[step], **role)
        except PermanentError as error:
            if _FULL in error.message:
                full = {"where": error.where, "code": NOT_TAKEN}
                raise TransientError(error.message, retry_after_s=_FULL_RETRY_S, **full) from None
            raise
        return str(added["StepIds"][0])

    def look(self, target: str, job: str) -> Look:
        """Where a step is."""
        step = self._call("describe_step", ClusterId=target, StepId=job).get("Step")
        if not step:
            raise NotFoundError(f"cluster {target} has no step {job}")
        state = str(step["Status"]["State"])
        phase, why = _PHASES.get(state, Phase.GOING_ON), _why(step["Status"])
        return Look(phase, state, why, state != "PENDING", state == "CANCEL_PENDING")

    def cancel(self, target: str, job: str) -> None:
        """Cancel a step: its processes are killed."""
        option = "TERMINATE_PROCESS"
        answer = self._call("cancel_steps", ClusterId=target, StepIds=[job], StepCancellationOption=option)
        for told in answer.get("CancelStepsInfoList", ()):
            if told.get("Status") == "FAILED":
                raise PermanentError(f"step {job} is not cancelled: {told.get('Reason') or 'EMR does not say why'}")

    def logs(self, target: str, job: str) -> Sequence[str]:
        """What the step's processes say: Spark's driver is one of them."""
        place = self._logs
        if not place:
            place = str(self._call("describe_cluster", ClusterId=target)["Cluster"].get("LogUri") or "")
        if not place:
            raise NotFoundError(f"cluster {target} keeps no logs: it has no LogUri")
        folder = f"{place.rstrip('/')}/{target}/steps/{job}"
        return (f"{folder}/stderr.gz", f"{folder}/stdout.gz")

    def _call(self, operation: str, *, has_begun: bool = True, **arguments: Any) -> dict[str, Any]:
        return self._aws.call(_SERVICE, operation, has_begun=has_begun, **arguments)


def _why(status: Mapping[str, Any]) -> str:
    """Why a step failed, as far as EMR says."""
    details = status.get("FailureDetails") or {}
    parts = [details.get("Reason"), details.get("Message"), (status.get("StateChangeReason") or {}).get("Message")]
    return ": ".join(dict.fromkeys(str(part) for part in parts if part))
