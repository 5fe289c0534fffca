"""The service ``Ops``: what is done to an applied manifest by other means than a new version of it.

Every handler asks ``authorize`` by itself: it knows the version in force, whose owners may, and records refusals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dcp_core.control_plane import ControlPlane
from dcp_graph_runner.api.handlers import AnyHandler, Handler
from dcp_graph_runner.ops import messages as told
from dcp_graph_runner.ops.backfilling import backfill
from dcp_graph_runner.ops.pausing import pause, resume
from dcp_graph_runner.ops.protecting import protect, unprotect
from dcp_graph_runner.ops.reverting import adopt, rollback
from dcp_graph_runner.ops.running import retry, start, stop
from dcp_graph_runner.ops.unlocking import unlock


def _op(
    method: str,
    request: type[Any],
    answer: type[Any],
    function: Callable[[ControlPlane, Any], Any],
    summary: str,
    *,
    is_long: bool = False,
) -> AnyHandler:
    return Handler(
        "Ops", method, request, answer, function, f"/ops/{method.lower()}", None, is_long=is_long, summary=summary
    )


PAUSE = _op("Pause", told.PauseRequest, told.PauseAnswer, pause, "Let a schedule stand still")
RESUME = _op("Resume", told.ResumeRequest, told.ResumeAnswer, resume, "Let it go on")
STOP = _op("Stop", told.StopRequest, told.StopAnswer, stop, "Stop what runs")
START = _op("Start", told.StartRequest, told.StartAnswer, start, "Run the version in force", is_long=True)
RETRY = _op("Retry", told.RetryRequest, told.RetryAnswer, retry, "Run again what failed last", is_long=True)
BACKFILL = _op(
    "Backfill", told.BackfillRequest, told.BackfillAnswer, backfill, "Run the intervals of a time", is_long=True
)
ADOPT = _op("Adopt", told.AdoptRequest, told.AdoptAnswer, adopt, "Take back what has lost its mark", is_long=True)
PROTECT = _op("Protect", told.ProtectRequest, told.ProtectAnswer, protect, "Keep resources from being deleted")
UNPROTECT = _op("Unprotect", told.UnprotectRequest, told.UnprotectAnswer, unprotect, "Lift that")
ROLLBACK = _op(
    "Rollback", told.RollbackRequest, told.RollbackAnswer, rollback, "Apply an earlier version", is_long=True
)
UNLOCK = _op("Unlock", told.UnlockRequest, told.UnlockAnswer, unlock, "End an operation that hangs")

HANDLERS: tuple[AnyHandler, ...] = (
    PAUSE,
    RESUME,
    STOP,
    START,
    RETRY,
    BACKFILL,
    ADOPT,
    PROTECT,
    UNPROTECT,
    ROLLBACK,
    UNLOCK,
)
