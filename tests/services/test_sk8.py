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

from coreetl_driver.api import ExecutionStatus, JobSpec, SinkMode
from coreetl_driver.compute.artifacts import job_program
from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.compute.sk8.backend import Sk8Backend
from coreetl_driver.compute.tasks import Task
from coreetl_driver.driver import Driver
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
    with pytest.raises(PermanentError, match=r"spec\.restartPolicy.type: Unsupported value"):
        kubernetes.plane.admin.create(dry, broken, "tests")


def made(bench: Bench, task: Task) -> dict[str, Any]:
    from coreetl_driver.compute.artifacts import job_specification
    from coreetl_driver.compute.sk8.settings import sk8_settings
    from coreetl_driver.compute.spark_submit import submission

    settings = sk8_settings(bench.settings, task.environment)
    return resources.spark_application(
        task, settings, submission(bench.settings, task), job_program(), job_specification(task)
    )


# The way of one attempt


def test_a_job_leaves_one_application_that_says_whose_it_is_and_holds_no_secret(
    kubernetes: Kubernetes, bench: Bench, opened: Callable[[Bench], Backend]
) -> None:
    sut, task = opened(bench), bench.task(ORDERS)
    handle = sut.submit(task)
    succeeded(sut, handle)
    name = name_of(handle)
    application = kubernetes.plane.admin.get(f"{APPLICATIONS}/{name}")
    assert application["metadata"]["labels"]["coreetl.execution-id"] == task.execution_id
    assert application["metadata"]["labels"]["coreetl.environment"] == ENVIRONMENT
    managers = {each["manager"] for each in application["metadata"]["managedFields"] if "subresource" not in each}
    assert managers == {"coreetl-driver"}
    assert application["metadata"]["managedFields"][0]["operation"] == "Apply"
    fence = kubernetes.plane.admin.get(f"{MAPS}/{name}")
    assert fence["metadata"]["ownerReferences"][0]["uid"] == application["metadata"]["uid"]
    program = kubernetes.plane.admin.get(f"{MAPS}/{resources.program_name(job_program())}")
    assert program["immutable"] is True
    pod = kubernetes.plane.admin.get(f"{PODS}/{name}-driver")
    assert pod["spec"]["serviceAccountName"] == "coreetl-job"
    secret = bench.settings.values["catalog"]["credential"]
    for document in (application, fence, pod):
        assert secret not in str(document)
        assert "hunter2" not in str(document)
    assert "writing to" in sut.logs(handle), "read through the API server, from the node"
    kubernetes.plane.admin.delete(f"{APPLICATIONS}/{name}", {"propagationPolicy": "Background"})
    wait_until(lambda: gone(kubernetes, f"{MAPS}/{name}"), "the garbage collector takes the specification too")


def gone(kubernetes: Kubernetes, path: str) -> bool:
    try:
        kubernetes.plane.admin.get(path)
    except NotFoundError:
        return True
    return False


def test_waiting_is_a_watch_which_begins_again_when_the_server_has_forgotten_where_it_was(
    kubernetes: Kubernetes, bench: Bench, way: Faults, opened: Callable[[Bench], Backend]
) -> None:
    behind = by_way_of(bench, kubernetes, way)
    sut = opened(behind)
    way.order(Fault("GET", "watch=true", begin_at="1"))
    kubernetes.operator.goes_on.clear()
    task = behind.task(ORDERS)
    handle = sut.submit(task)
    began = time.monotonic()
    assert sut.poll(handle, 3.0) is None
    assert 2.9 < time.monotonic() - began < 20, "it waited"
    assert way.count("GET", "resourceVersion=1&") == 1
    assert way.count("GET", f"sparkapplications/{name_of(handle)}$") == 4, "submitting; before, between, after watches"
    kubernetes.operator.goes_on.set()
    began = time.monotonic()
    outcome = sut.poll(handle, 120.0)
    assert outcome is not None
    assert time.monotonic() - began < 110, "the end of the job ended the wait"
    assert outcome.status is ExecutionStatus.SUCCEEDED
    assert sut.committed_rows(task) == 3


