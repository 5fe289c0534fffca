"""Stop, start and retry: executions of a manifest's jobs as they were last applied.

What is started goes through the plugin's ``run``, as every run does; only the idempotency key is the caller's.

Source: design.md sections 7 and 9.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs

from dcp_core.applying import JournalledExecutor
from dcp_core.control_plane import ControlPlane
from dcp_core.errors import ConflictError, DcpError, NotFoundError, UsageError
from dcp_core.memory_store import MemoryStore
from dcp_core.model import ManifestPlan, Resource
from dcp_core.operating import Operator
from dcp_core.parameters import refuse_secrets
from dcp_core.planner import decompose
from dcp_core.records import Execution, ExecutionStatus
from dcp_core.records import Operation as CoreOperation
from dcp_core.store import Holder, Lease
from dcp_graph_runner.deeds import id_of
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.ops.manifests import Applied, of_primitive
from dcp_graph_runner.ops.messages import (
    RetryAnswer,
    RetryRequest,
    StartAnswer,
    StartRequest,
    StopAnswer,
    StopRequest,
)

RETRY = "retry"
FAILED = (ExecutionStatus.FAILED, ExecutionStatus.CANCELLED)
MOST_EXECUTIONS = 1000


@attrs.frozen
class RunKey:
    """What the idempotency keys of one run are made of, so that the same run again is the same executions.

    Args:
        kind: ``start``, ``retry``, ``backfill``.
        id: Tells one from another.
    """

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @classmethod
    def told(cls, key: str | None, kind: str, resource: Resource) -> RunKey | None:
        """From the key of a resource's first start, as the executor makes it; None for a key of another kind."""
        head, tail = f"{kind}:", f":start:{resource.key}:1"
        if key is None or not (key.startswith(head) and key.endswith(tail)):
            return None
        return cls(kind, key[len(head) : -len(tail)])


class KeyedJournal(MemoryStore):
    """The journal of a run whose idempotency keys are told beforehand; its record and events have their own id."""

    def __init__(self, key: RunKey, operator: Operator) -> None:
        super().__init__(operator.clock)
        self._key = key

    def begin(self, operation: CoreOperation, holder: Holder) -> Lease:
        """See ``Journal.begin``."""
        return attrs.evolve(super().begin(operation, holder), start_key=str(self._key))


class StartingExecutor(JournalledExecutor):
    """Starts, and waits for nothing."""

    def wait(self, resource: Resource, execution: Execution) -> Execution:
        """As it stands."""
        return execution


def stop(dcp: ControlPlane, request: StopRequest) -> StopAnswer:
    """Stop everything that runs of it, and wait until it has stopped; tables are as before or as after.

    Raises:
        NotFoundError: It is not applied there.
        UsageError: It has nothing of that primitive.
        NotSupportedError: Nobody can be asked to stop it; recorded.
        UnauthorizedError: Denied; recorded.
        TransientError: The platform is down.
    """
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    ctx = applied.ctx
    stopped: list[Execution] = []
    with applied.deed("stop") as deed:
        deed.begin()
        for resource in of_primitive(applied.id, applied.resources, request.primitive):
            stopped += dcp.registry.primitive(resource.kind, "stop", resource=resource, ctx=ctx)
        deed.actions = tuple(f"STOP {each.resource.name} {each.id} {each.status}" for each in stopped)
    return StopAnswer(applied.environment.name, applied.id, tuple(stopped))


def start(dcp: ControlPlane, request: StartRequest) -> StartAnswer:
    """Run its jobs; without ``wait`` the answer comes as soon as they are accepted.

    Raises:
        NotFoundError: It is not applied there.
        UnauthorizedError: Denied; recorded.
        ConflictError: A job of it was not made when it was applied.
        InvalidSpecError: A parameter is none of the job's, or has no value.
    """
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    name = request.idempotency_key or dcp.caller.request_id or secrets.token_hex(8)
    key = RunKey("start", f"{applied.id}:{name}")
    if request.primitive:
        executions = begin_resources(applied, key, request.params, request.primitive, wait=request.wait)
    else:
        executions = begin(applied, key, request.params, wait=request.wait)
    return StartAnswer(applied.environment.name, applied.id, executions)


def retry(dcp: ControlPlane, request: RetryRequest) -> RetryAnswer:
    """Run again what failed or was stopped last, with what it ran with.

    The key is made of the failed execution: two who retry the same one start one.

    Raises:
        NotFoundError: It is not applied there, or never ran.
        ConflictError: Nothing of it failed last, or it runs.
        UnauthorizedError: Denied; recorded.
    """
    applied = Applied.find(dcp, request.environment, request.manifest_id)
    with _recording_refusal(applied, RETRY):
        key, params = _retried(applied)
    executions = begin(applied, key, params, wait=request.wait)
    return RetryAnswer(applied.environment.name, applied.id, key.id, executions)


def _retried(applied: Applied) -> tuple[RunKey, Mapping[str, str]]:
    """The key made of what failed last. A retry that runs, or was made for the same request, is taken up."""
    last = [(each, one) for each in applied.runnable for one in executions_of(applied, each, 1)]
    if not last:
        raise NotFoundError(
            f"{applied.id} never ran in {applied.environment.name}", hint=f"`pretzel ops start {applied.id}` runs it"
        )
    for resource, execution in last:
        begun = RunKey.told(execution.idempotency_key, RETRY, resource)
        if begun is not None and (not execution.status.is_final or _is_of_request(applied, execution)):
            return begun, execution.params
    failed = next((execution for _, execution in last if execution.status in FAILED), None)
    if failed is None:
        is_final, status = last[0][1].status.is_final, last[0][1].status
        words = f"its last execution {status}" if is_final else "it runs"
        raise ConflictError(f"there is nothing of {applied.id} to retry: {words}")
    return RunKey(RETRY, failed.id), failed.params


