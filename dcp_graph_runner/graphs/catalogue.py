"""Every graph, as data.

Source: design.md section 9.
"""

from __future__ import annotations

from typing import Any

from dcp_core.control_plane import ControlPlane
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.graphs import nodes
from dcp_graph_runner.graphs.graph import Graph, Node, Stage, run
from dcp_graph_runner.graphs.work import Work

AUTHENTICATE = Node("authenticate", nodes.authenticate, "who asks: the token's identity and teams", Stage.ACCEPT)
AUTHORIZE = Node("authorize", nodes.authorize, "whether they may: every rule is asked, one denial denies", Stage.ACCEPT)
ROUTE = Node("route", nodes.route, "which plugins take it, and none compiled by a newer one", Stage.ACCEPT)
REFUSAL = Node("record refusal", nodes.audit, "what was refused is in the audit log", Stage.ACCEPT, always=True)
RECOVER = Node("recover", nodes.recover, "finish what crashed processes have left of these manifests")
LINT = Node("lint", nodes.lint, "mistakes in manifests, without any engine")
REFUSE = Node("refuse lint errors", nodes.refuse_lint_errors, "what would change has to pass lint")
TEST = Node("test", nodes.test, "check manifests against an engine and their own cases")
PLAN = Node("plan", nodes.plan, "desired against actual state, read in bulk")
PLAN_DESTRUCTION = Node("plan", nodes.plan_destruction, "everything the inventory has of them, readers first")
EXPECT = Node("expect", nodes.expect, "refuse what is not the plan that the user has seen")
APPLY = Node("apply", nodes.apply, "pre_apply, actions in dependency order, post_apply; journalled step by step")
RUN = Node("run", nodes.run, "the applied jobs, who is read before who reads")
ANSWER = Node("answer", nodes.answer, "whatever was asked")
AUDIT = Node("audit", nodes.audit, "one record for every operation, whatever happened", always=True)

ENTRY = (AUTHENTICATE, AUTHORIZE, ROUTE, REFUSAL)
ASK = Graph("ask", (*ENTRY, ANSWER, AUDIT))
"""For whatever has no graph of its own."""

GRAPHS = {
    "Operations.Lint": Graph("lint", (*ENTRY, LINT)),
    "Operations.Test": Graph("test", (*ENTRY, REFUSE, TEST)),
    "Operations.Plan": Graph("plan", (*ENTRY, PLAN)),
    "Operations.PlanDestruction": Graph("plan destruction", (*ENTRY, PLAN_DESTRUCTION)),
    "Operations.Apply": Graph("apply", (*ENTRY, RECOVER, PLAN, REFUSE, EXPECT, APPLY, AUDIT)),
    "Operations.Destroy": Graph("destroy", (*ENTRY, RECOVER, PLAN_DESTRUCTION, EXPECT, APPLY, AUDIT)),
    "Operations.Run": Graph("run", (*ENTRY, RUN, AUDIT)),
}
"""By the handler's name."""


def graph_of(handler: AnyHandler) -> Graph:
    """What a handler's requests go through."""
    return GRAPHS.get(handler.name, ASK)


def perform(name: str, dcp: ControlPlane, request: Any) -> Any:
    """Run the working part of a graph in process; its handler's function."""
    from dcp_graph_runner.api.table import find

    handler = find(name)
    work = Work(dcp, handler, request, environment=request.environment)
    run(GRAPHS[name].of(Stage.WORK), work)
    return work.answer
