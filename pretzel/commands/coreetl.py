"""``coreetl``: the driver as a service, which deployed DAGs and other machines' programs call."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options

if TYPE_CHECKING:
    from coreetl_driver.server import DriverServer
    from dcp_core.settings import Settings
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

HTTP_PORT = 8610
GRPC_PORT = 8611
"""Always the same, for others' settings hold them."""


def _start(session: Session, http_port: int, grpc_port: int) -> int:
    """Serve the CoreETL driver on this machine, for deployed DAGs and for [coreetl] url, until it is interrupted.

    Callers need a token: [coreetl_tokens.NAME] in dcp.toml. On SIGINT or SIGTERM it answers nothing new, and what
    still runs is handed over: the next driver of this project runs it again.
    """
    with _interrupted() as stop:
        server = _serve(session.control_plane.settings, http_port, grpc_port)
        try:
            _tell(session, server)
            stop.wait()
        finally:
            session.notes.line("stopping; what still runs is handed over")
            server.stop()
    return exits.DONE


def _serve(settings: Settings, http_port: int, grpc_port: int) -> DriverServer:
    try:
        from coreetl_driver.server import DriverServer

        return DriverServer(settings, grpc_port=grpc_port, http_port=http_port)
    except ModuleNotFoundError as error:
        from dcp_core.errors import NotSupportedError

        raise NotSupportedError(
            f"the driver's service is not installed: there is no module {error.name}",
            hint="pip install 'coreetl-driver[local,server]'",
        ) from None


def _tell(session: Session, server: DriverServer) -> None:
    def render(screen: Screen) -> None:
        screen.line(("the CoreETL driver is at your service", "bold"), ", until Ctrl-C")
        screen.line(f"HTTP  {server.http_url}  COREETL_URL of Airflow", indent=2)
        screen.line(f"gRPC  {server.grpc_url}  url in [coreetl] of dcp.toml", indent=2)

    session.output.result({"http_url": server.http_url, "grpc_url": server.grpc_url}, render)
    sys.stdout.flush()  # whoever started this reads it now, not at the end


@contextlib.contextmanager
def _interrupted() -> Iterator[threading.Event]:
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


_PORT = click.IntRange(0, 65535)
start_command = command(
    _start,
    [
        click.Option(["--http-port"], type=_PORT, default=HTTP_PORT, show_default=True, help="0 for any that is free."),
        click.Option(["--grpc-port"], type=_PORT, default=GRPC_PORT, show_default=True, help="0 for any that is free."),
    ],
)

coreetl = LazyGroup(
    "coreetl",
    {"start": Lazy("pretzel.commands.coreetl:start_command", "Serve the driver on this machine until Ctrl-C")},
    help="The CoreETL driver as a service, which deployed DAGs call.",
    params=shared_options(),
)
