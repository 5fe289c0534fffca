"""Groups whose commands are imported on use."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click

PLUGINS = "dcp.plugins"
"""As ``dcp_core.registry`` has it, which costs too much to import for ``--help``; a test holds them equal."""


class Lazy(NamedTuple):
    """A command that is not imported yet.

    Args:
        target: ``module:attribute``; a command, or a function from a manifest type (or None) to one.
        help: For the list of commands.
    """

    target: str
    help: str

    def load(self, manifest_type: str | None = None) -> click.Command:
        """Import it."""
        module, _, attribute = self.target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        made = found if isinstance(found, click.Command) else found(manifest_type)
        assert isinstance(made, click.Command)
        return made


class LazyGroup(click.Group):
    """A group that knows its commands by name.

    Args:
        name: As typed.
        lazy: The commands by name, in the order of the help.
        help: What the group is for.
        epilog: Below the list.
        params: Options before the command's name.
        manifest_type: Handed to the commands.
    """

    def __init__(
        self,
        name: str,
        lazy: Mapping[str, Lazy],
        *,
        help: str,
        epilog: str | None = None,
        params: Sequence[click.Parameter] = (),
        manifest_type: str | None = None,
    ) -> None:
        super().__init__(name, help=help, epilog=epilog, params=list(params), no_args_is_help=True)
        self.lazy = lazy
        self.manifest_type = manifest_type

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order given."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imported now."""
        lazy = self.lazy.get(cmd_name)
        return lazy.load(self.manifest_type) if lazy else None

    def sections(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Headings, and under each names with their help."""
        return {"Commands": [(name, lazy.help) for name, lazy in self.lazy.items()]}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, from names alone: Click's own would import every command."""
        for heading, rows in self.sections(ctx).items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As Click does it, with suggestions from the names that are not imported."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no command {name!r}.{_nearest(name, self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


def manifest_types() -> tuple[str, ...]:
    """The installed manifest types, without those that ``DCP_DISABLE`` names; imports no plugin."""
    import importlib.metadata

    disabled = {name.strip() for name in os.environ.get("DCP_DISABLE", "").split(",")}
    return tuple(sorted({point.name for point in importlib.metadata.entry_points(group=PLUGINS)} - disabled))


def _nearest(name: str, known: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
