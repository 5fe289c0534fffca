"""A deployment that is followed: until Airflow has read it, and undone when Airflow cannot.

What a crash leaves is a file that Airflow has read, cannot read, or has not looked at yet. The next apply finds it as
it is wanted, so nothing is written; what Airflow makes of it is waited for all the same, and undone the same way. The
text before it is then Airflow's own copy of what it could read last.

Source: design.md section 11.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import evolve, frozen

from dcp_core.context import Context
from dcp_core.errors import ConflictError, DcpError, PermanentError, TransientError
from dcp_core.model import State
from dcp_primitives.airflow.deploying import DagPlace, Deployed, Deployment
from dcp_primitives.airflow.layouts import loader_file
from dcp_primitives.airflow.rendering import DIGEST, EDITED, FAULTS, owner_in, state_of, version_of
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.opening import expected_of
from dcp_primitives.airflow.service.reading import Expected
from dcp_primitives.airflow.service.views import DagView, ImportProblem
from dcp_primitives.airflow.service.waiting import Before, Waiting
from dcp_primitives.airflow.settings import AirflowSettings

UNDOING_S = 60.0
"""How long it is waited until Airflow has read what was put back."""


@frozen
class Following:
    """Deploys DAGs to one place, under the eyes of the Airflow that reads it.

    Args:
        place: Where to.
        service: Who reads it.
        settings: Section ``[airflow]``.
        ctx: For the log.
        sleep: Waits that many seconds.
        clock: Seconds that only grow.
    """

    place: DagPlace
    service: AirflowService
    settings: AirflowSettings
    ctx: Context
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def deploy(self, expected: Expected, text: str) -> None:
        """Put the text there unless it is there, and wait until Airflow has read it.

        Raises:
            ConflictError: Airflow has a DAG of that name from elsewhere.
            PermanentError: Airflow cannot read it: it is as it was before. Or the time is over: the file stays.
            TransientError: Airflow, or the place, is away.
        """
        before = Before.of(self.service, expected)
        there = self.place.read(expected.dag_id)
        check_not_elsewhere(before.reading.view, expected, there)
        done: Deployment | None = None
        if there is None or there.text != text or there.faults:
            done = self.place.write(expected.dag_id, text)
            where = self.place.describe(expected.dag_id)
            self.ctx.log.info("deployed version %s of DAG %s to %s", expected.version, expected.dag_id, where)
        if not self.settings.wait_s:
            return
        view = before.reading.view
        # Of a text that Airflow has not read, an error may come yet at the same file that is none of this one's.
        is_replaced = done is not None and there is not None and there.file in (expected.at.file, expected.at.document)
        has_unread = is_replaced and not _is_read(there, view)
        waiting = self._waiting(self.settings.wait_s)
        problem = waiting.until_read(before, rewritten=done is not None, has_unread=has_unread)
        if problem is not None:
            raise self._undone(expected, problem, view, done, there, text)
        self.ctx.log.info("Airflow has read version %s of DAG %s", expected.version, expected.dag_id)
        self._warn_of_what_waits()

    def remove(self, expected: Expected) -> None:
        """Take the file away, and have Airflow forget the DAG with its runs.

        Raises:
            PermanentError: Airflow still has it when the time is over; removing it again goes on.
            TransientError: Airflow, or the place, is away; so it does.
        """
        was_there = self.place.read(expected.dag_id) is not None
        self.place.remove(expected.dag_id)
        self._waiting(self.settings.wait_s).until_gone(expected.dag_id, expected.bundle, removed=was_there)

    def _undone(
        self,
        expected: Expected,
        problem: ImportProblem,
        view: DagView | None,
        done: Deployment | None,
        there: Deployed | None,
        text: str,
    ) -> PermanentError:
        """What Airflow says, after things are as they were before, where that is known."""
        self.ctx.log.info("Airflow cannot read %s:\n%s", problem.file, problem.text.rstrip())
        dag_id = expected.dag_id
        told = f"Airflow cannot read DAG {dag_id}: {problem}"
        is_back = done is not None and done.previous is not None
        back = evolve(expected, version=None if view is None else view.version)  # Airflow's own copy
        try:
            if done is not None:
                if there is not None:  # with its faults, as in the files of another template
                    back = expected_of(dag_id, there.file, _version(evolve(there, faults=())), self.settings)
                self.place.restore(dag_id, done)
            else:
                earlier = self._last_read(dag_id, text) if view is not None else None
                if earlier == text:
                    return PermanentError(f"{told}; the file stays: Airflow could read this very text before")
                if earlier is not None:
                    self.place.write(dag_id, earlier)
                    is_back = True
                elif view is None:
                    self.place.remove(dag_id)
                else:
                    return PermanentError(f"{told}; the file stays, since what was before it is not known")
        except DcpError as error:
            return PermanentError(f"{told}; it could not be undone: {error.message}", hint=error.hint)
        if not is_back:
            return PermanentError(f"{told}; the file was taken away again")
        if back.version is None:
            return PermanentError(f"{told}; what was there before is back")
        self._see_it_back(back)
        return PermanentError(f"{told}; what was there before is back (version {back.version})")

    def _last_read(self, dag_id: str, text: str) -> str | None:
        """Airflow's copy of the file that it could read last, when that was a whole DAG of whose the text is."""
        source, owner = self.service.source(dag_id), owner_in(text)
        return source if source and owner is not None and owner_in(source) == owner else None

    def _see_it_back(self, expected: Expected) -> None:
        """Wait until Airflow schedules what was put back; that it takes longer is no error of its own."""
        try:
            before = Before.of(self.service, expected)
            waiting = self._waiting(min(self.settings.wait_s, UNDOING_S))
            waiting.until_read(before, rewritten=True)
        except (PermanentError, TransientError) as error:
            self.ctx.log.warning("Airflow has not read what was put back: %s", error.message)

    def _warn_of_what_waits(self) -> None:
        if not self.settings.deferrable:
            return
        try:
            triggerer = self.service.health().triggerer
        except (PermanentError, TransientError) as error:
            self.ctx.log.warning("whether Airflow has a triggerer, in which tasks wait, is not known: %s", error)
            return
        if not triggerer.is_healthy:
            self.ctx.log.warning(
                "%s: tasks wait for their jobs in a triggerer; start `airflow triggerer`, or set deferrable = false in "
                "[airflow]",
                triggerer,
            )

    def _waiting(self, wait_s: float) -> Waiting:
        return Waiting(self.service, wait_s, self.ctx.log, self.sleep, self.clock)


