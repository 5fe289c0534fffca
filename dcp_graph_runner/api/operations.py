"""The service ``Operations``: what is done with manifests, and the long-running operations themselves."""

from __future__ import annotations

from functools import partial
from typing import Any

from dcp_core import recovering
from dcp_core.control_plane import ControlPlane
from dcp_core.errors import NotSupportedError, UsageError
from dcp_core.model import Environment
from dcp_core.planner import decompose
from dcp_graph_runner.api.commands import perform_command
from dcp_graph_runner.api.handlers import READ, AnyHandler, Handler
from dcp_graph_runner.api.long_running import (
    GetOperationRequest,
    ListOperationsAnswer,
    ListOperationsRequest,
    OperationState,
)
from dcp_graph_runner.api.messages import (
    MOST_APPLIED,
    AppliedAnswer,
    AppliedRequest,
    ApplyAnswer,
    ApplyRequest,
    CommandAnswer,
    CommandRequest,
    DestroyRequest,
    ExplainAnswer,
    ExplainRequest,
    Explanation,
    InterruptedAnswer,
    LintAnswer,
    LintRequest,
    PlanAnswer,
    PlanDestructionRequest,
    PlanRequest,
    PreviewAnswer,
    PreviewRequest,
    RecoverRequest,
    RunAnswer,
    RunRequest,
    TestAnswer,
    TestRequest,
)
from dcp_graph_runner.api.plain import plain_preview, without_actions

# What a primitive may say about a runnable resource: the first in its spec, the others in ``State.info``, desired too.
COMPUTE, BACKEND, WHY = "compute", "backend", "backend_reason"
LARGEST_PREVIEW = 10_000
MOST_OPERATIONS = 1_000
CANCELLABLE = (
    "Operations.Lint", "Operations.Test", "Operations.Plan", "Operations.PlanDestruction", "Operations.Run",
    "Ops.Start", "Ops.Retry", "Ops.Backfill",
)  # fmt: skip
"""Whatever else is long changes resources, and is journalled to its end."""


def _graph(name: str, dcp: ControlPlane, request: Any) -> Any:
    from dcp_graph_runner.graphs.catalogue import perform

    return perform(f"Operations.{name}", dcp, request)


def _long(
    name: str, request: type[Any], answer: type[Any], asks: str | None, summary: str, path: str = ""
) -> AnyHandler:
    function = partial(_graph, name)
    where = path or f"/{name.lower()}"
    return Handler("Operations", name, request, answer, function, where, asks, is_long=True, summary=summary)


def _recover(dcp: ControlPlane, request: RecoverRequest) -> ApplyAnswer:
    environment = Environment.named(request.environment)
    ids = request.manifest_ids or None
    ended, operator = dcp.recover(environment, ids), dcp.operator
    resumed = dcp.wait(ended)
    refused, first = [], None
    for each in recovering.free(operator, dcp.store.interrupted(environment.name, ids)):
        error = recovering.denial(operator, each)
        if error is not None:
            refused.append(operator.refuse(operator.new("recover", each.plan), error))
            first = first or error
    if first is not None and not ended:
        raise first
    operations = (*ended, *refused)
    return ApplyAnswer("PARTIAL" if refused else "SUCCEEDED", tuple(map(without_actions, operations)), resumed)


def _interrupted(dcp: ControlPlane, request: RecoverRequest) -> InterruptedAnswer:
    return InterruptedAnswer(dcp.store.interrupted(request.environment, request.manifest_ids or None))


def _applied(dcp: ControlPlane, request: AppliedRequest) -> AppliedAnswer:
    from dcp_graph_runner.sql_store import SqlStore

    if not 1 <= request.limit <= MOST_APPLIED:
        raise UsageError(f"1 to {MOST_APPLIED:,} manifests can be asked for at once, not {request.limit}")
    store, environment = dcp.store, request.environment
    if request.manifest_ids:
        ids = sorted({each for each in request.manifest_ids if each > request.after})[: request.limit]
    elif isinstance(store, SqlStore):
        ids = list(store.applied_ids(environment, request.after, request.limit))
    else:
        ids = sorted(each for each in store.logical_plans(environment) if each > request.after)[: request.limit]
    found = store.logical_plans(environment, ids)
    return AppliedAnswer(tuple(found[id] for id in ids if id in found))


def _explain(dcp: ControlPlane, request: ExplainRequest) -> ExplainAnswer:
    ctx = dcp.context(dcp.environment(request.environment))
    rows = []
    for each in request.logical_plans:
        for resource in decompose(each, dcp.registry):
            if not resource.runnable:
                continue
            ask = partial(dcp.registry.primitive, resource.kind, resource=resource, ctx=ctx)
            state = ask("get_actual_state")
            info = state.info if state is not None else ask("get_desired_state").info
            rows.append(
                Explanation(
                    each.id,
                    resource.kind,
                    resource.name,
                    state is not None,
                    resource.spec.get(COMPUTE),
                    info.get(BACKEND),
                    info.get(WHY),
                )
            )
    return ExplainAnswer(tuple(rows))


