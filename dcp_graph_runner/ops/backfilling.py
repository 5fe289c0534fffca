"""Backfill: the intervals of a schedule between two moments, one after the other, each once.

Which interval was run how is told by the platform's own executions, never by a memory of the backfill's: each carries
its interval among its parameters. The idempotency key of an interval's run names the execution that it comes after. So
a backfill that crashed and is repeated, and two that run at once, start the same execution, and the platform starts it
once. One that runs what has succeeded (``completed``) cannot tell its own successes by that; its keys name the backfill
too, and one that did not come to its end is gone on with.

Source: design.md section 9; Airflow documentation, "Backfill", reprocess behavior.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.digests import digest_of
from dcp_core.errors import InvalidSpecError, NotSupportedError, UsageError
from dcp_core.intervals import Interval, shifted
from dcp_core.model import Resource
from dcp_core.records import Execution, OperationStatus
from dcp_graph_runner.ops.intervals_run import MOST_PARALLEL, Job, run_all
from dcp_graph_runner.ops.manifests import Applied, of_primitive
from dcp_graph_runner.ops.messages import BackfillAnswer, BackfillRequest, BackfillRow, Reprocess
from dcp_graph_runner.ops.running import FAILED, RunKey, check_runnable, executions_of

BACKFILL = "backfill"
FUTURE = "it has not ended yet"
RUNS = "it runs now"


def backfill(dcp: ControlPlane, request: BackfillRequest) -> BackfillAnswer:
    """Run what is missing; a dry run only says what that is. The first failure ends it, unless it is to keep going.

    Raises:
        NotFoundError: It is not applied there.
        NotSupportedError: Its runs are for no interval, or nobody can be asked to start them.
        UsageError: It has nothing of that primitive.
        InvalidSpecError: There are more intervals than anybody means.
        UnauthorizedError: Denied; recorded.
        TransientError: The platform is down.
    """
    if not 1 <= request.max_parallel <= MOST_PARALLEL:
        raise UsageError(f"1 to {MOST_PARALLEL} runs at once, not {request.max_parallel}")
    if request.start >= request.end:
        raise UsageError(f"the backfill ends at {request.end.isoformat()}, not after its start")
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    with applied.deed(BACKFILL, is_dry=request.dry_run) as deed:
        resource, intervals = _intervals(applied, applied.runnable, request)
        only: tuple[Resource, ...] = ()
        if request.primitive:  # whose dates are the job's: where that has none, each run would do the same
            only = of_primitive(applied.id, applied.resources, request.primitive)
            resource, intervals = _intervals(applied, only, request)
        check_runnable(applied)
        jobs = [attrs.evolve(each, only=only) for each in _jobs(applied, resource, intervals, request)]
        rows, status = [each.row for each in jobs], OperationStatus.SUCCEEDED
        if not request.dry_run and any(each.row.wanted for each in jobs):
            deed.begin()
            # Whatever ends it in the middle, the record has what was run until then.
            ran: dict[datetime, BackfillRow] = {}
            try:
                status = run_all(applied, jobs, request, ran)
            finally:
                rows = [ran.get(each.start, each) for each in rows]
                deed.actions = tuple(_line(each) for each in rows if each.wanted)
            deed.outcome = status
            deed.message = next((each.error for each in rows if each.wanted and each.error), None) or ""
    told = "" if request.dry_run else status.value
    return BackfillAnswer(applied.environment.name, applied.id, resource.name, told, tuple(rows))


def _intervals(
    applied: Applied, resources: Sequence[Resource], request: BackfillRequest
) -> tuple[Resource, tuple[Interval, ...]]:
    """Those of the first resource that runs for any; its executions tell what was run."""
    hook = applied.dcp.registry.primitive
    for resource in resources:
        found = hook(
            resource.kind, "get_intervals", resource=resource, start=request.start, end=request.end, ctx=applied.ctx
        )
        if found:
            return resource, tuple(found)
        if _has_any(applied, resource, request.end):
            raise UsageError(
                f"no interval of {applied.id} lies between {request.start.isoformat()} and {request.end.isoformat()}"
            )
    if resources and not resources[0].runnable:
        raise NotSupportedError(f"{resources[0].kind} {resources[0].name} runs for no interval")
    raise NotSupportedError(
        f"a run of {applied.id} is for no interval: no parameter of its job has dates of the run",
        hint="`pretzel ops start` runs it",
    )


def _has_any(applied: Applied, resource: Resource, end: datetime) -> bool:
    """Whether it runs for intervals at all: ten years have one of any schedule."""
    ask = applied.dcp.registry.primitive
    try:
        start = shifted(end, timedelta(days=-3660))
        return bool(ask(resource.kind, "get_intervals", resource=resource, start=start, end=end, ctx=applied.ctx))
    except InvalidSpecError:  # more than can be listed
        return True


def _jobs(
    applied: Applied, resource: Resource, intervals: Sequence[Interval], request: BackfillRequest
) -> tuple[Job, ...]:
    executions = executions_of(applied, resource)
    last: dict[Interval, Execution] = {}
    for each in executions:  # the newest first
        interval = Interval.told(each.params)
        if interval is not None:
            last.setdefault(interval, each)
    name, done = "", frozenset[Interval]()
    now = applied.ctx.clock()
    if request.reprocess is Reprocess.COMPLETED:
        past = [each for each in intervals if each.end <= now]
        name, done = _unfinished(applied, resource, past, request, executions)
    return tuple(_job(each, last.get(each), request, name, each in done, now, resource) for each in intervals)


def _job(
    interval: Interval,
    last: Execution | None,
    request: BackfillRequest,
    name: str,
    is_done: bool,
    now: datetime,
    resource: Resource,
) -> Job:
    row = BackfillRow(interval.start, interval.end)
    key = RunKey(BACKFILL, _key_id(name, interval, last.id if last else "-"))
    if last is not None:
        row = attrs.evolve(
            row,
            before=last.status.value,
            execution_id=last.id,
            status=last.status.value,
            rows_written=last.rows_written,
            error=last.error,
        )
    if interval.end > now:
        return Job(attrs.evolve(row, why=FUTURE), key)
    if last is None:
        return Job(attrs.evolve(row, wanted=True), key)
    if not last.status.is_final:
        # Ours, of a process that may be gone: the same key gives the same execution, and it is waited for.
        ours = RunKey.told(last.idempotency_key, BACKFILL, resource)
        return Job(attrs.evolve(row, wanted=ours is not None, why="" if ours else RUNS), ours or key)
    if last.status in FAILED:
        wanted = request.reprocess is not Reprocess.NONE
        return Job(attrs.evolve(row, wanted=wanted, why="" if wanted else "it was run: --reprocess failed"), key)
    if request.reprocess is Reprocess.COMPLETED and not is_done:
        return Job(attrs.evolve(row, wanted=True), key)
    why = "this backfill has run it, before it was interrupted" if is_done else "it was run: --reprocess completed"
    return Job(attrs.evolve(row, why=why), key)


def _unfinished(
    applied: Applied,
    resource: Resource,
    intervals: Sequence[Interval],
    request: BackfillRequest,
    executions: Sequence[Execution],
) -> tuple[str, frozenset[Interval]]:
    """The name of this backfill, and what of it is done already: an earlier one that came not to its end is it."""
    asked = digest_of([applied.in_force.digest, request.start.isoformat(), request.end.isoformat()])[-12:]
    own = applied.dcp.caller.request_id
    ours: dict[str, set[Interval]] = {}
    for each in executions:
        key, interval = RunKey.told(each.idempotency_key, BACKFILL, resource), Interval.told(each.params)
        found = re.match(r"([^/]+)/", key.id) if key else None
        if found and interval and each.status == "SUCCEEDED":
            ours.setdefault(found[1], set()).add(interval)
    if own:
        return own, frozenset(ours.get(own, ()))
    numbers = [int(name.rpartition(".")[2]) for name in ours if name.startswith(f"{asked}.")]
    number = max(numbers, default=0)
    done = ours.get(f"{asked}.{number}", set())
    if number == 0 or done >= set(intervals):
        return f"{asked}.{number + 1}", frozenset()
    return f"{asked}.{number}", frozenset(done)


def _key_id(name: str, interval: Interval, after: str) -> str:
    params: Mapping[str, str] = interval.to_params()
    text = "/".join(params.values())
    return f"{name}/{text}/after {after}" if name else f"{text}/after {after}"


def _line(row: BackfillRow) -> str:
    return f"RUN {row.start.isoformat()}/{row.end.isoformat()} {row.status or 'SKIPPED'}"
