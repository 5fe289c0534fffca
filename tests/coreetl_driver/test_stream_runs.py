"""Runs of a stream as the driver has them: one at a time, told by their keys, and what a stop has kept of their end."""

from __future__ import annotations

import queue
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver import Column, Execution, ExecutionStatus, SourceTopic
from coreetl_driver.compute import worker_attempts
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


@pytest.fixture
def streaming(project: Project) -> Iterator[Driver]:
    """A driver that has the job; nobody is at the address of its broker."""
    broker = {"kafka": {"bootstrap_servers": ["127.0.0.1:1"]}}
    driver = Driver(evolve(project.settings, values={**project.settings.values, **broker}))
    source = SourceTopic(f"{ENVIRONMENT}__views", dead_letter_table="dd.daily_dead")
    spec = project.spec("", mode="append", kind="stream", source=source, columns=[Column("order_id", "string")])
    driver.create_job(JOB, ENVIRONMENT, "Views", spec, {})
    yield driver
    driver.close()


def test_who_asks_again_for_a_run_that_has_ended_gets_it_while_another_one_goes_on(
    project: Project, streaming: Driver
) -> None:
    ended = recorded(project, ExecutionStatus.SUCCEEDED, "monday")
    going = recorded(project, ExecutionStatus.RUNNING)
    with held(going):
        assert streaming.run_job(JOB, ENVIRONMENT, idempotency_key="monday").execution_id == ended
        for key in (None, "tuesday"):
            with pytest.raises(ConflictError, match=f"runs already: execution {going}"):
                streaming.run_job(JOB, ENVIRONMENT, idempotency_key=key)
        registry = JobRegistry(f"sqlite:///{project.settings.state}/coreetl.db")
        registry.change(going, None, status=ExecutionStatus.SUCCEEDED.value)
        registry.close()


class Worker:
    """In the place of a worker's process: its session is open, and what it says then is put into ``answers``."""

    fails_when_stopped = False
    answers: queue.Queue[dict[str, Any]]

    def __init__(self, *_of: Any, **_more: Any) -> None:
        self.owner = Owner.current()
        Worker.answers = queue.Queue()
        self.answers.put({"ok": True})

    def send(self, request: Mapping[str, Any]) -> None:
        if request.get("op") == "finish" and self.fails_when_stopped:
            self.answers.put(REFUSED)

    def answer(self, timeout_s: float) -> dict[str, Any]:
        try:
            return self.answers.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None

    def kill(self) -> None:
        """It is no process."""


REFUSED = {"ok": False, "error": "the last commit was refused"}


@pytest.mark.parametrize("was_asked", [True, False], ids=["while it is ended", "before it hears of the stop"])
def test_a_stream_that_fails_while_it_is_stopped_says_why(
    project: Project, streaming: Driver, monkeypatch: pytest.MonkeyPatch, *, was_asked: bool
) -> None:
    monkeypatch.setattr(worker_attempts, "WorkerProcess", Worker)
    monkeypatch.setattr(Worker, "fails_when_stopped", was_asked)
    execution = streaming.run_job(JOB, ENVIRONMENT)
    if was_asked:
        streaming.stop_job(JOB, ENVIRONMENT)
    else:
        registry = JobRegistry(f"sqlite:///{project.settings.state}/coreetl.db")
        registry.change(execution.execution_id, None, stop_requested=True)
        registry.close()
        Worker.answers.put(REFUSED)
    ended = streaming.wait(execution.execution_id, 30)
    assert (ended.status, ended.error) == (ExecutionStatus.CANCELLED, "the last commit was refused")
