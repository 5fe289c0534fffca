"""Running and stopping a job as its user: the user's token goes to the driver when it is needed, and only then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, Unpack

from coreetl_driver.api import CoreETLDriver, Execution
from coreetl_driver.compute.routing import TOKEN_NEEDED
from dcp_core.errors import TransientError, UnauthorizedError
from dcp_core.settings import Secret


class How(TypedDict):
    """What ``run_job`` is told, the token apart."""

    params: Mapping[str, str]
    idempotency_key: str
    user: str


def run_with_tokens(
    driver: CoreETLDriver, tokens: Mapping[str, Secret], job_id: str, environment: str, **how: Unpack[How]
) -> Execution:
    """``driver.run_job``, again with the token of the backend where the job goes if that acts as the user.

    Args:
        tokens: Of the user, by backend.

    Raises:
        UnauthorizedError: The backend acts as the user, and there is no token for it.
        DcpError: As ``run_job``.
    """
    try:
        return driver.run_job(job_id, environment, **how)
    except UnauthorizedError as error:
        if error.code != TOKEN_NEEDED:
            raise
        needed = error
    backend = driver.explain_run(job_id, environment).backend
    token = tokens.get(backend)
    if not token:
        raise UnauthorizedError(
            needed.message,
            where=needed.where,
            hint=f"set {backend.upper()}_TOKEN, or name another variable in dcp.toml: [credentials] {backend}",
            code=TOKEN_NEEDED,
        )
    return driver.run_job(job_id, environment, user_token=token, **how)


def stop_with_tokens(
    driver: CoreETLDriver,
    tokens: Mapping[str, Secret],
    job_id: str,
    environment: str,
    user: str,
    execution_id: str | None = None,
) -> tuple[Execution, ...]:
    """``driver.stop_job``, again with the user's token where something cannot be ended without it.

    Args:
        tokens: Of the user, by backend.
        execution_id: Which one; None for all that is running of the job.

    Returns:
        What was stopped, each final.

    Raises:
        TransientError: Something still runs. It ends as soon as its backend can be told so.
    """
    stopped = {each.execution_id: each for each in driver.stop_job(job_id, environment, execution_id=execution_id)}
    for backend in {each.backend for each in stopped.values() if not each.status.is_final} & set(tokens):
        token = tokens[backend]
        again = driver.stop_job(job_id, environment, user_token=token, user=user, execution_id=execution_id)
        stopped |= {each.execution_id: each for each in again}
    for each in stopped.values():
        if not each.status.is_final:
            why = f": {each.error}" if each.error else ""
            raise TransientError(f"execution {each.execution_id} of job {job_id} cannot be stopped yet{why}")
    return tuple(stopped.values())
