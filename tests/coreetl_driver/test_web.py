"""What web servers listen with."""

from __future__ import annotations

import socket

import pytest

from coreetl_driver.web import _listening
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
