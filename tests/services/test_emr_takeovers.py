"""Backend ``emr`` where two drivers begin the same attempt, or an answer was lost: it runs once."""

# ruff: noqa: F811  # fixtures of a neighbour

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from coreetl_driver.compute.finding import Backend
from coreetl_driver.testing.bench import OLD_ROWS, ROWS, Bench, outcome_of
from dcp_core.errors import TransientError
from tests.services.emr_shim import Shim
from tests.services.test_emr import (  # noqa: F401  # fixtures
    DONE,
    KEY,
    ORDERS,
    SECRET,
    START,
    Moto,
    bench,
    kind,
    moto,
    rows,
    shim,
    sut,
)

LIST = {"serverless": "ListJobRuns", "step": "ListSteps"}
MANY = 51  # more than a page holds


def test_a_driver_that_stood_still_starts_nothing_any_more(sut: Backend, bench: Bench, shim: Shim, kind: str) -> None:
    task, other, handles = bench.task(ORDERS), bench.driver(), []

    def is_still_its_own() -> bool:
        handles.append(other.get("emr").submit(task))
        return False

    with pytest.raises(TransientError, match=f"execution {task.execution_id} is another driver's now"):
        sut.submit(evolve(task, may_commit=is_still_its_own))
    assert (shim.count(START[kind]), len(shim.jobs)) == (1, 1)
    assert outcome_of(sut, handles[0], 120) == DONE
    assert bench.rows() == rows(*ROWS, *OLD_ROWS)
    other.close()


def test_one_that_stood_still_at_the_last_moment_changes_nothing(
    sut: Backend,
    bench: Bench,
    shim: Shim,
    kind: str,
) -> None:
    """Between its last question and its call another driver has taken the execution over."""
    task, other, handles = bench.task(ORDERS), bench.driver(), []

    def is_its_own_for_now() -> bool:
        handles.append(other.get("emr").submit(task))
        return True

    late = sut.submit(evolve(task, may_commit=is_its_own_for_now))
    shim.wait()
    assert outcome_of(sut, handles[0], 120) == DONE
    assert bench.rows() == rows(*ROWS, *OLD_ROWS)
    if kind == "serverless":
        assert late == handles[0], "the same client token"
        assert len(shim.jobs) == 1
    else:
        first, second = shim.jobs.values()
        assert (first.run.exit_code, second.run.exit_code) == (0, 1)
        assert "the job's specification is not the one that was submitted" in second.run.output
    other.close()


def test_a_job_is_found_among_more_than_one_page_of_others(
    sut: Backend,
    bench: Bench,
    shim: Shim,
    moto: Moto,
    kind: str,
) -> None:
    task = bench.task(ORDERS)
    add_others(moto, kind)
    shim.drop(START[kind])
    with pytest.raises(TransientError):
        sut.submit(task)
    add_others(moto, kind)  # which of them a list begins with is the service's matter
    handle = sut.submit(task)
    assert (shim.count(START[kind]), len(shim.jobs)) == (1, 1)
    assert shim.count(LIST[kind]) > 1
    assert outcome_of(sut, handle, 120) == DONE


def add_others(moto: Moto, kind: str) -> None:
    """Jobs of somebody else, which moto keeps and nobody runs."""
    from boto3 import Session

    client: Any = Session(KEY, SECRET, region_name="us-east-1").client(
        "emr-serverless" if kind == "serverless" else "emr", endpoint_url=moto.url
    )
    for number in range(MANY):
        if kind == "step":
            step = {"Name": f"other-{number}", "HadoopJarStep": {"Jar": "command-runner.jar"}}
            client.add_job_flow_steps(JobFlowId=moto.cluster_id, Steps=[step])
        else:
            driver = {"sparkSubmit": {"entryPoint": "s3://staging/other.py"}}
            role = "arn:aws:iam::123456789012:role/other"
            asked = {"executionRoleArn": role, "jobDriver": driver, "name": f"other-{number}"}
            client.start_job_run(applicationId=moto.application_id, clientToken=str(number), **asked)
    client.close()
