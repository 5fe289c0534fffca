"""What belongs to no manifest: operations that dead processes left, playgrounds that have expired, the audit log.

Each of these is tried for itself; what fails waits, longer each time, and stops none of the others.

Source: design.md sections 7, 8 and 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import TypeVar

import attrs
from sqlalchemy import delete, select

from dcp_core import recovering
from dcp_core.control_plane import ControlPlane
from dcp_core.errors import DcpError, OperationInProgressError
from dcp_core.model import PRODUCTION, Environment
from dcp_core.records import Operation, OperationStatus
from dcp_graph_runner.audit_playgrounds import recorded
from dcp_graph_runner.audit_settings import AuditSettings
from dcp_graph_runner.controller.pacing import Pace, Trouble
from dcp_graph_runner.controller.settings import ControllerSettings
from dcp_graph_runner.database import Database
from dcp_graph_runner.playgrounds import Playgrounds
from dcp_graph_runner.tables import conditions, heal_attempts, inventory, observations, operations

AUDIT = "the audit log"
T = TypeVar("T")


@attrs.frozen
class Chores:
    """What was done.

    Args:
        recovered: Operations of dead processes, now ended.
        destroyed: Playgrounds that are gone.
        delivered: How many audit records were brought to their table.
        problems: What did not work, in words, by what it was about.
    """

    recovered: tuple[Operation, ...] = ()
    destroyed: tuple[str, ...] = ()
    delivered: int = 0
    problems: tuple[tuple[str, str], ...] = ()


@attrs.define(eq=False)
class Housekeeper:
    """For one thread at a time.

    Args:
        database: The state database.
        settings: ``[controller]``.
        pace: Of waits after failures.
    """

    database: Database
    settings: ControllerSettings
    pace: Pace
    _troubles: dict[str, Trouble] = attrs.field(factory=dict, init=False)

    def keep(self, dcp: ControlPlane) -> Chores:
        """Everything that is due. Raises nothing that DCP raises but what the state database does."""
        now = dcp.context(Environment.named(PRODUCTION)).clock()
        dcp.settle_audit()
        problems: list[tuple[str, str]] = []

        def tried(what: str, do: Callable[[], T]) -> T | None:
            return self._tried(what, now, problems, do)

        recovered: list[Operation] = []
        for environment, id in self._interrupted(dcp):
            recovered += tried(f"{environment.name} {id}", partial(dcp.recover, environment, [id])) or ()
        destroyed = [id for id in self._expired(dcp) if tried(id, partial(_destroy, dcp, id))]
        delivered = tried(AUDIT, partial(self._deliver, dcp)) or 0
        self._forget_environments()
        return Chores(tuple(recovered), tuple(destroyed), delivered, tuple(problems))

    def _interrupted(self, dcp: ControlPlane) -> Iterable[tuple[Environment, str]]:
        running = select(operations.c.environment).where(operations.c.status == OperationStatus.RUNNING.value)
        with self.database.reading() as connection:
            names = sorted(set(connection.execute(running).scalars()))
        for name in names:
            for each in recovering.free(dcp.operator, dcp.store.interrupted(name)):
                yield Environment.named(name), each.manifest_id

    def _expired(self, dcp: ControlPlane) -> tuple[str, ...]:
        if not self.settings.destroy_playgrounds:
            return ()
        return tuple(sandbox.id for sandbox in Playgrounds.of(dcp).expired())

    def _deliver(self, dcp: ControlPlane) -> int:
        if not (self.settings.deliver_audit and dcp.settings.section("audit", AuditSettings).table):
            return 0
        from dcp_graph_runner.audit import log_of
        from dcp_graph_runner.audit_outbox import Outbox

        return Outbox.of(log_of(dcp.store), dcp.settings).deliver().delivered

    def _tried(
        self, what: str, now: datetime, problems: list[tuple[str, str]], do: Callable[[], T]
    ) -> T | None:  # fmt: skip
        """``do``, unless it failed lately; None when it fails, or waits."""
        known = self._troubles.get(what)
        if known is not None and now < known.next_at:
            return None
        try:
            done = do()
        except OperationInProgressError:
            return None  # somebody was faster
        except DcpError as error:
            failures = 1 if known is None else known.failures + 1
            self._troubles[what] = Trouble(failures, self.pace.next_try(now, failures), error.code, str(error))
            problems.append((what, str(error)))
            return None
        self._troubles.pop(what, None)
        return done

    def _forget_environments(self) -> None:
        """Nothing is applied there any more."""
        there = select(inventory.c.environment).distinct()
        with self.database.reading() as connection:
            stale = [
                name
                for table in (conditions, observations, heal_attempts)
                for name in connection.execute(
                    select(table.c.environment).distinct().where(table.c.environment.not_in(there))
                ).scalars()
            ]
        if stale:
            with self.database.writing() as connection:
                for table in (conditions, observations, heal_attempts):
                    connection.execute(
                        delete(table).where(table.c.environment.in_(stale), table.c.environment.not_in(there))
                    )


def _destroy(dcp: ControlPlane, sandbox_id: str) -> bool:
    """Whether it is gone; what is left is tried again with the next."""
    with recorded(dcp, "destroy", sandbox_id) as deed:
        destruction = Playgrounds.of(dcp).destroy(sandbox_id, deed.begin)
        if destruction.is_complete:
            return True
        deed.outcome = OperationStatus.PARTIAL
        deed.message = f"{len(destruction.left)} of its resources could not be deleted"
    first = next((each.error for each in destruction.operations if each.error), "see its operations")
    raise DcpError(f"{deed.message}: {first}", where=sandbox_id, code="playground.left")
