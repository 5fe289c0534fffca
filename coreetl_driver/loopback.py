"""A Starlette application served by uvicorn from a thread, on 127.0.0.1 and a port of the system's choice."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dcp_core.errors import TransientError

if TYPE_CHECKING:
    from starlette.applications import Starlette

_START_TIMEOUT_S = 10.0


class LoopbackServer:
    """Serves from construction until ``stop``.

    Args:
        name: Of the thread, for debuggers.
        port: 0 for any.
    """

    def __init__(self, application: Starlette, *, name: str, port: int = 0) -> None:
        import uvicorn

        class _Server(uvicorn.Server):
            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield  # signals belong to the program that embeds this, not to a helper thread

        try:
            self._socket = socket.create_server(("127.0.0.1", port), backlog=128)
        except OSError as error:
            raise TransientError(f"port {port} on 127.0.0.1 cannot be had: {error.strerror}") from None
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            application, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name=name, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise TransientError(f"the {name} server did not start on {self.url}")
            time.sleep(0.005)

    def stop(self) -> None:
        """Finish what is being answered, then close the port."""
        self._server.should_exit = True
        self._thread.join(timeout=5.0)
        self._socket.close()
