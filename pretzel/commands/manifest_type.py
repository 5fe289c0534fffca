"""The group of one manifest type: the commands of every type, and those that its plugin adds.

The plugin is imported when a command of its own is asked for, or the group's help; a broken one breaks only that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, given, paths_argument, shared_options

if TYPE_CHECKING:
    from dcp_core.records import Command, Parameter
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


class ManifestTypeGroup(LazyGroup):
    """``pretzel <manifest-type>``.

    Args:
        name: The manifest type.
        lazy: The commands that every type has.
    """

    def __init__(self, name: str, lazy: Mapping[str, Lazy]) -> None:
        help = f"The manifests of type {name}: in a folder they are selected, a file has to be one."
        super().__init__(name.replace("_", "-"), lazy, help=help, params=shared_options(), manifest_type=name)
        self._type = name
        self._own: dict[str, Command] | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Those of every type, then the plugin's."""
        return [*super().list_commands(ctx), *self._commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The plugin is asked only for what is not a command of every type."""
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            return found
        own = self._commands(ctx).get(cmd_name)
        return _as_click(own, self._type) if own is not None else None

    def sections(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """The plugin's commands under a heading of their own."""
        own = [(name, each.help) for name, each in self._commands(ctx).items()]
        return {**super().sections(ctx), f"Of {self._type} alone": own}

    def _commands(self, ctx: click.Context) -> dict[str, Command]:
        if self._own is None:
            self._own = _plugin_commands(self._type, given(ctx, "config"), self.lazy)
        return self._own


def _plugin_commands(manifest_type: str, config: str | None, taken: Mapping[str, Lazy]) -> dict[str, Command]:
    from dcp_core.control_plane import ControlPlane
    from dcp_core.errors import PluginError
    from dcp_core.registry import PLUGINS

    with ControlPlane.from_config(config) as control_plane:
        registry = control_plane.registry
        commands = {each.name: each for each in registry.plugin(manifest_type, "get_commands")}
        both = sorted(commands.keys() & taken.keys())
        if both:
            raise PluginError(
                f"{manifest_type} adds a command {both[0]!r}, which every manifest type has already",
                owner=f"{registry.owner(PLUGINS, manifest_type)}: get_commands",
            )
        return commands


def _as_click(added: Command, manifest_type: str) -> click.Command:
    def run(session: Session, /, paths: Sequence[str] = (), **parameters: Any) -> int:
        from dcp_core.errors import UsageError
        from dcp_graph_runner.api.messages import CommandRequest
        from pretzel.documents import preview_document

        loaded = session.load(paths, manifest_type).loaded if added.takes_manifests else ()
        if added.takes_manifests and not loaded:
            raise UsageError(f"there is no {manifest_type} manifest in {', '.join(paths)}")
        request = CommandRequest(
            session.environment.name,
            manifest_type,
            added.name,
            {name: str(value) if isinstance(value, Path) else value for name, value in parameters.items()},
            tuple(each.logical_plan for each in loaded),
            session.environment.overlay,
        )
        answer = session.command(request)
        result = answer.value
        if answer.preview is not None:
            document: dict[str, Any] = preview_document(answer.preview, "")
            document.pop("manifest")
        else:
            document = result if isinstance(result, dict) else {"result": result}
        session.output.result(document, lambda screen: _render(screen, answer.preview or result))
        return exits.DONE

    run.__doc__ = added.help
    arguments: list[click.Parameter] = [paths_argument()] if added.takes_manifests else []
    options = [_parameter(each, positional=not added.takes_manifests) for each in added.parameters]
    return command(run, [*arguments, *options], name=added.name)


def _parameter(parameter: Parameter, *, positional: bool) -> click.Parameter:
    type: Any = click.Path(path_type=Path) if parameter.type is Path else parameter.type
    is_required = parameter.required and parameter.default is None
    if is_required and positional:
        return click.Argument([parameter.name], type=type, metavar=parameter.name.upper())
    default = bool(parameter.default) if parameter.type is bool else parameter.default
    return click.Option(
        [f"--{parameter.name.replace('_', '-')}", parameter.name],
        type=None if parameter.type is bool else type,
        is_flag=parameter.type is bool,
        # Click takes any default, None too, for a value that is given.
        **({"required": True} if is_required else {"default": default}),
        show_default=parameter.default not in (None, False, ""),
        help=parameter.help,
    )


def _render(screen: Screen, result: Any) -> None:
    from dcp_core.records import Preview
    from pretzel.rendering.previews import render_preview
    from pretzel.rendering.values import value_text

    if isinstance(result, Preview):
        render_preview(screen, result)
    elif isinstance(result, dict):
        for key, value in result.items():
            screen.line(f"{key}: {value_text(value)}")
    elif result is not None:
        screen.line(value_text(result))
