"""Runs of a DAG as executions: begun once for a key, told as the core tells them, stopped.

Source: design.md section 11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256

from attrs import evolve, frozen

from coreetl_driver.run_dates import run_interval
from dcp_core.errors import ConflictError, InvalidSpecError, NotFoundError
from dcp_core.intervals import END, RESERVED, START, Interval, parse_moment
from dcp_core.model import Resource
from dcp_core.records import Execution, ExecutionStatus
from dcp_core.settings import masked
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.views import Run
from dcp_primitives.airflow.spec import KIND, schedule_of

BACKEND = "airflow"
REACHABLE = 1000
"""How many of a DAG's runs, the newest first, are looked through at most."""
_STATUSES = {
    "queued": ExecutionStatus.PENDING,
    "running": ExecutionStatus.RUNNING,
    "success": ExecutionStatus.SUCCEEDED,
    "failed": ExecutionStatus.FAILED,
}
_ALIVE = ("queued", "running")
_BAD = ("failed", "upstream_failed")
# Airflow's [scheduler] allowed_run_id_pattern, and the column's length with room for what it adds.
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_.~:+-]")
_MAX_RUN_ID = 200
_BEGUN = "begun by DCP as "


@frozen
class Runs:
    """The runs of one DAG.

    Args:
        service: Of which Airflow.
        resource: Which DAG.
    """

    service: AirflowService
    resource: Resource

    def begin(self, params: Mapping[str, str], idempotency_key: str) -> Execution:
        """Begin a run; the same key again gives the same one, for as long as Airflow keeps it.

        One for an interval is due at its end, as one of the schedule: the task hands that to the driver with the start
        among its parameters.

        Raises:
            InvalidSpecError: The parameters name an interval, and it is none.
            NotFoundError: Airflow has no such DAG.
            ConflictError: It is paused in Airflow, where a run would wait until it is not.
            PermanentError: It cannot be run: an import error, parameters that it does not take.
            TransientError: Airflow cannot be reached.
        """
        Interval.told(params)  # one that is none is refused here, and not by the task
        name, run_id = self.resource.name, run_id_of(idempotency_key)
        begun = self.service.run(name, run_id)
        if begun is None:
            view = self.service.dags([name]).get(name)
            if view is None or view.is_stale:
                why = (
                    "has not read it, or its file is gone"
                    if view is None or not view.has_import_errors
                    else "has an import error"
                )
                raise NotFoundError(f"Airflow cannot run DAG {name}: it {why}", hint="`pretzel plan` says more")
            if view.is_paused:
                raise ConflictError(
                    f"DAG {name} is paused in Airflow, where its runs would wait",
                    hint=f"`pretzel ops resume {self.resource.manifest_id}` lets them begin",
                )
            due = parse_moment(params[END]) if END in params else None
            begun = self.service.trigger(name, run_id, params, f"{_BEGUN}{idempotency_key}", due)
        if begun is None:
            raise NotFoundError(f"Airflow has no DAG {name} by now", hint="`pretzel plan` says more")
        return self._told(begun)

    def stop(self, who: str) -> tuple[Execution, ...]:
        """End all that is not final; a task that a worker has is told to end.

        Raises:
            TransientError: Airflow cannot be reached.
        """
        alive = self.service.runs(self.resource.name, REACHABLE, _ALIVE)
        ended = (self.service.fail(self.resource.name, each.id, each.stop_note(f"for {who}")) for each in alive)
        return tuple(self._told(each) for each in ended if each is not None)

    def find(self, run_id: str | None) -> Execution | None:
        """One of them, or the newest that is not final; None when there is none."""
        if run_id is None:
            alive = self.service.runs(self.resource.name, 1, _ALIVE)
            return self._told(alive[0]) if alive else None
        found = self.service.run(self.resource.name, run_id)
        return None if found is None else self._told(found, explained=True)

    def listed(self, limit: int, before: str | None) -> tuple[Execution, ...]:
        """The newest first, whoever began them; each with what it is for among its parameters.

        Raises:
            NotFoundError: ``before`` is not among the newest ones.
        """
        found = self.service.runs(self.resource.name, limit if before is None else REACHABLE)
        if before is not None:
            position = next((index for index, each in enumerate(found) if each.id == before), None)
            if position is None:
                raise NotFoundError(
                    f"run {before} is not among the newest {REACHABLE} of {self.resource.name}",
                    hint="list them from the start again",
                )
            found = found[position + 1 :]
        return tuple(self._with_interval(each) for each in found[:limit])

    def logs(self, run_id: str) -> str:
        """What all tries of all its tasks said; values that are called like secrets are blotted out.

        What was said stays as it is when more comes: whoever follows it is told the new part alone.

        Raises:
            NotFoundError: The DAG has no such run.
        """
        name = self.resource.name
        if self.service.run(name, run_id) is None:
            raise NotFoundError(f"{name} has no run {run_id}")
        parts = []
        for task in self.service.tasks(name, run_id):
            for number in range(1, task.try_number + 1):
                title = task.id if task.map_index < 0 else f"{task.id}[{task.map_index}]"
                said = self.service.log(name, run_id, task, number)
                lines = (masked("", line) for line in said.splitlines(keepends=True))
                parts.append(f"--- {title}, try {number}\n{''.join(lines)}")
        return "".join(parts)

    def _with_interval(self, run: Run) -> Execution:
        told = self._told(run)
        given = {name: value for name, value in told.params.items() if name not in RESERVED}
        return evolve(told, params={**given, **interval_of(run, schedule_of(self.resource))})

    def _told(self, run: Run, *, explained: bool = False) -> Execution:
        status = _STATUSES.get(run.state, ExecutionStatus.RUNNING)
        stopped = run.stopped if status is ExecutionStatus.FAILED else None
        error = stopped
        if status is ExecutionStatus.FAILED and stopped is None:
            error = self._why(run) if explained else "a task failed"
        return Execution(
            id=run.id,
            resource=self.resource.key,
            environment=self.resource.environment,
            status=ExecutionStatus.CANCELLED if stopped else status,
            backend=BACKEND,
            error=error,
            params={str(name): str(value) for name, value in run.conf.items()},
            idempotency_key=_key(run),
            created_at=run.queued_at or run.run_after,
            started_at=run.started_at,
            finished_at=run.finished_at,
        )

    def _why(self, run: Run) -> str:
        bad = [each.id for each in self.service.tasks(self.resource.name, run.id) if each.state in _BAD]
        logs = f"`pretzel metadata logs {self.resource.manifest_id} --primitive {KIND} --execution {run.id}`"
        return f"task {', '.join(bad)} failed; {logs} shows what it said" if bad else "somebody set it to failed"


