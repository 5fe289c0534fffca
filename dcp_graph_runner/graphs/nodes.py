"""The nodes: each does one thing with the work in hand.

Source: design.md sections 4, 6, 7 and 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from dcp_core import checking
from dcp_core.context import Context
from dcp_core.diagnostics import Severity
from dcp_core.errors import StalePlanError, UnauthorizedError
from dcp_core.model import Environment, LogicalPlan, Plan
from dcp_core.operating import APPLY, DESTROY
from dcp_core.parameters import refuse_secrets
from dcp_core.planner import provided
from dcp_core.records import Operation
from dcp_graph_runner.api.handlers import READ
from dcp_graph_runner.api.long_running import GetOperationRequest, ListOperationsRequest
from dcp_graph_runner.api.messages import (
    ApplyAnswer,
    ApplyRequest,
    DestroyRequest,
    Finding,
    LintAnswer,
    ManifestReport,
    PlanAnswer,
    PlanDestructionRequest,
    PlanRequest,
    RunAnswer,
    TestAnswer,
)
from dcp_graph_runner.api.plain import without_actions
from dcp_graph_runner.graphs import checking_compiled
from dcp_graph_runner.graphs.expectations import check_expected
from dcp_graph_runner.graphs.work import FindingsError, Work

NOBODY = "(not signed in)"
ASKING_AGAIN = ("Operations.Apply", "Operations.Destroy", "Operations.Run")
"""What asks about each manifest again under its own operation, and does what is allowed without what is not."""


def authenticate(work: Work) -> None:
    """Who asks; from here on the control plane is theirs."""
    if work.authenticate is not None and work.make_control_plane is not None:
        work.signed_in = work.authenticate()
        work.dcp = work.make_control_plane(work.signed_in)


def authorize(work: Work) -> None:
    """Whether they may; where one manifest of a request would be refused, the request is.

    Of what is ``ASKING_AGAIN`` only that is refused here whose manifests would all be: each is asked about again under
    its own operation, with what is in force by then.
    """
    named: str | None = getattr(work.request, "environment", None)
    if isinstance(work.request, GetOperationRequest):
        from dcp_graph_runner.requests import RequestLog

        named = RequestLog.of(work.dcp.store, work.dcp.clock).get(work.request.id, with_answer=False).environment
    environment = work.dcp.environment(named)
    work.environment = environment.name
    if work.signed_in is not None:
        work.signed_in.check(environment.name if _is_about_one(work, named) else None)
    if work.handler.asks is None:
        return
    subjects = () if work.handler.asks == READ else _subjects(work)
    if not subjects and not _is_about_one(work, named):
        anywhere = attrs.evolve(work.dcp.caller, tenants=None)  # what comes of it is asked about environment by it
        attrs.evolve(work.dcp.operator, caller=anywhere).ask(work.handler.asks, environment)
        return
    if not subjects:
        work.dcp.authorize(work.handler.asks, environment)
        return
    refusals: list[UnauthorizedError] = []
    for error in _refused(work, environment, subjects):
        if work.handler.name not in ASKING_AGAIN:
            raise error
        refusals.append(error)
    if len(refusals) == len(subjects):
        raise refusals[0]


def route(work: Work) -> None:
    """Whether the plugins here can take what a caller's plugins have compiled, and what is asked may be stored."""
    refuse_secrets(getattr(work.request, "params", {}))
    checking_compiled.check(work.logical_plans, work.environment, work.dcp.registry)


def lint(work: Work) -> None:
    """What is wrong with the manifests; the answer of the graph that ends here."""
    work.answer = LintAnswer(_findings(work.logical_plans, work))


def refuse_lint_errors(work: Work) -> None:
    """What would change has to pass lint; what is unchanged did when it was applied."""
    if work.plan is None:
        changing = set(work.request.manifest_ids or (each.id for each in work.logical_plans))
    else:
        changing = {each.id for each in work.plan.manifests if each.has_changes and not each.destroys}
    chosen = [each for each in work.logical_plans if each.id in changing]
    errors = tuple(each for each in _findings(chosen, work) if each.diagnostic.severity is Severity.ERROR)
    if errors:
        raise FindingsError(errors)


def test(work: Work) -> None:
    """Check manifests against an engine, and run the cases that they hold; all of them have passed lint."""
    wanted = set(work.request.manifest_ids or (each.id for each in work.logical_plans))
    ctx = _context(work)
    reports = []
    for each in work.logical_plans:
        if each.id in wanted:
            work.check()
            reports.append(ManifestReport(each.id, checking.test(each, work.dcp.registry, ctx)))
    work.answer = TestAnswer(tuple(reports))


def recover(work: Work) -> None:
    """Finish what crashed processes have left of these manifests, and see what of this request is done already.

    Who expects that there is nothing to do has nothing finished either.
    """
    from dcp_graph_runner.graphs import taking_over

    request: ApplyRequest | DestroyRequest = work.request
    if work.is_taken_over:
        work.done = taking_over.done_before(work)
    if request.expected == ():
        return
    if isinstance(request, DestroyRequest):
        ids = request.manifest_ids or None  # of everything, what was never in force too
    else:
        ids = tuple(each.id for each in request.logical_plans)
    work.recovered = work.dcp.recover(Environment.named(work.environment), ids)


def plan(work: Work) -> None:
    """Compare what is wanted with what is there, but for what this request has done already."""
    request: PlanRequest | ApplyRequest = work.request
    environment = work.dcp.environment(work.environment, overlay=request.overlay)
    root = work.dcp.settings.root
    planned = work.dcp.plan(
        list(request.logical_plans),
        options=request.options,
        folders=[root / each for each in request.folders],
        manifest_type=request.manifest_type,
        environment=environment,
    )
    work.plan = _without(planned, work)
    work.answer = PlanAnswer(work.plan)


