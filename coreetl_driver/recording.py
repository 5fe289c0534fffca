"""Between a driver and its registry while an execution runs: that it is alive, whether to stop it, how it ended."""

from __future__ import annotations

import logging
import threading

from coreetl_driver import holding
from coreetl_driver.compute.tasks import Outcome
from coreetl_driver.job_registry import JobRegistry, now
from coreetl_driver.owners import Owner
from dcp_core.errors import DcpError

_LOG = logging.getLogger(__name__)
_RETRY_S = 1.0


class Record:
    """The executions of one owner, in a registry that may be away for a while."""

    def __init__(self, registry: JobRegistry, owner: Owner) -> None:
        self._registry = registry
        self._me = owner
        self._closed = threading.Event()

    def heartbeat(self, execution_id: str) -> bool:
        """Note that it is alive; False when it is somebody else's now."""
        try:
            return self._registry.change(execution_id, self._me, heartbeat_at=now())
        except Exception:  # a registry that is away for a moment is no reason to end a job
            _LOG.warning("no heartbeat for execution %s: the job registry does not answer", execution_id)
            return True

    def may_commit(self, execution_id: str) -> bool:
        """Whether it is this owner's, for certain; that renews the lease, so that nobody else takes it meanwhile."""
        try:
            return self._registry.change(execution_id, self._me, heartbeat_at=now())
        except Exception:  # whoever cannot know must not write: it may be running elsewhere
            _LOG.warning("execution %s must not commit: the job registry does not answer", execution_id, exc_info=True)
            return False

    def stop_requested(self, execution_id: str) -> bool:
        """Whether somebody has asked for its stop."""
        try:
            return self._registry.get_run(execution_id).stop_requested
        except Exception:  # asked again with the next heartbeat
            _LOG.warning("whether execution %s is to stop is unknown: the job registry does not answer", execution_id)
            return False

    def finish(self, execution_id: str, outcome: Outcome) -> None:
        """Note the end; while the registry does not answer, again and again in the background.

        Nobody else does it: to other processes the execution has an owner that lives.
        """
        holding.hold(execution_id)  # until then it is not lost
        try:
            self._note(execution_id, outcome)
        except Exception:
            _LOG.exception("the end of execution %s cannot be noted yet", execution_id)
            name = f"coreetl-{execution_id[:8]}-ends"
            threading.Thread(target=self._later, args=(execution_id, outcome), name=name, daemon=True).start()
        else:
            holding.release(execution_id)

    def leave(self, execution_id: str, **told: str | None) -> bool:
        """Give it up; whether the registry knows. Where it does not, nobody here holds it, and it is found by that."""
        try:
            self._registry.change(execution_id, self._me, owner=None, **told)
        except Exception as error:
            _LOG.warning("that execution %s is given up cannot be noted: %s", execution_id, reason(error))
            return False
        return True

    def close(self) -> None:
        """Try no longer."""
        self._closed.set()

    def _later(self, execution_id: str, outcome: Outcome) -> None:
        try:
            while not self._closed.wait(_RETRY_S):
                try:
                    self._note(execution_id, outcome)
                except Exception as error:
                    _LOG.warning("the end of execution %s cannot be noted yet: %s", execution_id, reason(error))
                else:
                    return
        finally:
            holding.release(execution_id)

    def _note(self, execution_id: str, outcome: Outcome) -> None:
        self._registry.change(
            execution_id,
            self._me,
            status=outcome.status.value,
            rows_written=outcome.rows_written,
            error=outcome.error,
            finished_at=now(),
        )


def reason(error: Exception) -> str:
    """An error for people, with what to do; of one that nobody raised on purpose, whose fault it is.

    What it says itself stays in the log: a database's error holds the statement with its values.
    """
    if isinstance(error, DcpError):
        return f"{error}; {error.hint}" if error.hint else str(error)
    if isinstance(error, OSError):
        return str(error)
    return f"a bug in the CoreETL driver, or its job registry does not answer ({type(error).__name__}); see its log"
