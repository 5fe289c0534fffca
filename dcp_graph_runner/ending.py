"""Ends an operation that nobody goes on with: its manifest is free again.

Nothing is done to its resources; the next apply of the manifest plans anew, by what is there.

Source: design.md section 7.
"""

from __future__ import annotations

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import NotFoundError, OperationInProgressError, PermanentError
from dcp_core.records import Operation, OperationStatus
from dcp_core.store import Journal
from dcp_graph_runner import giving_up as verdicts
from dcp_graph_runner.sql_store import SqlStore

_GIVEN_UP = "operation.given_up"


def end(dcp: ControlPlane, store: SqlStore, operation_id: str, why: str, journal: Journal | None = None) -> Operation:
    """End it as FAILED, with a result for each action as far as its journal knows, and tell everybody.

    Args:
        dcp: On whose behalf.
        store: Its store.
        operation_id: Of a running one.
        why: Its error, in words.
        journal: What takes it over; the store itself by default, which refuses while its process may live.

    Raises:
        OperationInProgressError: Its process may live, somebody else has taken it over, or it has ended.
        LeaseLostError: Somebody took it over in that very moment.
    """
    journal = journal or store
    try:
        lease = journal.take_over(operation_id, dcp.operator.holder)
    except PermanentError as error:
        if error.code != _GIVEN_UP:
            raise
        # Taken over too often: that has ended it, with a record.
        ended = _known(store, operation_id)
        records = store.audit_records(ended.environment, ended.manifest_id)
        record = next(each for each in records if each.operation_id == operation_id)
    else:
        results = verdicts.results(lease.operation.plan, journal.steps(lease), why)
        record = dcp.operator.audit_record(lease.operation, OperationStatus.FAILED, results, why)
        ended = journal.finish(lease, OperationStatus.FAILED, results, why, record)
    dcp.registry.broadcast("audit", record=record)
    dcp.registry.broadcast("operation_finished", operation=ended)
    return ended


def has_ended(store: SqlStore, operation_id: str) -> bool:
    """Whether nobody works on it any more."""
    return _known(store, operation_id).finished_at is not None


def end_if_left(dcp: ControlPlane, store: SqlStore, operation_id: str, why: str) -> None:
    """``end``; one that has ended meanwhile needs nothing.

    Raises:
        OperationInProgressError: Its process may live still; to be tried again.
    """
    try:
        end(dcp, store, operation_id, why)
    except OperationInProgressError:
        if not has_ended(store, operation_id):
            raise


def _known(store: SqlStore, operation_id: str) -> Operation:
    found = store.operation(operation_id)
    if found is None:
        raise NotFoundError(f"there is no operation {operation_id}")
    return found