def _is_of_request(applied: Applied, execution: Execution) -> bool:
    """Whether it came after the server's request, which another replica may have begun to work on."""
    _, _, rest = applied.dcp.caller.request_id.partition("_")
    made = rest.partition("_")[0]
    return bool(made) and execution.created_at is not None and f"{execution.created_at:%Y%m%dT%H%M%S}" >= made


def executions_of(applied: Applied, resource: Resource, limit: int = MOST_EXECUTIONS) -> tuple[Execution, ...]:
    """Of one resource, the newest first, whoever started them."""
    found: tuple[Execution, ...] = applied.dcp.registry.primitive(
        resource.kind, "get_executions", resource=resource, limit=limit, before=None, ctx=applied.ctx
    )
    return found


def begin(applied: Applied, key: RunKey, params: Mapping[str, str], *, wait: bool) -> tuple[Execution, ...]:
    """Run the jobs of a manifest with this key; one audit record, of the key's kind.

    Raises:
        UnauthorizedError: Denied; recorded.
        ConflictError: A job was not made when it was applied; recorded.
        UsageError: Several jobs run one after the other, and nobody waits.
        InvalidSpecError: A parameter looks like a secret; recorded.
    """
    with _recording_refusal(applied, key.kind):
        refuse_secrets(params)
    if not wait:
        with applied.deed(key.kind) as deed:
            check_runnable(applied)
            if len(applied.runnable) > 1:
                raise UsageError(f"the jobs of {applied.id} run one after the other", hint="wait for them: --wait")
            deed.begin()
            executions = _started(applied, key, params)
            deed.actions = tuple(f"START {each.resource.name} {each.id} {each.status}" for each in executions)
        return executions
    with _recording_refusal(applied, key.kind):
        applied.check_allowed(key.kind)
        check_runnable(applied)
    operator = applied.dcp.operator
    return operator.run(_operation(applied, key.kind), params, KeyedJournal(key, operator))


def begin_resources(
    applied: Applied, key: RunKey, params: Mapping[str, str], primitive: str, *, wait: bool
) -> tuple[Execution, ...]:
    """Start the resources of one kind, whether or not a run would start them: a DAG, which runs the job in its way.

    Raises:
        UnauthorizedError: Denied; recorded.
        UsageError: It has nothing of that primitive.
        NotSupportedError: The primitive starts nothing; recorded.
        InvalidSpecError: A parameter looks like a secret; recorded.
    """
    with _recording_refusal(applied, key.kind):
        refuse_secrets(params)
    with applied.deed(key.kind) as deed:
        resources = of_primitive(applied.id, applied.resources, primitive)
        deed.begin()
        executor = _executor(applied, key, JournalledExecutor if wait else StartingExecutor)
        executions = tuple(executor.wait(each, executor.start(each, params)) for each in resources)
        deed.actions = tuple(f"START {each.resource.name} {each.id} {each.status}" for each in executions)
    return executions


def _operation(applied: Applied, kind: str) -> CoreOperation:
    """With the id of a deed: whether or not somebody waits, there is one record of it."""
    operation = applied.dcp.operator.new(kind, ManifestPlan(applied.in_force, ()))
    return attrs.evolve(operation, id=id_of(applied.dcp, kind, applied.id))


@contextmanager
def _recording_refusal(applied: Applied, kind: str) -> Iterator[None]:
    """As ``ControlPlane.recording_refusal``, of the operation that would have begun, or had before a take-over."""
    try:
        yield
    except DcpError as error:
        applied.dcp.operator.refuse(_operation(applied, kind), error)
        raise


def _started(applied: Applied, key: RunKey, params: Mapping[str, str]) -> tuple[Execution, ...]:
    within = attrs.evolve(applied.ctx, executor=_executor(applied, key, StartingExecutor))
    of = applied.in_force
    return tuple(applied.dcp.registry.plugin(of.plugin_type, "run", logical_plan=of, params=params, ctx=within))


def _executor(applied: Applied, key: RunKey, kind: type[JournalledExecutor]) -> JournalledExecutor:
    dcp, operator = applied.dcp, applied.dcp.operator
    journal = KeyedJournal(key, operator)
    lease = journal.begin(operator.new(key.kind, ManifestPlan(applied.in_force, ())), current_holder(dcp.identity))
    return kind(lease, journal, dcp.registry, applied.ctx, {}, operator.sleep)


def check_runnable(applied: Applied) -> None:
    """Whether all that a run would start is this manifest's own, as the inventory has it.

    Raises:
        ConflictError: A job was not made when it was applied; one of that name may be another manifest's by now.
        UsageError: Nothing of it runs.
    """
    there = {each.key for each in applied.resources}
    wanted = [each for each in decompose(applied.in_force, applied.dcp.registry) if each.runnable]
    missing = [each.name for each in wanted if each.key not in there]
    if missing:
        raise ConflictError(
            f"{missing[0]} was not made when {applied.id} was applied",
            hint="`pretzel plan` says what it waits for",
        )
    if not wanted:
        raise UsageError(f"{applied.id} has nothing that runs")