def test_a_submission_whose_answers_are_lost_is_made_once(
    kubernetes: Kubernetes, bench: Bench, way: Faults, opened: Callable[[Bench], Backend]
) -> None:
    """Each of its three writes is done, and nobody hears of it."""
    behind = by_way_of(bench, kubernetes, way)
    task = behind.task(ORDERS)
    for method, path in (("POST", "configmaps"), ("PATCH", "sparkapplications"), ("PATCH", "configmaps")):
        sut = opened(behind)  # each time by a driver that has just started
        way.order(Fault(method, path, is_answer_lost=True))
        with pytest.raises(TransientError, match="does not answer"):
            sut.submit(task)
    sut = opened(behind)
    handle = sut.submit(task)
    succeeded(sut, handle)
    assert kubernetes.operator.submitted.count(name_of(handle)) == 1
    assert len(bench.rows()) == len(ROWS) + len(OLD_ROWS)
    assert sut.submit(task) == handle
    assert state_of(kubernetes, handle) == "COMPLETED", "what has ended is not run again"


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_is_asked_again_when_it_says(
    kubernetes: Kubernetes, plain: Bench, way: Faults, opened: Callable[[Bench], Backend], status: int
) -> None:
    behind = by_way_of(plain, kubernetes, way)
    sut, task = opened(behind), behind.task(ORDERS)
    kubernetes.operator.goes_on.clear()
    try:
        for method, path in (("GET", "configmaps"), ("POST", "configmaps"), ("PATCH", "sparkapplications")):
            way.order(Fault(method, path, status=status, retry_after_s=7))
            with pytest.raises(TransientError, match="please try again") as refused:
                sut.submit(task)
            assert refused.value.retry_after_s == 7.0
        handle = sut.submit(task)
        way.order(Fault("GET", "sparkapplications/coreetl", status=status, retry_after_s=3))
        with pytest.raises(TransientError) as asked:
            sut.poll(handle, 5.0)
        assert asked.value.retry_after_s == 3.0
        way.order(Fault("GET", "watch=true", status=status))
        with pytest.raises(TransientError) as watching:
            sut.poll(handle, 5.0)
        assert watching.value.retry_after_s is None
        way.order(Fault("DELETE", "sparkapplications", status=status, retry_after_s=2))
        with pytest.raises(TransientError):
            sut.cancel(handle)
        sut.cancel(handle)
        assert outcome_of(sut, handle, 10) is None
    finally:
        kubernetes.operator.goes_on.set()


def test_spark_submit_runs_the_program_with_the_options_of_the_application(
    kubernetes: Kubernetes, bench: Bench, opened: Callable[[Bench], Backend]
) -> None:
    """Classic Spark, with nothing beside it: the program comes from its ConfigMap."""
    kubernetes.kubelet.submits = True
    spark = {"conf": {"spark.ui.showConsoleProgress": "false"}, "sizes": {"medium": {"driver_memory": "768m"}}}
    own = evolve(bench, settings=evolve(bench.settings, values={**bench.settings.values, "spark": spark}))
    sut, task = opened(own), own.task(ORDERS, SinkMode.MERGE)
    handle = sut.submit(task)
    outcome = outcome_of(sut, handle, 180)
    assert outcome is not None
    assert (outcome.status, outcome.rows_written) == (ExecutionStatus.SUCCEEDED, 3), sut.logs(handle)
    assert bench.rows() == sorted((*ROWS, OLD_ROWS[1]), key=lambda row: (row["order_id"], row["qty"]))
    application = kubernetes.plane.admin.get(f"{APPLICATIONS}/{name_of(handle)}")
    assert application["spec"]["driver"]["memory"] == "768m"


# Credentials


def test_credentials_that_expire_end_no_execution_and_renewed_ones_are_taken_up(
    kubernetes: Kubernetes, bench: Bench, opened: Callable[[Bench], Backend]
) -> None:
    plane = kubernetes.plane
    file = plane.kubeconfig("expiring", plane.token(NAMESPACE, "coreetl-driver"))
    own = evolve(bench, settings=evolve(bench.settings, values={**bench.settings.values, "sk8": section(file)}))
    sut = opened(own)
    handle = sut.submit(own.task(ORDERS))
    expired = plane.token(NAMESPACE, "coreetl-driver", lifetime_s=-600)
    plane.kubeconfig("expiring", expired)
    late = opened(own)
    with pytest.raises(UnauthorizedError, match=r"does not accept the credentials any more: context .*expiring") as no:
        late.submit(own.task(ORDERS))
    assert "renew" in str(no.value.hint)
    for ask in (lambda: late.poll(handle, 0.0), lambda: late.cancel(handle), lambda: late.logs(handle)):
        with pytest.raises(TransientError, match="does not accept the credentials any more") as asked:
            ask()
        assert expired not in f"{asked.value!r} {asked.value.hint} {asked.value.__cause__!r}"
    plane.kubeconfig("expiring", plane.token(NAMESPACE, "coreetl-driver"))
    succeeded(late, handle)
    assert kubernetes.operator.submitted.count(name_of(handle)) == 1


