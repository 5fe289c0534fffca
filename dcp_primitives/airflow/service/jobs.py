"""The executions that a DAG has begun: ended with its runs.

A task that waits deferred is not told when its run is ended; nobody would end its job.
"""

from __future__ import annotations

from coreetl_driver import CoreetlSettings, connect
from coreetl_driver.user_tokens import stop_with_tokens
from dcp_core.context import Context
from dcp_core.model import Resource
from dcp_primitives.airflow.spec import key_prefixes

_RECENT = 100


def end_jobs(resource: Resource, ctx: Context) -> None:
    """End what runs of the DAG's job when the DAG has begun some of it, as a task that is killed would.

    A driver in this process is none that Airflow could have asked.

    Raises:
        TransientError: The driver cannot be reached, or the execution cannot be ended yet.
    """
    if not ctx.settings.section("coreetl", CoreetlSettings).url:
        return
    job_id = str(resource.spec["job_id"])
    driver = ctx.shared("coreetl.driver", lambda: connect(ctx.settings))
    recent = driver.list_executions(job_id, resource.environment, limit=_RECENT)
    # The key of each try is made of the DAG's name and the run's id.
    begun = [each for each in recent if (each.idempotency_key or "").startswith(key_prefixes(resource.name))]
    if any(not each.status.is_final for each in begun):
        ctx.log.info("ending what DAG %s has begun of job %s", resource.name, job_id)
        stop_with_tokens(driver, ctx.credentials, job_id, resource.environment, ctx.user)
