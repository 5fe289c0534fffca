"""What each hook must give, checked at the call, so that a wrong answer is its giver's bug and nobody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dcp_core.diagnostics import Diagnostic
from dcp_core.intervals import Interval
from dcp_core.lineage import ColumnLineage
from dcp_core.model import Action, FieldChange, LogicalPlan, Resource, State
from dcp_core.records import ActionResult, Command, Execution, Preview, TestReport

_ONE: Mapping[str, tuple[type, ...]] = {
    "get_manifest_schema": (Mapping,),
    "parse_manifest": (LogicalPlan,),
    "test": (TestReport,),
    "get_desired_state": (State,),
    "get_actual_state": (State, type(None)),
    "get_actual_states": (Mapping,),
    "get_revisions": (Mapping, type(None)),
    "start": (Execution,),
    "get_status": (Execution, type(None)),
    "get_logs": (str, type(None)),
    "preview": (Preview, type(None)),
    "pause": (bool,),
    "resume": (bool,),
}
_MANY: Mapping[str, type] = {
    "get_commands": Command,
    "decompose": Resource,
    "plan": Action,
    "apply": ActionResult,
    "run": Execution,
    "get_lineage": ColumnLineage,
    "get_executions": Execution,
    "compare": FieldChange,
    "stop": Execution,
    "get_intervals": Interval,
}


def problem_with(hook: str, result: Any) -> str | None:
    """Why ``result`` is not what ``hook`` must give; None when it is.

    Args:
        hook: Its name; ``lint`` has the results of several givers.
        result: As pluggy gives it: None also when the hook gave nothing.
    """
    if hook in _ONE and not isinstance(result, _ONE[hook]):
        wanted = " or ".join("None" if each is type(None) else each.__name__ for each in _ONE[hook])
        return f"{hook} gave {_named(result)}; expected {wanted}"
    if hook in _MANY:
        return _problem_with_items(hook, result, _MANY[hook])
    if hook == "lint":
        problems = (_problem_with_items(hook, each, Diagnostic) for each in result)
        return next((problem for problem in problems if problem), None)
    return None


def _problem_with_items(hook: str, result: Any, of: type) -> str | None:
    if not isinstance(result, (tuple, list)):
        return f"{hook} gave {_named(result)}; expected a tuple of {of.__name__}"
    wrong = next((each for each in result if not isinstance(each, of)), None)
    return f"{hook} gave {_named(wrong)} among its results; expected {of.__name__} only" if wrong is not None else None


def _named(value: Any) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
