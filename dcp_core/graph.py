"""Dependency order, stable and with the cycle named; on the standard library's sorter."""

from __future__ import annotations

import graphlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from dcp_core.errors import ConflictError

N = TypeVar("N", bound=Hashable)


class CycleError(ConflictError):
    """Things depend on each other in a circle; ``cycle`` lists them, the first one again at the end."""

    code = "graph.cycle"

    def __init__(self, cycle: Sequence[object], **details: str) -> None:
        self.cycle = tuple(cycle)
        super().__init__("a circle of dependencies: " + " -> ".join(map(str, cycle)), **details)


def levels(nodes: Sequence[N], needs: Mapping[N, Iterable[N]]) -> tuple[tuple[N, ...], ...]:
    """The nodes in groups: each depends on earlier groups only. Within a group the given order is kept.

    Args:
        nodes: Unique, in the order to prefer.
        needs: What each one comes after; unknown ones are left out.

    Raises:
        CycleError: There is no such order.
    """
    position = {node: index for index, node in enumerate(nodes)}
    sorter = graphlib.TopologicalSorter(
        {node: [need for need in needs.get(node, ()) if need in position and need != node] for node in nodes}
    )
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        # graphlib lists each before what needs it; readers expect "a needs b".
        raise CycleError(tuple(reversed(error.args[1]))) from None
    groups = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=position.__getitem__)
        groups.append(tuple(ready))
        sorter.done(*ready)
    return tuple(groups)


def without_circles(nodes: Sequence[N], needs: Mapping[N, Iterable[N]]) -> dict[N, list[N]]:
    """``needs`` less the ones that close a circle.

    For what is taken away: the inventory may hold old and new versions side by side after a failure, and their
    needs may contradict each other, which must keep nobody from deleting them.
    """
    left = {node: list(needs.get(node, ())) for node in nodes}
    while True:
        try:
            levels(nodes, left)
            return left
        except CycleError as error:
            first, second = error.cycle[:2]
            for node, wants in left.items():
                if node == first:
                    wants[:] = [each for each in wants if each != second]


def ordered(nodes: Sequence[N], needs: Mapping[N, Iterable[N]]) -> tuple[N, ...]:
    """The nodes in dependency order, as close to the given order as it allows. Raises CycleError."""
    order: list[N] = []
    placed: set[N] = set()
    levels(nodes, needs)  # finds a cycle before the walk below could loop on it
    known = set(nodes)

    for start in nodes:
        stack = [start]
        while stack:
            node = stack[-1]
            missing = [need for need in needs.get(node, ()) if need in known and need != node and need not in placed]
            if missing:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            if node not in placed:
                placed.add(node)
                order.append(node)
    return tuple(order)
