"""What is sent to the cluster and what it says, as data: SparkApplications, ConfigMaps and their states. No I/O.

An attempt is one SparkApplication and, by the same name, one ConfigMap with its specification; the job program is in a
ConfigMap that all attempts share. The name is made from the execution and the attempt, so that the same attempt has
the same name whoever submits it.

The specification's ConfigMap is the attempt's fence too: its pods cannot start without it. Cancelling takes the
specification out of it and marks it first, and so nothing can begin afterwards, however late the operator is.

Source: https://www.kubeflow.org/docs/components/spark-operator/reference/api-docs/ (``v1beta2``, operator 2.x).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from coreetl_driver.compute.artifacts import MAIN, PROGRAM, SPECIFICATION, Artifact, Program
from coreetl_driver.compute.sk8.settings import Sk8Settings
from coreetl_driver.compute.spark_submit import Submission
from coreetl_driver.compute.tasks import Task

API_VERSION = "sparkoperator.k8s.io/v1beta2"
KIND = "SparkApplication"
DRIVER_CONTAINER = "spark-kubernetes-driver"
MANAGER = "coreetl-driver"
MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "app.kubernetes.io/component"
SPECIFICATION_COMPONENT = "coreetl-specification"
EXECUTION = "coreetl.execution-id"
ATTEMPT = "coreetl.attempt"
JOB = "coreetl.job"
ENVIRONMENT = "coreetl.environment"
CANCELLED = "coreetl.cancelled-at"
APP_LABEL = "sparkoperator.k8s.io/app-name"
DRIVER_ROLE = "spark-role=driver"  # a selector; Spark labels its pods so
# Where the kubelet looks for a container's last words, at most 4,096 bytes, which outlive its log.
TERMINATION_LOG = "/dev/termination-log"
_PROGRAM_FOLDER = "/opt/coreetl/program"
_SPECIFICATION_FOLDER = "/opt/coreetl/job"
_GRACE_S = 5  # Kubernetes's own 30 s are for servers; a job that is stopped has nothing to put in order
_LONGEST_ID = 40
_LONGEST_LABEL = 63
_SUCCEEDED = frozenset({"COMPLETED"})
_FAILED = frozenset({"FAILED"})
_ENDING = frozenset({"SUCCEEDING", "FAILING"})


def attempt_name(task: Task) -> str:
    """Of the SparkApplication and the ConfigMap of an attempt; the driver pod's, 7 longer, fits in a label."""
    execution = task.execution_id.lower()
    if len(execution) > _LONGEST_ID or not re.fullmatch(r"[a-z0-9-]+", execution):
        execution = hashlib.sha256(task.execution_id.encode()).hexdigest()[:32]
    return f"coreetl-{execution}-{task.attempt}"


def program_name(program: Program) -> str:
    """Of the ConfigMap of one version of the job program."""
    return f"coreetl-program-{program.digest}"


def program_map(program: Program, namespace: str) -> dict[str, Any]:
    """The ConfigMap with the job program: it cannot be changed, only replaced by one of another name."""
    files = {file.name: base64.b64encode(file.content).decode() for file in (program.main, program.archive)}
    metadata = {
        "name": program_name(program),
        "namespace": namespace,
        "labels": {MANAGED_BY: MANAGER, COMPONENT: "coreetl-program"},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "binaryData": files}


def specification_map(task: Task, specification: Artifact, namespace: str) -> dict[str, Any]:
    """The ConfigMap with the specification of an attempt. The program compares the digest that it is given."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": attempt_name(task),
            "namespace": namespace,
            "labels": {**_labels(task), COMPONENT: SPECIFICATION_COMPONENT},
            "annotations": _annotations(task),
        },
        "data": {SPECIFICATION: specification.content.decode()},
    }


def cancelled_map(name: str, namespace: str, at: str) -> dict[str, Any]:
    """A fence for an attempt whose submission may still be on its way."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {MANAGED_BY: MANAGER, COMPONENT: SPECIFICATION_COMPONENT},
            "annotations": {CANCELLED: at},
        },
    }


def cancelling_patch(at: str) -> dict[str, Any]:
    """What makes the fence of a specification's ConfigMap, as a merge patch; it outlives the application then."""
    return {
        "metadata": {"annotations": {CANCELLED: at}, "ownerReferences": None},
        "data": {SPECIFICATION: None},
    }


def owning_patch(application: Mapping[str, Any], fence: Mapping[str, Any]) -> dict[str, Any]:
    """What has a ConfigMap deleted with its application, as a merge patch.

    Args:
        fence: The ConfigMap as it was seen. One that was changed meanwhile is left alone, and it is a lost race: had it
            been marked, its application may be gone, and the garbage collector would take the mark away too.
    """
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": application["metadata"]["name"],
        "uid": application["metadata"]["uid"],
    }
    return {"metadata": {"ownerReferences": [owner], "resourceVersion": fence["metadata"].get("resourceVersion")}}


