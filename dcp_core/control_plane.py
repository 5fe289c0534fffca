"""``ControlPlane``: everything DCP does, for programs that embed it; the CLI and the server use nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import attrs

from dcp_core import checking, operating, ownership, recovering
from dcp_core.context import Context, SharedObjects
from dcp_core.credentials import own_credentials
from dcp_core.diagnostics import Diagnostic
from dcp_core.errors import DcpError, InvalidManifestError, UnauthorizedError, UsageError
from dcp_core.loading import Loaded, LoadResult, load
from dcp_core.model import PLAYGROUND_PREFIX, Environment, LogicalPlan, ManifestPlan, Plan, PlanOptions
from dcp_core.parameters import refuse_secrets
from dcp_core.planner import Planner, decompose, one_environment
from dcp_core.records import Caller, Execution, Operation, Preview, Sandbox, TestReport
from dcp_core.registry import EXTENSIONS, STORES, Registry
from dcp_core.running import Runner, RunResult
from dcp_core.sandboxes import IdentitySettings, PlaygroundSettings, ensure_sandbox, find_sandbox, playground_user
from dcp_core.sections import ExtensionSettings, StoreSettings, login_name
from dcp_core.settings import Secret, Settings
from dcp_core.states import check_fresh, first_preview
from dcp_core.store import Holder, StateStore, StoreFactory


class ControlPlane:
    """The façade. Not shared between threads; close it (or use ``with``).

    Args:
        settings: Of the project.
        registry: What is installed.
        caller: Who is working: an identity, or more of it.
        store: By default the one that the settings name, opened on first use.
        clock: UTC now.
        holder: This process, for leases.
        credentials: The caller's own tokens for platforms; ``from_config`` takes this process's.
        shared: What hooks keep between calls, when it outlives this control plane: it is not closed with it.
        sleep: Between tries and polls; may raise KeyboardInterrupt, which ends a wait as Ctrl-C does.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        caller: str | Caller,
        *,
        store: StateStore | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        holder: Holder | None = None,
        credentials: Mapping[str, Secret] | None = None,
        shared: SharedObjects | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.caller = Caller(caller) if isinstance(caller, str) else caller
        self.identity = self.caller.identity
        self.created_sandboxes: list[Sandbox] = []
        self._store = store
        self.clock = clock
        self._holder = holder
        self._credentials = credentials or {}
        self._own_shared = None if shared is not None else SharedObjects()
        self._shared = shared or self._own_shared or SharedObjects()
        self._sleep = sleep
        self._listeners = 0

    @classmethod
    def from_config(
        cls,
        config: Path | str | None = None,
        *,
        identity: str | None = None,
        registry: Registry | None = None,
        store: StateStore | None = None,
    ) -> ControlPlane:
        """For the project of ``config`` (a ``dcp.toml``), by default the one around the working folder.

        Raises:
            SettingsError: The file is wrong, or a required extension is missing.
        """
        settings = Settings.load(config)
        if registry is None:
            required = settings.section("extensions", ExtensionSettings).required
            registry = Registry.from_entry_points(required=required, environ=settings.environ)
        who = identity or settings.section("identity", IdentitySettings).user or login_name()
        return cls(settings, registry, who, store=store, credentials=own_credentials(settings))

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what plugins and primitives keep open, and the store."""
        if self._own_shared is not None:
            self._own_shared.close()
        if self._store is not None:
            self._store.close()

    @property
    def store(self) -> StateStore:
        """Opened on first use.

        Raises:
            SettingsError: No installed store has the URL's scheme.
        """
        if self._store is None:
            kept = self.settings.section("store", StoreSettings)
            factory: StoreFactory = self.registry.get(STORES, kept.scheme)
            self._store = factory(kept.url, self.clock, kept)
        return self._store

    def environment(self, name: str | None = None, *, overlay: bool | None = None) -> Environment:
        """The environment of that name; None means the playground in use, else the identity's own.

        Args:
            name: ``production`` or ``playground_<user>``.
            overlay: Whether reads prefer the playground's own copies; None asks ``[playground] reads``.

        Raises:
            UsageError: No such name can be.
        """
        if name is None:
            chosen = self.store.chosen_sandbox(self.identity) if self._has_store() else None
            name = chosen or PLAYGROUND_PREFIX + playground_user(self.identity)
        if overlay is None:
            overlay = self.settings.section("playground", PlaygroundSettings).reads == "overlay"
        return Environment.named(name, overlay=overlay)

    def context(
        self,
        environment: Environment,
        *,
        options: PlanOptions = PlanOptions(),
        logical_plans: Sequence[LogicalPlan] = (),
        provided: frozenset[str] = frozenset(),
    ) -> Context:
        """What hooks are handed outside an operation.

        Args:
            environment: Where.
            options: What the user allows.
            logical_plans: The manifests of the same call.
            provided: The names of the data that these hold.
        """
        return Context(
            environment,
            self.identity,
            self.settings,
            options,
            self._credentials,
            self.clock,
            registry=self.registry,
            provided=provided,
            logical_plans=tuple(logical_plans),
            is_remote=self.caller.is_remote,
            shared_objects=self._shared,
        )

    def listen(self, listener: object) -> None:
        """Register an object with ``@hookimpl`` event methods, for the life of this control plane."""
        self._listeners += 1
        self.registry.register(EXTENSIONS, f"listener{self._listeners}", listener, "this program")

    def load(
        self, paths: Sequence[Path | str], environment: Environment, manifest_type: str | None = None
    ) -> LoadResult:
        """Every manifest among and below ``paths``; the errors of the invalid ones are in the result."""
        return load(paths, environment, self.registry, self.settings.root, manifest_type)

    def parse(self, path: Path | str, environment: Environment | str | None = None) -> LogicalPlan:
        """One manifest, compiled.

        Raises:
            InvalidManifestError: With every error, located.
        """
        if not isinstance(environment, Environment):
            environment = self.environment(environment)
        result = self.load([path], environment)
        if result.diagnostics:
            raise InvalidManifestError(result.diagnostics)
        if len(result.loaded) != 1:
            raise UsageError(f"{path} holds {len(result.loaded)} manifests; parse takes one, load takes folders")
        return result.loaded[0].logical_plan

    def lint(self, loaded: Sequence[Loaded], environment: Environment) -> tuple[Diagnostic, ...]:
        """The findings of plugins and extensions, located."""
        ctx = self.context_among(loaded, environment)
        found = checking.lint(ctx.logical_plans, self.registry, ctx)
        return tuple(
            each.manifest.locate(finding) for each, findings in zip(loaded, found, strict=True) for finding in findings
        )

    def test(self, loaded: Loaded, environment: Environment, *, among: Sequence[Loaded] = ()) -> TestReport:
        """Check one manifest against an engine and its own test cases, ``among`` others; changes nothing."""
        report = checking.test(loaded.logical_plan, self.registry, self.context_among(among or (loaded,), environment))
        return attrs.evolve(report, diagnostics=tuple(map(loaded.manifest.locate, report.diagnostics)))

    def plan(
        self,
        logical_plans: LogicalPlan | Sequence[LogicalPlan],
        *,
        options: PlanOptions = PlanOptions(),
        folders: Sequence[Path] = (),
        manifest_type: str | None = None,
        environment: Environment | None = None,
    ) -> Plan:
        """Compare desired with actual state; changes nothing.

        Args:
            logical_plans: All of one environment.
            options: What the user allows.
            folders: Manifests applied from these earlier and no longer among ``logical_plans`` are orphans.
            manifest_type: Only manifests of this type count as orphans.
            environment: Needed when there are no logical plans.

        Raises:
            TransientError: A service is down.
            InvalidSpecError: A primitive refuses a specification.
        """
        plans = _sequence(logical_plans)
        environment = environment or one_environment(plans)
        return self._planner().plan(plans, environment, options, folders, manifest_type)

    def plan_destruction(self, environment: Environment, manifest_ids: Sequence[str] | None = None) -> Plan:
        """Delete everything that the inventory has of these manifests (None: of all); readers go first.

        Raises:
            NotFoundError: The inventory has nothing of one of them.
        """
        return self._planner().plan_destruction(environment, manifest_ids)

    def apply(self, plan: Plan, *, kind: str = operating.APPLY) -> tuple[Operation, ...]:
        """Do what the plan says, manifest by manifest; the result of each is in its operation.

        Operations that a crash left behind are finished first and come first in the result. A playground that does
        not exist is created (``created_sandboxes``).

        Raises:
            StalePlanError: A resource or plugin changed after the plan was made; nothing was done but that.
            UnauthorizedError: The playground is somebody else's, or the plan contradicts itself.
            LeaseLostError: Another process took an operation over.
        """
        environment = Environment.named(plan.environment)
        with self.recording_refusal(kind, plan.manifests):
            ownership.check_consistent(plan)
            operations = list(self.recover(environment, [each.id for each in plan.manifests]))
            self._planner().check_versions(plan)
            check_fresh(plan.actions, self.registry, self.context(environment))
            denied = self._ensure_sandbox(environment) if plan.has_changes else None
        in_force, others = ownership.concerned(plan, self.store)
        for each in plan.manifests:
            operation = self.operator.new(kind, each)
            known = in_force.get(each.id)
            # Not only resources are remembered: a new owner, or another place of the file, is a new version.
            same = known is None or attrs.evolve(known, compiled_by=each.logical_plan.compiled_by) == each.logical_plan
            if same and all(action.kind == "noop" for action in each.actions):
                done = operating.nothing_to_do(operation)
                done = attrs.evolve(done, resumed=self.operator.take_up(each, kind, known))
            elif denied is not None:
                done = self.operator.refuse(operation, denied)
            else:
                done = self.operator.begin(operation, known, others[each.id])
            operations.append(done)
        return tuple(operations)

    def wait(self, operations: Sequence[Operation]) -> tuple[Execution, ...]:
        """Wait until what these operations stopped and started again is final; what is endless is given as it is.

        An embedded driver runs them in this process: a program that ends without waiting leaves them to the next
        run of the same job. Interrupting the wait stops those that are waited for.
        """
        operator = self.operator
        waited: dict[str, Execution] = {}
        for operation in operations:
            # What a recovered operation started again, the plan after it finds running.
            left = tuple((resource, each) for resource, each in operation.resumed if each.id not in waited)
            for execution in operator.wait(attrs.evolve(operation, resumed=left)) if left else ():
                waited[execution.id] = execution
        return tuple(waited.values())

    def recover(self, environment: Environment, manifest_ids: Sequence[str] | None = None) -> tuple[Operation, ...]:
        """Finish what crashed processes left behind, but for what somebody else finishes or the caller may not do."""
        self.settle_audit()
        return recovering.finish_interrupted(self.operator, environment.name, manifest_ids)

    def destroy_environment(self, environment: Environment) -> tuple[Operation, ...]:
        """Delete everything in an environment's inventory; finishes interrupted operations first."""
        recovered = self.recover(environment)
        return recovered + self.apply(self.plan_destruction(environment), kind=operating.DESTROY)

    def run(
        self, logical_plans: LogicalPlan | Sequence[LogicalPlan], params: Mapping[str, str] | None = None
    ) -> tuple[RunResult, ...]:
        """Run the applied jobs of these manifests, who is read before who reads; readers of a failed one are skipped.

        What runs is the version last applied; a result whose manifest has changed since says so in ``note``.
        A parameter that looks like a secret is refused, and recorded so.
        """
        plans = _sequence(logical_plans)
        environment = one_environment(plans)
        self.settle_audit()
        runner = Runner(self.operator)
        with self.recording_refusal(operating.RUN, [ManifestPlan(each, ()) for each in plans]):
            refuse_secrets(params or {})
            if runner.has_applied(plans):
                denied = self._ensure_sandbox(environment)
                if denied is not None:
                    raise denied
        return runner.run(plans, params or {})

    def preview(self, logical_plan: LogicalPlan, limit: int = 20) -> Preview | None:
        """Rows of the first resource that has any; None when the manifest keeps no rows.

        Raises:
            NotFoundError: The resource is not there yet.
        """
        ctx = self.context(Environment.named(logical_plan.environment))
        return first_preview(decompose(logical_plan, self.registry), limit, self.registry, ctx)

    def authorize(
        self,
        operation: str,
        environment: Environment,
        logical_plan: LogicalPlan | None = None,
        in_force: LogicalPlan | None = None,
    ) -> None:
        """Ask whether the caller may do something that is no plan's operation: ``read``, ``pause`` …

        Raises:
            UnauthorizedError: A rule denied, or failed.
        """
        self.operator.ask(operation, environment, logical_plan, in_force)

    def settle_audit(self) -> None:
        """Record the runs whose processes are gone; apply, destroy and run do it by themselves."""
        for record in self.store.settle_audit():
            self.registry.broadcast("audit", record=record)

    @contextmanager
    def recording_refusal(self, kind: str, manifests: Sequence[ManifestPlan]) -> Iterator[None]:
        """What is refused before any operation begins, or cannot begin, has its audit records too."""
        try:
            yield
        except DcpError as error:
            self.refuse(kind, manifests, error)
            raise

    def refuse(self, kind: str, manifests: Sequence[ManifestPlan], error: DcpError) -> None:
        """Record that nothing of an operation was done."""
        operator = self.operator
        for each in manifests:
            operator.refuse(operator.new(kind, each), error)

    def context_among(self, loaded: Sequence[Loaded], environment: Environment) -> Context:
        """As ``context``, for hooks that look at one manifest among those that were loaded with it."""
        provided = frozenset(name for each in loaded for name in each.provides)
        return self.context(environment, logical_plans=[each.logical_plan for each in loaded], provided=provided)

    def _ensure_sandbox(self, environment: Environment) -> UnauthorizedError | None:
        """Why the caller may not create it; None when it is there."""
        if self.caller.is_system:
            return None  # DCP works in playgrounds that are there, and never makes one
        if environment.user is not None and find_sandbox(environment, self.store) is None:
            denied = self.operator.denial(operating.CREATE_PLAYGROUND, environment)
            if denied is not None:
                return denied
        ctx = self.context(environment)
        created = ensure_sandbox(environment, self.identity, self.store, self.registry, ctx)
        if created is not None:
            self.created_sandboxes.append(created)
        return None

    @property
    def operator(self) -> operating.Operator:
        """Runs operations; for services that begin some of kinds of their own."""
        holder = self._holder or operating.this_process(self.identity)
        return operating.Operator(self.store, self.registry, self.caller, holder, self.context, self.clock, self._sleep)

    def _has_store(self) -> bool:
        """False in a project where nothing was ever kept: looking must not make its state, nor need to write."""
        return self._store is not None or "store" in self.settings.values or self.settings.state.exists()

    def _planner(self) -> Planner:
        return Planner(self.settings.root, self.registry, self.store, self.context)


def _sequence(logical_plans: LogicalPlan | Sequence[LogicalPlan]) -> tuple[LogicalPlan, ...]:
    return (logical_plans,) if isinstance(logical_plans, LogicalPlan) else tuple(logical_plans)
