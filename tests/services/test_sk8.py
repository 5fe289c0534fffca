"""Backend ``sk8`` on a real Kubernetes API server and a real Spark: the contract, and what goes wrong on the way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve, frozen

from coreetl_driver.api import ExecutionStatus, SinkMode
from coreetl_driver.compute.artifacts import job_program
from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.compute.sk8.backend import Sk8Backend
from coreetl_driver.compute.tasks import Task
from coreetl_driver.testing import BackendContract
from coreetl_driver.testing.backend_contract import _ENDLESS
from coreetl_driver.testing.bench import OLD_ROWS, ROWS, Bench, outcome_of, project
from dcp_core.errors import NotFoundError, PermanentError, TransientError, UnauthorizedError
from dcp_core.model import Environment
from tests.services.cluster import Cluster
from tests.services.conftest import RestCatalog, require
from tests.services.kubernetes import control_plane, faults
from tests.services.kubernetes.control_plane import ControlPlane
from tests.services.kubernetes.faults import Fault, Faults
from tests.services.kubernetes.kubelet import Kubelet
from tests.services.kubernetes.operator import Operator
from tests.services.spark import Spark

ENVIRONMENT = "playground_alice"
NAMESPACE = "spark-alice"
ORDERS = "SELECT order_id, qty FROM {ns}.orders"
MANUAL = Path(__file__).parents[2] / "docs" / "compute-kubernetes.md"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
APPLICATIONS = f"/apis/{resources.API_VERSION}/namespaces/{NAMESPACE}/sparkapplications"


@frozen
class Kubernetes:
    """The parts of a cluster."""

    plane: ControlPlane
    operator: Operator
    kubelet: Kubelet


@pytest.fixture(scope="module")
def kubernetes(spark: Spark, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """With the namespace of alice, set up as the manual says."""
    installed = require("kubernetes").parent
    folder = tmp_path_factory.mktemp("kubernetes")
    cluster = Cluster(spark, folder / "cluster")
    with control_plane.started(installed, folder) as plane:
        plane.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for name in ("coreetl-driver", "coreetl-job"):
            plane.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": name}})
        for document in role_of_the_manual():
            kind = f"{document['kind'].lower()}s"
            plane.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/{kind}", document)
        kubelet = Kubelet(plane, cluster, folder / "pods")
        operator = Operator(plane)
        yield Kubernetes(plane, operator, kubelet)
        operator.close()
        kubelet.close()
        cluster.close()


@pytest.fixture
def way(kubernetes: Kubernetes) -> Iterator[Faults]:
    with faults.in_front_of(kubernetes.plane) as made:
        yield made


@pytest.fixture
def values(rest_catalog: RestCatalog, kubernetes: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """Settings of a project whose driver has the manual's role and nothing more."""
    for name, value in rest_catalog.environ.items():
        monkeypatch.setenv(name, value)
    token = kubernetes.plane.token(NAMESPACE, "coreetl-driver")
    return {**rest_catalog.settings, "sk8": section(kubernetes.plane.kubeconfig("alice", token))}


class TestSk8(BackendContract):
    backend = Sk8Backend
    environment = ENVIRONMENT

    @pytest.fixture
    def values(
        self, rest_catalog: RestCatalog, kubernetes: Kubernetes, monkeypatch: pytest.MonkeyPatch
    ) -> Mapping[str, Any]:
        for name, value in rest_catalog.environ.items():
            monkeypatch.setenv(name, value)
        token = kubernetes.plane.token(NAMESPACE, "coreetl-driver")
        return {**rest_catalog.settings, "sk8": section(kubernetes.plane.kubeconfig("alice", token))}


@pytest.fixture
def bench(tmp_path: Path, values: Mapping[str, Any]) -> Iterator[Bench]:
    made = Bench(Sk8Backend, project(tmp_path, values), Environment.named(ENVIRONMENT))
    made.make_tables()
    yield made
    made.drop_tables()


@pytest.fixture
def plain(tmp_path: Path, values: Mapping[str, Any]) -> Bench:
    """Without tables, for what no job comes to run for."""
    return Bench(Sk8Backend, project(tmp_path, values), Environment.named(ENVIRONMENT))


@pytest.fixture
def opened() -> Iterator[Callable[[Bench], Backend]]:
    """The backend as a driver holds it."""
    drivers = []

    def open_(bench: Bench) -> Backend:
        drivers.append(bench.driver())
        return drivers[-1].get("sk8")

    yield open_
    for each in drivers:
        each.close()


def role_of_the_manual() -> list[dict[str, Any]]:
    (block,) = re.findall(r"```yaml\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    return list(yaml.safe_load_all(block.replace("spark-production", NAMESPACE)))


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
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def state_of(kubernetes: Kubernetes, handle: str) -> str:
    return resources.Application.read(kubernetes.plane.admin.get(f"{APPLICATIONS}/{name_of(handle)}")).state


def test_the_api_server_takes_the_resource_with_every_field_and_refuses_one_that_is_wrong(
    kubernetes: Kubernetes, plain: Bench
) -> None:
    task = plain.task(ORDERS)
    document = made(plain, task)
    dry = f"{APPLICATIONS}?dryRun=All&fieldValidation=Strict&fieldManager=tests"
    taken = kubernetes.plane.admin.create(dry, document, "tests")
    assert taken["spec"] == document["spec"], "nothing was pruned, and nothing is unknown"
    broken = {**document, "spec": {**document["spec"], "restartPolicy": {"type": "Sometimes"}}}
    with pytest.raises(PermanentError, match="spec.restartPolicy.type: Unsupported value"):
        kubernetes.plane.admin.create(dry, broken, "tests")


def made(bench: Bench, task: Task) -> dict[str, Any]:
    from coreetl_driver.compute.artifacts import job_specification
    from coreetl_driver.compute.sk8.settings import sk8_settings
    from coreetl_driver.compute.spark_submit import submission

    settings = sk8_settings(bench.settings, task.environment)
    return resources.spark_application(
        task, settings, submission(bench.settings, task), job_program(), job_specification(task)
    )
