"""What a plugin works out of all manifests of one call: once, however many of them ask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dcp_core.context import Context
from dcp_core.model import LogicalPlan

T = TypeVar("T")
CALLS_AT_ONCE = 16
"""A server works on calls of several users at a time, each of which asks again and again."""


def of_the_call(ctx: Context, name: str, make: Callable[[Sequence[LogicalPlan]], T]) -> T:
    """An index of the manifests of the call that ``ctx`` is of; only those of the last few calls are kept.

    Args:
        ctx: Of the call.
        name: Of the index among all that hooks share: ``feature_platform.neighbours``.
        make: From the logical plans of the call, of every plugin; called once for a call, or once more where two
            threads of it ask first.
    """
    known = ctx.shared(name, _Calls)
    found = known.find(ctx.logical_plans)
    if found is None:
        found = (make(ctx.logical_plans),)
        known.put(ctx.logical_plans, found)
    made: T = found[0]
    return made


class _Calls:
    """Thread-safe. A call is known by the very tuple of its manifests, which is kept, so that its id is no other's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[int, tuple[Sequence[LogicalPlan], tuple[Any]]] = OrderedDict()

    def find(self, call: Sequence[LogicalPlan]) -> tuple[Any] | None:
        with self._lock:
            known = self._known.get(id(call))
            return None if known is None else known[1]

    def put(self, call: Sequence[LogicalPlan], made: tuple[Any]) -> None:
        with self._lock:
            self._known[id(call)] = (call, made)
            while len(self._known) > CALLS_AT_ONCE:
                self._known.popitem(last=False)
