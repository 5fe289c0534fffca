"""A driver as one caller sees it: every call is checked against the caller's environments.

Both servers answer through it, so that neither can forget a check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from coreetl_driver.access import Caller
from coreetl_driver.api import CoreETLDriver, Execution, Job, JobSpec
from dcp_core.errors import NotFoundError
from dcp_core.settings import Secret

MAX_WAIT_S = 10.0
MAX_LIMIT = 1000


@frozen
class GuardedDriver:
    """Passes on to ``driver`` what ``caller`` may do.

    Errors of every method:
        UnauthorizedError: The caller may not use the environment.
    """

    driver: CoreETLDriver
    caller: Caller

    def create_job(self, job_id: str, environment: str, name: str, spec: JobSpec, labels: Mapping[str, str]) -> Job:
        self.caller.require(environment)
        return self.driver.create_job(job_id, environment, name, spec, labels)

    def update_job(
        self, job_id: str, environment: str, spec: JobSpec, labels: Mapping[str, str], expected_version: int | None
    ) -> Job:
        self.caller.require(environment)
        return self.driver.update_job(job_id, environment, spec, labels, expected_version)

    def delete_job(self, job_id: str, environment: str) -> None:
        self.caller.require(environment)
        self.driver.delete_job(job_id, environment)

    def get_job(self, job_id: str, environment: str) -> Job:
        self.caller.require(environment)
        return self.driver.get_job(job_id, environment)

    def list_jobs(self, environment: str | None, job_ids: Sequence[str] | None) -> tuple[Job, ...]:
        if environment is not None:
            self.caller.require(environment)
        jobs = self.driver.list_jobs(environment, job_ids)
        return tuple(job for job in jobs if self.caller.may(job.environment))

    def run_job(
        self,
        job_id: str,
        environment: str,
        params: Mapping[str, str],
        idempotency_key: str | None,
        user_token: str | None,
    ) -> Execution:
        self.caller.require(environment)
        return self.driver.run_job(
            job_id,
            environment,
            params=params,
            idempotency_key=idempotency_key,
            user_token=Secret(user_token) if user_token else None,
            user=self.caller.name,  # never what the request says: whoever has a token could be anybody
        )

    def stop_job(self, job_id: str, environment: str) -> tuple[Execution, ...]:
        self.caller.require(environment)
        return self.driver.stop_job(job_id, environment)

    def get_execution(self, execution_id: str, wait_s: float = 0.0) -> Execution:
        execution = self._visible(execution_id)
        return self.driver.wait(execution_id, min(wait_s, MAX_WAIT_S)) if wait_s > 0 else execution

    def list_executions(self, job_id: str | None, environment: str | None, limit: int) -> tuple[Execution, ...]:
        if environment is not None:
            self.caller.require(environment)
        found = self.driver.list_executions(job_id, environment, min(limit if limit > 0 else 100, MAX_LIMIT))
        return tuple(execution for execution in found if self.caller.may(execution.environment))

    def get_logs(self, execution_id: str) -> str:
        self._visible(execution_id)
        return self.driver.get_logs(execution_id)

    def _visible(self, execution_id: str) -> Execution:
        execution = self.driver.get_execution(execution_id)
        if not self.caller.may(execution.environment):  # as if it were not there: its id tells nothing
            raise NotFoundError(f"there is no execution {execution_id!r}")
        return execution