def test_a_driver_may_start_nothing_in_a_namespace_that_is_not_its_own(
    kubernetes: Kubernetes, plain: Bench, opened: Callable[[Bench], Backend]
) -> None:
    values = {**plain.settings.values["sk8"], "playground": {"namespace": "default"}}
    other = evolve(plain, settings=evolve(plain.settings, values={**plain.settings.values, "sk8": values}))
    with pytest.raises(UnauthorizedError, match=r"cannot get resource.*configmaps.*default") as no:
        opened(other).submit(other.task(ORDERS))
    assert "compute-kubernetes.md" in str(no.value.hint)


# Stopping


def test_a_job_stopped_while_the_operator_submits_it_never_begins(
    kubernetes: Kubernetes, bench: Bench, opened: Callable[[Bench], Backend]
) -> None:
    """``spark-submit`` is under way, and makes its pod although the application is gone."""
    sut, task = opened(bench), bench.task(ORDERS)
    kubernetes.operator.goes_on.clear()
    try:
        handle = sut.submit(task)
        time.sleep(1.0)
        sut.cancel(handle)
    finally:
        kubernetes.operator.goes_on.set()
    wait_until(lambda: name_of(handle) in kubernetes.operator.submitted, "the operator is late")
    time.sleep(3.0)
    assert kubernetes.kubelet.log(NAMESPACE, f"{name_of(handle)}-driver") is None, "its program was never started"
    assert bench.rows() == list(OLD_ROWS)
    with pytest.raises(NotFoundError, match="was cancelled"):
        sut.poll(handle, 0.0)
    late = opened(bench)
    assert late.submit(task) == handle
    assert gone(kubernetes, f"{APPLICATIONS}/{name_of(handle)}"), "a late submission does not begin"


def test_stopping_returns_only_when_the_driver_pod_is_gone(
    kubernetes: Kubernetes, bench: Bench, opened: Callable[[Bench], Backend]
) -> None:
    sut = opened(bench)
    handle = sut.submit(bench.task(_ENDLESS, SinkMode.OVERWRITE))
    wait_until(lambda: state_of(kubernetes, handle) == "RUNNING", "it runs")
    pod = f"{name_of(handle)}-driver"
    assert kubernetes.kubelet.log(NAMESPACE, pod) is not None
    sut.cancel(handle)
    assert gone(kubernetes, f"{PODS}/{pod}")
    assert gone(kubernetes, f"{APPLICATIONS}/{name_of(handle)}")
    fence = kubernetes.plane.admin.get(f"{MAPS}/{name_of(handle)}")
    assert not fence.get("data")
    assert resources.CANCELLED in fence["metadata"]["annotations"]
    assert outcome_of(sut, handle, 10) is None, "the table is asked"


def test_a_node_that_does_not_answer_is_no_stopped_job(
    kubernetes: Kubernetes, bench: Bench, opened: Callable[[Bench], Backend]
) -> None:
    """The pod stays as the API server knows it, since nobody confirms its end."""
    values = {**bench.settings.values["sk8"], "cancel_timeout_s": 1.0}
    impatient = evolve(bench, settings=evolve(bench.settings, values={**bench.settings.values, "sk8": values}))
    sut = opened(impatient)
    kubernetes.operator.goes_on.clear()
    handle = sut.submit(impatient.task(ORDERS))
    pod = pod_elsewhere(name_of(handle))
    kubernetes.plane.create(PODS, pod)
    try:
        with pytest.raises(TransientError, match="was told to end and has not yet"):
            sut.cancel(handle)
    finally:
        kubernetes.plane.admin.delete(f"{PODS}/{pod['metadata']['name']}", {"gracePeriodSeconds": 0})
    sut.cancel(handle)


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


# What goes wrong on the cluster


def test_a_driver_pod_that_dies_without_a_word_is_a_lost_attempt(
    kubernetes: Kubernetes, bench: Bench, opened: Callable[[Bench], Backend]
) -> None:
    sut = opened(bench)
    handle = sut.submit(bench.task(_ENDLESS, SinkMode.OVERWRITE))
    pod = f"{name_of(handle)}-driver"
    wait_until(lambda: state_of(kubernetes, handle) == "RUNNING", "it runs")
    kubernetes.kubelet.lose(NAMESPACE, pod)
    wait_until(lambda: state_of(kubernetes, handle) == "FAILED", "the operator sees it")
    with pytest.raises(NotFoundError, match="ExitCode: 137, Reason: OOMKilled"):
        sut.poll(handle, 0.0)
    sut.cancel(handle)
    assert bench.rows() == list(OLD_ROWS)


