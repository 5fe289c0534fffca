"""What the metrics of a server read at any time: from its worker, its requests and its audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from dcp_core.errors import DcpError
from dcp_graph_runner.audit import log_of
from dcp_graph_runner.audit_settings import AuditSettings
from dcp_graph_runner.tables import audit, requests

if TYPE_CHECKING:
    from dcp_graph_runner.server.service import Service


def readings(service: Service, workers: int) -> Mapping[str, float]:
    """By the names of ``metrics.READINGS``; what the database does not tell now is left out.

    Args:
        service: Whose.
        workers: How many requests it works on at once.
    """
    in_hand = service.worker.in_hand
    found: dict[str, float] = {
        "dcp_requests_in_hand": in_hand,
        "dcp_requests_waiting": max(0, in_hand - workers),
    }
    try:
        found["dcp_requests_running"] = service.requests.running()
        ((taken_over,),) = service.store.database.rows(
            select(func.sum(requests.c.fence - 1)).where(requests.c.fence > 1)
        )
        found["dcp_requests_taken_over"] = taken_over or 0
        if service.settings.section("audit", AuditSettings).table:
            ((newest,),) = service.store.database.rows(select(func.max(audit.c.sequence)))
            found["dcp_audit_backlog"] = (newest or 0) - log_of(service.store).outgoing().sequence
    except DcpError:
        return found
    return found
