"""``server``: the Graph Runner as a service, and the graphs that it runs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options
from pretzel.serving import absolute, installed, interrupted, leave, tell, wait

if TYPE_CHECKING:
    from dcp_core.settings import Settings
    from dcp_graph_runner.server.serving import GraphRunnerServer
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

_PURPOSES = (("gRPC", "--server, or [remote] server in dcp.toml"), ("HTTP", "/openapi.json, /metrics"))
_WIDTH = 72  # of what a node does, beside the tree


def _start(session: Session, /, **given: Any) -> int:
    """Serve DCP on this machine, for pretzel --server and for programs over gRPC and HTTP, until it is interrupted.

    Who signs in is in [auth]; without it, it listens on this machine only. What else it takes is in [server]; an option
    here wins. On SIGINT or SIGTERM it refuses new calls, answers those that have come, and lets operations end; what
    does not in time, another replica on the same database takes over.

    Logs are lines of JSON on standard error.
    """
    session.tell_local("this is the server")
    settings = session.local.settings
    from dcp_graph_runner.server.logs import written_to

    with written_to(), interrupted() as stop:
        server = _serve(settings, given)
        try:
            tell(session, server, "DCP is at your service", _PURPOSES)
            wait(stop)
        finally:
            is_done = server.stop()
        if not is_done:
            leave()
    return exits.DONE


def _serve(settings: Settings, given: dict[str, Any]) -> GraphRunnerServer:
    with installed("the server", "dcp-graph-runner[server]"):
        from dcp_graph_runner.server.serving import GraphRunnerServer
        from dcp_graph_runner.server.settings import ServerSettings

        return GraphRunnerServer(settings, ServerSettings.from_settings(settings, **given))


def _graphs(session: Session, /) -> int:
    """Show the graphs that operations go through, node by node.

    What is done while the caller waits for its answer is marked with "accept"; the rest goes on after it, again from
    its first node when another replica takes over. What is marked with "always" runs after a failure too.
    """
    from dcp_graph_runner.api.table import HANDLERS
    from dcp_graph_runner.graphs.catalogue import graph_of
    from dcp_graph_runner.graphs.graph import Graph

    graphs: dict[str, tuple[Graph, list[str]]] = {}
    for handler in HANDLERS:
        graph = graph_of(handler)
        graphs.setdefault(graph.name, (graph, []))[1].append(handler.name)
    document = {
        "graphs": [
            {
                "name": graph.name,
                "handlers": handlers,
                "nodes": [
                    {"name": each.name, "summary": each.summary, "stage": each.stage.value, "always": each.always}
                    for each in graph.nodes
                ],
            }
            for graph, handlers in graphs.values()
        ]
    }

    def render(screen: Screen) -> None:
        for number, (graph, handlers) in enumerate(graphs.values()):
            if number:
                screen.blank()
            shown = handlers[0] if len(handlers) == 1 else f"{len(handlers)} calls without a graph of their own"
            screen.line((graph.name, "bold"), f"  {shown}")
            for node in graph.nodes:
                is_last = node is graph.nodes[-1]
                marks = [node.stage.value] * (node.stage.value == "accept") + ["always"] * node.always
                mark = f"  [{', '.join(marks)}]" if marks else ""
                screen.line(f"{'└' if is_last else '├'}─ {node.name}{mark}")
                for line in textwrap.wrap(node.summary, _WIDTH):
                    screen.line(f"{' ' if is_last else '│'}     {line}")

    session.output.result(document, render)
    return exits.DONE


_PORT = click.IntRange(0, 65535)
_FILE = click.Path(dir_okay=False)
start_command = command(
    _start,
    [
        click.Option(["--host"], metavar="HOST", help="127.0.0.1 by default; others need a certificate and [auth]."),
        click.Option(["--grpc-port"], type=_PORT, help="8620 by default; 0 for any that is free."),
        click.Option(["--http-port"], type=_PORT, help="8621 by default; 0 for any that is free."),
        click.Option(["--certificate"], type=_FILE, callback=absolute, help="Its certificate (PEM): TLS for both."),
        click.Option(["--key"], type=_FILE, callback=absolute, help="The certificate's private key (PEM)."),
        click.Option(
            ["--client-ca"], type=_FILE, callback=absolute, help="Callers need a certificate of this authority (PEM)."
        ),
        click.Option(["--workers"], type=click.IntRange(1, 256), help="Operations at once; 8 by default."),
        click.Option(
            ["--controller"], is_flag=True, default=None, help="Look after what was applied too: a controller inside."
        ),
        click.Option(["--grace-s"], type=float, help="How long it may take to end, in seconds; 30 by default."),
    ],
)
graphs_command = command(_graphs, [])

server = LazyGroup(
    "server",
    {
        "start": Lazy("pretzel.commands.server:start_command", "Serve DCP on this machine until Ctrl-C"),
        "graphs": Lazy("pretzel.commands.server:graphs_command", "Show the graphs that operations go through"),
    },
    help="DCP as a service: the Graph Runner.",
    params=shared_options(),
)
