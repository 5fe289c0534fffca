"""The hooks: a task becomes a run of Databricks' Jobs API, which goes on whether or not the driver does."""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute.commits import rows_known_to_be_committed
from coreetl_driver.compute.databricks import runs
from coreetl_driver.compute.databricks.acting import Actor, Actors
from coreetl_driver.compute.databricks.calling import REFUSED, THROTTLED, waiting
from coreetl_driver.compute.databricks.runs import End, Handle
from coreetl_driver.compute.databricks.settings import ENVIRONMENTS, environments_of_principals, settings_for
from coreetl_driver.compute.databricks.staging import attempt_folder, places, remove, stage
from coreetl_driver.compute.databricks.submitting import run_request
from coreetl_driver.compute.endings import SETTLE_S, last_look
from coreetl_driver.compute.interfaces import ComputeBackend
from coreetl_driver.compute.results import judged, result_in
from coreetl_driver.compute.spark_submit import submission
from coreetl_driver.compute.tasks import Capabilities, Outcome, Task, taking_nothing
from dcp_core.errors import (
    DcpError,
    NotFoundError,
    PermanentError,
    SettingsError,
    TransientError,
    UnauthorizedError,
)
from dcp_core.settings import Settings

if TYPE_CHECKING:
    from databricks.sdk.service.jobs import Run

_LOG = logging.getLogger(__name__)
_ASKER = "databricks-was-asked"  # in the attempt's folder: by whom; other machines ask Databricks
_KEPT = 1000  # ends that are remembered


@frozen
class _Ended:
    """What is left of an attempt; a ``problem`` is raised, each time it is asked for."""

    outcome: Outcome | None
    log: str
    problem: str = ""