def run_id_of(idempotency_key: str) -> str:
    """An id that Airflow takes; different for different keys."""
    made = _NOT_ALLOWED.sub("~", idempotency_key)
    if made == idempotency_key and len(made) <= _MAX_RUN_ID:
        return made
    return f"{made[: _MAX_RUN_ID - 13]}~{sha256(idempotency_key.encode()).hexdigest()[:12]}"


def interval_of(run: Run, schedule: str | None) -> dict[str, str]:
    """What the driver makes a run's interval of what the DAG's task hands it (``interval_of`` of the template).

    Args:
        run: Whoever began it.
        schedule: The job's, in UTC; None for whole days.

    Returns:
        Its two parameters; {} of a run that is for no interval, which the driver refuses.
    """
    given = {name: str(run.conf[name]) for name in RESERVED if name in run.conf}
    start, end = run.interval_start, run.interval_end or run.run_after
    if end is None:
        return {}
    given[END] = end.isoformat()
    if start is not None and start < end:
        given[START] = start.isoformat()
    try:
        return run_interval(given, schedule, end).to_params()
    except InvalidSpecError:  # begun by hand in Airflow
        return {}


def _key(run: Run) -> str | None:
    """What it was begun with; None of one that somebody else began, or whose note is about something else by now."""
    key = run.note.removeprefix(_BEGUN)
    return key if key != run.note and run_id_of(key) == run.id else None
