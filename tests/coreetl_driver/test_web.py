"""What web servers listen with."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from coreetl_driver.guarded import Guard
from coreetl_driver.http_api import application
from coreetl_driver.web import WebServer, _listening
from dcp_core.errors import TransientError


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_answers_do_not_wait_for_acknowledgements(host: str) -> None:
    try:
        listener = _listening(host, 0)
    except TransientError as error:
        pytest.skip(f"{host} cannot be had here: {error}")
    with listener, socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_server_that_does_not_start_in_time_leaves_neither_its_port_nor_its_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import uvicorn

    async def hangs(self: uvicorn.Server, sockets: Any = None) -> None:
        while not self.should_exit:
            await asyncio.sleep(0.01)

    monkeypatch.setattr("coreetl_driver.web._START_TIMEOUT_S", 0.2)
    monkeypatch.setattr(uvicorn.Server, "startup", hangs)
    made: Any = application(Guard(None, None), lambda: True)  # type: ignore[arg-type]  # nobody gets as far
    with pytest.raises(TransientError, match="the never server did not start on") as refused:
        WebServer(made, name="never", host="127.0.0.1")
    assert "never" not in {thread.name for thread in threading.enumerate()}
    port = int(str(refused.value).rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
