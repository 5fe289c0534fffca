"""``coreetl``: the driver as a service, which deployed DAGs and other machines' programs call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options
from pretzel.serving import absolute, installed, interrupted, leave, tell, wait

if TYPE_CHECKING:
    from coreetl_driver.server import DriverServer
    from dcp_core.settings import Settings
    from pretzel.session import Session

_PURPOSES = (("HTTP", "COREETL_URL of Airflow"), ("gRPC", "url in [coreetl] of dcp.toml"))


def _start(session: Session, /, **given: Any) -> int:
    """Serve the CoreETL driver on this machine, for deployed DAGs and for [coreetl] url, until it is interrupted.

    Callers need a token: [coreetl_tokens.NAME] in dcp.toml. What else it takes is in [coreetl_server]; an option here
    wins. On SIGINT or SIGTERM it starts nothing new, answers the calls that have come, and what still runs is handed
    over: the next driver of this project goes on with it, or runs it again.
    """
    with interrupted() as stop:
        server = _serve(session.control_plane.settings, given)
        try:
            tell(session, server, "the CoreETL driver is at your service", _PURPOSES)
            wait(stop)
        finally:
            session.notes.line("stopping; what still runs is handed over")
            is_done = server.stop()
        if not is_done:
            session.notes.line("not all was finished in time; the next driver finds what was not handed over")
            leave()
    return exits.DONE


def _serve(settings: Settings, given: dict[str, Any]) -> DriverServer:
    with installed("the driver's service", "coreetl-driver[local,server]"):
        from coreetl_driver.server import DriverServer
        from coreetl_driver.server_settings import ServerSettings

        return DriverServer(settings, ServerSettings.from_settings(settings, **given))


_PORT = click.IntRange(0, 65535)
_FILE = click.Path(dir_okay=False)
start_command = command(
    _start,
    [
        click.Option(["--host"], metavar="HOST", help="127.0.0.1 by default; all but loopback need a certificate."),
        click.Option(["--http-port"], type=_PORT, help="8610 by default; 0 for any that is free."),
        click.Option(["--grpc-port"], type=_PORT, help="8611 by default; 0 for any that is free."),
        click.Option(["--certificate"], type=_FILE, callback=absolute, help="Its certificate (PEM): TLS for both."),
        click.Option(["--key"], type=_FILE, callback=absolute, help="The certificate's private key (PEM)."),
        click.Option(
            ["--client-ca"], type=_FILE, callback=absolute, help="Callers need a certificate of this authority (PEM)."
        ),
        click.Option(["--grace-s"], type=float, help="How long it may take to end, in seconds; 30 by default."),
    ],
)

coreetl = LazyGroup(
    "coreetl",
    {"start": Lazy("pretzel.commands.coreetl:start_command", "Serve the driver on this machine until Ctrl-C")},
    help="The CoreETL driver as a service, which deployed DAGs call.",
    params=shared_options(),
)
