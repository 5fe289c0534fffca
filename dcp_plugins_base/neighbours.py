"""What a plugin works out of all manifests of one call: once, however many of them ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs

from dcp_core.context import Context
from dcp_core.model import LogicalPlan

T = TypeVar("T")


def of_the_call(ctx: Context, name: str, make: Callable[[Sequence[LogicalPlan]], T]) -> T:
    """An index of the manifests of the call that ``ctx`` is of; only the last call's is kept.

    Args:
        name: Of the index among all that hooks share: ``feature_platform.neighbours``.
        make: From the logical plans of the call, of every plugin; called once for a call.
    """
    last = ctx.shared(name, _Last)
    known = last.known
    if known is None or known[0] is not ctx.logical_plans:
        # One assignment, so that no other thread takes an index for that of another call.
        known = last.known = (ctx.logical_plans, make(ctx.logical_plans))
    made: T = known[1]
    return made


@attrs.define
class _Last:
    known: tuple[tuple[LogicalPlan, ...], Any] | None = None
