"""The cluster, started once, and projects whose driver works with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.sk8.backend import Sk8Backend
from coreetl_driver.testing.bench import Bench, project
from dcp_core.model import Environment
from tests.services.cluster import Cluster
from tests.services.conftest import RestCatalog, require
from tests.services.kubernetes import control_plane, faults
from tests.services.kubernetes.bench import ENVIRONMENT, NAMESPACE, Kubernetes, section, set_up
from tests.services.kubernetes.faults import Faults
from tests.services.kubernetes.kubelet import Kubelet
from tests.services.kubernetes.operator import Operator
from tests.services.spark import Spark


@pytest.fixture(scope="session")
def kubernetes(spark: Spark, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """With the namespace of alice, set up as the manual says."""
    installed = require("kubernetes").parent
    folder = tmp_path_factory.mktemp("kubernetes")
    cluster = Cluster(spark, folder / "cluster")
    with control_plane.started(installed, folder) as plane:
        set_up(plane, NAMESPACE)
        kubelet = Kubelet(plane, cluster, folder / "pods")
        operator = Operator(plane, NAMESPACE)
        yield Kubernetes(plane, operator, kubelet)
        operator.close()
        kubelet.close()
        cluster.close()


@pytest.fixture(autouse=True)
def as_before(kubernetes: Kubernetes) -> Iterator[None]:
    """What a test has told the operator and the kubelet is forgotten after it."""
    yield
    kubernetes.operator.refusal, kubernetes.kubelet.submits = None, False
    kubernetes.operator.goes_on.set()


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
