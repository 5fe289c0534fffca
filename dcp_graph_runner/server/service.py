"""What every transport calls: one entry for all handlers, one stream to follow what goes on after the answer.

Source: design.md section 9.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from dcp_core.context import SharedObjects
from dcp_core.control_plane import ControlPlane
from dcp_core.documents import from_json, to_json
from dcp_core.errors import ConflictError, DcpError, NotSupportedError, TransientError
from dcp_core.model import PRODUCTION, Environment
from dcp_core.records import Caller
from dcp_core.registry import EXTENSIONS, Registry
from dcp_core.sections import ExtensionSettings, StoreSettings
from dcp_core.settings import Settings
from dcp_core.store import StateStore
from dcp_graph_runner.api.handlers import READ, AnyHandler
from dcp_graph_runner.api.long_running import GetOperationRequest, OperationState, WatchOperationRequest
from dcp_graph_runner.api.operations import RESUME
from dcp_graph_runner.api.table import find
from dcp_graph_runner.deeds import Subject, recording_denial
from dcp_graph_runner.graphs import refusals
from dcp_graph_runner.graphs.catalogue import graph_of
from dcp_graph_runner.graphs.graph import Observe, Stage, run, unobserved
from dcp_graph_runner.graphs.nodes import NOBODY, authorize
from dcp_graph_runner.graphs.work import SignedIn, Work
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.metadata.openlineage.listening import attach
from dcp_graph_runner.request_rows import Claim, Hopeless, Request, new_request_id
from dcp_graph_runner.requests import RequestLog
from dcp_graph_runner.server.chores import Chores, chores_of
from dcp_graph_runner.server.floods import Floods
from dcp_graph_runner.server.giving_up import give_up
from dcp_graph_runner.server.held import HeldStore
from dcp_graph_runner.server.hiding import HidingStore, answered, own_secrets
from dcp_graph_runner.server.progress import Progress
from dcp_graph_runner.server.signing_in import SigningIn
from dcp_graph_runner.server.watching import DRAINING, Watching
from dcp_graph_runner.server.worker import Worker
from dcp_graph_runner.sql_store import SqlStore

IDEMPOTENCY_KEY = "idempotency-key"
PEER = ":peer"
"""Among the headers, from the transport and never from the caller: whose address the call came from."""
_SERVER = "(server)"
_LOG = logging.getLogger("dcp.server")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Service:
    """One replica of the Graph Runner, without its transports. Thread-safe; works until ``close``.

    Args:
        settings: Of the project.
        host: What its transports bind to; without [auth] that must be this machine.
        threads: How many requests are worked on at once.
        open_requests: How many of one identity's may have not ended.
        watchers: How many may follow operations at once; of one identity's half as many.
        observe: Around each node of a graph: tracing, metrics.
        clock: UTC now.

    Raises:
        SettingsError: ``dcp.toml`` is wrong, or nobody signs in and ``host`` is not this machine.
        NotSupportedError: The store is none on SQL.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        host: str = "127.0.0.1",
        threads: int = 8,
        open_requests: int = 100,
        watchers: int = 256,
        observe: Observe = unobserved,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        required = settings.section("extensions", ExtensionSettings).required
        self.settings = settings
        self.registry = Registry.from_entry_points(required=required, environ=settings.environ)
        self._observe = observe
        self._clock = clock
        self._shared = SharedObjects()
        self._signing_in = SigningIn(settings, host)
        self.store = self._open_store()
        self._signing_in.register_rules(self.registry, self.store)
        self.requests = RequestLog.of(self.store, clock)
        self._watching = Watching(self.requests, clock, (watchers + 1) // 2)
        self._progress = Progress(self.requests, clock, self._watching.ring)
        self.registry.register(EXTENSIONS, "progress of requests", self._progress, "dcp-graph-runner")
        attach(self.control_plane(SignedIn(Caller(_SERVER))))
        denial = self.control_plane(SignedIn(Caller(_SERVER, is_system=True))).operator.denial(
            READ, Environment.named(PRODUCTION)
        )
        if denial is not None:  # a required policy that is missing, or one that fails: it serves, and says no
            _LOG.error("as things stand, calls are denied: %s", denial)
        self._is_draining = False
        self._open_requests = open_requests
        self._floods = Floods(clock)
        self.worker = Worker(
            self.requests,
            current_holder(_SERVER),
            self.control_plane,
            self._progress,
            observe=observe,
            threads=threads,
            give_up=self._give_up,
        )
        self._chores = Chores(chores_of(settings, self.store, clock, self._settle_audit))

    def admit(self, handler: AnyHandler, headers: Mapping[str, str]) -> None:
        """Refuse whom nobody knows, before what they send is read; ``call`` asks for the rest.

        Args:
            handler: Of the table.
            headers: As for ``call``.

        Raises:
            DcpError: As ``call`` does when nobody can tell who asks; recorded as there.
        """
        if not self._signing_in.is_on:
            return
        try:
            self._signing_in.sign_in(headers)
        except DcpError as error:
            refused = error

            def refuse() -> SignedIn:
                raise refused

            run(graph_of(handler).of(Stage.ACCEPT), self._work(handler, None, headers, refuse), self._observe)

    def call(self, handler: AnyHandler, request: Any, headers: Mapping[str, str]) -> Any:
        """Do what is asked, or accept it when it is long.

        Args:
            handler: Of the table.
            request: Of the handler's class.
            headers: Names in lower case: ``authorization``, ``x-tenant-id``, ``idempotency-key`` … and ``PEER``.

        Returns:
            The handler's answer; an ``OperationState`` for a long one.

        Raises:
            DcpError: What it ended with, ``UnauthenticatedError`` and ``UnauthorizedError`` among them.
        """
        if self._is_draining:
            raise TransientError("this server is about to end", retry_after_s=1.0, code=DRAINING)
        work = self._work(handler, request, headers, lambda: self._signing_in.sign_in(headers))
        graph = graph_of(handler)
        run(graph.of(Stage.ACCEPT), work, self._observe)
        assert work.signed_in is not None
        if handler.name == RESUME:
            return self._resume(request, work.signed_in)
        if handler.is_long:
            return self._accept(work, work.signed_in, headers.get(IDEMPOTENCY_KEY))
        run(graph.of(Stage.WORK), work, self._observe)
        return answered(work.answer, own_secrets(work.signed_in.credentials))

    async def watch(self, request: WatchOperationRequest, headers: Mapping[str, str]) -> AsyncIterator[Any]:
        """Follow a long-running operation; see ``Watching.follow``. Raises as ``call`` does."""
        identity = await self._watching.in_thread(self._reader, request.id, headers)
        with self._watching.share(identity):
            async with contextlib.aclosing(self._watching.follow(request.id, request.after)) as events:
                async for event in events:
                    yield event

    def control_plane(
        self, signed_in: SignedIn, sleep: Callable[[float], None] = time.sleep, claim: Claim | None = None
    ) -> ControlPlane:
        """One for whoever has signed in. Its store and what hooks share are this replica's: it is not to be closed.

        Args:
            signed_in: Who.
            sleep: Between tries and polls; may raise KeyboardInterrupt, which ends a wait as Ctrl-C does.
            claim: What is worked on: its writes end when another replica has it.
        """
        secrets = own_secrets(signed_in.credentials)
        if claim is not None:
            store: SqlStore = HeldStore(self.requests, self._clock, claim, secrets)
        elif secrets:
            store = HidingStore(self.requests.database, self._clock, self.requests.is_gone, secrets)
        else:
            store = self.store
        return ControlPlane(
            self.settings,
            self.registry,
            signed_in.caller,
            store=store,
            clock=self._clock,
            holder=current_holder(signed_in.caller.identity),
            credentials=signed_in.credentials,
            shared=self._shared,
            sleep=sleep,
        )

    def is_ready(self) -> bool:
        """Whether the database answers, and new calls are taken."""
        if self._is_draining:
            return False
        try:
            self.requests.running()
        except DcpError:
            return False
        return True

    def begin_drain(self) -> None:
        """Refuse new calls; what is in hand goes on."""
        self._is_draining = True

    def close(self, grace_s: float) -> bool:
        """End: requests in hand have that long; another replica goes on with the others.

        Returns:
            Whether everything ended in time.
        """
        self._is_draining = True
        self._chores.close()
        is_done = self.worker.close(grace_s)
        self._watching.close()
        if is_done:
            self._shared.close()
            self.store.close()
        return is_done

    def _work(
        self, handler: AnyHandler, request: Any, headers: Mapping[str, str], authenticate: Callable[[], SignedIn]
    ) -> Work:
        return Work(
            self.control_plane(SignedIn(Caller(NOBODY))),
            handler,
            request,
            authenticate=authenticate,
            make_control_plane=self.control_plane,
            unsigned=lambda kind: self._floods.unrecorded(kind, headers.get(PEER, "")),
        )

    def _reader(self, id: str, headers: Mapping[str, str]) -> str:
        """Who reads how an operation stands; raises as ``call`` does when they may not."""
        self.call(find("Operations.GetOperation"), GetOperationRequest(id), headers)
        return self._signing_in.sign_in(headers).caller.identity

    def _accept(self, work: Work, signed_in: SignedIn, key: str | None) -> OperationState:
        id = new_request_id(self._clock())
        asked = to_json(work.request)
        resolved = work.request
        if getattr(resolved, "environment", work.environment) is None:
            # The playground in use may be another one by the time that another replica goes on.
            resolved = attrs.evolve(resolved, environment=work.environment)
        request = Request(
            id,
            work.handler.name,
            attrs.evolve(signed_in.caller, request_id=id),
            work.environment,
            to_json(resolved),
            tuple(sorted(signed_in.credentials)),
            asked,
        )
        # Tokens are nowhere but here; what came with none is left to whoever has a free hand, here or elsewhere.
        if signed_in.credentials:
            self.worker.check_room(signed_in.caller.identity)
        is_held = bool(signed_in.credentials) or self.worker.has_free_hands
        claim, id = self.requests.accept(
            request, current_holder(_SERVER) if is_held else None, key, self._open_requests
        )
        if claim is not None:
            self.worker.take(claim, signed_in.credentials)
        elif not is_held:
            self.worker.expect_more()
        return self.requests.get(id)

    def _resume(self, request: GetOperationRequest, signed_in: SignedIn) -> OperationState:
        waiting = self.requests.get(request.id, with_answer=False)
        missing = sorted(set(waiting.needs) - set(signed_in.credentials))
        if missing and waiting.identity == signed_in.caller.identity:
            raise ConflictError(
                f"{request.id} waits for your tokens of: {', '.join(missing)}",
                hint="send them along: x-dcp-credential-<platform>",
                code="operation.needs_tokens",
            )
        self.worker.check_room(signed_in.caller.identity)
        subject = Subject("resume", waiting.environment, f"RESUME {request.id}")
        dcp = self.control_plane(signed_in)
        with recording_denial(dcp, subject):
            # They may have left a team since they asked, and rules may have changed.
            asked = self.requests.asked(request.id, signed_in.caller)
            handler = find(asked.method)
            authorize(Work(dcp, handler, from_json(asked.document, handler.request), signed_in=signed_in))
            claim = self.requests.resume(request.id, current_holder(_SERVER), signed_in.caller)
        self.worker.take(claim, signed_in.credentials)
        return self.requests.get(request.id)

    def _give_up(self, hopeless: Hopeless) -> None:
        """End the operations that a request has left, and record each of its manifests."""
        claim, handler = hopeless.claim, find(hopeless.claim.request.method)
        dcp = self.control_plane(SignedIn(claim.request.caller), claim=claim)
        error = ConflictError(hopeless.problem.message, hint=hopeless.problem.hint, code=hopeless.problem.code)
        work = Work(
            dcp,
            handler,
            from_json(claim.request.document, handler.request),
            environment=claim.request.environment,
            error=error,
        )
        for each in self.store.operations_of(claim.request.id):
            if each.finished_at is None:
                give_up(dcp, each, hopeless.problem.message)
        if handler.asks != READ:
            refusals.record(work)

    def _settle_audit(self) -> None:
        self.control_plane(SignedIn(Caller(_SERVER))).settle_audit()

    def _open_store(self) -> SqlStore:
        opened: StateStore = ControlPlane(self.settings, self.registry, NOBODY, clock=self._clock).store
        if not isinstance(opened, SqlStore):
            url = self.settings.section("store", StoreSettings).url
            opened.close()
            raise NotSupportedError(
                f"a server keeps its state in SQL, and [store] url begins with {url.partition(':')[0]}:",
                hint="sqlite:///{state}/state.db for one replica, postgresql+psycopg://… for several",
            )
        return opened
