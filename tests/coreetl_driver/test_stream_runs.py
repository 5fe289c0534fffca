"""One run of a stream at a time, and who asks for the same run again is told of that one."""

from __future__ import annotations

import uuid

import pytest
from attrs import evolve

from coreetl_driver import Column, Execution, ExecutionStatus, SourceTopic
from coreetl_driver.driver import Driver
from coreetl_driver.holding import held
from coreetl_driver.job_registry import JobRegistry
from coreetl_driver.owners import Owner
from dcp_core.errors import ConflictError
from tests.coreetl_driver.conftest import ENVIRONMENT, Project

JOB = "views_job"


def recorded(project: Project, status: ExecutionStatus, key: str | None = None) -> str:
    """An execution of this process, as another moment has left it."""
    registry = JobRegistry(f"sqlite:///{project.settings.state}/coreetl.db")
    execution = Execution(uuid.uuid4().hex, JOB, 1, ENVIRONMENT, "local", status, idempotency_key=key)
    registry.add_execution(execution, {}, Owner.current())
    registry.close()
    return execution.execution_id


def test_who_asks_again_for_a_run_that_has_ended_gets_it_while_another_one_goes_on(project: Project) -> None:
    broker = {"kafka": {"bootstrap_servers": ["127.0.0.1:1"]}}
    driver = Driver(evolve(project.settings, values={**project.settings.values, **broker}))
    source = SourceTopic(f"{ENVIRONMENT}__views", dead_letter_table="dd.daily_dead")
    spec = project.spec("", mode="append", kind="stream", source=source, columns=[Column("order_id", "string")])
    driver.create_job(JOB, ENVIRONMENT, "Views", spec, {})
    ended = recorded(project, ExecutionStatus.SUCCEEDED, "monday")
    going = recorded(project, ExecutionStatus.RUNNING)
    with held(going):
        assert driver.run_job(JOB, ENVIRONMENT, idempotency_key="monday").execution_id == ended
        for key in (None, "tuesday"):
            with pytest.raises(ConflictError, match=f"runs already: execution {going}"):
                driver.run_job(JOB, ENVIRONMENT, idempotency_key=key)
    driver.close()
