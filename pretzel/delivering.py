"""After a command that has recorded something: the audit log is brought to its table, where one is named.

Best effort: what fails or takes too long is said on stderr, changes no exit status, and comes with the next
delivery. A command that records nothing (``plan``, ``lint`` …) imports and waits for nothing.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dcp_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from dcp_core.control_plane import ControlPlane
    from dcp_core.records import AuditRecord


class AuditDelivery:
    """One command's; listens for its records.

    Args:
        control_plane: Of the command.
    """

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._recorded = 0

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        """Called for each record, after it is in the log."""
        self._recorded += 1

    def finish(self) -> str | None:
        """Deliver when there is something to deliver; gives what people should know, None when all is well."""
        if not self._recorded:
            return None
        from dcp_graph_runner.audit_settings import AuditSettings

        settings = self._control_plane.settings.section("audit", AuditSettings)
        if not (settings.table and settings.after_commands):
            return None
        said = []

        def deliver() -> None:
            from dcp_core.errors import DcpError
            from dcp_graph_runner.audit import log_of
            from dcp_graph_runner.audit_outbox import Outbox

            try:
                Outbox.of(log_of(self._control_plane.store), self._control_plane.settings).deliver()
            except DcpError as error:
                said.append(f"{error.message} ({error.where})" if error.where else error.message)
            except Exception as error:  # a bug there must not end what has succeeded
                said.append(f"{type(error).__name__}: {error}")

        # A catalog that neither answers nor refuses is left to a thread that ends with the process.
        thread = threading.Thread(target=deliver, name="audit delivery", daemon=True)
        thread.start()
        thread.join(settings.wait_s)
        if thread.is_alive():
            said.append(f"{settings.table} did not take the audit records within {settings.wait_s:g} s")
        return f"{said[0]}; they wait for the next command, or `pretzel audit deliver`" if said else None
