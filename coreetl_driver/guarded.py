"""A driver as one caller sees it: every call is checked against the caller's environments and actions.

Both servers answer through it, so that neither can forget a check.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from attrs import Factory, evolve, frozen

from coreetl_driver.access import Access, Action, Caller
from coreetl_driver.api import CoreETLDriver, Execution, Job, JobSpec
from coreetl_driver.compute.routing import Choice
from coreetl_driver.draining import Draining
from coreetl_driver.upstream import UpstreamTable
from dcp_core.errors import NotFoundError
from dcp_core.settings import Secret

MAX_WAIT_S = 10.0
MAX_LIMIT = 1000
_SLICE_S = 1.0  # how long a waiting call takes to notice that the service ends


class ServedDriver(CoreETLDriver, Protocol):
    """A driver in this process, which can leave out of its lists what a caller may not see."""

    def list_executions(
        self,
        job_id: str | None = None,
        environment: str | None = None,
        limit: int = 100,
        sees: Callable[[str], bool] | None = None,
    ) -> tuple[Execution, ...]:
        """Executions, the newest first; where no environment is named, of those that ``sees`` lets through."""
        ...


@frozen
class Guard:
    """What both servers answer from: nobody gets at the driver but as the caller that a token names."""

    driver: ServedDriver
    access: Access
    draining: Draining = Factory(Draining)

    def admit(self, authorization: str) -> GuardedDriver:
        """The driver as the sender of an ``authorization`` header sees it.

        Raises:
            UnauthenticatedError: Nobody has this token.
        """
        return GuardedDriver(self.driver, self.access.authenticate(authorization), self.draining)


@frozen
class GuardedDriver:
    """Passes on to ``driver`` what ``caller`` may do.

    Errors of every method:
        UnauthorizedError: The caller may not use the environment, or not in this way.
    """

    driver: ServedDriver
    caller: Caller
    draining: Draining

    def create_job(self, job_id: str, environment: str, name: str, spec: JobSpec, labels: Mapping[str, str]) -> Job:
        self.caller.require(Action.WRITE, environment)
        return self.driver.create_job(job_id, environment, name, spec, labels)

    def update_job(
        self, job_id: str, environment: str, spec: JobSpec, labels: Mapping[str, str], expected_version: int | None
    ) -> Job:
        self.caller.require(Action.WRITE, environment)
        return self.driver.update_job(job_id, environment, spec, labels, expected_version)

    def delete_job(self, job_id: str, environment: str) -> None:
        self.caller.require(Action.WRITE, environment)
        self.driver.delete_job(job_id, environment)

    def get_job(self, job_id: str, environment: str) -> Job:
        self.caller.require(Action.READ, environment)
        return self.driver.get_job(job_id, environment)

    def list_jobs(self, environment: str | None, job_ids: Sequence[str] | None) -> tuple[Job, ...]:
        self.caller.require(Action.READ, environment)
        jobs = self.driver.list_jobs(environment, job_ids)
        return tuple(job for job in jobs if self.caller.may(Action.READ, job.environment))

    def run_job(
        self,
        job_id: str,
        environment: str,
        params: Mapping[str, str],
        idempotency_key: str | None,
        user_token: str | None,
    ) -> Execution:
        self.caller.require(Action.RUN, environment)
        self.draining.require_open()
        return self.driver.run_job(
            job_id,
            environment,
            params=params,
            idempotency_key=idempotency_key,
            user_token=Secret(user_token) if user_token else None,
            user=self.caller.name,  # never what the request says: whoever has a token could be anybody
        )

    def explain_run(self, job_id: str, environment: str) -> Choice:
        self.caller.require(Action.READ, environment)
        return self.driver.explain_run(job_id, environment)

    def get_upstream(self, job_id: str, environment: str, at: datetime.datetime | None) -> tuple[UpstreamTable, ...]:
        """Whoever may read the job may know of the tables that it reads, as the job does; not who fills them."""
        self.caller.require(Action.READ, environment)
        return tuple(
            table
            if table.environment is None or self.caller.may(Action.READ, table.environment)
            else evolve(table, job_id=None)
            for table in self.driver.get_upstream(job_id, environment, at)
        )

    def stop_job(
        self, job_id: str, environment: str, user_token: str | None, execution_id: str | None
    ) -> tuple[Execution, ...]:
        self.caller.require(Action.RUN, environment)
        token = Secret(user_token) if user_token else None
        return self.driver.stop_job(
            job_id, environment, user_token=token, user=self.caller.name, execution_id=execution_id
        )

    def get_execution(self, execution_id: str, wait_s: float = 0.0) -> Execution:
        execution = self._visible(execution_id)
        if not wait_s > 0 or execution.status.is_final:  # what is no number is not waited for
            return execution
        deadline = time.monotonic() + min(wait_s, MAX_WAIT_S)
        with self.draining.waiting() as may_wait:
            while may_wait and not (execution.status.is_final or self.draining.has_begun):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                execution = self.driver.wait(execution_id, min(left, _SLICE_S))
        return execution

    def list_executions(self, job_id: str | None, environment: str | None, limit: int) -> tuple[Execution, ...]:
        self.caller.require(Action.READ, environment)
        wanted = min(limit if limit > 0 else 100, MAX_LIMIT)
        # What may not be seen is left out by the registry: it must not take the place of what may.
        return self.driver.list_executions(job_id, environment, wanted, partial(self.caller.may, Action.READ))

    def get_logs(self, execution_id: str) -> str:
        self._visible(execution_id)
        return self.driver.get_logs(execution_id)

    def _visible(self, execution_id: str) -> Execution:
        self.caller.require(Action.READ)
        execution = self.driver.get_execution(execution_id)
        if not self.caller.may(Action.READ, execution.environment):  # as if it were not there: its id tells nothing
            raise NotFoundError(f"there is no execution {execution_id!r}")
        return execution