class DatabricksBackend(ComputeBackend):
    """One-time runs in one workspace, each as its user or as its environment's service principal."""

    name = "databricks"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if importlib.util.find_spec("databricks") is None or importlib.util.find_spec("databricks.sdk") is None:
            raise SettingsError(
                "compute backend 'databricks' needs Databricks' SDK", hint="pip install 'coreetl-driver[databricks]'"
            )
        self._principals = environments_of_principals(settings)
        self._section_of = partial(settings_for, settings)
        self._actors = Actors(self._section_of)
        self._ended: OrderedDict[str, _Ended] = OrderedDict()
        self._lock = threading.Lock()

    def capabilities(self) -> Capabilities:
        """An extraction stages its rows on the driver's machine, where no cluster can read them."""
        return Capabilities(
            kinds=("query",),
            survives_driver=True,
            needs_user_token=len(self._principals) < len(ENVIRONMENTS),
            own_credentials_in=self._principals,
        )

    def submit(self, task: Task) -> str:
        known = Handle.parsed(task.handle or "")
        if known is not None:
            return self._taken_up(task, known)
        note = task.folder / _ASKER
        asker = note.read_text(encoding="utf-8") if note.exists() else None
        try:
            return self._submitted(task, note, asker)
        except PermanentError as error:
            if asker is None:
                note.unlink(missing_ok=True)  # it says itself that it has not taken it
            self._actors.forget(task.key)
            if isinstance(error, NotFoundError):  # of the workspace, not of an attempt
                raise PermanentError(error.message, where=error.where, hint=error.hint) from None
            raise

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        """Looks, and does not wait: the service has no call that does."""
        known = _known(handle)
        ended = self._ended.get(handle)
        if ended is None:
            actor = self._actors.of_attempt(known.environment, known.me)
            try:
                run = _run(actor, known.run_id)
            except NotFoundError:
                self._actors.forget(known.key)
                raise
            end = runs.end_of(run)
            if end is None:
                return None
            ended = self._judged(actor, known, run, end)
            self._keep(actor, known, ended)
        if ended.outcome is None:
            raise NotFoundError(ended.problem)
        return ended.outcome

    def cancel(self, handle: str) -> None:
        known = Handle.parsed(handle)
        if known is None or handle in self._ended:
            return
        actor = self._actors.of_attempt(known.environment, known.me)
        try:
            if runs.end_of(_run(actor, known.run_id)) is not None:
                return
            with actor.asks(f"does not end run {known.run_id}"):
                actor.client.jobs.cancel_run(known.run_id)
            self._wait_for_end(actor, known)
        except NotFoundError:
            return
        time.sleep(SETTLE_S)

    def logs(self, handle: str) -> str:
        known = _known(handle)
        ended = self._ended.get(handle)
        if ended is not None:
            return ended.log
        actor = self._actors.of_attempt(known.environment, known.me)
        return _log(actor, _run(actor, known.run_id))[0]

    def close(self) -> None:
        """Runs go on; the tokens are forgotten."""
        self._actors.forget_all()

    def _submitted(self, task: Task, note: Path, asker: str | None) -> str:
        """The handle of the run.

        Args:
            note: Where it is kept, before the service is asked, who asks.
            asker: Who has asked before, as far as this machine knows.
        """
        acts_as_user = self.capabilities().acts_as_user_in(task.environment)
        may_run = task.may_run or asker is not None
        refusal: Callable[..., DcpError] = waiting if may_run and acts_as_user else UnauthorizedError
        with taking_nothing():
            actor = self._actors.of_task(task, refusal, asker)
            if asker not in (None, actor.me):
                raise refusal(
                    f"a run of it may be of {asker}, and the credentials that are there now are of {actor.me}"
                )
            section = self._section_of(task.environment)
            staged = places(task, actor, section.workspace_path)
            request = run_request(task, section, submission(self._settings, task), staged)
            if asker is None:
                with actor.asks(f"does not take the program's files in {section.workspace_path}", refusal):
                    stage(task, actor, staged, has_begun=may_run)
        if not may_run:
            note.write_text(actor.me, encoding="utf-8")
        try:
            with actor.asks("does not take the run", refusal):
                submitted: Any = actor.client.jobs.submit(**request).response
        except TransientError as error:
            if error.code != THROTTLED:
                raise
            if asker is None:
                note.unlink(missing_ok=True)
            with taking_nothing():  # it says so itself
                raise
        if may_run and asker is None and acts_as_user:
            _require_own(actor, submitted.run_id)
        sink = task.spec.sink
        return Handle(submitted.run_id, task.environment, actor.me, task.key, sink.catalog, sink.table).text

    def _taken_up(self, task: Task, known: Handle) -> str:
        """It runs already; its user has come, maybe with a token that is none."""
        actor = self._actors.of_task(task, waiting, known.me)
        if actor.me != known.me:
            self._actors.forget(task.key)
            raise waiting(f"run {known.run_id} is of {known.me}, and the token that came along of {actor.me}")
        return known.text

    def _wait_for_end(self, actor: Actor, known: Handle) -> None:
        timeout_s = self._actors.section_of_running(known.environment).cancel_timeout_s
        run = last_look(lambda: _run(actor, known.run_id), lambda run: runs.end_of(run) is not None, timeout_s)
        if runs.end_of(run) is None:
            raise TransientError(f"run {known.run_id} of Databricks was told to end, and has not yet ended")

    def _judged(self, actor: Actor, known: Handle, run: Run, end: End) -> _Ended:
        """What became of the attempt: what it has committed counts, whatever the service says of its end.

        Raises:
            TransientError: It cannot be found out yet.
        """
        log, otherwise = _log(actor, run)
        if end.kind == runs.SUCCEEDED:
            return _Ended(judged(True, result_in(log), ""), log)
        time.sleep(SETTLE_S)
        committed = rows_known_to_be_committed(self._settings, known.catalog, known.table, known.execution_id)
        if committed is not None:
            return _Ended(Outcome(ExecutionStatus.SUCCEEDED, committed), log)
        if end.kind == runs.CANCELLED:
            return _Ended(Outcome(ExecutionStatus.CANCELLED), log)
        said = result_in(log)
        if end.kind == runs.LOST and said is None:
            return _Ended(None, log, f"run {known.run_id} was lost by Databricks: {end.message}")
        return _Ended(judged(False, said, otherwise or end.message), log)

    def _keep(self, actor: Actor, known: Handle, ended: _Ended) -> None:
        """Remember an end, and leave nothing of the attempt behind: no file, and no token."""
        with self._lock:
            self._ended[known.text] = ended
            while len(self._ended) > _KEPT:
                self._ended.popitem(last=False)
        folder = attempt_folder(known.key, actor, self._actors.section_of_running(known.environment).workspace_path)
        try:
            remove(actor, folder)
        except DcpError as error:  # it is a small file, and no secret
            _LOG.warning("%s stays in the workspace: %s", folder, error)
        self._actors.forget(known.key)


def _known(handle: str) -> Handle:
    known = Handle.parsed(handle)
    if known is None:
        raise NotFoundError(f"there is no run {handle} of Databricks")
    return known


def _run(actor: Actor, run_id: int) -> Run:
    with actor.asks(f"does not show run {run_id}"):
        return actor.client.jobs.get_run(run_id)


def _require_own(actor: Actor, run_id: int) -> None:
    """Refuse a run that somebody else has started for the same attempt: it is theirs, and they alone may follow it.

    Raises:
        UnauthorizedError: It waits for their token.
        TransientError: It cannot be found out yet.
    """
    try:
        owner = _run(actor, run_id).creator_user_name or ""
    except NotFoundError:  # ``poll`` will say so
        return
    except TransientError as error:
        if error.code != REFUSED:
            raise
        raise waiting(error.message, where=error.where) from None
    if owner.casefold() != actor.me.casefold():
        raise waiting(f"run {run_id} is of {owner}, and the token that came along of {actor.me}")


def _log(actor: Actor, run: Run) -> tuple[str, str]:
    """What the program has printed, and what the service says of its failure. The service keeps the last 5 MB."""
    from databricks.sdk.errors import BadRequest, NotFound

    run_id = runs.task_run_id(run)
    if run_id is None:
        return "", ""
    with actor.asks(f"does not show the output of run {run_id}"):
        try:
            output = actor.client.jobs.get_run_output(run_id)
        except (BadRequest, NotFound):  # it has none yet, or none any more
            return "", ""
    return output.logs or "", output.error or ""
