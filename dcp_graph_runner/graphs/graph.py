"""What a graph and a node are, and how a graph is run.

Source: design.md section 9.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import attrs

from dcp_core.errors import DcpError, LeaseLostError, PermanentError
from dcp_graph_runner.graphs.work import Work


class Stage(enum.StrEnum):
    """When a node runs."""

    ACCEPT = "accept"
    """While the caller waits for its answer; once."""
    WORK = "work"
    """After it; again when another replica takes the work over."""


@attrs.frozen
class Node:
    """One step.

    Args:
        name: ``plan``.
        function: Does it; what it finds out it keeps in the work.
        summary: One line.
        stage: When it runs.
        always: Whether it runs after a failure too.
    """

    name: str
    function: Callable[[Work], None]
    summary: str
    stage: Stage = Stage.WORK
    always: bool = False


@attrs.frozen
class Graph:
    """An operation.

    Args:
        name: ``apply``.
        nodes: In order; each needs the ones before it.
    """

    name: str
    nodes: tuple[Node, ...]

    def of(self, stage: Stage) -> Graph:
        """The part of it that runs then."""
        return attrs.evolve(self, nodes=tuple(each for each in self.nodes if each.stage is stage))


Observe = Callable[[Graph, Node, Work], AbstractContextManager[None]]
"""Around each node: what traces it and measures it. Sees the node's error pass."""


def unobserved(_graph: Graph, _node: Node, _work: Work) -> AbstractContextManager[None]:
    """Nobody looks."""
    return nullcontext()


def run(graph: Graph, work: Work, observe: Observe = unobserved) -> None:
    """Run the nodes in order; after a failure, whatever it is, those alone that always run.

    Raises:
        DcpError: The first failure, once the last node is done.
        LeaseLostError: At once: somebody else goes on.
    """
    first: BaseException | None = None
    for node in graph.nodes:
        if first is not None and not node.always:
            continue
        try:
            with observe(graph, node, work):
                node.function(work)
        except LeaseLostError:
            raise
        except BaseException as error:
            first = first or error
            work.error = work.error or _told(error)
    if first is not None:
        raise first


def _told(error: BaseException) -> DcpError:
    """What the audit log is told; of a bug only its kind, for what it says may hold anything."""
    if isinstance(error, DcpError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return PermanentError("it was cancelled before it began", code="cancelled")
    return PermanentError(f"a bug ended it: {type(error).__name__}", code="server.bug")
