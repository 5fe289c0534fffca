"""How an attempt ends: stopped, lost, or refused by the operator; and what the driver makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver.api import ExecutionStatus, SinkMode
from coreetl_driver.compute.artifacts import job_program, job_specification
from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.compute.sk8.kubernetes_api import KubernetesApi
from coreetl_driver.compute.sk8.spark_runner import SparkRunner
from coreetl_driver.driver import Driver
from coreetl_driver.testing.bench import OLD_ROWS, ROWS, Bench, outcome_of
from dcp_core.errors import NotFoundError, TransientError
from tests.services.kubernetes.bench import (
    APPLICATIONS,
    ENDLESS,
    ENVIRONMENT,
    MAPS,
    NAMESPACE,
    ORDERS,
    PODS,
    Kubernetes,
    gone,
    job,
    made,
    name_of,
    pod_elsewhere,
    state_of,
    wait_until,
)


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


class Meeting(KubernetesApi):
    """A driver that is stopped by another one just when the API server has taken its application."""

    stop: Callable[[], object]

    def apply(self, path: str, document: Mapping[str, Any], manager: str) -> dict[str, Any]:
        made = super().apply(path, document, manager)
        self.stop()
        return made


def test_a_submission_that_meets_a_stop_leaves_the_mark_and_nothing_else(kubernetes: Kubernetes, plain: Bench) -> None:
    """The garbage collector takes a ConfigMap whose application is gone: the mark never has one."""
    plane, task = kubernetes.plane, plain.task(ORDERS)
    file = plane.kubeconfig("meeting", plane.token(NAMESPACE, "coreetl-driver"))
    name, first, second = resources.attempt_name(task), Meeting(file), KubernetesApi(file)
    submitting, stopping = SparkRunner(first, NAMESPACE, 3600), SparkRunner(second, NAMESPACE, 3600)
    first.stop = lambda: stopping.stop(name, 30.0)
    specification = resources.specification_map(task, job_specification(task), NAMESPACE)
    kubernetes.operator.goes_on.clear()
    try:
        for _ in range(2):  # it begins no more afterwards
            submitting.start(made(plain, task), specification, job_program())
            wait_until(lambda: gone(kubernetes, f"{APPLICATIONS}/{name}"), "it is taken back")
        time.sleep(3.0)
    finally:
        kubernetes.operator.goes_on.set()
        first.close()
        second.close()
    fence = plane.admin.get(f"{MAPS}/{name}")
    assert resources.CANCELLED in fence["metadata"]["annotations"]
    assert "ownerReferences" not in fence["metadata"]
    assert not fence.get("data")


def test_stopping_returns_only_when_the_driver_pod_is_gone(
    kubernetes: Kubernetes, bench: Bench, opened: Callable[[Bench], Backend]
) -> None:
    sut = opened(bench)
    handle = sut.submit(bench.task(ENDLESS, SinkMode.OVERWRITE))
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


def test_a_driver_pod_that_dies_without_a_word_is_a_lost_attempt(
    kubernetes: Kubernetes, bench: Bench, opened: Callable[[Bench], Backend]
) -> None:
    sut = opened(bench)
    handle = sut.submit(bench.task(ENDLESS, SinkMode.OVERWRITE))
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


def test_the_driver_begins_a_lost_attempt_again_and_counts_one_that_had_committed(
    kubernetes: Kubernetes, bench: Bench
) -> None:
    driver = Driver(bench.settings)
    try:
        driver.create_job("lost", ENVIRONMENT, "x", job(bench, ENDLESS, SinkMode.OVERWRITE), {})
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
