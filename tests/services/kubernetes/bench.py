"""What the tests of backend sk8 work with: the parts of the cluster, and questions to them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from attrs import evolve, frozen

from coreetl_driver.api import ExecutionStatus, JobSpec, SinkMode
from coreetl_driver.compute.artifacts import job_program, job_specification
from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.compute.sk8.settings import sk8_settings
from coreetl_driver.compute.spark_submit import submission
from coreetl_driver.compute.tasks import Task
from coreetl_driver.testing.bench import Bench, outcome_of
from dcp_core.errors import NotFoundError
from tests.services.kubernetes.control_plane import ControlPlane
from tests.services.kubernetes.faults import Faults
from tests.services.kubernetes.kubelet import Kubelet
from tests.services.kubernetes.operator import Operator

ENVIRONMENT = "playground_alice"
NAMESPACE = "spark-alice"
ORDERS = "SELECT order_id, qty FROM {ns}.orders"
# For minutes; see the contract's.
ENDLESS = """
SELECT CAST(count(*) AS string) AS order_id, sum(a.n * b.n % 7) AS qty
FROM {ns}.numbers a CROSS JOIN {ns}.numbers b WHERE a.n % 3 <> b.n % 5
"""
MANUAL = Path(__file__).parents[3] / "docs" / "compute-kubernetes.md"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
APPLICATIONS = f"/apis/{resources.API_VERSION}/namespaces/{NAMESPACE}/sparkapplications"


@frozen
class Kubernetes:
    """The parts of a cluster."""

    plane: ControlPlane
    operator: Operator
    kubelet: Kubelet


def set_up(plane: ControlPlane, namespace: str) -> None:
    """A namespace, as the manual says."""
    plane.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    for name in ("coreetl-driver", "coreetl-job"):
        plane.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
    (block,) = re.findall(r"```yaml\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    for document in yaml.safe_load_all(block.replace("spark-production", namespace)):
        kind = f"{document['kind'].lower()}s"
        plane.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{kind}", document)


def section(kubeconfig: Path, **more: Any) -> dict[str, Any]:
    return {
        "kubeconfig": str(kubeconfig),
        "image": "registry.test/spark:4.1",
        "service_account": "coreetl-job",
        "playground": {"namespace": "spark-{user}"},
        **more,
    }


def by_way_of(bench: Bench, kubernetes: Kubernetes, way: Faults) -> Bench:
    """The same project behind the faults."""
    file = kubernetes.plane.kubeconfig("way", kubernetes.plane.token(NAMESPACE, "coreetl-driver"), way.url)
    return evolve(bench, settings=evolve(bench.settings, values={**bench.settings.values, "sk8": section(file)}))


def name_of(handle: str) -> str:
    return handle.rpartition("/")[2]


def succeeded(sut: Backend, handle: str) -> None:
    outcome = outcome_of(sut, handle, 120)
    assert outcome is not None
    assert outcome.status is ExecutionStatus.SUCCEEDED, f"{outcome.error}\n{sut.logs(handle)}"


def wait_until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def state_of(kubernetes: Kubernetes, handle: str) -> str:
    return resources.Application.read(kubernetes.plane.admin.get(f"{APPLICATIONS}/{name_of(handle)}")).state


def gone(kubernetes: Kubernetes, path: str) -> bool:
    try:
        kubernetes.plane.admin.get(path)
    except NotFoundError:
        return True
    return False


def made(bench: Bench, task: Task) -> dict[str, Any]:
    settings = sk8_settings(bench.settings, task.environment)
    return resources.spark_application(
        task, settings, submission(bench.settings, task), job_program(), job_specification(task)
    )


def pod_elsewhere(name: str) -> dict[str, Any]:
    """A driver pod on a node that nobody plays."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-driver", "labels": {resources.APP_LABEL: name}},
        "spec": {
            "nodeName": "node-2",
            "serviceAccountName": "coreetl-job",
            "containers": [{"name": resources.DRIVER_CONTAINER, "image": "spark"}],
        },
    }


def job(bench: Bench, sql: str, mode: SinkMode) -> JobSpec:
    return evolve(bench.task(sql, mode).spec, compute={"backend": "sk8"})
