"""The Spark Runner: starts, watches and stops the SparkApplications of one namespace.

Starting is idempotent by name: the specification's ConfigMap is created first, and what is there already is taken as it
is, for the operator runs an application again whose specification has changed. Stopping fences first (see
``resources``), then deletes the application with all that it owns, and waits until its pods are gone.

Source: https://github.com/kubeflow/spark-operator/tree/v2.5.1/internal/controller/sparkapplication (what the operator
does at each state, and at a deletion).
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from coreetl_driver.compute.artifacts import Program
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.compute.sk8.kubernetes_api import BadRequestError, GoneError, KubernetesApi
from coreetl_driver.compute.sk8.resources import Application
from coreetl_driver.compute.tasks import taking_nothing
from dcp_core.errors import ConflictError, DcpError, NotFoundError, PermanentError, TransientError

_MANAGER = resources.MANAGER
_LOOK_EVERY_S = 0.5
_SWEEP_EVERY_S = 3600.0
_LOG_LINES = 20_000
_LOG_BYTES = "4000000"


class SparkRunner:
    """Runs applications in one namespace.

    Args:
        time_to_live_s: How long a fence without an application is kept.
    """

    def __init__(self, api: KubernetesApi, namespace: str, time_to_live_s: float) -> None:
        self._api, self._time_to_live_s = api, time_to_live_s
        self._maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._applications = f"/apis/{resources.API_VERSION}/namespaces/{namespace}/sparkapplications"
        self._namespace = namespace
        self._lock = threading.Lock()
        self._verified: dict[str, str] = {}  # of ConfigMaps with a program: the uid
        self._swept_at: float | None = None

    def start(self, application: Mapping[str, Any], specification: Mapping[str, Any], program: Program) -> None:
        """Have an application run, once; again, it is the same one. One that was cancelled does not begin.

        Args:
            application: As ``resources.spark_application`` makes it.
            specification: Its ConfigMap.

        Raises:
            PermanentError: The cluster refuses it, or somebody else's resource has the name.
            TransientError: Try again: whatever was done counts.
        """
        name = application["metadata"]["name"]
        with taking_nothing():
            fence = self._put_specification(name, specification)
            if _is_cancelled(fence):
                self._delete(name)  # of a submission that died before it saw that
                return
            made = self._found(name)
            if made is None:
                self._put_program(program)
        if made is None:
            made = self._apply(name, application)
        if not fence["metadata"].get("ownerReferences"):
            with _begun():
                self._own(name, fence, made)

    def wait(self, name: str, wait_s: float) -> Application:
        """The application when it has ended, or after ``wait_s`` seconds as it is then.

        Raises:
            NotFoundError: There is none, or it was deleted meanwhile.
        """
        deadline = time.monotonic() + wait_s
        while True:
            application = Application.read(self._api.get(f"{self._applications}/{name}"))
            began = time.monotonic()
            if application.has_ended or began >= deadline:
                return application
            try:
                for event in self._api.watch(
                    self._applications,
                    deadline - began,
                    fieldSelector=f"metadata.name={name}",
                    resourceVersion=application.resource_version,
                ):
                    if event.kind == "DELETED":
                        raise NotFoundError(f"SparkApplication {self._namespace}/{name} was deleted")
                    if event.kind == "MODIFIED" and (now := Application.read(event.document)).has_ended:
                        return now
            except GoneError:
                pass  # what there is now is a new beginning
            if time.monotonic() - began < _LOOK_EVERY_S:  # a server, or a proxy, that ends watches at once
                time.sleep(max(0.0, min(_LOOK_EVERY_S, deadline - time.monotonic())))

    def is_cancelled(self, name: str) -> bool:
        """Whether ``stop`` has ended it, here or in another process."""
        try:
            return _is_cancelled(self._api.get(f"{self._maps}/{name}", only_metadata=True))
        except NotFoundError:
            return False

    def driver_pod(self, application: Application) -> Mapping[str, Any] | None:
        """The pod of Spark's driver; None when there is none (any more)."""
        if not application.driver_pod:
            return None
        try:
            return self._api.get(f"{self._pods}/{application.driver_pod}")
        except NotFoundError:
            return None

    def log(self, application: Application, lines: int = _LOG_LINES) -> str:
        """What Spark's driver has printed so far, the last lines of it; without, why there is nothing."""
        if not application.driver_pod:
            return application.error or (
                "The Spark operator has not submitted it yet. "
                f"If this lasts, it does not run, or does not watch namespace {self._namespace}."
            )
        query = {"container": resources.DRIVER_CONTAINER, "tailLines": str(lines), "limitBytes": _LOG_BYTES}
        refusal = ""
        try:
            if text := self._api.text(f"{self._pods}/{application.driver_pod}/log", **query):
                return text
        except NotFoundError:
            pass
        except BadRequestError as error:  # its container has not begun, or has ended and its node has forgotten it
            refusal = error.message
        return self._waits_for(application) or application.error or refusal

    def may_still_run(self, name: str) -> bool:
        """Whether Spark's driver may, whatever the operator says.

        An operator that restarts while it submits submits again, finds its own pod there, and calls that a failure.
        """
        pods = self._api.get(self._pods, labelSelector=f"{resources.APP_LABEL}={name},{resources.DRIVER_ROLE}")
        return any(resources.may_still_run(pod) for pod in pods["items"])

    def stop(self, name: str, timeout_s: float) -> None:
        """End an application, unless it has ended by itself; nothing of it runs, or can begin, when this returns.

        Raises:
            TransientError: Its pods take longer than ``timeout_s`` seconds to end, or a node does not answer.
        """
        deadline = time.monotonic() + timeout_s
        found = self._found(name)
        if found is not None:
            application = Application.read(found)
            if application.has_succeeded or application.state == "SUCCEEDING":
                return
            if (application.has_failed or application.is_ending) and not self._live_pods(name):
                return
        self._fence(name)
        self._delete(name)
        while self._found(name) is not None or self._live_pods(name):
            if time.monotonic() >= deadline:
                raise TransientError(
                    f"SparkApplication {self._namespace}/{name} was told to end and has not yet",
                    hint=f"kubectl -n {self._namespace} get pods -l {resources.APP_LABEL}={name}",
                )
            time.sleep(_LOOK_EVERY_S)
        self._sweep()

    def _put_program(self, program: Program) -> None:
        """Have the program there, once for each version; what has its name must be it."""
        name = resources.program_name(program)
        path = f"{self._maps}/{name}"
        document = resources.program_map(program, self._namespace)
        try:
            there = self._api.get(path, only_metadata=name in self._verified)
        except NotFoundError:
            try:
                there = self._api.create(self._maps, document, _MANAGER)
            except ConflictError:
                there = self._api.get(path)
        uid = there["metadata"]["uid"]
        if self._verified.get(name) == uid:
            return
        held = there.get("binaryData") or self._api.get(path).get("binaryData") or {}
        for file in (program.main, program.archive):
            if hashlib.sha256(base64.b64decode(held.get(file.name, ""))).hexdigest() != file.sha256:
                raise PermanentError(
                    f"ConfigMap {self._namespace}/{name} does not hold the job program: somebody has changed it",
                    hint="find out who may write ConfigMaps there, and delete this one; it is made anew",
                )
        self._verified[name] = uid

    def _put_specification(self, name: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The ConfigMap of an attempt, as it is there now."""
        try:
            return self._api.create(self._maps, document, _MANAGER)
        except ConflictError:
            there = self._api.get(f"{self._maps}/{name}")
        if (there["metadata"].get("labels") or {}).get(resources.MANAGED_BY) != _MANAGER:
            raise ConflictError(f"ConfigMap {self._namespace}/{name} is somebody else's")
        return there

    def _apply(self, name: str, application: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self._api.apply(f"{self._applications}/{name}", application, _MANAGER)
        except NotFoundError as error:
            raise PermanentError(
                f"the cluster knows no SparkApplications: {error.message}",
                where=error.where,
                hint="install Kubeflow's Spark operator 2.x",
            ) from None

    def _own(self, name: str, fence: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        """Have the ConfigMap go with its application; one that was marked meanwhile stays, and the application goes."""
        try:
            fence = self._api.patch(f"{self._maps}/{name}", resources.owning_patch(made, fence), _MANAGER)
        except TransientError:
            fence = self._api.get(f"{self._maps}/{name}")
            if not _is_cancelled(fence):
                raise
        if _is_cancelled(fence):
            self._fence(name)  # first: what is owned goes with its owner
            self._delete(name)

    def _waits_for(self, application: Application) -> str:
        pod = None if application.has_ended else self.driver_pod(application)
        why = resources.waits_for(pod) if pod is not None else ""
        look = f"kubectl -n {self._namespace} describe pod {application.driver_pod}"
        return f"The driver pod has not begun.\n{why}\nMore is in its events: {look}" if why else ""

    def _found(self, name: str) -> Mapping[str, Any] | None:
        try:
            return self._api.get(f"{self._applications}/{name}")
        except NotFoundError:
            return None

    def _live_pods(self, name: str) -> list[Mapping[str, Any]]:
        """Of the driver and of executors."""
        found = self._api.get(self._pods, labelSelector=f"{resources.APP_LABEL}={name}")
        return [pod for pod in found["items"] if resources.is_alive(pod)]

    def _fence(self, name: str) -> None:
        """Have no pod of an attempt start from now on, and no late submission begin."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        for _ in range(2):
            with suppress(NotFoundError):
                self._api.patch(f"{self._maps}/{name}", resources.cancelling_patch(at), _MANAGER)
                return
            with suppress(ConflictError):  # submitted at this very moment
                self._api.create(self._maps, resources.cancelled_map(name, self._namespace, at), _MANAGER)
                return
        raise TransientError(f"ConfigMap {self._namespace}/{name} comes and goes")

    def _delete(self, name: str) -> None:
        """With what it owns: in the foreground, so that it is there until its driver's pod is gone."""
        with suppress(NotFoundError):
            self._api.delete(f"{self._applications}/{name}", {"propagationPolicy": "Foreground"})

    def _sweep(self) -> None:
        """Delete fences and specifications that have had no application for long, now and then."""
        with self._lock:
            if self._swept_at is not None and time.monotonic() - self._swept_at < _SWEEP_EVERY_S:
                return
            self._swept_at = time.monotonic()
        selector = f"{resources.COMPONENT}={resources.SPECIFICATION_COMPONENT},{resources.MANAGED_BY}={_MANAGER}"
        oldest = datetime.now(UTC) - timedelta(seconds=self._time_to_live_s)
        for each in self._api.get(self._maps, only_metadata=True, labelSelector=selector)["items"]:
            metadata = each["metadata"]
            since = (metadata.get("annotations") or {}).get(resources.CANCELLED) or metadata["creationTimestamp"]
            if metadata.get("ownerReferences") or _time(since) >= oldest or self._found(metadata["name"]) is not None:
                continue
            with suppress(NotFoundError):  # another driver sweeps too
                self._api.delete(f"{self._maps}/{metadata['name']}", {})


def _is_cancelled(document: Mapping[str, Any]) -> bool:
    return resources.CANCELLED in (document["metadata"].get("annotations") or {})


@contextmanager
def _begun() -> Iterator[None]:
    """From here on the attempt may run: no refusal ends it.

    Raises:
        TransientError: For every error.
    """
    try:
        yield
    except TransientError:
        raise
    except DcpError as error:
        raise TransientError(error.message, where=error.where, hint=error.hint) from error


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