def _preview(dcp: ControlPlane, request: PreviewRequest) -> PreviewAnswer:
    if not 0 <= request.limit <= LARGEST_PREVIEW:
        raise UsageError(f"a preview has 0 to {LARGEST_PREVIEW} rows, not {request.limit}")
    shown = dcp.preview(request.logical_plan, request.limit)
    return PreviewAnswer(None if shown is None else plain_preview(shown))


def _get(dcp: ControlPlane, request: GetOperationRequest) -> OperationState:
    from dcp_graph_runner.requests import RequestLog

    return RequestLog.of(dcp.store, dcp.clock).get(request.id)


def _list(dcp: ControlPlane, request: ListOperationsRequest) -> ListOperationsAnswer:
    from sqlalchemy import select

    from dcp_graph_runner.metadata.applied import readable
    from dcp_graph_runner.requests import RequestLog
    from dcp_graph_runner.tables import requests

    if not 1 <= request.limit <= MOST_OPERATIONS:
        raise UsageError(f"1 to {MOST_OPERATIONS:,} operations can be listed, not {request.limit}")
    log = RequestLog.of(dcp.store, dcp.clock)
    there = select(requests.c.environment).distinct()
    one = request.environment
    names = [each.environment for each in log.database.rows(there)] if one is None else [one]
    return ListOperationsAnswer(log.all(readable(dcp, names), request.limit))


def _cancel(dcp: ControlPlane, request: GetOperationRequest) -> OperationState:
    from dcp_graph_runner.deeds import Subject, recording_denial
    from dcp_graph_runner.requests import RequestLog

    log = RequestLog.of(dcp.store, dcp.clock)
    state = log.get(request.id)
    if state.method not in CANCELLABLE:
        raise NotSupportedError(
            f"{request.id} changes resources, and goes on to its end",
            hint="what it did can be rolled back: pretzel ops",
        )
    with recording_denial(dcp, Subject("cancel", state.environment, f"CANCEL {request.id}")):
        log.cancel(request.id, dcp.identity)
    return log.get(request.id)


def _resume(dcp: ControlPlane, request: GetOperationRequest) -> OperationState:
    raise NotSupportedError("only a server has operations that wait for their user", where=request.id)


HANDLERS: tuple[AnyHandler, ...] = (
    _long("Lint", LintRequest, LintAnswer, READ, "Find mistakes in manifests, without any engine"),
    _long("Test", TestRequest, TestAnswer, READ, "Check manifests against an engine and their own cases"),
    _long("Plan", PlanRequest, PlanAnswer, READ, "What apply would do"),
    _long(
        "PlanDestruction", PlanDestructionRequest, PlanAnswer, READ, "What destroy would do", "/plan-destruction"
    ),
    _long("Apply", ApplyRequest, ApplyAnswer, "apply", "Make it so"),
    _long("Destroy", DestroyRequest, ApplyAnswer, "destroy", "Delete what manifests have created"),
    _long("Run", RunRequest, RunAnswer, "run", "Run the applied jobs of manifests, and wait for them"),
    Handler(
        "Operations", "Recover", RecoverRequest, ApplyAnswer, _recover, "/recover", None, is_long=True,
        summary="Finish what crashed processes have left behind",
    ),
    Handler(
        "Operations", "Interrupted", RecoverRequest, InterruptedAnswer, _interrupted, "/interrupted", READ,
        summary="What crashed processes have left behind",
    ),
    Handler(
        "Operations", "Applied", AppliedRequest, AppliedAnswer, _applied, "/applied", READ, verb="GET",
        summary="The version in force of everything that is applied in an environment",
    ),
    Handler(
        "Operations", "Explain", ExplainRequest, ExplainAnswer, _explain, "/explain", READ,
        summary="Where the jobs of manifests run, and why",
    ),
    Handler(
        "Operations", "Preview", PreviewRequest, PreviewAnswer, _preview, "/preview", READ,
        summary="Rows of what a manifest keeps",
    ),
    Handler(
        "Operations", "Command", CommandRequest, CommandAnswer, perform_command, "/command", "command",
        summary="A command that a plugin adds",
    ),
    Handler(
        "Operations", "GetOperation", GetOperationRequest, OperationState, _get, "/operations/{id}", READ, verb="GET",
        summary="How a long-running operation stands",
    ),
    Handler(
        "Operations", "ListOperations", ListOperationsRequest, ListOperationsAnswer, _list, "/operations", READ,
        verb="GET", summary="Long-running operations, newest first",
    ),
    Handler(
        "Operations", "CancelOperation", GetOperationRequest, OperationState, _cancel, "/operations/{id}/cancel", READ,
        summary="Stop a run, a test or a backfill of one's own",
    ),
    Handler(
        "Operations", "ResumeOperation", GetOperationRequest, OperationState, _resume, "/operations/{id}/resume", READ,
        summary="Go on with an operation that waits for its user's tokens, which come as headers",
    ),
)  # fmt: skip
"""``WatchOperation`` is a stream, which no handler answers; each transport has it beside these."""

RESUME = "Operations.ResumeOperation"
