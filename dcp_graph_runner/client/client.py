"""Asks a Graph Runner: what ends at once, and what goes on after its answer and is followed to its end.

Each call has an idempotency key of its own, so that one that is made again after a lost answer is the same operation.
A server that goes away meanwhile, or has as much to do as it can, is waited for; events go on where they ended.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from dcp_core.documents import from_json
from dcp_core.errors import ConflictError, DcpError, TransientError, UnauthenticatedError, UnauthorizedError
from dcp_graph_runner.api.handlers import READ, AnyHandler, Handler
from dcp_graph_runner.api.long_running import (
    Event,
    GetOperationRequest,
    OperationState,
    Problem,
    RequestStatus,
    WatchOperationRequest,
)
from dcp_graph_runner.api.table import find
from dcp_graph_runner.client.connection import AWAY, BUSY, UNREACHABLE, Connection
from dcp_graph_runner.client.patience import Patience
from dcp_graph_runner.client.problems import Locate, raised
from dcp_graph_runner.client.settings import RemoteSettings
from dcp_graph_runner.client.signing_in import SigningIn

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")

DRAINING = "server.draining"
TOO_MANY = "request.too_many"
_FULL = (BUSY, TOO_MANY)
_NOT_BEGUN = (UNREACHABLE, DRAINING, *_FULL)
"""Of what was asked nothing was done: it may be asked again, whatever it is."""
_GOES_ON = ("Operations.Apply", "Operations.Destroy", "Operations.Recover", "Playground.Destroy", "Ops.Rollback")


class LeftRunningError(KeyboardInterrupt):
    """Ctrl-C while a server changes resources: it goes on to its end.

    Args:
        id: Of the operation.
    """

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id
        self.hint = f"the server goes on with it ({id}); `pretzel audit list` says how it ended"


class CancelledError(KeyboardInterrupt):
    """Ctrl-C while a server does what can be cancelled.

    Args:
        id: Of the operation.
        was_told: Whether the server was asked to end it.
    """

    def __init__(self, id: str, *, was_told: bool = True) -> None:
        super().__init__(id)
        self.hint = f"the server was asked to end it ({id})"
        if not was_told:
            self.hint = f"the server could not be asked to end it, and may go on with it ({id})"


@attrs.define(eq=False)
class _Watched:
    id: str
    on_event: Callable[[Event], None]
    after: int = 0


@attrs.define(eq=False)
class Client:
    """Of one server. Not to be shared between threads.

    Args:
        connection: To it.
        signing_in: Who asks.
        settings: Limits.
        tell: What people should know meanwhile.
        locate: Where a finding of the server's is.
        sleep: In seconds.
    """

    connection: Connection
    signing_in: SigningIn
    settings: RemoteSettings
    tell: Callable[[str], None]
    locate: Locate = lambda finding: finding.diagnostic
    sleep: Callable[[float], None] = time.sleep
    refused_read: UnauthorizedError | None = attrs.field(default=None, init=False)
    """Why the last read was refused; nothing of it is in the server's audit log."""
    _has_answered: bool = attrs.field(default=False, init=False)

    def close(self) -> None:
        """Give the connection back."""
        self.connection.close()

    def call(self, handler: Handler[Q, A], request: Q) -> A:
        """Ask what is answered at once.

        What changes nothing is asked again while the server is away; anything else only when it was not asked yet.

        Raises:
            TransientError: The server cannot be reached, has gone away, or has been busy for too long.
            DcpError: As the handler raised it.
        """
        repeatable = handler.asks == READ or handler.verb == "GET"
        answer: A = self._ask(handler, request, self._key(), repeatable=repeatable)
        return answer

    def submit(self, handler: Handler[Q, A], request: Q, on_event: Callable[[Event], None]) -> A:
        """Have a long one done, and follow it to its end.

        Raises:
            LeftRunningError: Ctrl-C, and it changes resources.
            KeyboardInterrupt: Ctrl-C; it was cancelled, and has ended.
            DcpError: As the handler raised it; ``ConflictError`` when it waits for tokens that nobody here has.
        """
        state: OperationState = self._ask(handler, request, self._key(), repeatable=True)
        watched = _Watched(state.id, on_event)
        try:
            state = self._follow(watched)
        except KeyboardInterrupt:
            if handler.name in _GOES_ON:
                raise LeftRunningError(state.id) from None
            raise CancelledError(state.id, was_told=self._cancel(watched)) from None
        except TransientError as error:
            error.hint = f"the operation {state.id} goes on without you; `pretzel audit list` says how it ended"
            raise
        if state.status is RequestStatus.DONE:
            return from_json(state.answer, handler.answer)
        raise raised(state.error or Problem("operation.ended", f"it is {state.status.value}", 409), self.locate)

    def _follow(self, watched: _Watched) -> OperationState:
        """Until its end; a token that it waits for is brought where there is one."""
        patience = self._patience()
        while True:
            opened_at_s = patience.clock()
            try:
                request = WatchOperationRequest(watched.id, watched.after)
                for event in self.connection.watch(request, self.signing_in.headers(), self.locate):
                    patience.seen()
                    if event.state is None:
                        watched.after = event.sequence
                        watched.on_event(event)
                        continue
                    if event.state.status is not RequestStatus.WAITING_FOR_USER:
                        return event.state
                    self._resume(event.state)
                    break
                else:  # it ended without an end: as if the server had gone
                    patience.wait(TransientError("the server has gone away", code=AWAY), patience.clock() - opened_at_s)
            except UnauthenticatedError:
                if not self.signing_in.renew():
                    raise
            except TransientError as error:
                if error.code != AWAY and error.code not in _NOT_BEGUN:
                    raise
                self._wait(patience, error, patience.clock() - opened_at_s)

    def _resume(self, state: OperationState) -> None:
        if not self.signing_in.has_all(state.needs):
            names = ", ".join(state.needs)
            raise ConflictError(
                f"{state.id} waits for its user: its server ended, and it needs the tokens for {names}, "
                "which are stored nowhere",
                hint=f"DCP_CREDENTIALS_{state.needs[0].upper()} holds one; then the same command again",
                code="operation.waiting",
            )
        self.tell(f"{state.id} goes on with your tokens for {', '.join(state.needs)}")
        self._ask(find("Operations.ResumeOperation"), GetOperationRequest(state.id), self._key(), repeatable=True)

    def _cancel(self, watched: _Watched) -> bool:
        """Have it stop, and see it end; Ctrl-C again gives up. Tells whether the server has heard of it."""
        was_told = False
        try:
            self._ask(find("Operations.CancelOperation"), GetOperationRequest(watched.id), self._key(), repeatable=True)
            was_told = True
            self._follow(watched)
        except DcpError as error:
            self.tell(f"{watched.id} may go on: {error}")
        return was_told

    def _ask(self, handler: AnyHandler, request: Any, key: str, *, repeatable: bool) -> Any:
        patience = self._patience()
        renewed = False
        while True:
            try:
                answer = self.connection.ask(handler, request, self.signing_in.headers(key), self.locate)
            except UnauthorizedError as error:
                is_unknown = isinstance(error, UnauthenticatedError)
                if renewed or not is_unknown or not self.signing_in.renew():
                    if handler.asks == READ:
                        self.refused_read = error
                    raise
                renewed = True
            except TransientError as error:
                if error.code not in _NOT_BEGUN and not (error.code == AWAY and repeatable):
                    if error.code == AWAY:
                        error.hint = "it may have been done: look before you do it again"
                    raise
                self._wait(patience, error)
            else:
                patience.seen()
                self._has_answered = True
                return answer

    def _wait(self, patience: Patience, error: TransientError, open_s: float = 0.0) -> None:
        if error.code in _FULL:  # it is there
            self._has_answered, patience.limit_s = True, self.settings.reconnect_s
        patience.wait(error, open_s)

    def _patience(self) -> Patience:
        # Nobody waits minutes for an address that was wrong from the start.
        limit_s = self.settings.reconnect_s if self._has_answered else self.settings.connect_s
        return Patience(limit_s, self.tell, self.sleep)

    def _key(self) -> str:
        return uuid.uuid4().hex
