"""What a request has done already, when another process takes it over in the middle.

Source: design.md section 7.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from dcp_core.errors import OperationInProgressError, PermanentError
from dcp_core.model import ManifestPlan
from dcp_core.operating import APPLY, id_in_request
from dcp_core.records import Operation
from dcp_graph_runner.graphs import refusals
from dcp_graph_runner.graphs.work import Work
from dcp_graph_runner.sql_store import SqlStore

_POLL_S = 0.5


def done_before(work: Work) -> Mapping[str, Operation]:
    """The operations of this request that have ended, by manifest; those that were begun are ended first.

    What an operation started again and has not ended is taken up, so that it can be waited for.
    """
    ended = _finished_now(work)
    others = [each for each in _of_request(work) if each.manifest_id not in ended]
    if others:
        in_force = work.dcp.store.logical_plans(work.environment, [each.manifest_id for each in others])
        for each in others:
            taken_up = work.dcp.operator.take_up(each.plan, each.kind, in_force.get(each.manifest_id))
            ended[each.manifest_id] = attrs.evolve(each, resumed=taken_up if each.kind == APPLY else ())
    return {**_refused(work, ended), **ended}


def _finished_now(work: Work) -> dict[str, Operation]:
    """Finish what the process that is gone has left; what somebody else has begun to finish is waited for."""
    ended: dict[str, Operation] = {}
    while True:
        running = [each for each in _of_request(work) if each.finished_at is None]
        if not running:
            return ended
        ids = [each.manifest_id for each in running]
        interrupted = {each.id for each in work.dcp.store.interrupted(work.environment, ids)}
        for each in running:
            if each.id not in interrupted:
                continue
            try:
                ended[each.manifest_id] = work.dcp.operator.take_over(each)
            except OperationInProgressError:
                continue
            except PermanentError:
                continue  # it was given up, which ends it too
        if not any(each.id in interrupted for each in running):
            work.dcp.operator.sleep(_POLL_S)


def _of_request(work: Work) -> tuple[Operation, ...]:
    store = work.dcp.store
    assert isinstance(store, SqlStore), "only what is in a SQL store has requests"
    return store.operations_of(work.dcp.caller.request_id)


def _refused(work: Work, begun: Mapping[str, Operation]) -> dict[str, Operation]:
    """What the process that is gone had refused, as its records say: it is not tried again."""
    asked = {each.id: each for each in refusals.concerned(work) if each.id not in begun}
    found = {}
    for id, record in refusals.audited(work, list(asked)).items():
        made = Operation(
            id_in_request(work.dcp.caller.request_id, id), record.kind, ManifestPlan(asked[id], ()), record.user,
            status=record.outcome, error=record.message, created_at=record.at, finished_at=record.at,
            request_id=work.dcp.caller.request_id,
        )  # fmt: skip
        found[id] = made
    return found