def spark_application(
    task: Task, settings: Sk8Settings, submission: Submission, program: Program, specification: Artifact
) -> dict[str, Any]:
    """The resource that the operator runs. It holds no secret: whoever may look at the namespace sees it."""
    resources, labels = submission.resources, _labels(task)
    pod: dict[str, Any] = {"labels": labels, "serviceAccount": settings.service_account}
    spec: dict[str, Any] = {
        "type": "Python",
        "pythonVersion": "3",
        "mode": "cluster",
        "sparkVersion": settings.spark_version,
        "image": settings.image,
        "mainApplicationFile": f"local://{_PROGRAM_FOLDER}/{MAIN}",
        "arguments": [
            "--program", f"{_PROGRAM_FOLDER}/{PROGRAM}",
            "--specification", f"{_SPECIFICATION_FOLDER}/{SPECIFICATION}",
            "--sha256", specification.sha256,
            "--result", TERMINATION_LOG,
        ],
        "sparkConf": dict(submission.conf),
        "restartPolicy": {"type": "Never"},  # the driver looks for a commit before it begins again
        "timeToLiveSeconds": settings.time_to_live_s,
        "volumes": [
            {"name": "coreetl-program", "configMap": {"name": program_name(program)}},
            {
                "name": "coreetl-job",
                "configMap": {
                    "name": attempt_name(task),
                    "items": [{"key": SPECIFICATION, "path": SPECIFICATION}],  # a pod waits for it: the fence
                },
            },
        ],
        "driver": {
            **pod,
            "cores": resources.driver_cores,
            "memory": resources.driver_memory,
            "terminationGracePeriodSeconds": _GRACE_S,
            "volumeMounts": [
                {"name": "coreetl-program", "mountPath": _PROGRAM_FOLDER, "readOnly": True},
                {"name": "coreetl-job", "mountPath": _SPECIFICATION_FOLDER, "readOnly": True},
            ],
        },
        "executor": {
            **pod,
            "instances": resources.executors,
            "cores": resources.executor_cores,
            "memory": resources.executor_memory,
        },
    }  # fmt: skip
    if submission.packages:
        spec["deps"] = {"packages": list(submission.packages)}
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = list(settings.image_pull_secrets)
    metadata = {
        "name": attempt_name(task),
        "namespace": settings.namespace,
        "labels": labels,
        "annotations": _annotations(task),
    }
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


@frozen
class Application:
    """A SparkApplication as the API server shows it.

    Args:
        state: Of the operator: ``""``, ``SUBMITTED``, ``RUNNING``, ``COMPLETED``, ``FAILED``, ….
        error: The operator's message.
        driver_pod: Its name; empty before the submission.
        was_run: Whether the operator has submitted it to Spark.
        resource_version: Where a watch goes on from.
    """

    state: str
    error: str
    driver_pod: str
    was_run: bool
    resource_version: str

    @staticmethod
    def read(document: Mapping[str, Any]) -> Application:
        """From what the API server sent; the operator fills the status in bit by bit."""
        status = document.get("status") or {}
        state = status.get("applicationState") or {}
        return Application(
            str(state.get("state") or ""),
            str(state.get("errorMessage") or ""),
            str((status.get("driverInfo") or {}).get("podName") or ""),
            bool(status.get("executionAttempts")),
            str(document["metadata"].get("resourceVersion") or ""),
        )

    @property
    def has_succeeded(self) -> bool:
        """Finally."""
        return self.state in _SUCCEEDED

    @property
    def has_failed(self) -> bool:
        """Finally: ``SUBMISSION_FAILED`` becomes ``FAILED`` by itself."""
        return self.state in _FAILED

    @property
    def has_ended(self) -> bool:
        """Finally, one way or the other."""
        return self.has_succeeded or self.has_failed

    @property
    def is_ending(self) -> bool:
        """Whether its driver pod has ended and the operator is about to say so."""
        return self.state in _ENDING


def last_words(pod: Mapping[str, Any]) -> str:
    """What the driver's container left in its termination log."""
    return str((_terminated(pod) or {}).get("message") or "")


def waits_for(pod: Mapping[str, Any]) -> str:
    """Why a pod has not begun, a line for each reason; empty when it has, or when nobody says why."""
    status = pod.get("status") or {}
    lines = [
        _reason("not scheduled", each)
        for each in status.get("conditions") or ()
        if each.get("type") == "PodScheduled" and each.get("status") != "True"
    ]
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting is not None:
            lines.append(_reason(f"container {container.get('name')} waits", waiting))
    return "\n".join(lines)


def is_alive(pod: Mapping[str, Any]) -> bool:
    """Whether anything of a pod may run, now or later."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def may_still_run(pod: Mapping[str, Any]) -> bool:
    """Whether Spark's driver may, now or later; a container beside it may outlive it."""
    return is_alive(pod) and _terminated(pod) is None


def _terminated(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the driver's container ended; None when it has not."""
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container.get("name") == DRIVER_CONTAINER:
            ended: Mapping[str, Any] | None = (container.get("state") or {}).get("terminated")
            return ended
    return None


def _reason(what: str, said: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (what, said.get("reason"), said.get("message"))))


def _labels(task: Task) -> dict[str, str]:
    """For selecting; a label's value is short and plain, the annotations have the whole."""
    values = {EXECUTION: task.execution_id, ATTEMPT: str(task.attempt), JOB: task.job_id, ENVIRONMENT: task.environment}
    return {MANAGED_BY: MANAGER, **{name: _label(value) for name, value in values.items()}}


def _annotations(task: Task) -> dict[str, str]:
    return {EXECUTION: task.execution_id, JOB: task.job_id, ENVIRONMENT: task.environment}


def _label(value: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", value)[:_LONGEST_LABEL]
    return plain.strip("_.-")
