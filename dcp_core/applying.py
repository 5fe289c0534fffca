"""Runs a plan's actions step by step against a journal, and finishes what a crash left behind.

Every step is written ahead: *started*, then *done* with its result. A step found started may have happened;
its resource is read again and only what is missing is done. Platform changes happen nowhere else.

Source: design.md section 7.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs

from dcp_core.context import LOG, Context
from dcp_core.digests import JsonValue
from dcp_core.documents import from_json, to_json
from dcp_core.errors import ConflictError, DcpError, LeaseLostError, NotFoundError, TransientError
from dcp_core.graph import levels, without_circles
from dcp_core.model import Action, ActionKind, Resource, ResourceKey, State
from dcp_core.planning import PROTECTED, owner_of, protection_against
from dcp_core.records import (
    ActionResult,
    AuditRecord,
    Execution,
    ExecutionStatus,
    InventoryEntry,
    Operation,
    OperationStatus,
    ResultStatus,
)
from dcp_core.registry import Registry
from dcp_core.store import Holder, InventoryChange, Journal, Lease, StepStatus, Store

RENEW_S = 10.0
POLL_S = 0.25
MAX_TRIES = 5
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
PARALLEL_ACTIONS = 8
T = TypeVar("T")
_BAD = (ResultStatus.FAILED, ResultStatus.SKIPPED, ResultStatus.BLOCKED)


@attrs.define
class JournalledExecutor:
    """Implements ``context.Executor`` for one operation.

    Args:
        lease: The right to work on it.
        journal: Where steps are written ahead.
        registry: Finds the primitives.
        ctx: Handed to the primitives; it must not hold this executor (primitives do not nest).
        protected: What the inventory protects, by resource.
        sleep: Waits that many seconds; handed in so that tests never sleep.
        recorded: What the inventory has, by resource; brought up to date where only its place among others changed.
        entry_now: Reads what the inventory has of a resource by now: it may be protected since the operation began.
    """

    lease: Lease
    journal: Journal
    registry: Registry
    ctx: Context
    protected: Mapping[ResourceKey, bool] = attrs.Factory(dict)
    sleep: Callable[[float], None] = time.sleep
    recorded: Mapping[ResourceKey, Resource] = attrs.Factory(dict)
    entry_now: Callable[[ResourceKey], InventoryEntry | None] = lambda key: None
    results: dict[ResourceKey, ActionResult] = attrs.Factory(dict)
    started: list[tuple[Resource, Execution]] = attrs.Factory(list)
    begun: list[Resource] = attrs.Factory(list)
    _starts: dict[ResourceKey, int] = attrs.Factory(dict)

    def execute(self, actions: Sequence[Action]) -> tuple[ActionResult, ...]:
        """Wanted resources in dependency order, then deletions in reverse order; see ``Executor.execute``."""
        wanted = [action for action in actions if not _deletes(action)]
        unwanted = [action for action in actions if _deletes(action)]
        needs = {action.resource.key: set(action.resource.depends_on) for action in wanted}
        self._phase(wanted, needs)
        dependents: dict[ResourceKey, set[ResourceKey]] = {action.resource.key: set() for action in unwanted}
        for action in unwanted:
            for need in action.resource.depends_on:
                dependents.setdefault(need, set()).add(action.resource.key)
        self._phase(unwanted, without_circles(tuple(dependents), dependents))
        return tuple(self.results[action.resource.key] for action in actions)

    def stop(self, resource: Resource) -> tuple[Execution, ...]:
        """What runs is noted in a step of its own first: after a crash, a stopped job looks idle."""
        observed = self.once(f"observe:{resource.key}", lambda: self._observe(resource))
        if observed["execution"] is None:
            return ()
        stopped = self.once(
            f"stop:{resource.key}",
            lambda: to_json(self.registry.primitive(resource.kind, "stop", resource=resource, ctx=self.ctx)),
        )
        return tuple(from_json(each, Execution) for each in stopped)

    def start(self, resource: Resource, params: Mapping[str, str]) -> Execution:
        """Once for each call in order, by an idempotency key of the operation.

        A step that is done is asked for again: the key gives the same execution, and a driver that lives in this
        process takes it up when the process that started it is gone.
        """
        number = self._starts[resource.key] = self._starts.get(resource.key, 0) + 1
        key = f"start:{resource.key}:{number}"
        of = self.lease.start_key or f"{self.lease.operation.kind}:{self.lease.operation.id}"
        step = self.journal.start_step(self.lease, key)
        self.begun.append(resource)
        execution = self._retried(
            lambda: self.registry.primitive(
                resource.kind,
                "start",
                resource=resource,
                params=dict(params),
                idempotency_key=f"{of}:{key}",
                ctx=self.ctx,
            )
        )
        if step.status is not StepStatus.DONE:
            self.journal.finish_step(self.lease, key, StepStatus.DONE, to_json(execution))
        self.started.append((resource, execution))
        started: Execution = execution
        return started

    def wait(self, resource: Resource, execution: Execution) -> Execution:
        """Polls until the execution is final."""
        while not (found := self.look(resource, execution)).status.is_final:
            self.sleep(POLL_S)
        return found

    def look(self, resource: Resource, execution: Execution) -> Execution:
        """As it stands now; tells the listeners."""
        found: Execution | None = self._retried(
            lambda: self._primitive(resource, "get_status", execution_id=execution.id)
        )
        if found is None:
            raise NotFoundError(f"{resource.name} knows nothing of its execution {execution.id}")
        self.registry.broadcast("execution_changed", operation=self.lease.operation, execution=found)
        return found

    def stopped(self) -> tuple[tuple[Resource, Execution], ...]:
        """From the journal, so that it holds after a crash too."""
        return tuple(
            (from_json(step.result["resource"], Resource), from_json(step.result["execution"], Execution))
            for key, step in self.journal.steps(self.lease).items()
            if key.startswith("observe:") and step.status is StepStatus.DONE and step.result["execution"] is not None
        )

    def _phase(self, actions: Sequence[Action], needs: Mapping[ResourceKey, Iterable[ResourceKey]]) -> None:
        by_key = {action.resource.key: action for action in actions}
        for group in levels(tuple(by_key), needs):
            todo = []
            for key in group:
                failed = [need for need in needs.get(key, ()) if self._is_bad(need)]
                settled = _settled(by_key[key], failed)
                if settled is not None:
                    self._record(by_key[key])
                    self.results[key] = settled
                else:
                    todo.append(by_key[key])
            if len(todo) > 1:
                with ThreadPoolExecutor(PARALLEL_ACTIONS) as pool:
                    self.results.update({result.key: result for result in pool.map(self._perform, todo)})
            elif todo:
                self.results[todo[0].resource.key] = self._perform(todo[0])

    def _is_bad(self, key: ResourceKey) -> bool:
        return key in self.results and self.results[key].status in _BAD

    def _record(self, action: Action) -> None:
        key = action.resource.key
        if action.kind is ActionKind.NOOP and self.recorded.get(key, action.resource) != action.resource:
            step = self.journal.start_step(self.lease, f"record:{key}")
            if step.status is StepStatus.STARTED:
                change = self._inventory_change(action)
                self.journal.finish_step(self.lease, step.key, StepStatus.DONE, None, [change])

    def _perform(self, action: Action) -> ActionResult:
        """One action, once: from *started* to *done* with the inventory changed in the same transaction."""
        resource = action.resource
        key = f"action:{resource.key}"
        step = self.journal.start_step(self.lease, key)
        if step.status is not StepStatus.STARTED:
            return from_json(step.result, ActionResult)
        self.registry.broadcast("action_started", operation=self.lease.operation, action=action)
        status, error, code = ResultStatus.SUCCEEDED, None, None
        try:
            self._change_with_retries(action, maybe_done=not step.is_new)
        except LeaseLostError:
            raise
        except DcpError as failure:
            LOG.debug("%s failed", action.label, exc_info=True)
            status = ResultStatus.BLOCKED if failure.code == PROTECTED else ResultStatus.FAILED
            error, code = _in_words(failure), failure.code
        result = ActionResult(resource.key, action.label, status, error, code)
        ended = StepStatus.DONE if status is ResultStatus.SUCCEEDED else StepStatus.FAILED
        inventory = [self._inventory_change(action)] if ended is StepStatus.DONE else []
        self.journal.finish_step(self.lease, key, ended, to_json(result), inventory)
        self.registry.broadcast("action_finished", operation=self.lease.operation, action=action, result=result)
        return result

    def _change_with_retries(self, action: Action, *, maybe_done: bool) -> None:
        reread = maybe_done

        def once() -> None:
            nonlocal reread
            # A change that failed half-way counts as one that may have happened.
            again, reread = reread, True
            self._change(action, again)

        self._retried(once)

    def _change(self, action: Action, reread: bool) -> None:
        resource, desired, actual = action.resource, action.desired, action.actual
        if reread:
            actual = self._primitive(resource, "get_actual_state")
            _check_owner(action, actual)
        if _deletes(action):
            if actual is not None:
                self._check_unprotected(action)
                self._primitive(resource, "delete")
            return
        assert desired is not None, "only a deletion has no desired state"
        if actual is None:
            if not reread and action.kind is not ActionKind.CREATE:
                raise ConflictError(f"{resource.name} is gone", where=str(resource.key))
            self._primitive(resource, "create", desired=desired)
        elif action.kind is ActionKind.REPLACE and self._differs(resource, desired, actual):
            self._check_unprotected(action)
            self._primitive(resource, "delete")
            self._primitive(resource, "create", desired=desired)
        elif actual.owner != desired.owner or self._differs(resource, desired, actual):
            self._check_unprotected(action)
            self._primitive(resource, "update", desired=desired, actual=actual)

    def _check_unprotected(self, action: Action) -> None:
        """Right before what may lose data, and before each try: the plan's word on it may be an old one."""
        protection = protection_against(action, self.entry_now(action.resource.key))
        if protection is not None:
            raise ConflictError(protection, where=str(action.resource.key), code=PROTECTED)

    def _differs(self, resource: Resource, desired: State, actual: State) -> bool:
        return bool(
            self.registry.primitive(resource.kind, "compare", resource=resource, desired=desired, actual=actual)
        )

    def _primitive(self, resource: Resource, hook: str, **arguments: object) -> Any:
        return self.registry.primitive(resource.kind, hook, resource=resource, ctx=self.ctx, **arguments)

    def _inventory_change(self, action: Action) -> InventoryChange:
        resource = action.resource
        if _deletes(action):
            return InventoryChange(resource.environment, resource.key, None)
        kept = self.protected.get(resource.key, False)
        entry = InventoryEntry(
            resource,
            kept if resource.protect is None else resource.protect,
            action.desired.digest if action.desired else "",
            self.lease.operation.plan.logical_plan.digest,
        )
        return InventoryChange(resource.environment, resource.key, entry)

    def _observe(self, resource: Resource) -> dict[str, object]:
        running = self._primitive(resource, "get_status", execution_id=None)
        alive = running is not None and not running.status.is_final
        return {"resource": to_json(resource), "execution": to_json(running) if alive else None}

    def once(self, key: str, make: Callable[[], JsonValue]) -> JsonValue:
        """``make``'s result from the journal when it is there, else made, with retries, and recorded."""
        step = self.journal.start_step(self.lease, key)
        if step.status is StepStatus.DONE:
            return step.result
        made = self._retried(make)
        self.journal.finish_step(self.lease, key, StepStatus.DONE, made)
        return made

    def _retried(self, call: Callable[[], T]) -> T:
        """Try again on ``TransientError``, with exponential backoff and jitter; at most ``MAX_TRIES`` times."""
        for number in range(1, MAX_TRIES + 1):
            try:
                return call()
            except TransientError as error:
                if number == MAX_TRIES:
                    raise
                backoff_s = min(FIRST_BACKOFF_S * 2 ** (number - 1), MAX_BACKOFF_S) * random.uniform(0.5, 1.0)
                LOG.info("try %d of %d: %s", number, MAX_TRIES, error)
                self.sleep(error.retry_after_s if error.retry_after_s is not None else backoff_s)
        raise AssertionError("unreachable: the last try returns or raises")