def test_an_application_that_the_operator_cannot_submit_fails_with_its_words(
    kubernetes: Kubernetes, plain: Bench, opened: Callable[[Bench], Backend]
) -> None:
    sut = opened(plain)
    kubernetes.operator.refusal = "exceeded quota: pods=0"
    handle = sut.submit(plain.task(ORDERS))
    outcome = outcome_of(sut, handle, 30)
    assert outcome is not None
    assert outcome.status is ExecutionStatus.FAILED
    assert "could not submit it" in str(outcome.error)
    assert "exceeded quota: pods=0" in str(outcome.error)
    assert "exceeded quota" in sut.logs(handle)


def test_a_program_that_somebody_has_put_in_place_of_ours_is_not_run(
    kubernetes: Kubernetes, plain: Bench, opened: Callable[[Bench], Backend]
) -> None:
    path = f"{MAPS}/{resources.program_name(job_program())}"
    document = resources.program_map(job_program(), NAMESPACE)
    if not gone(kubernetes, path):
        kubernetes.plane.admin.delete(path, {})
    document["binaryData"]["main.py"] = "cHJpbnQoKQ=="
    kubernetes.plane.create(MAPS, document)
    task = plain.task(ORDERS)
    try:
        with pytest.raises(PermanentError, match="does not hold the job program: somebody has changed it"):
            opened(plain).submit(task)
    finally:
        kubernetes.plane.admin.delete(path, {})
    assert gone(kubernetes, f"{APPLICATIONS}/{resources.attempt_name(task)}")


def test_another_manager_of_the_same_application_is_a_conflict_and_nothing_is_taken_from_it(
    kubernetes: Kubernetes, plain: Bench
) -> None:
    from coreetl_driver.compute.sk8.kubernetes_api import KubernetesApi
    from dcp_core.errors import ConflictError

    task = plain.task(ORDERS)
    document = made(plain, task)
    path = f"{APPLICATIONS}/{resources.attempt_name(task)}"
    kubernetes.operator.goes_on.clear()
    try:
        kubernetes.plane.admin.apply(path, {**document, "spec": {**document["spec"], "image": "theirs"}}, "somebody")
        api = KubernetesApi(kubernetes.plane.kubeconfig("two", kubernetes.plane.token(NAMESPACE, "coreetl-driver")))
        with pytest.raises(ConflictError, match=r'conflict with "somebody".*\.spec\.image'):
            api.apply(path, document, "coreetl-driver")
        api.close()
        assert kubernetes.plane.admin.get(path)["spec"]["image"] == "theirs"
        kubernetes.plane.admin.delete(path, {})
    finally:
        kubernetes.operator.goes_on.set()


# As the driver has it


def test_the_driver_begins_a_lost_attempt_again_and_counts_one_that_had_committed(
    kubernetes: Kubernetes, bench: Bench
) -> None:
    driver = Driver(bench.settings)
    try:
        driver.create_job("lost", ENVIRONMENT, "x", job(bench, _ENDLESS, SinkMode.OVERWRITE), {})
        execution = driver.run_job("lost", ENVIRONMENT)
        first = f"coreetl-{execution.execution_id}-1-driver"
        wait_until(lambda: kubernetes.kubelet.log(NAMESPACE, first) is not None, "it runs")
        kubernetes.kubelet.lose(NAMESPACE, first)
        second = f"coreetl-{execution.execution_id}-2-driver"
        wait_until(lambda: kubernetes.kubelet.log(NAMESPACE, second) is not None, "it runs again")
        (stopped,) = driver.stop_job("lost", ENVIRONMENT)
        assert (stopped.status, stopped.attempt) == (ExecutionStatus.CANCELLED, 2), stopped.error
        assert gone(kubernetes, f"{PODS}/{second}")
        assert bench.rows() == list(OLD_ROWS)

        driver.create_job("kept", ENVIRONMENT, "x", job(bench, ORDERS, SinkMode.APPEND), {})
        kubernetes.kubelet.loses_next = True
        execution = driver.run_job("kept", ENVIRONMENT)
        done = driver.wait(execution.execution_id, 120)
        assert (done.status, done.rows_written, done.attempt) == (ExecutionStatus.SUCCEEDED, 3, 1), done.error
        assert len(bench.rows()) == len(ROWS) + len(OLD_ROWS)
        assert "writing to" in driver.get_logs(execution.execution_id)
    finally:
        driver.close()


def job(bench: Bench, sql: str, mode: SinkMode) -> JobSpec:
    return evolve(bench.task(sql, mode).spec, compute={"backend": "sk8"})
