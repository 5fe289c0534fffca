"""How an attempt begins and is watched, whatever the network, the server and the credentials do."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from attrs import evolve

from coreetl_driver.api import ExecutionStatus, SinkMode
from coreetl_driver.compute.artifacts import job_program
from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.compute.sk8.kubernetes_api import KubernetesApi
from coreetl_driver.testing.bench import OLD_ROWS, ROWS, Bench, outcome_of
from dcp_core.errors import ConflictError, PermanentError, TransientError, UnauthorizedError
from tests.services.kubernetes.bench import (
    APPLICATIONS,
    ENVIRONMENT,
    MAPS,
    NAMESPACE,
    ORDERS,
    PODS,
    Kubernetes,
    by_way_of,
    gone,
    made,
    name_of,
    section,
    state_of,
    succeeded,
    wait_until,
)
from tests.services.kubernetes.faults import Fault, Faults


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
    outcome = outcome_of(sut, handle, 600)
    assert outcome is not None
    assert (outcome.status, outcome.rows_written) == (ExecutionStatus.SUCCEEDED, 3), sut.logs(handle)
    assert bench.rows() == sorted((*ROWS, OLD_ROWS[1]), key=lambda row: (row["order_id"], row["qty"]))
    application = kubernetes.plane.admin.get(f"{APPLICATIONS}/{name_of(handle)}")
    assert application["spec"]["driver"]["memory"] == "768m"


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
    with pytest.raises(UnauthorizedError, match=r"cannot create resource.*configmaps.*default") as no:
        opened(other).submit(other.task(ORDERS))
    assert "compute-kubernetes.md" in str(no.value.hint)


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
