"""The executions that a DAG has begun: ended with its runs.

A task that waits deferred is not told when its run is ended; nobody would end its job.
"""

from __future__ import annotations

from coreetl_driver.user_tokens import stop_with_tokens
from dcp_core.context import Context
from dcp_core.errors import TransientError
from dcp_core.model import Resource
from dcp_primitives.airflow.spec import key_prefixes
from dcp_primitives.job_driver import driver_of, was_never_used

_RECENT = 100


def end_jobs(resource: Resource, ctx: Context) -> None:
    """End what the DAG has begun of its job, as a task that is killed would; what others run of it goes on.

    The driver that Airflow asks may be a service of this very project, with no ``url`` in the settings: its registry is
    the one that a driver in this process has.

    Raises:
        TransientError: The driver cannot be reached, or an execution cannot be ended yet; the others are.
    """
    if was_never_used(ctx):
        return
    job_id = str(resource.spec["job_id"])
    driver = driver_of(ctx)
    recent = driver.list_executions(job_id, resource.environment, limit=_RECENT)
    # The key of each try is made of the DAG's name and the run's id.
    begun = [each for each in recent if (each.idempotency_key or "").startswith(key_prefixes(resource.name))]
    unended: list[TransientError] = []
    for each in begun:
        if not each.status.is_final:
            name = each.execution_id
            ctx.log.info("ending execution %s of job %s, which DAG %s has begun", name, job_id, resource.name)
            try:
                stop_with_tokens(driver, ctx.credentials, job_id, resource.environment, ctx.user, name)
            except TransientError as error:  # the others are told all the same
                unended.append(error)
    if unended:
        raise unended[0]