def version_deployed(state: State | None) -> str | None:
    """Of what is deployed as it was rendered; None of what is not there, or was edited since."""
    if state is None or state.owner is None or state.info.get(EDITED) or state.info.get(FAULTS):
        return None
    return version_of(str(state.values[DIGEST]))


def scheduled(deployed: Deployed) -> Deployed:
    """Where Airflow's own switch is used, a file without a schedule is not as it should be."""
    return evolve(deployed, is_paused=False)


def _is_read(deployed: Deployed | None, view: DagView | None) -> bool:
    """Whether what Airflow has is this text, as far as is known."""
    version = _version(deployed)
    return version is not None and view is not None and view.version == version


def _version(deployed: Deployed | None) -> str | None:
    return None if deployed is None else version_deployed(state_of(scheduled(deployed)))


def check_not_elsewhere(view: DagView | None, expected: Expected, there: Deployed | None) -> None:
    """Whether the name is free for us.

    Args:
        view: What Airflow has.
        expected: What it is to have.
        there: The DAG as it is deployed now.

    Raises:
        ConflictError: Airflow has a DAG of that name from elsewhere.
    """
    if is_elsewhere(view, expected, there):
        assert view is not None, "what is nowhere is not elsewhere"
        raise ConflictError(
            f"Airflow has a DAG {expected.dag_id} from {view.file} in the bundle {view.bundle}",
            hint="another name; or bundle in [airflow], if that is where its DAGs are deployed to",
        )


def is_elsewhere(view: DagView | None, expected: Expected, there: Deployed | None) -> bool:
    """Whether Airflow has, and goes by, a DAG of that name that was not deployed to where we deploy.

    What it has read from our own file is ours, also when a template of somebody's own has forgotten the tags. A DAG
    in shards has moved to another file once that template is mended.
    """
    if view is None or view.is_stale:
        return False
    ours = {expected.at.file} if there is None else {expected.at.file, loader_file(there.file) or there.file}
    return view.bundle != expected.bundle or (not view.is_ours and view.file not in ours)
