"""One operation from its lease to its audit record: check, stop, act, resume, record.

The same code runs a new operation and one that a crashed process left behind; the journal tells them apart.

Source: design.md section 7.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import attrs

from dcp_core import applying
from dcp_core.context import Context
from dcp_core.errors import (
    DcpError,
    LeaseLostError,
    PluginLoadError,
    StalePlanError,
    UnauthorizedError,
    UnknownManifestTypeError,
)
from dcp_core.interfaces import Plugin
from dcp_core.memory_store import MemoryStore
from dcp_core.model import Environment, LogicalPlan, ManifestPlan, Resource
from dcp_core.records import (
    ActionResult,
    AuditRecord,
    AuthorizationRequest,
    Caller,
    Decision,
    Execution,
    Operation,
    OperationStatus,
)
from dcp_core.registry import Registry
from dcp_core.states import check_fresh
from dcp_core.store import Holder, Lease, StateStore

APPLY = "apply"
DESTROY = "destroy"
RUN = "run"
CREATE_PLAYGROUND = "create_playground"
"""What rules are asked before an apply or a run makes the playground that it goes to."""
LEFT = "its process ended before it could record the end: the job may have run to its end, or not"


def new_id(at: datetime) -> str:
    """Ids sort by time and do not collide across machines."""
    return f"op_{at.strftime('%Y%m%dT%H%M%S')}_{secrets.token_hex(6)}"


def id_in_request(request_id: str, manifest_id: str) -> str:
    """The id of a manifest's operation in a server's request: the same again when another replica takes it over.

    So that its executions, which are started with keys made of it, are the same ones, and that its audit record is one.
    """
    mark = hashlib.sha256(f"{request_id} {manifest_id}".encode()).hexdigest()[:12]
    return f"op_{request_id.split('_')[1]}_{mark}"


def new_operation(kind: str, plan: ManifestPlan, user: str, at: datetime, request_id: str = "") -> Operation:
    """One that runs from now on."""
    is_the_only_one = request_id and kind in (APPLY, DESTROY, RUN)
    id = id_in_request(request_id, plan.id) if is_the_only_one else new_id(at)
    return Operation(id, kind, plan, user, created_at=at, request_id=request_id)


def this_process(identity: str) -> Holder:
    """Without a start time: a store that can tell whether a process lives hands in a better one."""
    return Holder(socket.gethostname(), os.getpid(), "", identity)


def nothing_to_do(operation: Operation) -> Operation:
    """The operation of a plan that is all NOOP: it has no id, no lease and no audit record, for nothing happens."""
    results = applying.complete(operation, {}, None)
    return attrs.evolve(operation, id="", status=OperationStatus.SUCCEEDED, results=results)


@attrs.frozen
class Operator:
    """Runs operations.

    Args:
        store: Journal and memory.
        registry: Finds plugins and primitives, tells listeners.
        caller: On whose behalf.
        holder: This process, for leases.
        make_context: The context for an environment, without an executor.
        clock: UTC now.
        sleep: Between tries and polls; may raise KeyboardInterrupt, which ends a wait as Ctrl-C does.
    """

    store: StateStore
    registry: Registry
    caller: Caller
    holder: Holder
    make_context: Callable[[Environment], Context]
    clock: Callable[[], datetime]
    sleep: Callable[[float], None] = time.sleep

    def new(self, kind: str, plan: ManifestPlan) -> Operation:
        """One that runs from now on."""
        return new_operation(kind, plan, self.caller.identity, self.clock(), self.caller.request_id)

    def begin(
        self, operation: Operation, in_force: LogicalPlan | None, others: tuple[LogicalPlan, ...] = ()
    ) -> Operation:
        """Authorize, take the lease, and do it. What refuses it is in the result, with an audit record.

        Args:
            operation: Its plan was found consistent (``ownership``).
            in_force: The version last applied.
            others: Whose resources it names, as ``ownership`` tells.

        Raises:
            LeaseLostError: Another process took it over in the middle; that one records the end.
        """
        try:
            self.authorize(operation, in_force, others)
            lease = self.store.begin(operation, self.holder)
        except LeaseLostError:
            raise
        except DcpError as error:
            return self.refuse(operation, error)
        return self.perform(lease)

    def take_over(self, operation: Operation) -> Operation:
        """Finish what another process left behind.

        Raises:
            OperationInProgressError: Somebody else was faster.
        """
        return self.perform(self.store.take_over(operation.id, self.holder))

    def authorize(
        self, operation: Operation, in_force: LogicalPlan | None, others: tuple[LogicalPlan, ...] = ()
    ) -> None:
        """Ask whether the caller may do an operation; see ``ask``."""
        environment = Environment.named(operation.environment)
        self.ask(operation.kind, environment, operation.plan.logical_plan, in_force, others)

    def ask(
        self,
        operation: str,
        environment: Environment,
        logical_plan: LogicalPlan | None = None,
        in_force: LogicalPlan | None = None,
        others: tuple[LogicalPlan, ...] = (),
    ) -> None:
        """Ask every ``authorize`` hook; fails closed.

        Raises:
            UnauthorizedError: A rule denied, or failed.
        """
        who = self.caller
        if not who.may_enter(environment.name):
            raise UnauthorizedError(f"the token of {who.identity} is not for {environment.name}")
        request = AuthorizationRequest(
            who.identity, operation, environment, logical_plan, in_force, who.groups, others, who.is_system
        )
        try:
            opinions = self.registry.ask("authorize", request=request)
        except DcpError as error:
            raise UnauthorizedError(
                f"an authorization rule failed, which denies: {error.message}", owner=error.owner
            ) from error
        for owner, decision in opinions:
            if decision is not None and not isinstance(decision, Decision):
                raise UnauthorizedError(
                    f"an authorization rule gave {decision!r} and no Decision, which denies",
                    owner=f"{owner}: authorize",
                )
            if decision is not None and decision.allowed is not True:  # "no" is true enough for an if
                rule = f" (rule {decision.rule})" if decision.rule else ""
                raise UnauthorizedError(f"denied: {decision.reason}{rule}", owner=f"{owner}: authorize")

    def denial(
        self,
        operation: str,
        environment: Environment,
        logical_plan: LogicalPlan | None = None,
        in_force: LogicalPlan | None = None,
    ) -> UnauthorizedError | None:
        """What ``ask`` would raise; None when the caller may."""
        try:
            self.ask(operation, environment, logical_plan, in_force)
        except UnauthorizedError as error:
            return error
        return None

    def perform(self, lease: Lease) -> Operation:
        """Everything under the lease; ends with ``finish``, whatever happened."""
        operation = lease.operation
        logical_plan, actions = operation.plan.logical_plan, operation.plan.actions
        ctx = self.make_context(Environment.named(operation.environment))
        entries = self.store.inventory(operation.environment, [operation.manifest_id])
        executor = applying.JournalledExecutor(
            lease,
            self.store,
            self.registry,
            ctx,
            {entry.resource.key: entry.protected for entry in entries},
            self.sleep,
            {entry.resource.key: entry.resource for entry in entries},
            lambda key: next(iter(self.store.inventory(operation.environment, (), [key])), None),
        )
        within = attrs.evolve(ctx, executor=executor)
        status, error = None, None
        self.registry.broadcast("operation_started", operation=operation)
        with applying.renewed(lease, self.store):
            try:
                executor.once("check", lambda: check_fresh(actions, self.registry, ctx, entries))
                if not operation.plan.destroys:
                    self.store.save_logical_plan(logical_plan, operation.id, operation.user, self.clock())
                self._hook(logical_plan, "pre_apply", actions=actions, ctx=within)
                self._hook(logical_plan, "apply", actions=actions, ctx=within)
            except LeaseLostError:
                raise
            except DcpError as failure:
                error = str(failure)
                if isinstance(failure, StalePlanError):
                    status = OperationStatus.REFUSED
            results = applying.complete(operation, executor.results, error)
            try:
                self._hook(logical_plan, "post_apply", results=results, ctx=within)
            except LeaseLostError:
                raise
            except DcpError as failure:
                error = "; ".join(filter(None, [error, f"after the actions: {failure}"]))
            status = status or applying.outcome(results, error)
            audit = self._naming_finisher(self.audit_record(operation, status, results, error))
            finished = self.store.finish(lease, status, results, error, audit)
        self.registry.broadcast("audit", record=audit)
        self.registry.broadcast("operation_finished", operation=finished)
        return attrs.evolve(finished, resumed=tuple(executor.started))

    def take_up(
        self, plan: ManifestPlan, kind: str, in_force: LogicalPlan | None
    ) -> tuple[tuple[Resource, Execution], ...]:
        """What an earlier apply started again and has not ended; its process may be gone, and then it runs here.

        The platform gives the same execution for the same key, so nothing is started twice. Whoever may not apply the
        manifest takes nothing up: interrupting the wait would stop it. Nor is what is endless, which nobody waits for.
        """
        environment = Environment.named(plan.logical_plan.environment)
        ctx = self.make_context(environment)
        found: list[tuple[Resource, Execution]] = []
        for action in plan.actions:
            resource = action.resource
            if not resource.runnable or action.actual is None:
                continue
            last = self.registry.primitive(resource.kind, "get_status", resource=resource, execution_id=None, ctx=ctx)
            if last is None or last.status.is_final or last.is_endless:
                continue
            key = last.idempotency_key
            if key is not None and key.startswith(f"{APPLY}:"):
                if not found and self.denial(kind, environment, plan.logical_plan, in_force) is not None:
                    return ()
                execution = self.registry.primitive(
                    resource.kind, "start", resource=resource, params=last.params, idempotency_key=key, ctx=ctx
                )
                found.append((resource, execution))
        return tuple(found)

    def wait(self, operation: Operation) -> tuple[Execution, ...]:
        """Until what it started again is final; what is endless is told as it stands. Holds no lock: it may be stopped.

        Raises:
            KeyboardInterrupt: After stopping what was waited for.
        """
        journal = MemoryStore(self.clock)
        lease = journal.begin(operation, self.holder)
        ctx = self.make_context(Environment.named(operation.environment))
        executor = applying.JournalledExecutor(lease, journal, self.registry, ctx, {}, self.sleep)
        try:
            return tuple(
                executor.look(resource, each) if each.is_endless else executor.wait(resource, each)
                for resource, each in operation.resumed
            )
        except KeyboardInterrupt:
            self._stop([resource for resource, each in operation.resumed if not each.is_endless], ctx)
            raise

    def run(
        self, operation: Operation, params: Mapping[str, str], journal: StateStore, only: Sequence[Resource] = ()
    ) -> tuple[Execution, ...]:
        """Run a manifest's jobs. Holds no lock: a later apply may stop them.

        Args:
            operation: Of kind ``run``; its plan has no actions.
            params: Values for the manifest's parameters.
            journal: One of its own, in memory: the platform remembers executions by their idempotency keys.
            only: Start these, one after the other; () for what the plugin's ``run`` starts.

        Raises:
            UnauthorizedError: Denied; recorded.
            DcpError: The run could not be started or watched; recorded.
        """
        # What holds until something better is known: a second Ctrl-C may come between any two lines.
        status, error = OperationStatus.FAILED, LEFT
        executions: tuple[Execution, ...] = ()
        executor: applying.JournalledExecutor | None = None
        ctx = self.make_context(Environment.named(operation.environment))
        try:
            ids = [operation.manifest_id]
            self.authorize(operation, self.store.logical_plans(operation.environment, ids).get(operation.manifest_id))
            lease = journal.begin(operation, self.holder)
            executor = applying.JournalledExecutor(lease, journal, self.registry, ctx, {}, self.sleep)
            ahead = self.audit_record(operation, OperationStatus.FAILED, (), LEFT)
            with applying.announced(ahead, self.holder, self.store):
                self.registry.broadcast("operation_started", operation=operation)
                if only:
                    executions = tuple(executor.wait(each, executor.start(each, params)) for each in only)
                else:
                    of, within = operation.plan.logical_plan, attrs.evolve(ctx, executor=executor)
                    told = self.registry.plugin(of.plugin_type, "run", logical_plan=of, params=params, ctx=within)
                    executions = tuple(told)
            failed = [each.error or each.status for each in executions if each.status != "SUCCEEDED"]
            status, error = applying.outcome_of_run(executions), failed[0] if failed else ""
            return executions
        except DcpError as failure:
            error = str(failure)
            status = OperationStatus.REFUSED if isinstance(failure, UnauthorizedError) else OperationStatus.FAILED
            raise
        except KeyboardInterrupt:
            # Said before stopping, which takes its time and may be interrupted itself.
            error, status = "interrupted", OperationStatus.CANCELLED
            # Nobody waits for it any more; left alone, the next run would find it lost and run it once more.
            self._stop(executor.begun if executor else [], ctx)
            raise
        except BaseException as failure:
            error, status = f"{type(failure).__name__}: {failure}", OperationStatus.FAILED
            raise
        finally:
            record = self.audit_record(operation, status, (), error)
            rows = [f"RUN {each.resource.name} {each.status}" for each in executions]
            record = attrs.evolve(record, actions=tuple(rows))
            self.store.append_audit(record)
            self.registry.broadcast("audit", record=record)
            self.registry.broadcast(
                "operation_finished",
                operation=attrs.evolve(operation, status=status, error=error or None, finished_at=self.clock()),
            )

    def audit_record(
        self, operation: Operation, status: OperationStatus, results: tuple[ActionResult, ...], error: str | None
    ) -> AuditRecord:
        """The operation as the audit log has it."""
        return AuditRecord(
            operation.id,
            operation.kind,
            operation.manifest_id,
            operation.environment,
            operation.user,
            status,
            operation.plan.logical_plan.digest,
            tuple(f"{result.label} {result.key.name} {result.status}" for result in results),
            self.clock(),
            error or "",
        )

    def _naming_finisher(self, record: AuditRecord) -> AuditRecord:
        """With who has ended what somebody else's process left, where that is not the one who began it."""
        if record.user == self.caller.identity:
            return record
        finisher = f"finished by {self.caller.identity}"
        return attrs.evolve(record, message="; ".join(filter(None, (record.message, finisher))))

    def refuse(self, operation: Operation, error: DcpError) -> Operation:
        """Record an operation that never began; nothing was changed."""
        results = applying.complete(operation, {}, str(error))
        record = self.audit_record(operation, OperationStatus.REFUSED, results, str(error))
        self.store.append_audit(record)
        self.registry.broadcast("audit", record=record)
        words = f"{error}; {error.hint}" if error.hint else str(error)
        return attrs.evolve(
            operation, status=OperationStatus.REFUSED, results=results, error=words, finished_at=self.clock()
        )

    def _stop(self, resources: Sequence[Resource], ctx: Context) -> None:
        for resource in resources:
            try:
                self.registry.primitive(resource.kind, "stop", resource=resource, ctx=ctx)
            except DcpError as error:
                ctx.log.warning("%s could not be stopped: %s", resource.name, error)

    def _hook(self, logical_plan: LogicalPlan, hook: str, **arguments: object) -> None:
        """The plugin's hook; the framework's own when the plugin is no longer installed (destroying needs none)."""
        try:
            self.registry.plugin(logical_plan.plugin_type, hook, logical_plan=logical_plan, **arguments)
        except (UnknownManifestTypeError, PluginLoadError):
            getattr(Plugin(), hook)(logical_plan, *arguments.values())