@contextmanager
def renewed(lease: Lease, journal: Journal) -> Iterator[None]:
    """Keep the lease alive in the background. A lost lease shows at the next step, which is fenced."""
    with _repeated(lambda: journal.renew(lease), RENEW_S, lease.operation.id):
        yield


@contextmanager
def announced(record: AuditRecord, holder: Holder, store: Store) -> Iterator[None]:
    """Have ``record`` written ahead, and keep it announced until the block ends; who calls appends what came of it."""

    def announce() -> None:
        store.announce_audit(record, holder)

    announce()
    with _repeated(announce, RENEW_S, record.operation_id):
        yield


@contextmanager
def _repeated(call: Callable[[], None], every_s: float, operation_id: str) -> Iterator[None]:
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every_s):
            try:
                call()
            except LeaseLostError:
                return
            except DcpError as error:
                LOG.warning("cannot renew the lease of %s: %s", operation_id, error)

    thread = threading.Thread(target=repeat, name=f"renew {operation_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def outcome(results: Sequence[ActionResult], error: str | None = None) -> OperationStatus:
    """SUCCEEDED when nothing went wrong; PARTIAL when something did and something was done; else FAILED."""
    if error is None and not any(result.status in _BAD for result in results):
        return OperationStatus.SUCCEEDED
    done = any(result.status is ResultStatus.SUCCEEDED for result in results)
    return OperationStatus.PARTIAL if done else OperationStatus.FAILED


def outcome_of_run(executions: Sequence[Execution]) -> OperationStatus:
    """FAILED when one of them did; CANCELLED when one was stopped and none failed."""
    statuses = {each.status for each in executions}
    if statuses <= {ExecutionStatus.SUCCEEDED}:
        return OperationStatus.SUCCEEDED
    stopped = statuses <= {ExecutionStatus.SUCCEEDED, ExecutionStatus.CANCELLED}
    return OperationStatus.CANCELLED if stopped else OperationStatus.FAILED


def complete(
    operation: Operation, results: Mapping[ResourceKey, ActionResult], error: str | None
) -> tuple[ActionResult, ...]:
    """A result for every action of the plan, in its order; what was never reached is SKIPPED."""
    return tuple(
        results.get(action.resource.key)
        or _settled(action, ())
        or ActionResult(action.resource.key, action.label, ResultStatus.SKIPPED, error)
        for action in operation.plan.actions
    )


def _settled(action: Action, failed: Sequence[ResourceKey]) -> ActionResult | None:
    """The result of an action that changes nothing, or that must not be tried."""
    key, label = action.resource.key, action.label
    if action.kind is ActionKind.NOOP:
        return ActionResult(key, label, ResultStatus.NOOP)
    if action.kind is ActionKind.BLOCKED:
        return ActionResult(key, label, ResultStatus.BLOCKED, action.message, action.reason)
    if failed:
        return ActionResult(key, label, ResultStatus.SKIPPED, f"{failed[0].name} was not done", "skipped")
    return None


def _check_owner(action: Action, actual: State | None) -> None:
    """After a crash or a failed try: the mark is ours, or still the one that the plan saw; else hands off."""
    resource = action.resource
    expected = {owner_of(resource), action.actual.owner if action.actual else owner_of(resource)}
    if actual is not None and actual.owner not in expected:
        raise ConflictError(
            f"{resource.name} was created or taken over by somebody else meanwhile", where=str(resource.key)
        )


def _deletes(action: Action) -> bool:
    return action.kind is ActionKind.DELETE or action.wants is ActionKind.DELETE


def _in_words(error: DcpError) -> str:
    words = error.message
    if error.owner and error.code == "plugin.bug":
        return words
    return f"{words}; {error.hint}" if error.hint else words
