"""Ends the operations of a request which nobody goes on with.

Source: design.md section 7.
"""

from __future__ import annotations

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import OperationInProgressError, TransientError
from dcp_core.records import Operation
from dcp_graph_runner.ending import end_if_left
from dcp_graph_runner.sql_store import SqlStore


def give_up(dcp: ControlPlane, operation: Operation, why: str) -> None:
    """End it, unless it has ended meanwhile.

    Raises:
        TransientError: Its process may live still; to be tried again.
    """
    assert isinstance(dcp.store, SqlStore), "only what is in a SQL store has requests"
    try:
        end_if_left(dcp, dcp.store, operation.id, why)
    except OperationInProgressError as error:
        raise TransientError(str(error)) from None