def plan_destruction(work: Work) -> None:
    """Delete everything that the inventory has of these manifests, but for what this request has deleted already."""
    request: PlanDestructionRequest | DestroyRequest = work.request
    environment = Environment.named(work.environment)
    ids = [id for id in request.manifest_ids if id not in work.done] if request.manifest_ids else None
    planned = Plan(environment.name, ()) if ids == [] else work.dcp.plan_destruction(environment, ids)
    work.plan = _without(planned, work)
    work.answer = PlanAnswer(work.plan)


def expect(work: Work) -> None:
    """Refuse what is not the plan that the user has seen."""
    assert work.plan is not None
    request: ApplyRequest | DestroyRequest = work.request
    if request.expected is not None:
        done = {str(action.resource.key) for each in work.done.values() for action in each.plan.actions}
        check_expected(request.expected, work.plan, done=done)
    for name, version in getattr(request, "plugins", {}).items():
        now = work.plan.plugins.get(name)
        if now is not None and now != version:
            raise StalePlanError(
                f"the plan was made with {version} for {name}, and {now} is installed", hint="plan again"
            )


def apply(work: Work) -> None:
    """Do what the plan says, and wait for what was stopped for it and started again."""
    assert work.plan is not None
    work.is_recorded = True
    kind = DESTROY if isinstance(work.request, DestroyRequest) else APPLY
    before = (*work.recovered, *work.done.values())
    operations = (*before, *work.dcp.apply(work.plan, kind=kind))
    resumed = work.dcp.wait(operations)
    work.answer = ApplyAnswer(
        _together(operations[len(work.recovered) :]),
        tuple(map(without_actions, operations)),
        resumed,
        tuple(work.dcp.created_sandboxes),
    )


def run(work: Work) -> None:
    """Run the applied jobs, who is read before who reads."""
    work.is_recorded = True
    results = work.dcp.run(work.logical_plans, work.request.params)
    work.answer = RunAnswer(results, tuple(work.dcp.created_sandboxes))


def answer(work: Work) -> None:
    """Whatever the handler's function does."""
    work.is_recorded = True
    work.answer = work.handler.function(work.dcp, work.request)


def audit(work: Work) -> None:
    """What was refused, or failed before any operation began, has its record too; what began has one by itself."""
    if work.error is None or work.handler.asks == READ:
        return
    from dcp_graph_runner.graphs import refusals

    if work.authenticate is not None and work.signed_in is None:
        unrecorded = work.unsigned(work.handler.method.lower())
        if unrecorded is None:
            return
        work.error = refusals.told(work.error, unrecorded)
    refusals.record(work)


def _is_about_one(work: Work, named: str | None) -> bool:
    """Whether the request is about one environment, or about whatever the caller may read."""
    if named is not None:
        return True
    if isinstance(work.request, ListOperationsRequest) or getattr(work.request, "everywhere", False):
        return False
    return hasattr(work.request, "environment")


def _subjects(work: Work) -> Sequence[tuple[LogicalPlan, LogicalPlan | None]]:
    """The manifests that a change is about, each with its version in force; a destruction names ids alone."""
    store = work.dcp.store
    if isinstance(work.request, DestroyRequest):
        ids = work.request.manifest_ids
        there = store.logical_plans(work.environment, ids or None)
        return [(there[id], there[id]) for id in (ids or there) if id in there]
    in_force = store.logical_plans(work.environment, [each.id for each in work.logical_plans])
    return [(each, in_force.get(each.id)) for each in work.logical_plans]


def _refused(
    work: Work, environment: Environment, subjects: Sequence[tuple[LogicalPlan, LogicalPlan | None]]
) -> Iterator[UnauthorizedError]:
    """Why the caller may not change some of the manifests, an error each."""
    assert work.handler.asks is not None
    for wanted, in_force in subjects:
        try:
            work.dcp.authorize(work.handler.asks, environment, wanted, in_force)
        except UnauthorizedError as error:
            yield error


def _context(work: Work) -> Context:
    """For hooks that look at one manifest among those of the request."""
    environment = work.dcp.environment(work.environment, overlay=getattr(work.request, "overlay", None))
    names = provided(work.logical_plans, work.dcp.registry)
    return work.dcp.context(environment, logical_plans=work.logical_plans, provided=names)


def _findings(chosen: Sequence[LogicalPlan], work: Work) -> tuple[Finding, ...]:
    ctx = _context(work)
    found = checking.lint(chosen, work.dcp.registry, ctx)
    return tuple(Finding(each.id, finding) for each, several in zip(chosen, found, strict=True) for finding in several)


def _without(planned: Plan, work: Work) -> Plan:
    """Only what this request has not done yet, and the versions of what that is planned with."""
    kept = tuple(each for each in planned.manifests if each.id not in work.done)
    named = {each.manifest_type for each in kept} | {action.resource.kind for each in kept for action in each.actions}
    plugins = {name: version for name, version in planned.plugins.items() if name in named}
    return attrs.evolve(planned, manifests=kept, plugins=plugins)


def _together(operations: Sequence[Operation]) -> str:
    statuses = {each.status.value for each in operations}
    if statuses <= {"SUCCEEDED"}:
        return "SUCCEEDED"
    return "PARTIAL" if statuses & {"SUCCEEDED", "PARTIAL"} else "FAILED"
