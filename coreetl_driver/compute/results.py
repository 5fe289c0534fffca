"""How a submitted job program said that it ended."""

from __future__ import annotations

import json
from typing import Any

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute.tasks import Outcome

# As coreetl_driver.job.program writes it; not imported from there, for that is the other side's.
RESULT_MARK = "coreetl-result: "


def result_in(output: str) -> str | None:
    """The JSON of the program's result in what it printed; None when there is none."""
    for line in reversed(output.splitlines()):
        _, mark, text = line.partition(RESULT_MARK)
        if mark:
            return text
    return None


def judged(has_succeeded: bool, result: str | None, otherwise: str) -> Outcome:
    """The outcome of an attempt whose service says that it has ended by itself.

    Args:
        has_succeeded: What the service says.
        result: The JSON of the program's result, where it could be had.
        otherwise: What to say of a failure when the program says nothing.
    """
    said = _read(result)
    if has_succeeded:
        rows = said.get("rows")
        return Outcome(ExecutionStatus.SUCCEEDED, rows if isinstance(rows, int) else None)
    return Outcome(ExecutionStatus.FAILED, error=str(said.get("error") or otherwise))


def says_ok(result: str | None) -> bool:
    """Whether the program says that it has done its job, whatever the service says of it."""
    return _read(result).get("ok") is True


def _read(result: str | None) -> dict[str, Any]:
    try:
        said = json.loads(result or "{}")
    except ValueError:  # cut off
        return {}
    return said if isinstance(said, dict) else {}
