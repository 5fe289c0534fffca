"""A Starlette application served by uvicorn from a thread."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dcp_core.errors import TransientError

if TYPE_CHECKING:
    from starlette.applications import Starlette

_START_TIMEOUT_S = 10.0
_STOP_GRACE_S = 2.0
_END_TIMEOUT_S = 3.0  # for closing connections, after the grace


class WebServer:
    """Serves from construction until ``stop``.

    Args:
        name: Of the thread, for debuggers.
        host: A name or an address of this machine.
        port: 0 for any.
        tls: Where it is None, HTTP in clear.
        connections: How many at once; when there are as many, those on which nothing is asked make room, and what comes
            while all of them are asking is answered with 503. None for any number.
        head_s: How long a caller may take to send the head of a request, in seconds; then the connection is closed.

    Raises:
        TransientError: The port cannot be had, or it does not start in time; nothing of it stays.
    """

    def __init__(
        self,
        application: Starlette,
        *,
        name: str,
        host: str,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        connections: int | None = None,
        head_s: float = 60.0,
    ) -> None:
        import uvicorn

        from coreetl_driver.web_connections import Connection

        class _Server(uvicorn.Server):
            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield  # signals belong to the program that embeds this, not to a helper thread

        timed = type("_Connection", (Connection,), {"head_s": head_s})
        self._socket = _listening(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://{url_host(host)}:{self.port}"
        config = uvicorn.Config(
            application,
            http=timed,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=connections,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name=name, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop(grace_s=0.0)
                raise TransientError(f"the {name} server did not start on {self.url}")
            time.sleep(0.005)

    def begin_stop(self, grace_s: float) -> None:
        """Accept nothing new; what is being answered has ``grace_s`` seconds."""
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True

    def stop(self, grace_s: float = _STOP_GRACE_S) -> bool:
        """Finish what is being answered, then close the port; whether that was done in time."""
        self.begin_stop(grace_s)
        self._thread.join(timeout=grace_s + _END_TIMEOUT_S)
        self._socket.close()
        return not self._thread.is_alive()


def url_host(host: str) -> str:
    """A host as URLs and gRPC take it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror or error}"
        raise TransientError(f"port {port} on {host} {why}") from None
    # What it accepts has this too. asyncio would see to it, but only where a socket names its protocol, and this one
    # does not: each answer would wait 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
