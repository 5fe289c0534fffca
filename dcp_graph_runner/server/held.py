"""The store as it is for one request: whoever has lost the request to another replica writes nothing more.

The operations of a request have leases of their own. What lies between them, beginning one and recording what was
refused, hangs on the request's.

Source: design.md section 7.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import attrs

from dcp_core.records import AuditRecord, Operation, OperationStatus
from dcp_core.store import Holder, Lease
from dcp_graph_runner.audit import is_in
from dcp_graph_runner.deeds import left_before
from dcp_graph_runner.request_rows import Claim
from dcp_graph_runner.requests import RequestLog
from dcp_graph_runner.server.hiding import HidingStore, Secrets


class HeldStore(HidingStore):
    """As ``HidingStore``; each of these raises LeaseLostError when the request is another replica's.

    Args:
        log: Where the request is kept; its database is the store's.
        clock: UTC now.
        claim: The right to work on the request.
        secrets: What must not be kept.
    """

    def __init__(self, log: RequestLog, clock: Callable[[], datetime], claim: Claim, secrets: Secrets = ()) -> None:
        super().__init__(log.database, clock, log.is_gone, secrets)
        self._log = log
        self._claim = claim

    def begin(self, operation: Operation, holder: Holder) -> Lease:
        """See ``Journal.begin``."""
        self._log.check_held(self._claim)
        return super().begin(operation, holder)

    def take_over(self, operation_id: str, holder: Holder) -> Lease:
        """See ``Journal.take_over``."""
        self._log.check_held(self._claim)
        return super().take_over(operation_id, holder)

    def append_audit(self, record: AuditRecord) -> None:
        """See ``Store.append_audit``; what a process that is gone may have begun was not refused."""
        self._log.check_held(self._claim)
        is_refused = record.outcome is OperationStatus.REFUSED
        if is_refused and self._claim.fence > 1 and self.audit_log.is_announced(record.operation_id):
            record = attrs.evolve(record, outcome=OperationStatus.FAILED, message=left_before(record.message))
        super().append_audit(record)

    def settle_request(self, request_id: str) -> tuple[AuditRecord, ...]:
        """See ``AuditLog.settle_request``."""
        self._log.check_held(self._claim)
        return super().settle_request(request_id)

    def announce_audit(self, record: AuditRecord, holder: Holder) -> None:
        """See ``Store.announce_audit``; not of what the request does not name, as of a backfill's runs: its deed is."""
        self._log.check_held(self._claim)
        if is_in(record, self._claim.request.id):
            super().announce_audit(record, holder)
