"""A run of Databricks' as the driver needs it: which one, whether it has ended, and how.

Source: https://docs.databricks.com/api/workspace/jobs/getrun.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

if TYPE_CHECKING:
    from databricks.sdk.service.jobs import Run

SUCCEEDED, CANCELLED, FAILED, LOST = "succeeded", "cancelled", "failed", "lost"
_CANCELLED_CODES = ("USER_CANCELED", "CANCELED")
_FINAL_LIFE_CYCLES = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
_LOST_TYPES = ("INTERNAL_ERROR", "CLOUD_FAILURE")  # the service's own fault, not the job's: worth another attempt


@frozen
class Handle:
    """What finds an attempt again in another process, the credentials apart.

    Args:
        run_id: The service's own.
        me: Who started it, as the service names them.
        key: ``Task.key``.
        catalog: Of the table that it writes.
        table: In it.
    """

    run_id: int
    environment: str
    me: str
    key: str
    catalog: str
    table: str

    @property
    def text(self) -> str:
        """As the driver stores it."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @property
    def execution_id(self) -> str:
        return self.key.rpartition("-")[0]

    @classmethod
    def parsed(cls, text: str) -> Handle | None:
        """None when it is no handle of this backend's."""
        try:
            found: Any = json.loads(text)
            return cls(**found)
        except (ValueError, TypeError):
            return None


@frozen
class End:
    """How a run has ended.

    Args:
        kind: ``SUCCEEDED``, ``CANCELLED``, ``FAILED``, or ``LOST`` by the service.
        message: What the service says of it.
    """

    kind: str
    message: str


def end_of(run: Run) -> End | None:
    """None while it has not ended, or is in a state that this version does not know."""
    state, status = run.state, run.status
    details = status.termination_details if status is not None else None
    message = (details.message if details is not None else None) or (state.state_message if state is not None else None)
    if status is not None and status.state is not None and details is not None:
        if status.state.value != "TERMINATED":
            return None
        code = details.code.value if details.code is not None else ""
        kind = details.type.value if details.type is not None else ""
        return End(_kind(code, kind), message or code or kind)
    if state is None or state.life_cycle_state is None or state.life_cycle_state.value not in _FINAL_LIFE_CYCLES:
        return None
    result = state.result_state.value if state.result_state is not None else state.life_cycle_state.value
    return End(_kind(result, result), message or result)


def task_run_id(run: Run) -> int | None:
    """The run of the one task, whose output it is; None before there is one."""
    return run.tasks[-1].run_id if run.tasks else None


def _kind(code: str, kind: str) -> str:
    if code == "SUCCESS":
        return SUCCEEDED
    if code in _CANCELLED_CODES:
        return CANCELLED
    return LOST if kind in _LOST_TYPES else FAILED
