"""Records of what came to nothing: each manifest of a request has one, however it ended and however often it was tried.

In a server's request the id of an operation is known before it begins, so a record that is there already shows.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from dcp_core.errors import DcpError, UsageError
from dcp_core.model import Environment, LogicalPlan, ManifestPlan, Metadata, Source
from dcp_core.operating import id_in_request
from dcp_core.records import AuditRecord
from dcp_graph_runner.api.messages import DestroyRequest
from dcp_graph_runner.audit import deed_id
from dcp_graph_runner.audit_chain import read_record
from dcp_graph_runner.graphs.work import Work
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import audit

MOST_RECORDS = 100
"""Of one refused call: whoever asks for more at once has one for all of them."""

_IDS_AT_A_TIME = 500


def record(work: Work) -> None:
    """Append what is missing, when ``work`` has failed. Reads leave no record."""
    assert work.error is not None, "only what failed is recorded here"
    kind, error = work.handler.method.lower(), work.error
    _settle(work)
    manifests = list(concerned(work))
    if work.dcp.caller.request_id and manifests:
        known = begun(work) | audited(work, [each.id for each in manifests]).keys()
        manifests = [each for each in manifests if each.id not in known]
    elif work.is_recorded or _is_recorded(work) or (error.code == "cancelled" and not work.dcp.caller.request_id):
        return
    elif work.authenticate is not None and (isinstance(error, UsageError) or len(manifests) > MOST_RECORDS):
        manifests = [_no_manifest(work)]  # what a caller has made up is no manifest
    elif not manifests:
        manifests = [_no_manifest(work)]
    work.dcp.refuse(kind, [ManifestPlan(each, ()) for each in manifests], error)
    work.is_recorded = True


def concerned(work: Work) -> Sequence[LogicalPlan]:
    """The manifests that a request is about; a destruction names ids alone, and those of nothing applied are none."""
    if not isinstance(work.request, DestroyRequest):
        return work.logical_plans
    if work.plan is not None:
        return [each.logical_plan for each in work.plan.manifests]
    ids = work.request.manifest_ids
    in_force = work.dcp.store.logical_plans(work.environment, ids or None) if work.environment else {}
    return [in_force[id] for id in (ids or in_force) if id in in_force]


def begun(work: Work) -> frozenset[str]:
    """The manifests whose operations this request has begun, which end with records of their own."""
    store = work.dcp.store
    assert isinstance(store, SqlStore), "only what is in a SQL store has requests"
    return frozenset(each.manifest_id for each in store.operations_of(work.dcp.caller.request_id))


def audited(work: Work, manifest_ids: Sequence[str]) -> Mapping[str, AuditRecord]:
    """The records that this request has already, by manifest."""
    store = work.dcp.store
    assert isinstance(store, SqlStore), "only what is in a SQL store has requests"
    ids = {id_in_request(work.dcp.caller.request_id, each): each for each in manifest_ids}
    found = {}
    for start in range(0, len(ids), _IDS_AT_A_TIME):
        some = list(ids)[start : start + _IDS_AT_A_TIME]
        query = select(audit.c.operation_id, audit.c.document).where(audit.c.operation_id.in_(some))
        found.update({ids[row.operation_id]: read_record(row.document) for row in store.database.rows(query)})
    return found


def _settle(work: Work) -> None:
    """What this request has begun by other means than an operation, and nobody goes on with, was not refused."""
    store = work.dcp.store
    if not work.dcp.caller.request_id or not isinstance(store, SqlStore):
        return
    for each in store.settle_request(work.dcp.caller.request_id):
        work.dcp.registry.broadcast("audit", record=each)


def _is_recorded(work: Work) -> bool:
    """Whether a request without manifests of its own has records: of operations, or of its deed."""
    request_id, store = work.dcp.caller.request_id, work.dcp.store
    if not request_id or not isinstance(store, SqlStore):
        return False
    kind = work.handler.method.lower()
    about = getattr(work.request, "manifest_id", None) or work.environment
    ids = [deed_id(request_id, each, about) for each in (kind, f"{work.handler.service.lower()}_{kind}")]
    query = select(audit.c.operation_id).where(audit.c.operation_id.in_(ids))
    return bool(begun(work) or store.database.rows(query))


def _no_manifest(work: Work) -> LogicalPlan:
    """Stands for a request as a whole in its audit record."""
    environment = work.environment or _possible(getattr(work.request, "environment", None))
    id = getattr(work.request, "manifest_id", None) or ""
    return LogicalPlan("", id, environment, {}, Metadata(""), Source("", ""))


def _possible(environment: str | None) -> str:
    """An environment as a caller wrote it, when such a one can be."""
    try:
        return Environment.named(environment).name if environment else ""
    except UsageError:
        return ""


def told(error: DcpError, unrecorded: int) -> DcpError:
    """``error`` with how many like it have no record of their own."""
    if unrecorded == 0:
        return error
    words = f"{error.message} ({unrecorded} more like it came since the last record)"
    return type(error)(words, where=error.where, code=error.code)
