"""Until Airflow has read what was deployed, or has let go of what was removed.

Time is told by what Airflow says of itself, never by comparing its clock with ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from logging import Logger
from typing import TypeVar

from attrs import define, frozen

from dcp_core.errors import ConflictError, PermanentError, TransientError
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.reading import Expected, Reading, read
from dcp_primitives.airflow.service.views import DagView, ImportProblem

T = TypeVar("T")
POLL_S = 1.0
PROGRESS_S = 15.0
HURRY_S = 20.0
AWAY_S = 120.0
"""How long Airflow may be away while it is waited for."""
REMOVAL_S = 60.0
"""How long a removal waits at least, since nobody comes back to finish it."""
SETTLED_S = 2.0


@define
class Stamps:
    """Tells a reading that began after a moment from one that may have begun before it.

    Airflow may be at reading the old text when the new one is put there. Only the second reading that ends after that
    moment is sure to have begun after it.

    Args:
        last: When the last reading ended, as known at that moment; None when there was none.
    """

    last: datetime | None
    count: int = 0

    def is_later(self, at: datetime | None) -> bool:
        """Whether the reading that ended then began after the moment."""
        if at is not None and at != self.last:
            self.last = at
            self.count += 1
        return self.count > 1


@frozen
class Before:
    """What Airflow had of a DAG right before a deployment."""

    reading: Reading

    @classmethod
    def of(cls, service: AirflowService, expected: Expected) -> Before:
        """As it is now.

        Raises:
            TransientError: Airflow cannot be reached: nothing should be deployed that nobody can follow.
        """
        return cls(read(service, [expected])[expected.dag_id])


@frozen
class Waiting:
    """Waits for one Airflow.

    Args:
        service: Which one.
        wait_s: How long at most; 0 not at all.
        log: Is told of the progress.
        sleep: Waits that many seconds.
        clock: Seconds that only grow.
    """

    service: AirflowService
    wait_s: float
    log: Logger
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def until_read(self, before: Before, *, rewritten: bool, has_unread: bool = False) -> ImportProblem | None:
        """Until Airflow has read what is deployed; its import error when it cannot read it.

        Args:
            before: What it had, and what it should have.
            rewritten: Whether the file was put there since: what Airflow has of it may be of the text before.
            has_unread: Whether the text before is one that Airflow has not read: a first error may be that one's.

        Raises:
            PermanentError: The time is over without either.
            TransientError: Airflow has been away for a while.
        """
        expected, old = before.reading.expected, before.reading
        had_version = rewritten and old.view is not None and old.view.version == expected.version
        parses = Stamps(old.view.last_parsed_at if old.view else None)
        failures = Stamps(old.problem.at if old.problem else None)
        is_of_this = old.problem is None and not has_unread
        patience = _Patience(self, f"Airflow to read DAG {expected.dag_id}")
        reading = old
        while True:
            found = patience.ask(lambda: read(self.service, [expected])[expected.dag_id])
            if found is not None:
                reading = found
                if patience.should_hurry():
                    self._hurry(reading.view, expected.bundle)
                problem = reading.problem
                if problem is not None and (failures.is_later(problem.at) or is_of_this):
                    return problem
                parsed_at = reading.view.last_parsed_at if reading.view else None
                if reading.is_read and (not had_version or parses.is_later(parsed_at)):
                    return None
                if patience.hurries < failures.count + parses.count + 1:
                    patience.hurry_again()  # to be sure of it
            if not patience.pause(str(reading)):
                raise self._unread(reading)

    def until_gone(self, dag_id: str, bundle: str, *, removed: bool = False) -> None:
        """Until Airflow has noticed that the file is gone, and has forgotten the DAG with all its runs.

        Runs that go on are ended. What comes back, because Airflow was just reading the file, is deleted again.

        Args:
            dag_id: Of which DAG.
            bundle: Where it was deployed.
            removed: Whether its file was taken away just now: Airflow may be at reading it for the first time.

        Raises:
            PermanentError: The time is over; the next destruction goes on.
            TransientError: Airflow has been away for a while.
            ConflictError: Airflow has it from another bundle.
        """
        patience = _Patience(self, f"Airflow to let go of DAG {dag_id}", max(self.wait_s, REMOVAL_S))
        ended: set[str] = set()
        was_deleted = False
        while True:
            found = patience.ask(lambda: (self.service.dags([dag_id]).get(dag_id),))
            state = "it cannot be reached"
            if found is not None:
                (view,) = found
                if view is None:
                    if not (was_deleted or removed) or patience.has_settled():
                        return
                    state = "it may come back"
                elif view.bundle not in (bundle, None):
                    told = f"Airflow has DAG {dag_id} from the bundle {view.bundle} too; it is not deleted there"
                    raise ConflictError(told)
                elif not view.is_stale:
                    if patience.should_hurry():
                        self._hurry(view, bundle)
                    state = "it has not noticed yet that the file is gone"
                else:
                    state = self._delete(dag_id, ended)
                    was_deleted = was_deleted or not state
                    patience.unsettle()
            if not patience.pause(state):
                health = patience.ask(self.service.health)
                raise PermanentError(
                    f"Airflow still has DAG {dag_id} after {patience.limit_s:.0f} s: {state}; {health}",
                    hint="its file is gone already; destroying it again goes on",
                )

    def _delete(self, dag_id: str, ended: set[str]) -> str:
        """End what runs, and delete; what is in the way, "" when nothing is."""
        try:
            for run in self.service.runs(dag_id, 100, ("queued", "running")):
                if run.id not in ended:
                    ended.add(run.id)
                    self.log.info("ending run %s of DAG %s, which is being deleted", run.id, dag_id)
                    self.service.fail(dag_id, run.id, run.stop_note("as the DAG is being deleted"))
            self.service.delete(dag_id)
        except ConflictError as error:
            return f"a task of it still ends ({error.message})"
        except TransientError as error:
            return error.message
        return ""

    def _hurry(self, view: DagView | None, bundle: str) -> None:
        """Ask Airflow to read the file now; that it does not take the wish is no harm.

        It then looks for new and removed files of the bundle, too: any of its DAGs does for one that is new.
        """
        try:
            known = view or self.service.any_of(bundle)
            if known is not None:
                self.service.parse(known.file_token)
        except (PermanentError, TransientError) as error:
            self.log.debug("Airflow does not look earlier: %s", error)

    def _unread(self, reading: Reading) -> PermanentError:
        expected, view = reading.expected, reading.view
        try:
            health = self.service.health()
            words, hint = str(health), _hint(health.dag_processor.is_healthy, view)
        except (PermanentError, TransientError) as error:
            words, hint = f"its health is not known: {error.message}", _hint(True, view)
        last = "it has no DAG of that name"
        if view is not None and view.version is None and not view.is_stale:
            last = f"it has read {view.file}, and a DAG there without the tag that says which version it is"
        elif view is not None:
            at = f" at {view.last_parsed_at:%Y-%m-%d %H:%M:%S} UTC" if view.last_parsed_at else ""
            what = f"version {view.version}" if view.version else "one without a version"
            last = f"it has read {what}{at}" + (", which it counts as gone" if view.is_stale else "")
        return PermanentError(
            f"Airflow has not read version {expected.version} of {expected.at.file} in {self.wait_s:.0f} s: "
            f"{last}; {words}",
            where=f"airflow_dag:{expected.dag_id}",
            hint=f"{hint}; the file stays, and applying again goes on waiting",
        )


def _hint(has_processor: bool | None, view: DagView | None) -> str:
    if view is not None and view.version is None and not view.is_stale:
        return 'a template has to give its DAG the tag f"dcp:{version}"'
    if has_processor:
        named = "; a template has to give its DAG the dag_id of its spec" if view is None or view.is_stale else ""
        settings = "[dag_processor] refresh_interval of Airflow, wait_s and bundle in [airflow]"
        return f"see {settings}, and where the files go{named}"
    return "start `airflow dag-processor`"


class _Patience:
    """One wait: how long it has been, whether Airflow is there, what was said of it."""

    def __init__(self, waiting: Waiting, what: str, limit_s: float | None = None) -> None:
        self.limit_s = waiting.wait_s if limit_s is None else limit_s
        self._waiting = waiting
        self._what = what
        self._began = waiting.clock()
        self._away_since: float | None = None
        self._told_at = self._began
        self._settled_at: float | None = None
        self._hurried_at: float | None = None
        self.hurries = 0

    def ask(self, call: Callable[[], T]) -> T | None:
        """What the call gives; None while Airflow is away."""
        try:
            found = call()
        except TransientError:
            now = self._waiting.clock()
            if self._away_since is None:
                self._away_since = now
            if now - self._away_since >= min(AWAY_S, self.limit_s):
                raise
            return None
        self._away_since = None
        return found

    def pause(self, state: str) -> bool:
        """Wait a little; False when the time is over."""
        now = self._waiting.clock()
        if now - self._began >= self.limit_s:
            return False
        if now - self._told_at >= PROGRESS_S:
            self._told_at = now
            self._waiting.log.info("waiting for %s: %s (%.0f s)", self._what, state, now - self._began)
        self._waiting.sleep(POLL_S)
        return True

    def should_hurry(self) -> bool:
        """Whether Airflow is to be asked to look now: at first, and again when that has come to nothing."""
        now = self._waiting.clock()
        if self._hurried_at is not None and now - self._hurried_at < HURRY_S:
            return False
        self._hurried_at = now
        self.hurries += 1
        return True

    def hurry_again(self) -> None:
        """Not wait with the next wish."""
        self._hurried_at = None

    def has_settled(self) -> bool:
        """Whether nothing has changed for a while since this was first asked."""
        now = self._waiting.clock()
        if self._settled_at is None:
            self._settled_at = now
        return now - self._settled_at >= SETTLED_S

    def unsettle(self) -> None:
        """Something has changed."""
        self._settled_at = None
