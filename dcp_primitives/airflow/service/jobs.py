"""The executions that a DAG has begun: ended with its runs.

A task that waits deferred is not told when its run is ended; nobody would end its job.
"""

from __future__ import annotations

from coreetl_driver.user_tokens import stop_with_tokens
from dcp_core.context import Context
from dcp_core.model import Resource
from dcp_primitives.airflow.spec import key_prefixes
from dcp_primitives.job_driver import driver_of, was_never_used

_RECENT = 100


def end_jobs(resource: Resource, ctx: Context) -> None:
    """End what runs of the DAG's job when the DAG has begun some of it, as a task that is killed would.

    The driver that Airflow asks may be a service of this very project, with no ``url`` in the settings: its registry is
    the one that a driver in this process has.

    Raises:
        TransientError: The driver cannot be reached, or the execution cannot be ended yet.
    """
    if was_never_used(ctx):
        return
    job_id = str(resource.spec["job_id"])
    driver = driver_of(ctx)
    recent = driver.list_executions(job_id, resource.environment, limit=_RECENT)
    # The key of each try is made of the DAG's name and the run's id.
    begun = [each for each in recent if (each.idempotency_key or "").startswith(key_prefixes(resource.name))]
    if any(not each.status.is_final for each in begun):
        ctx.log.info("ending what DAG %s has begun of job %s", resource.name, job_id)
        stop_with_tokens(driver, ctx.credentials, job_id, resource.environment, ctx.user)
