"""What a replica does beside its callers' work, each on a schedule of its own, in one thread.

Operations that no request has begun are not among them: an in-process command that crashed is finished by the next
apply of its manifest, or by the controller. Requests are taken over, and ended, by the worker.

Source: design.md section 9.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import attrs

from dcp_core.errors import DcpError
from dcp_core.sections import StoreSettings
from dcp_core.settings import Settings
from dcp_graph_runner.audit_settings import AuditSettings
from dcp_graph_runner.clean_up import CleanUp
from dcp_graph_runner.sql_store import SqlStore

_LOG = logging.getLogger("dcp.server")
SETTLE_EVERY_S = 15.0
DELIVER_EVERY_S = 30.0
CLEAN_UP_EVERY_S = 3600.0
_JOIN_S = 10.0
_WORST_BACKOFF = 16


@attrs.frozen
class Chore:
    """One of them.

    Args:
        name: For the log.
        every_s: How long after its end it begins again; longer each time that it fails in a row, up to 16 times.
        do: Does it.
        first_s: When it is due for the first time, in seconds.
    """

    name: str
    every_s: float
    do: Callable[[], object]
    first_s: float


def chores_of(
    settings: Settings, store: SqlStore, clock: Callable[[], datetime], settle_audit: Callable[[], None]
) -> tuple[Chore, ...]:
    """Those of a replica. Several replicas may do each at once.

    Args:
        settings: Of the project; without ``[audit] table`` nothing is delivered.
        store: Of the replica.
        clock: UTC now.
        settle_audit: Records what has ended without a word.
    """

    def deliver() -> None:
        from dcp_graph_runner.audit_outbox import Outbox

        settle_audit()
        Outbox.of(store.audit_log, settings).deliver()

    clean_up = CleanUp(store.database, clock, settings.section("store", StoreSettings))
    chores = [
        Chore("settling the audit log", SETTLE_EVERY_S, settle_audit, first_s=SETTLE_EVERY_S),
        # Not all replicas that were started together at once.
        Chore("cleaning up", CLEAN_UP_EVERY_S, clean_up.run, first_s=60.0 * (1 + random.random())),
    ]
    if settings.section("audit", AuditSettings).table:
        chores.append(Chore("delivering the audit log", DELIVER_EVERY_S, deliver, first_s=DELIVER_EVERY_S / 3))
    return tuple(chores)


class Chores:
    """Does them until ``close``; what fails is logged, and tried again.

    Args:
        chores: What to do.
    """

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = tuple(chores)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="dcp-chores", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Begin nothing more; what is being done may take a moment."""
        self._ended.set()
        self._thread.join(_JOIN_S)

    def _repeat(self) -> None:
        due_at = {each.name: time.monotonic() + each.first_s for each in self._chores}
        failures = dict.fromkeys(due_at, 0)
        while not self._ended.wait(max(0.0, min(due_at.values()) - time.monotonic())):
            each = min(self._chores, key=lambda chore: due_at[chore.name])
            failures[each.name] = 0 if self._is_done(each) else failures[each.name] + 1
            backoff: int = min(2 ** failures[each.name], _WORST_BACKOFF)
            due_at[each.name] = time.monotonic() + each.every_s * backoff

    def _is_done(self, chore: Chore) -> bool:
        try:
            chore.do()
        except DcpError as error:
            _LOG.warning("%s failed, and is tried again: %s", chore.name, error)
            return False
        except Exception:
            _LOG.exception("%s failed, and is tried again", chore.name)
            return False
        return True
