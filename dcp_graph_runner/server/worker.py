"""Works on requests after their answer: in threads of this replica, and what dead replicas have left.

Progress is gathered and written in bulk a few times a second; the end is written at once. Whoever watches here hears of
it without asking the database.

Source: design.md sections 7 and 9.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.documents import from_json, to_json
from dcp_core.errors import DcpError, LeaseLostError, TransientError
from dcp_core.settings import Secret
from dcp_core.store import Holder
from dcp_graph_runner.api.long_running import Event, Problem, RequestStatus
from dcp_graph_runner.api.table import find
from dcp_graph_runner.graphs.catalogue import graph_of
from dcp_graph_runner.graphs.graph import Graph, Node, Observe, Stage, run
from dcp_graph_runner.graphs.work import SignedIn, Work
from dcp_graph_runner.request_rows import CANCELLED, Claim, Hopeless
from dcp_graph_runner.requests import RequestLog
from dcp_graph_runner.server.hiding import Secrets, own_secrets, shown, without_in
from dcp_graph_runner.server.problems import problem_of
from dcp_graph_runner.server.progress import Progress

_LOG = logging.getLogger("dcp.server")
_SWEEP_S = 2.0
_PATIENCE = timedelta(seconds=3 * _SWEEP_S)  # a replica with a free hand has looked by then
_RENEW_S = 8.0
_FLUSH_S = 0.1
_CANCEL_S = 0.5
_JOIN_S = 10.0
_BACKLOG = 4  # times the threads: requests that came with tokens, and so wait here
_PAUSE_S = 0.1  # between two looks for more
_RETRY_AFTER_S = 5.0
_MOST_SERVED = 1000


class CancelledByUserError(KeyboardInterrupt):
    """Ends a wait as Ctrl-C does: what runs is stopped, and recorded as CANCELLED."""


@attrs.define(eq=False)
class _Job:
    claim: Claim
    credentials: Mapping[str, Secret]
    secrets: Secrets
    cancelled: threading.Event = attrs.Factory(threading.Event)
    waiting: Future[None] | None = None

    def sleep(self, seconds: float) -> None:
        if self.cancelled.wait(seconds):
            raise CancelledByUserError

    def check(self) -> None:
        """Raises when the user has cancelled."""
        if self.cancelled.is_set():
            raise CancelledByUserError


class MakesControlPlanes(Protocol):
    """For who asked; the claim is what its writes hang on, and ``sleep`` raises when the user has cancelled."""

    def __call__(self, signed_in: SignedIn, sleep: Callable[[float], None], claim: Claim) -> ControlPlane: ...


class Worker:
    """One replica's. Thread-safe; works from construction until ``close``.

    Args:
        log: Where requests are kept.
        holder: This process.
        make_control_plane: For one request.
        progress: Gathers what happens.
        observe: Around each node.
        threads: How many requests are worked on at once.
        give_up: Ends what a request has left that nobody goes on with, and records it.
    """

    def __init__(
        self,
        log: RequestLog,
        holder: Holder,
        make_control_plane: MakesControlPlanes,
        progress: Progress,
        *,
        observe: Observe,
        threads: int,
        give_up: Callable[[Hopeless], None],
    ) -> None:
        self._log = log
        self._holder = holder
        self._make_control_plane = make_control_plane
        self._progress = progress
        self._observe = observe
        self._give_up = give_up
        self._threads = threads
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._is_draining = False
        self._ended = threading.Event()
        self._served: dict[str, int] = {}  # identities, by when one of theirs was begun last
        self._is_more = False
        self._wanted = threading.Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dcp-worker")
        repeated = ((self._renew, _RENEW_S), (self._flush, _FLUSH_S), (self._look, _CANCEL_S))
        self._helpers = [
            threading.Thread(
                target=self._repeat, args=(call, every_s, self._ended), name=f"dcp{call.__name__}", daemon=True
            )
            for call, every_s in repeated
        ]
        sweeping = (self._sweep, _SWEEP_S, self._wanted)
        self._helpers.append(threading.Thread(target=self._repeat, args=sweeping, name="dcp_sweep", daemon=True))
        for thread in self._helpers:
            thread.start()

    @property
    def in_hand(self) -> int:
        """How many requests this replica works on, or has queued."""
        with self._lock:
            return len(self._jobs)

    @property
    def has_free_hands(self) -> bool:
        """Whether a request would be begun at once."""
        return self.in_hand < self._threads

    def check_room(self, identity: str) -> None:
        """Raises TransientError when as many as may wait here do so: of all, or half as many of one caller's."""
        with self._lock:
            theirs = sum(each.claim.request.caller.identity == identity for each in self._jobs.values())
            is_full = len(self._jobs) >= _BACKLOG * self._threads or 2 * theirs >= _BACKLOG * self._threads
        if is_full:
            raise TransientError(
                "this server has as many operations in hand as it can", retry_after_s=_RETRY_AFTER_S, code="server.busy"
            )

    def expect_more(self) -> None:
        """Something waits for a free hand: look as soon as there is one."""
        self._is_more = True
        self._wanted.set()

    def take(self, claim: Claim, credentials: Mapping[str, Secret]) -> None:
        """Begin to work on what this process holds; returns at once. When it is about to end, another one does it."""
        job = _Job(claim, credentials, own_secrets(credentials))
        if claim.is_cancelled:
            job.cancelled.set()
        with self._lock:
            is_mine = not self._is_draining
            if is_mine:
                self._jobs[claim.request.id] = job
                self._note_served(claim.request.caller.identity)
                self._progress.open(claim, job.secrets)
                # Its spans and its lines in the log belong to the call that it came with.
                job.waiting = self._pool.submit(contextvars.copy_context().run, self._work, job)
        if not is_mine:
            self._log.release([claim])

    def close(self, grace_s: float) -> bool:
        """Take nothing more, and let what is in hand end; what does not in time, another replica takes over.

        Returns:
            Whether everything ended. If not, the process is to end now: its threads work on, without effect.
        """
        ends_at = time.monotonic() + grace_s
        with self._lock:
            self._is_draining = True
        while self.in_hand and time.monotonic() < ends_at:
            time.sleep(0.05)
        self._ended.set()
        self._wanted.set()
        for thread in self._helpers:
            thread.join(_JOIN_S)
        with self._lock:
            left = [each.claim for each in self._jobs.values()]
        try:
            self._flush()
            self._log.release(left)
        except DcpError as error:
            _LOG.warning("what is left is free when its lease has run out: %s", error)
        self._pool.shutdown(wait=False, cancel_futures=True)
        return not left

    def _note_served(self, identity: str) -> None:
        last = next(reversed(self._served.values()), 0)
        self._served.pop(identity, None)
        self._served[identity] = last + 1
        if len(self._served) > _MOST_SERVED:
            self._served.pop(next(iter(self._served)))

    def _work(self, job: _Job) -> None:
        try:
            self._end(job, *self._done(job))
        except LeaseLostError as error:
            _LOG.warning("%s is another replica's now: %s", job.claim.request.id, error)
        except BaseException:
            _LOG.exception(
                "the end of %s is not written: whoever takes it over finds what was done", job.claim.request.id
            )
        finally:
            self._forget(job)

    def _done(self, job: _Job) -> tuple[RequestStatus, Any, Problem | None]:
        """Status, answer and problem. Whatever a plugin raises ends the request: nobody else does it in this thread."""
        request = job.claim.request
        status, answer, problem = RequestStatus.FAILED, None, None
        try:
            handler = find(request.method)
            signed_in = SignedIn(request.caller, job.credentials)
            work = Work(
                self._make_control_plane(signed_in, sleep=job.sleep, claim=job.claim),
                handler,
                from_json(request.document, handler.request),
                signed_in=signed_in,
                environment=request.environment,
                is_taken_over=job.claim.fence > 1,
                check=job.check,
            )
            run(graph_of(handler).of(Stage.WORK), work, self._told(job))
            status, answer = RequestStatus.DONE, without_in(to_json(work.answer), job.secrets)
        except LeaseLostError:
            raise
        except CancelledByUserError:
            status = RequestStatus.CANCELLED
            problem = Problem(CANCELLED, "it was cancelled", status=409)
        except BaseException as error:
            problem = shown(problem_of(error, request.id), job.secrets)
        return status, answer, problem

    def _end(self, job: _Job, status: RequestStatus, answer: Any, problem: Problem | None) -> None:
        """The end must be written: tried again for as long as the lease can be kept."""
        request = job.claim.request

        def finish(events: Sequence[Event]) -> None:
            self._log.finish(job.claim, status, answer=answer, error=problem, events=events)

        for pause_s in (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, None):
            try:
                self._progress.finish(job.claim, finish)
                break
            except LeaseLostError as error:
                _LOG.warning("%s is another replica's now: %s", request.id, error)
                break
            except DcpError as error:
                _LOG.warning("the end of %s cannot be written yet: %s", request.id, error)
                if pause_s is None or self._ended.is_set():
                    break  # its lease runs out, and whoever takes it over finds what was done
                time.sleep(pause_s)

    def _forget(self, job: _Job) -> None:
        with self._lock:
            if self._jobs.get(job.claim.request.id) is job:
                self._jobs.pop(job.claim.request.id)
        if self._is_more:
            self._wanted.set()
        self._progress.close(job.claim)

    def _told(self, job: _Job) -> Observe:
        """Progress around each node, none of which begins once the user has cancelled, but what always runs."""
        told = self._progress.telling(job.claim, self._observe)

        @contextmanager
        def checked(graph: Graph, node: Node, work: Work) -> Iterator[None]:
            if not node.always:
                job.check()
            with told(graph, node, work):
                yield

        return checked

    def _sweep(self) -> None:
        """Take over what others have left, as far as there are free hands, and end what nobody goes on with."""
        with self._lock:
            mine, is_draining, served = frozenset(self._jobs), self._is_draining, dict(self._served)
            has_only_tokens = all(each.credentials for each in self._jobs.values())
        if is_draining:
            return
        free, after = self._threads - len(mine), timedelta()
        if free <= 0 and has_only_tokens:
            # What came with tokens waits here too, and must not keep all that came without from its turn; where a hand
            # is free, here or elsewhere, it is taken before.
            free, after = 1, _PATIENCE
        hopeless = self._log.claim_waiting(self._holder)
        if free > 0:
            self._is_more &= bool(after)  # said again by who comes meanwhile
            claims, given_up = self._log.claim(self._holder, free, mine, served, after)
            self._is_more |= len(claims) == free
            hopeless += given_up
            for claim in claims:
                if claim.fence > 1:
                    _LOG.warning("%s was left by another process, and goes on here", claim.request.id)
                self.take(claim, {})
        for each in hopeless:
            _LOG.warning("%s is ended: %s", each.claim.request.id, each.problem.message)
            self._end_hopeless(each)

    def _end_hopeless(self, hopeless: Hopeless) -> None:
        """Not in the pool: all hands may be busy, and it is short. What fails is tried again when its lease is over."""

        def finish(events: Sequence[Event]) -> None:
            self._log.finish(hopeless.claim, hopeless.status, error=hopeless.problem, events=events)

        self._progress.open(hopeless.claim)
        try:
            self._give_up(hopeless)
            self._progress.finish(hopeless.claim, finish)
        finally:
            self._progress.close(hopeless.claim)

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
            job = jobs[id]
            job.cancelled.set()
            if job.waiting is not None and job.waiting.cancel():
                self._work(job)  # it needs no hand any more: nothing of it is begun

    def _flush(self) -> None:
        self._progress.flush()

    def _repeat(self, call: Callable[[], None], every_s: float, sooner: threading.Event) -> None:
        while not self._ended.is_set():
            if sooner.wait(every_s):
                self._ended.wait(_PAUSE_S)
            if self._ended.is_set():
                return
            if sooner is not self._ended:
                sooner.clear()
            try:
                call()
            except DcpError as error:
                _LOG.warning("%s is tried again: %s", call.__name__.strip("_"), error)
            except Exception:
                _LOG.exception("%s failed, and is tried again", call.__name__.strip("_"))
