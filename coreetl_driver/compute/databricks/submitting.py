"""What is submitted for a task: one run of one task, on a cluster that is said in one of three ways.

Source: https://docs.databricks.com/api/workspace/jobs/submit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coreetl_driver.compute.databricks.settings import SECTION, DatabricksSettings
from coreetl_driver.compute.databricks.staging import Staged
from coreetl_driver.compute.routing import DEFAULT_SIZE
from coreetl_driver.compute.spark_submit import Submission
from coreetl_driver.compute.suggesting import nearest
from coreetl_driver.compute.tasks import Task
from dcp_core.errors import SettingsError

if TYPE_CHECKING:
    from databricks.sdk.service.compute import ClusterSpec

TASK_KEY = "coreetl"
_ENVIRONMENT_KEY = "coreetl"
_MAX_NAME_LENGTH = 200


def run_request(task: Task, section: DatabricksSettings, submission: Submission, staged: Staged) -> dict[str, Any]:
    """The arguments of ``jobs.submit``. They hold no secret: everybody who may see the run may read them.

    The service starts one run for a ``task.key``, however often it is asked, and does not try again by itself: that
    is the driver's.

    Raises:
        SettingsError: ``[databricks.cluster]`` has what Databricks does not know, or serverless cannot have packages.
    """
    from databricks.sdk.service import compute, jobs

    where: dict[str, Any] = {}
    request: dict[str, Any] = {}
    if section.existing_cluster_id:
        where["existing_cluster_id"] = section.existing_cluster_id
    elif section.environment_version:
        if submission.packages:
            raise SettingsError(
                f"[{SECTION}] environment_version: a serverless environment takes no Maven packages",
                hint="leave [spark] packages out, or give the jobs a cluster: [databricks.cluster]",
            )
        version = compute.Environment(environment_version=section.environment_version)
        request["environments"] = [jobs.JobEnvironment(_ENVIRONMENT_KEY, spec=version)]
        where |= {"environment_key": _ENVIRONMENT_KEY, "disable_auto_optimization": True}  # else it tries again
    else:
        where["new_cluster"] = new_cluster(task, section, submission)
    libraries = [compute.Library(maven=compute.MavenLibrary(coordinates=each)) for each in submission.packages]
    the_task = jobs.SubmitTask(
        TASK_KEY,
        spark_python_task=jobs.SparkPythonTask(staged.main, parameters=staged.arguments),
        libraries=libraries or None,
        max_retries=0,
        **where,
    )
    if section.viewers:
        may_view = jobs.JobPermissionLevel.CAN_VIEW
        request["access_control_list"] = [
            jobs.JobAccessControlRequest(user_name=name, permission_level=may_view) for name in section.viewers
        ]
    return {
        **request,
        "idempotency_token": task.key,
        "queue": jobs.QueueSettings(enabled=True),
        "run_name": f"coreetl {task.job_id} {task.key}"[:_MAX_NAME_LENGTH],
        "tasks": [the_task],
        "timeout_seconds": section.timeout_s,
    }


def new_cluster(task: Task, section: DatabricksSettings, submission: Submission) -> ClusterSpec:
    """The cluster of a run: what the settings say, as many workers as the job's size has executors, its configuration.

    On Databricks a worker has one executor, which gets what its node type has: ``executor_cores`` and
    ``executor_memory`` of a size do not apply, ``[databricks.node_types]`` does.
    """
    from databricks.sdk.service.compute import ClusterSpec

    wanted = dict(section.cluster)
    size = str(task.spec.compute.get("size") or DEFAULT_SIZE)
    if size in section.node_types:
        wanted["node_type_id"] = section.node_types[size]
    if "autoscale" not in wanted:
        wanted["num_workers"] = submission.resources.executors
    wanted["custom_tags"] = {
        **wanted.get("custom_tags", {}),
        "coreetl-environment": task.environment,
        "coreetl-job": task.job_id,
    }
    _require_known(ClusterSpec, wanted)
    spec = ClusterSpec.from_dict(wanted)
    spec.spark_conf = dict(submission.conf)
    return spec


def _require_known(cls: Any, given: Mapping[str, Any]) -> None:
    """The SDK leaves out silently what it does not know."""
    from dataclasses import fields

    known = [each.name for each in fields(cls)]
    for name in given:
        if name not in known:
            raise SettingsError(f"[{SECTION}.cluster] has no setting {name!r}", hint=nearest(name, known, "settings"))
    understood = cls.from_dict(dict(given)).as_dict()
    for name, value in given.items():
        if understood.get(name) != value:
            raise SettingsError(f"[{SECTION}.cluster] {name} is {value!r}, which Databricks does not know")
