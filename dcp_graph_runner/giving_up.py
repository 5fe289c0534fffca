"""What the journal alone can say of an operation that nobody will look at again: it ended every process it met.

Source: design.md section 7; the cap on take-overs is ``[store] take_overs``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dcp_core.documents import from_json
from dcp_core.errors import ConflictError
from dcp_core.model import Action, ActionKind, ManifestPlan
from dcp_core.records import ActionResult, ResultStatus
from dcp_core.store import Step, StepStatus

_ACTION = "action:"
_STOP = "stop:"
_START = "start:"
_BEFORE = "the operation was given up before"


def results(plan: ManifestPlan, done: Mapping[str, Step], why: str = _BEFORE) -> tuple[ActionResult, ...]:
    """Every action of the plan with what its step tells.

    Args:
        plan: The operation's.
        done: The steps, by key.
        why: What is told of actions that it never came to.
    """
    return tuple(_results(plan, done, why))


def words(interruptions: int, done: Mapping[str, Step]) -> str:
    """The verdict: how often, at which step, and what it stopped and nobody has started again.

    Args:
        interruptions: How often its process ended.
        done: The steps, by key, in the order in which they were started.
    """
    told = [f"given up: interrupted {interruptions} times"]
    begun = [key for key, step in done.items() if step.status is StepStatus.STARTED]
    if begun:
        told.append(f"last at {', '.join(begun)}")
    started = {key.removeprefix(_START).rpartition(":")[0] for key in done if key.startswith(_START)}
    stopped = [key.removeprefix(_STOP) for key, step in done.items() if key.startswith(_STOP) and _has_stopped(step)]
    waiting = [name for name in stopped if name not in started]
    if waiting:
        told.append(f"stopped and not started again: {', '.join(waiting)}")
    return "; ".join(told)


def _has_stopped(step: Step) -> bool:
    # One that was only begun may have stopped something too.
    return step.status is StepStatus.STARTED or bool(step.result)


def _results(plan: ManifestPlan, done: Mapping[str, Step], why: str) -> Iterator[ActionResult]:
    for action in plan.actions:
        step = done.get(f"{_ACTION}{action.resource.key}")
        error = None
        if action.kind is ActionKind.NOOP:
            status = ResultStatus.NOOP
        elif action.kind is ActionKind.BLOCKED:
            status, error = ResultStatus.BLOCKED, action.message or action.reason
        elif step is None:
            status, error = ResultStatus.SKIPPED, why
        elif step.status is not StepStatus.STARTED:
            yield _recorded(step, action)
            continue
        else:
            status, error = ResultStatus.FAILED, "it was interrupted: it may have happened or not"
        yield ActionResult(action.resource.key, action.label, status, error)


def _recorded(step: Step, action: Action) -> ActionResult:
    try:
        return from_json(step.result, ActionResult)
    except ConflictError:  # another version wrote it
        key, label = action.resource.key, action.label
        if step.status is StepStatus.DONE:
            return ActionResult(key, label, ResultStatus.SUCCEEDED)
        return ActionResult(key, label, ResultStatus.FAILED, "it failed")
