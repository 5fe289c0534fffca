"""Executions of a CoreETL job as the core has them: one, all of them, what they logged.

Source: design.md section 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from attrs import define, evolve, field

from coreetl_driver import api
from coreetl_driver.macros import resolve_all
from coreetl_driver.stream_specs import dead_letters_in, is_continuous
from dcp_core.context import Context
from dcp_core.errors import DcpError, NotFoundError
from dcp_core.intervals import Interval
from dcp_core.model import PRODUCTION, Resource
from dcp_core.records import Execution, ExecutionStatus
from dcp_core.settings import masked

REACHABLE = 1000
"""How many of a job's executions, the newest first, a driver lists at most."""


def execution_of(resource: Resource, execution: api.Execution) -> Execution:
    """One, without its parameters: who starts it again gives those of then."""
    return Execution(
        id=execution.execution_id,
        resource=resource.key,
        environment=execution.environment,
        status=ExecutionStatus(execution.status.value),
        backend=execution.backend,
        rows_written=execution.rows_written,
        error=_explained(resource, execution.error),
        idempotency_key=execution.idempotency_key,
        created_at=execution.created_at,
        started_at=execution.started_at,
        finished_at=execution.finished_at,
        is_endless=resource.spec.get("kind") == "stream" and is_continuous(execution.params),
    )


def with_params(resource: Resource, execution: api.Execution) -> Execution:
    """One with all that it runs with, defaults included."""
    return evolve(execution_of(resource, execution), params=execution.params)


@define
class DeadLetters:
    """Says of a stream that was started here, once it has ended, how many messages it could not read."""

    _started: set[str] = field(factory=set)

    def started(self, resource: Resource, execution: Execution) -> None:
        """Of anything else than a stream there is nothing to say."""
        if resource.spec.get("kind") == "stream":
            self._started.add(execution.id)

    def tell(self, resource: Resource, execution: Execution, driver: api.CoreETLDriver, ctx: Context) -> None:
        """Once for each; a log that cannot be read says nothing of them, and fails nobody."""
        if not execution.status.is_final or execution.id not in self._started:
            return
        self._started.discard(execution.id)
        try:
            count = dead_letters_in(driver.get_logs(execution.id))
        except DcpError as error:
            ctx.log.debug("the log of %s cannot be read: %s", execution.id, error)
            return
        if count:
            words = "1 dead letter" if count == 1 else f"{count} dead letters"
            table = cast(Mapping[str, str], resource.spec["source"])["dead_letter_table"]
            ctx.log.warning("%s: %s in %s, messages that could not be read", resource.name, words, table)


def running(resource: Resource, driver: api.CoreETLDriver) -> Execution | None:
    """The one that runs now; None when nothing does.

    Without the parameters that had their defaults: a new version of the job may have others.
    """
    recent = driver.list_executions(resource.name, resource.environment, limit=20)
    found = next((each for each in recent if not each.status.is_final), None)
    if found is None:
        return None
    defaults = driver.get_job(resource.name, resource.environment).spec.params
    interval = Interval.told(found.params)
    if interval is not None:
        defaults = resolve_all(defaults, interval)
    given = {name: value for name, value in found.params.items() if defaults.get(name) != value}
    return evolve(execution_of(resource, found), params=given)


def listed(resource: Resource, limit: int, before: str | None, driver: api.CoreETLDriver) -> tuple[Execution, ...]:
    """The newest first; of a driver that pages nothing by itself, so no more than ``REACHABLE`` in all.

    Raises:
        NotFoundError: ``before`` is not among them.
        TransientError: The driver cannot be reached.
    """
    found = driver.list_executions(
        resource.name, resource.environment, limit=min(limit, REACHABLE) if before is None else REACHABLE
    )
    if before is not None:
        position = next((index for index, each in enumerate(found) if each.execution_id == before), None)
        if position is None:
            raise NotFoundError(
                f"execution {before} is not among the newest {REACHABLE} of {resource.name}",
                hint="list them from the start again",
            )
        found = found[position + 1 :]
    return tuple(with_params(resource, each) for each in found[:limit])


def logs(resource: Resource, execution_id: str, driver: api.CoreETLDriver) -> str:
    """What it logged; ``password=…`` and the passwords of addresses are blotted out, whoever printed them.

    Raises:
        NotFoundError: The job has no such execution.
        TransientError: The driver cannot be reached.
    """
    found = driver.get_execution(execution_id)
    if (found.job_id, found.environment) != (resource.name, resource.environment):
        raise NotFoundError(f"{resource.name} has no execution {execution_id}")
    # Line by line: an address with a password has no line break, and one of two lines is two.
    return "".join(masked("", line) for line in driver.get_logs(execution_id).splitlines(keepends=True))


def _explained(resource: Resource, error: str | None) -> str | None:
    """The engine's words, and what to do when a playground's job misses a table that may be in the playground."""
    reads_production = not resource.spec.get("read_overlay") and resource.environment != PRODUCTION
    if error is None or "does not exist" not in error or not reads_production:
        return error
    return f"{error} in production; where it is in your playground, apply and run with --reads overlay"
