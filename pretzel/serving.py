"""What commands share that serve until they are told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, Protocol

import click

from pretzel import exits

if TYPE_CHECKING:
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

_LOOK_S = 0.5


class Served(Protocol):
    """A service on both transports."""

    @property
    def http_url(self) -> str:
        """Where HTTP listens."""
        ...

    @property
    def grpc_url(self) -> str:
        """Where gRPC listens."""
        ...


@contextlib.contextmanager
def installed(service: str, extra: str) -> Iterator[None]:
    """What is imported within needs an extra.

    Args:
        service: What cannot be served without it.
        extra: What installs it.

    Raises:
        NotSupportedError: A module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        from dcp_core.errors import NotSupportedError

        raise NotSupportedError(
            f"{service} is not installed: there is no module {error.name}", hint=f"pip install '{extra}'"
        ) from None


def tell(session: Session, server: Served, title: str, lines: Sequence[tuple[str, str]]) -> None:
    """Say where a service listens, to people and to programs.

    Args:
        title: What is there now.
        lines: Transport and what its address is for, in order.
    """
    urls = {"HTTP": reachable(server.http_url), "gRPC": reachable(server.grpc_url)}

    def render(screen: Screen) -> None:
        screen.line((title, "bold"), ", until Ctrl-C")
        for transport, purpose in lines:
            screen.line(f"{transport}  {urls[transport]}  {purpose}", indent=2)

    session.output.result({"http_url": urls["HTTP"], "grpc_url": urls["gRPC"]}, render)
    sys.stdout.flush()  # whoever started this reads it now, not at the end


@contextlib.contextmanager
def interrupted() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set the first time; the second one ends the process as usual."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def first(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, first)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait(stop: threading.Event) -> None:
    """Until it is set. Looks now and then: a signal that the system gives to another thread wakes nobody up."""
    while not stop.wait(_LOOK_S):
        continue


def leave() -> NoReturn:
    """End at once, and well: a thread that still answers somebody would keep the process for as long as it likes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exits.DONE)


def reachable(url: str) -> str:
    """The address that others use of a service that listens on all of this machine's."""
    for anywhere in ("//0.0.0.0:", "//[::]:"):
        if anywhere in url:
            return url.replace(anywhere, f"//{socket.gethostname()}:")
    return url


def absolute(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """A file on the command line is meant from the working folder, not from the project's root."""
    return None if value is None else os.path.abspath(value)
