"""Plays Kubeflow's Spark operator 2.5 and its webhook: from SparkApplications to driver pods, and back to states.

As the real one it takes a new application once, makes a driver pod that the application owns, with the volumes that
the webhook mounts, and derives the states from the pod's phases; an application that is being deleted loses its pod.
What it does not do: ``spark-submit`` (the pod's arguments are the application's), restarts, executors, web interfaces.

Source: https://github.com/kubeflow/spark-operator/tree/v2.5.1/internal/controller/sparkapplication.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from coreetl_driver.compute.sk8 import resources
from dcp_core.errors import ConflictError, NotFoundError, TransientError
from tests.services.kubernetes.control_plane import MANAGER, ControlPlane
from tests.services.kubernetes.kubelet import NODE, SPARK_OPTIONS

_STATES = {"Pending": "SUBMITTED", "Running": "RUNNING", "Succeeded": "SUCCEEDING", "Failed": "FAILING"}
_THEN = {"SUCCEEDING": "COMPLETED", "FAILING": "FAILED", "SUBMISSION_FAILED": "FAILED"}


class Operator:
    """Watches one namespace until ``close``.

    Attributes:
        goes_on: Cleared, submissions take as long as that: ``spark-submit`` needs seconds.
        refusal: When set, submissions fail with this message.
        submitted: The names of applications for which a driver pod was made, in order.
    """

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        applications = f"/apis/{resources.API_VERSION}/namespaces/{namespace}/sparkapplications"
        pods = f"/api/v1/namespaces/{namespace}/pods"
        self._closed = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.refusal: str | None = None
        self.submitted: list[str] = []
        self._taken: set[str] = set()
        self._threads = [
            threading.Thread(target=self._follow, args=(applications, self._reconcile), name="operator", daemon=True),
            threading.Thread(target=self._follow, args=(pods, self._pod_moved), name="pods", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self.goes_on.set()
        for thread in self._threads:
            thread.join(timeout=10.0)

    def _follow(self, path: str, act: Any) -> None:
        while not self._closed.wait(0.05):
            with suppress(TransientError):  # gone, or not ready: list again
                listed = self._plane.admin.get(path)
                for each in listed["items"]:
                    act(each)
                version = listed["metadata"]["resourceVersion"]
                for event in self._plane.admin.watch(path, 2.0, resourceVersion=version):
                    if event.kind in ("ADDED", "MODIFIED"):
                        act(event.document)
                    if self._closed.is_set():
                        return

    def _reconcile(self, application: Mapping[str, Any]) -> None:
        state = resources.Application.read(application).state
        if application["metadata"].get("deletionTimestamp"):
            with suppress(NotFoundError):
                self._plane.admin.delete(_pod_path(application), {})
        elif not state:
            if application["metadata"]["uid"] not in self._taken:
                self._taken.add(application["metadata"]["uid"])
                threading.Thread(target=self._submit, args=(application,), daemon=True).start()
        elif state in ("SUBMITTED", "RUNNING"):
            self._advance(application, state)
        elif state in _THEN:
            self._set(application, {"applicationState": {"state": _THEN[state]}, "terminationTime": _now()})

    def _submit(self, application: Mapping[str, Any]) -> None:
        self.goes_on.wait()
        if self._closed.is_set():
            return
        if self.refusal is not None:
            failed = {
                "state": "SUBMISSION_FAILED",
                "errorMessage": f"failed to submit spark application: {self.refusal}",
            }
            self._set(application, {"applicationState": failed})
            return
        namespace, name = application["metadata"]["namespace"], application["metadata"]["name"]
        self.submitted.append(name)
        with suppress(ConflictError):
            self._plane.create(f"/api/v1/namespaces/{namespace}/pods", driver_pod(application))
        info = {"podName": f"{name}-driver"}
        state = {"state": "SUBMITTED"}
        self._set(application, {"applicationState": state, "driverInfo": info, "executionAttempts": 1})

    def _pod_moved(self, pod: Mapping[str, Any]) -> None:
        name = (pod["metadata"].get("labels") or {}).get(resources.APP_LABEL)
        if name is not None:
            with suppress(NotFoundError):
                self._reconcile(self._plane.admin.get(_path(pod["metadata"]["namespace"], name)))

    def _advance(self, application: Mapping[str, Any], state: str) -> None:
        """The state that follows from the driver pod's phase."""
        try:
            status = self._plane.admin.get(_pod_path(application))["status"]
        except NotFoundError:
            lost = {"state": "FAILING", "errorMessage": "driver pod not found"}
            self._set(application, {"applicationState": lost})
            return
        said = {"state": _STATES[status["phase"]]}
        if said["state"] == state:
            return
        if status["phase"] == "Failed":
            ended = status["containerStatuses"][0]["state"]["terminated"]
            code, reason = ended["exitCode"], ended["reason"]
            said["errorMessage"] = f"driver container failed with ExitCode: {code}, Reason: {reason}"
        self._set(application, {"applicationState": said})

    def _set(self, application: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        metadata = application["metadata"]
        whole = {"driverInfo": {}, **status}  # which the schema requires
        with suppress(NotFoundError):
            self._plane.admin.patch(
                f"{_path(metadata['namespace'], metadata['name'])}/status", {"status": whole}, MANAGER
            )


def driver_pod(application: Mapping[str, Any]) -> dict[str, Any]:
    """What ``spark-submit`` and the webhook make of an application."""
    metadata, spec = application["metadata"], application["spec"]
    driver, name = spec["driver"], metadata["name"]
    owner = {
        "apiVersion": resources.API_VERSION,
        "kind": resources.KIND,
        "name": name,
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {**driver["labels"], resources.APP_LABEL: name, "spark-role": "driver"}
    container = {
        "name": resources.DRIVER_CONTAINER,
        "image": spec["image"],
        "args": [spec["mainApplicationFile"], *spec["arguments"]],
        "volumeMounts": driver["volumeMounts"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-driver",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {SPARK_OPTIONS: json.dumps(spark_options(spec))},
            "ownerReferences": [owner],
        },
        "spec": {
            "nodeName": NODE,
            "restartPolicy": "Never",
            "serviceAccountName": driver["serviceAccount"],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": driver["terminationGracePeriodSeconds"],
            "containers": [container],
            "volumes": spec["volumes"],
        },
    }


def spark_options(spec: Mapping[str, Any]) -> list[str]:
    """The options of ``spark-submit`` that the operator makes of an application's fields."""
    properties = {
        **spec["sparkConf"],
        "spark.driver.cores": spec["driver"]["cores"],
        "spark.driver.memory": spec["driver"]["memory"],
        "spark.executor.cores": spec["executor"]["cores"],
        "spark.executor.memory": spec["executor"]["memory"],
        "spark.executor.instances": spec["executor"]["instances"],
    }
    options = [part for name, value in properties.items() for part in ("--conf", f"{name}={value}")]
    packages = (spec.get("deps") or {}).get("packages")
    return [*options, "--packages", ",".join(packages)] if packages else options


def _path(namespace: str, name: str) -> str:
    return f"/apis/{resources.API_VERSION}/namespaces/{namespace}/sparkapplications/{name}"


def _pod_path(application: Mapping[str, Any]) -> str:
    metadata = application["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}-driver"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
