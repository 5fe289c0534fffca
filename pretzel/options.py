"""The options that every command takes, before or after the command's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

if TYPE_CHECKING:
    from pretzel.session import Session

P = ParamSpec("P")

OUTPUTS = ("text", "json", "jsonl")
_META = "pretzel."


def shared_options() -> list[click.Parameter]:
    """New ones: Click's parameters belong to one command."""
    return [
        _shared(["-o", "--output"], type=click.Choice(OUTPUTS),
                help="text for people (the default), json for one document on stdout, jsonl for a line per event."),
        _shared(["-e", "--environment"], metavar="NAME",
                help="production or playground_<user>; by default your own playground."),
        _shared(["--server"], metavar="ADDRESS", help="Let a Graph Runner do it instead of this process."),
        _shared(["--config"], type=click.Path(dir_okay=False), metavar="FILE",
                help="The dcp.toml to use; by default the nearest one upwards."),
        _shared(["--reads"], type=click.Choice(("production", "overlay")),
                help="overlay: read the playground's own copy of a table where there is one."),
        _shared(["--debug"], is_flag=True, help="Show debug messages, and the traceback of a bug."),
    ]  # fmt: skip


def version_option() -> click.Option:
    """``--version``; the version is looked up when asked for."""

    def show(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            from importlib.metadata import version

            click.echo(f"pretzel {version('dcp-pretzel')}")
            ctx.exit()

    return click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show the version."
    )


def given(ctx: click.Context, name: str) -> Any:
    """The value of a shared option wherever it was given; None when it was not."""
    return ctx.meta.get(_META + name)


def command(
    function: Callable[Concatenate[Session, P], int], params: list[click.Parameter], *, name: str | None = None
) -> click.Command:
    """A command with the shared options; ``function`` gets a session first and gives the exit status.

    Its docstring is the help.
    """

    def callback(*args: P.args, **kwargs: P.kwargs) -> int:
        from pretzel.session import Session

        ctx = click.get_current_context()
        with Session(
            output=given(ctx, "output") or "text",
            environment_name=given(ctx, "environment"),
            config=given(ctx, "config"),
            server=given(ctx, "server"),
            overlay=None if given(ctx, "reads") is None else given(ctx, "reads") == "overlay",
            debug=bool(given(ctx, "debug")),
        ) as session:
            return function(session, *args, **kwargs)

    # Click wraps help at the terminal's width; a docstring's own line breaks mean nothing.
    help = "\n\n".join(" ".join(part.split()) for part in (function.__doc__ or "").split("\n\n"))
    return click.Command(
        name or function.__name__.strip("_").replace("_", "-"),
        callback=callback,
        params=[*params, *shared_options()],
        help=help,
    )


def paths_argument(*, required: bool = True) -> click.Argument:
    """``PATH…``: manifests and folders. Whether they exist is told by loading, with a suggestion."""
    return click.Argument(["paths"], nargs=-1, required=required, metavar="PATH...")


def primitive_option() -> click.Option:
    """``--primitive``: what runs by itself, as a DAG does, instead of what a run starts."""
    return click.Option(
        ["--primitive"], default="", metavar="KIND",
        help="Its resources of this kind instead of what a run starts: its DAG, say.",
    )  # fmt: skip


def _shared(declaration: list[str], **settings: Any) -> click.Option:
    return click.Option(declaration, expose_value=False, callback=_keep, **settings)


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and value is not False:
        # Shared by the contexts of a group and its command, so that the last one given counts.
        ctx.meta[f"{_META}{parameter.name}"] = value
