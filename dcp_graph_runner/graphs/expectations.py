"""Whether a plan is the one that a user has seen: resource by resource, so that the message can name what moved.

Source: design.md section 6, freshness.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dcp_core.errors import StalePlanError
from dcp_core.model import Action, ActionKind, Plan, ResourceKey
from dcp_graph_runner.api.messages import ExpectedAction


def check_expected(expected: Sequence[ExpectedAction], plan: Plan, *, done: Collection[str] = ()) -> None:
    """Compare the rows; of BLOCKED ones nothing is done, so nothing is compared.

    Args:
        expected: What was seen.
        plan: What the server would do.
        done: The resources of what was done before, by a process that ended: their rows are no longer there.

    Raises:
        StalePlanError: Names the resource.
    """
    seen = {each.resource: each for each in expected}
    for action in plan.actions:
        row = seen.pop(str(action.resource.key), None)
        if row is None:
            if action.kind is not ActionKind.NOOP:
                raise _stale(str(action.resource.key), f"the plan now has {action.label} {action.resource.name} too")
            continue
        _compare(row, action)
    unchanged = (ActionKind.NOOP, ActionKind.BLOCKED)
    left = [each for each in seen.values() if each.action not in unchanged and each.resource not in done]
    if left:
        name = ResourceKey.parse(left[0].resource).name
        raise _stale(left[0].resource, f"the plan had {left[0].action} {name}, and now it has nothing of it")


def _compare(row: ExpectedAction, action: Action) -> None:
    noun, name = action.resource.noun.lower(), action.resource.name
    if row.action == action.kind == ActionKind.BLOCKED:
        return
    if row.basis != action.basis:
        what = "was deleted" if action.basis is None else "was created" if row.basis is None else "has changed"
        raise _stale(row.resource, f"the {noun} {name} {what} after the plan was made")
    wanted = action.desired.digest if action.desired else None
    if row.action != action.kind or row.wanted != wanted:
        raise _stale(row.resource, f"the plan for the {noun} {name} is another one now: {action.label}")


def _stale(resource: str, words: str) -> StalePlanError:
    return StalePlanError(words, where=resource, hint="plan again")
