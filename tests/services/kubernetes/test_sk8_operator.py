"""The real operator, its webhook and its ``spark-submit``: what they make of our applications."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver.api import ExecutionStatus, SinkMode
from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.testing.bench import OLD_ROWS, ROWS, Bench, outcome_of
from dcp_core.errors import NotFoundError
from tests.services.conftest import require
from tests.services.kubernetes import real_operator
from tests.services.kubernetes.bench import (
    ENDLESS,
    ORDERS,
    Kubernetes,
    gone,
    name_of,
    pod_elsewhere,
    section,
    set_up,
    wait_until,
)
from tests.services.spark import Spark

NAMESPACE = "spark-operated"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
APPLICATIONS = f"/apis/{resources.API_VERSION}/namespaces/{NAMESPACE}/sparkapplications"


@pytest.fixture(scope="module")
def operated(kubernetes: Kubernetes, spark: Spark, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """A namespace of alice's that the real operator looks after."""
    set_up(kubernetes.plane, NAMESPACE)
    installed, folder = require("kubernetes").parent, tmp_path_factory.mktemp("operator")
    with real_operator.started(installed, kubernetes.plane, spark.home, NAMESPACE, folder):
        yield kubernetes


@pytest.fixture
def there(operated: Kubernetes, bench: Bench) -> Bench:
    """The project, in that namespace."""
    file = operated.plane.kubeconfig("operated", operated.plane.token(NAMESPACE, "coreetl-driver"))
    own: Mapping[str, Any] = section(file, playground={"namespace": NAMESPACE})
    return evolve(bench, settings=evolve(bench.settings, values={**bench.settings.values, "sk8": own}))


def test_a_job_runs_from_its_application_to_its_rows(
    operated: Kubernetes, there: Bench, opened: Callable[[Bench], Backend]
) -> None:
    sut, task = opened(there), there.task(ORDERS)
    handle = sut.submit(task)
    outcome = outcome_of(sut, handle, 600)
    application = operated.plane.admin.get(f"{APPLICATIONS}/{name_of(handle)}")
    assert outcome is not None, application["status"]
    assert outcome.status is ExecutionStatus.SUCCEEDED, (outcome.error, application["status"])
    assert sut.committed_rows(task) == 3
    assert len(there.rows()) == len(ROWS) + len(OLD_ROWS)
    assert "writing to" in sut.logs(handle)
    pod = operated.plane.admin.get(f"{PODS}/{application['status']['driverInfo']['podName']}")
    assert pod["metadata"]["ownerReferences"][0]["uid"] == application["metadata"]["uid"]
    assert pod["metadata"]["labels"]["coreetl.execution-id"] == task.execution_id
    assert pod["spec"]["serviceAccountName"] == "coreetl-job"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 5
    assert sut.submit(task) == handle
    time.sleep(2.0)
    assert sut.poll(handle, 0.0) == outcome, "submitting it again does not run it again"


def test_a_job_that_fails_says_why(operated: Kubernetes, there: Bench, opened: Callable[[Bench], Backend]) -> None:
    sut = opened(there)
    outcome = outcome_of(sut, sut.submit(there.task("SELECT order_id, qty FROM {ns}.nowhere")), 600)
    assert outcome is not None
    assert outcome.status is ExecutionStatus.FAILED
    assert "nowhere does not exist" in str(outcome.error)


def test_an_operator_that_meets_its_own_pod_calls_it_a_failure_and_nobody_else_does(
    operated: Kubernetes, there: Bench, opened: Callable[[Bench], Backend]
) -> None:
    """As when it was restarted while it submitted. The pod is on a node that is not there, and so it lives."""
    sut, task = opened(there), there.task(ORDERS)
    name = resources.attempt_name(task)
    pod = pod_elsewhere(name)
    pod["metadata"]["labels"]["spark-role"] = "driver"
    operated.plane.create(PODS, pod)
    handle = sut.submit(task)

    def application() -> resources.Application:
        return resources.Application.read(operated.plane.admin.get(f"{APPLICATIONS}/{name}"))

    wait_until(lambda: application().has_failed, "the operator gives up")
    assert "already exist" in application().error
    assert (application().driver_pod, application().was_run) == (f"{name}-driver", False)
    assert sut.poll(handle, 0.0) is None
    operated.plane.admin.delete(f"{PODS}/{name}-driver", {"gracePeriodSeconds": 0})
    with pytest.raises(NotFoundError, match="already exist"):
        sut.poll(handle, 0.0)


@pytest.mark.parametrize("is_running", [True, False])
def test_a_job_that_is_stopped_leaves_no_pod_and_no_rows(
    operated: Kubernetes, there: Bench, opened: Callable[[Bench], Backend], is_running: bool
) -> None:
    """While it runs, and while ``spark-submit`` is on its way."""
    sut = opened(there)
    task = there.task(ENDLESS if is_running else ORDERS, SinkMode.OVERWRITE)
    handle = sut.submit(task)
    pod = f"{name_of(handle)}-driver"
    if is_running:
        wait_until(lambda: operated.kubelet.log(NAMESPACE, pod) is not None, "it runs")
    else:
        time.sleep(1.0)
    sut.cancel(handle)
    assert gone(operated, f"{APPLICATIONS}/{name_of(handle)}")
    assert gone(operated, f"{PODS}/{pod}")
    time.sleep(15.0 if not is_running else 0.0)  # by then spark-submit has done what it does
    with pytest.raises(NotFoundError, match="was cancelled"):
        sut.poll(handle, 0.0)
    assert is_running or operated.kubelet.log(NAMESPACE, pod) is None, "its program was never started"
    assert there.rows() == list(OLD_ROWS)
