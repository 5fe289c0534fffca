"""Which of the operations that dead processes have left somebody may finish: they finish them with tokens of their own.

Source: design.md sections 6, 7 and 9.
"""

from __future__ import annotations

from collections.abc import Sequence

from dcp_core import ownership
from dcp_core.errors import OperationInProgressError, UnauthorizedError
from dcp_core.model import Plan
from dcp_core.operating import Operator
from dcp_core.records import Operation


def finish_interrupted(
    operator: Operator, environment: str, manifest_ids: Sequence[str] | None = None
) -> tuple[Operation, ...]:
    """Finish what crashed processes left behind there.

    Left alone are: what somebody else has begun to finish, what a server's open request goes on with (it may need a
    token that only its user has), and what the caller may not do.

    Args:
        operator: On whose behalf.
        environment: Where.
        manifest_ids: Of which manifests; None for all.
    """
    ended = []
    for each in free(operator, operator.store.interrupted(environment, manifest_ids)):
        if denial(operator, each) is not None:
            continue
        try:
            ended.append(operator.take_over(each))
        except OperationInProgressError:
            continue  # somebody was faster
    return tuple(ended)


def free(operator: Operator, interrupted: Sequence[Operation]) -> tuple[Operation, ...]:
    """Those that no open request goes on with, but for the request that the caller works on."""
    others = {each.request_id for each in interrupted} - {"", operator.caller.request_id}
    served = operator.store.served(sorted(others)) if others else frozenset()
    return tuple(each for each in interrupted if each.request_id not in served)


def denial(operator: Operator, interrupted: Operation) -> UnauthorizedError | None:
    """Why the caller may not do what the operation does; None when they may."""
    in_force, others = ownership.concerned(Plan(interrupted.environment, (interrupted.plan,)), operator.store)
    id = interrupted.manifest_id
    try:
        operator.authorize(interrupted, in_force.get(id), others[id])
    except UnauthorizedError as error:
        return error
    return None
