"""Loopback: servers that only this machine can reach, and what counts as such."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from coreetl_driver.web import WebServer

if TYPE_CHECKING:
    from starlette.applications import Starlette

LOOPBACK = "127.0.0.1"


class LoopbackServer(WebServer):
    """A web server on 127.0.0.1 and a port of the system's choice.

    Args:
        name: Of the thread, for debuggers.
    """

    def __init__(self, application: Starlette, *, name: str) -> None:
        super().__init__(application, name=name, host=LOOPBACK)


def is_loopback(host: str) -> bool:
    """Whether what is said to a host stays on this machine; of a name that is not ``localhost`` nobody knows."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
