"""Ends an operation that was begun for a request which nobody goes on with: its manifest is free again.

Nothing is done to its resources; the next apply of the manifest plans anew, by what is there.

Source: design.md section 7.
"""

from __future__ import annotations

from contextlib import suppress

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import OperationInProgressError, PermanentError
from dcp_core.records import Operation, OperationStatus
from dcp_graph_runner import giving_up as verdicts


def give_up(dcp: ControlPlane, operation: Operation, why: str) -> None:
    """End it as FAILED, with a result for each action as far as its journal knows.

    Raises:
        TransientError: Its process may live still; to be tried again.
    """
    # One that was taken over too often is ended by taking it over; one that has ended meanwhile needs nothing.
    with suppress(PermanentError):
        try:
            lease = dcp.store.take_over(operation.id, dcp.operator.holder)
        except OperationInProgressError:
            if any(each.id == operation.id for each in _running(dcp, operation)):
                raise
            return
        done = dcp.store.steps(lease)
        results = verdicts.results(operation.plan, done)
        record = dcp.operator.audit_record(operation, OperationStatus.FAILED, results, why)
        finished = dcp.store.finish(lease, OperationStatus.FAILED, results, why, record)
        dcp.registry.broadcast("audit", record=record)
        dcp.registry.broadcast("operation_finished", operation=finished)


def _running(dcp: ControlPlane, operation: Operation) -> tuple[Operation, ...]:
    from dcp_graph_runner.sql_store import SqlStore

    assert isinstance(dcp.store, SqlStore), "only what is in a SQL store has requests"
    every = dcp.store.operations_of(operation.request_id)
    return tuple(each for each in every if each.finished_at is None)
