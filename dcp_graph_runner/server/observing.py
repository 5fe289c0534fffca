"""Each node of a graph has a span, a measurement, and tells the call's log lines whose it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from dcp_core.errors import DcpError
from dcp_graph_runner.graphs.graph import Graph, Node, Observe
from dcp_graph_runner.graphs.work import Work
from dcp_graph_runner.server.logs import CURRENT, Call
from dcp_graph_runner.server.metrics import Metrics
from dcp_graph_runner.server.problems import BUG
from dcp_graph_runner.server.telemetry import Telemetry

_NOBODY_ELSE = "worker"


def observing(telemetry: Telemetry, metrics: Metrics) -> Observe:
    """What graphs are run with."""

    @contextlib.contextmanager
    def observed(graph: Graph, node: Node, work: Work) -> Iterator[None]:
        outcome, started = "ok", time.monotonic()
        known = CURRENT.get()
        token = CURRENT.set(Call(work.handler.name, _NOBODY_ELSE)) if known is None else None
        try:
            with telemetry.span(f"{graph.name}/{node.name}") as span:
                span.tell(dcp_graph=graph.name, dcp_node=node.name)
                _name_caller(work)
                try:
                    yield
                except BaseException as error:
                    outcome = error.code if isinstance(error, DcpError) else BUG
                    span.fail(outcome, error.message if isinstance(error, DcpError) else type(error).__name__)
                    raise
                finally:
                    _name_caller(work)
                    if work.signed_in is not None:
                        caller = work.signed_in.caller
                        span.tell(dcp_identity=caller.identity, dcp_environment=work.environment)
                        span.tell(dcp_request_id=caller.request_id)
        finally:
            metrics.node(graph.name, node.name, outcome, time.monotonic() - started)
            if token is not None:
                CURRENT.reset(token)

    return observed


def _name_caller(work: Work) -> None:
    call = CURRENT.get()
    if call is not None and work.signed_in is not None:
        call.identity = work.signed_in.caller.identity
        call.request_id = work.signed_in.caller.request_id or call.request_id
