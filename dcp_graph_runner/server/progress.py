"""What happens in the requests that this replica works on: gathered from events, numbered, written in bulk.

An extension of the server's registry: events carry the operation, which carries its request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import attrs

from dcp_core.hookspecs import hookimpl
from dcp_core.model import Action
from dcp_core.records import ActionResult, Execution, Operation
from dcp_graph_runner.api.long_running import Event
from dcp_graph_runner.graphs.graph import Graph, Node, Observe
from dcp_graph_runner.graphs.work import Work
from dcp_graph_runner.request_rows import Claim
from dcp_graph_runner.requests import RequestLog
from dcp_graph_runner.server.hiding import Secrets, shown


@attrs.define(eq=False)
class _Told:
    claim: Claim
    sequence: int
    secrets: Secrets = ()
    waiting: list[Event] = attrs.Factory(list)
    executions: dict[str, str] = attrs.Factory(dict)


class Progress:
    """Thread-safe.

    Args:
        log: Where events are kept.
        clock: UTC now.
        tell: Called with a request's id after each of its events, and at its end: for who watches in this process.
    """

    def __init__(self, log: RequestLog, clock: Callable[[], datetime], tell: Callable[[str], None]) -> None:
        self._log = log
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._open: dict[str, _Told] = {}

    def open(self, claim: Claim, secrets: Secrets = ()) -> None:
        """What happens in it counts from now on; these stay out of what is told."""
        with self._lock:
            self._open[claim.request.id] = _Told(claim, claim.events, secrets)

    def close(self, claim: Claim) -> None:
        """It has ended, or is another replica's."""
        with self._lock:
            told = self._open.get(claim.request.id)
            if told is not None and told.claim is claim:
                self._open.pop(claim.request.id)
        self._tell(claim.request.id)

    def flush(self) -> None:
        """Write what was gathered, of all requests in one transaction."""
        # One writer at a time, so that what comes first is written first.
        with self._writing:
            with self._lock:
                told = list(self._open.values())
                batch = {each.claim: each.waiting[:] for each in told if each.waiting}
            if not batch:
                return
            self._log.add_events(batch)
            with self._lock:
                for each in told:
                    del each.waiting[: len(batch.get(each.claim, ()))]
        for written in batch:
            self._tell(written.request.id)

    def finish(self, claim: Claim, write: Callable[[Sequence[Event]], None]) -> None:
        """Have ``write`` end the request with what was gathered of it, which counts as written when it returns."""
        with self._writing:
            with self._lock:
                told = self._open.get(claim.request.id)
                mine = told if told is not None and told.claim is claim else None
                last = mine.waiting[:] if mine is not None else []
            write(last)
            if mine is not None:
                with self._lock:
                    del mine.waiting[: len(last)]

    def telling(self, claim: Claim, observe: Observe) -> Observe:
        """``observe``, with an event when a node begins and when it ends."""

        @contextmanager
        def told(graph: Graph, node: Node, work: Work) -> Iterator[None]:
            self._add(claim.request.id, "node_started", node=node.name)
            around: AbstractContextManager[None] = observe(graph, node, work)
            with around:
                yield
            self._add(claim.request.id, "node_finished", node=node.name)

        return told

    @hookimpl
    def operation_started(self, operation: Operation) -> None:
        """Whose turn it is."""
        self._add(operation.request_id, "operation_started", operation=_bare(operation))

    @hookimpl
    def action_started(self, operation: Operation, action: Action) -> None:
        """What is being done; the states stay out, for they are large."""
        self._add(operation.request_id, "action_started", operation=_bare(operation), action=_small(action))

    @hookimpl
    def action_finished(self, operation: Operation, action: Action, result: ActionResult) -> None:
        """How it ended."""
        self._add(
            operation.request_id, "action_finished", operation=_bare(operation), action=_small(action), result=result
        )

    @hookimpl
    def execution_changed(self, operation: Operation, execution: Execution) -> None:
        """Only when its status is a new one: it is asked for several times a second."""
        with self._lock:
            told = self._open.get(operation.request_id)
            if told is None or told.executions.get(execution.id) == execution.status.value:
                return
            told.executions[execution.id] = execution.status.value
        self._add(operation.request_id, "execution_changed", operation=_bare(operation), execution=execution)

    @hookimpl
    def operation_finished(self, operation: Operation) -> None:
        """How it ended; the results come with the answer."""
        self._add(operation.request_id, "operation_finished", operation=_bare(operation))

    def _add(self, id: str, type: str, **content: Any) -> None:
        with self._lock:
            told = self._open.get(id)
            if told is None:
                return
            told.sequence += 1
            told.waiting.append(shown(Event(told.sequence, type, self._clock(), **content), told.secrets))


def _bare(operation: Operation) -> Operation:
    plan = attrs.evolve(operation.plan, actions=())
    logical_plan = attrs.evolve(plan.logical_plan, plugin_spec={})
    return attrs.evolve(operation, plan=attrs.evolve(plan, logical_plan=logical_plan), results=(), resumed=())


def _small(action: Action) -> Action:
    return attrs.evolve(action, desired=None, actual=None, resource=attrs.evolve(action.resource, spec={}))
