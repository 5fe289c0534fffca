"""Works on requests after their answer: in threads of this replica, and what dead replicas have left.

Progress is gathered and written in bulk a few times a second; the end is written at once. Whoever watches here hears of
it without asking the database.

Source: design.md sections 7 and 9.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from dcp_core.documents import from_json, to_json
from dcp_core.errors import DcpError, LeaseLostError, TransientError
from dcp_core.settings import Secret
from dcp_core.store import Holder
from dcp_graph_runner.api.long_running import Problem, RequestStatus
from dcp_graph_runner.api.table import find
from dcp_graph_runner.graphs.catalogue import graph_of
from dcp_graph_runner.graphs.graph import Observe, Stage, run
from dcp_graph_runner.graphs.work import SignedIn, Work
from dcp_graph_runner.request_rows import Claim, GivenUp
from dcp_graph_runner.requests import RequestLog
from dcp_graph_runner.server.problems import problem_of
from dcp_graph_runner.server.progress import Progress

_LOG = logging.getLogger("dcp.server")
_SWEEP_S = 2.0
_RENEW_S = 8.0
_FLUSH_S = 0.1
_CANCEL_S = 0.5


class CancelledByUserError(KeyboardInterrupt):
    """Ends a wait as Ctrl-C does: what runs is stopped, and recorded as CANCELLED."""


@attrs.define(eq=False)
class _Job:
    claim: Claim
    credentials: Mapping[str, Secret]
    cancelled: threading.Event = attrs.Factory(threading.Event)

    def sleep(self, seconds: float) -> None:
        if self.cancelled.wait(seconds):
            raise CancelledByUserError


class Worker:
    """One replica's. Thread-safe; works from construction until ``close``.

    Args:
        log: Where requests are kept.
        holder: This process.
        make_control_plane: For who asked; the second argument is what waits, and raises when the user has cancelled.
        progress: Gathers what happens.
        observe: Around each node.
        threads: How many requests are worked on at once.
        refuse: Records the refusal of a request that is given up.
    """

    def __init__(
        self,
        log: RequestLog,
        holder: Holder,
        make_control_plane: Callable[[SignedIn, Callable[[float], None]], Any],
        progress: Progress,
        *,
        observe: Observe,
        threads: int,
        refuse: Callable[[GivenUp, DcpError], None],
    ) -> None:
        self._log = log
        self._holder = holder
        self._make_control_plane = make_control_plane
        self._progress = progress
        self._observe = observe
        self._refuse = refuse
        self._threads = threads
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dcp-worker")
        self._helpers = [
            threading.Thread(target=self._repeat, args=(each, every_s), name=f"dcp-{each.__name__}", daemon=True)
            for each, every_s in ((self._sweep, _SWEEP_S), (self._renew, _RENEW_S), (self._flush, _FLUSH_S))
        ]
        self._helpers.append(
            threading.Thread(target=self._repeat, args=(self._look, _CANCEL_S), name="dcp-look", daemon=True)
        )
        for thread in self._helpers:
            thread.start()

    @property
    def in_hand(self) -> int:
        """How many requests this replica works on, or has queued."""
        with self._lock:
            return len(self._jobs)

    def take(self, claim: Claim, credentials: Mapping[str, Secret]) -> None:
        """Begin to work on what this process holds; returns at once.

        Raises:
            TransientError: This replica is about to end; another one will take it over.
        """
        job = _Job(claim, credentials)
        with self._lock:
            if self._ended.is_set():
                raise TransientError("this server is about to end", retry_after_s=1.0, code="server.draining")
            self._jobs[claim.request.id] = job
        self._progress.open(claim)
        self._pool.submit(self._work, job)

    def close(self, grace_s: float) -> bool:
        """Take nothing more, and let what is in hand end; what does not in time, another replica takes over.

        Returns:
            Whether everything ended.
        """
        ends_at = time.monotonic() + grace_s
        self._ended.set()
        while self.in_hand and time.monotonic() < ends_at:
            time.sleep(0.05)
        self._flush()
        self._pool.shutdown(wait=False, cancel_futures=True)
        return not self.in_hand

    def _work(self, job: _Job) -> None:
        request = job.claim.request
        status, answer, problem = RequestStatus.FAILED, None, None
        try:
            handler = find(request.method)
            signed_in = SignedIn(request.caller, job.credentials)
            work = Work(
                self._make_control_plane(signed_in, job.sleep),
                handler,
                from_json(request.document, handler.request),
                signed_in=signed_in,
                environment=request.environment,
            )
            run(graph_of(handler).of(Stage.WORK), work, self._told(job.claim))
            status, answer = RequestStatus.DONE, to_json(work.answer)
        except LeaseLostError as error:
            _LOG.warning("%s is another replica's now: %s", request.id, error)
            self._forget(job)
            return
        except CancelledByUserError:
            status = RequestStatus.CANCELLED
            problem = Problem("cancelled", "it was cancelled", status=409)
        except Exception as error:
            problem = problem_of(error, request.id)
        self._end(job, status, answer, problem)

    def _end(self, job: _Job, status: RequestStatus, answer: Any, problem: Problem | None) -> None:
        """The end must be written: tried again for as long as the lease can be kept."""
        request = job.claim.request
        for pause_s in (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, None):
            try:
                self._progress.flush(job.claim)
                self._log.finish(job.claim, status, answer=answer, error=problem)
                break
            except LeaseLostError as error:
                _LOG.warning("%s is another replica's now: %s", request.id, error)
                break
            except DcpError as error:
                _LOG.warning("the end of %s cannot be written yet: %s", request.id, error)
                if pause_s is None:
                    break  # its lease runs out, and whoever takes it over finds what was done
                time.sleep(pause_s)
        self._forget(job)

    def _forget(self, job: _Job) -> None:
        with self._lock:
            self._jobs.pop(job.claim.request.id, None)
        self._progress.close(job.claim.request.id)

    def _told(self, claim: Claim) -> Observe:
        return self._progress.telling(claim, self._observe)

    def _sweep(self) -> None:
        """Take over what others have left, as far as there are free hands."""
        free = self._threads - self.in_hand
        if free <= 0:
            return
        claims, given_up = self._log.claim(self._holder, free)
        for each in given_up:
            error = TransientError(f"{each.request.id} has ended every process that worked on it")
            self._refuse(each, error)
            self._progress.close(each.request.id)
        for claim in claims:
            _LOG.warning("%s was left by another process, and goes on here", claim.request.id)
            self.take(claim, {})

    def _renew(self) -> None:
        with self._lock:
            claims = [each.claim for each in self._jobs.values()]
        held = self._log.renew(claims)
        lost = [each.request.id for each in claims if each.request.id not in held]
        if lost:
            _LOG.debug("no longer held: %s", ", ".join(lost))

    def _look(self) -> None:
        with self._lock:
            jobs = {each.claim.request.id: each for each in self._jobs.values()}
        for id in self._log.cancelled(tuple(jobs)):
            jobs[id].cancelled.set()

    def _flush(self) -> None:
        self._progress.flush()

    def _repeat(self, call: Callable[[], None], every_s: float) -> None:
        while not self._ended.wait(every_s):
            try:
                call()
            except DcpError as error:
                _LOG.warning("%s is tried again: %s", call.__name__.strip("_"), error)
            except Exception:
                _LOG.exception("%s failed, and is tried again", call.__name__.strip("_"))
