"""The tree of commands, by name only: a command's module is imported when it is used.

Plain Click rather than Typer: Typer 0.29 passes every argument through pydantic, whose import costs 0.15 s of
each command, and groups that come from entry points at run time are what Click's own classes are for.
"""

from __future__ import annotations

import click

from pretzel.groups import Lazy, LazyGroup, manifest_types
from pretzel.options import shared_options, version_option

MANIFEST_COMMANDS = {
    "lint": Lazy("pretzel.commands.checking:lint", "Find mistakes in manifests, without any engine"),
    "test": Lazy("pretzel.commands.checking:test", "Check manifests against an engine and their own tests"),
    "plan": Lazy("pretzel.commands.planning:plan", "Show what apply would do"),
    "apply": Lazy("pretzel.commands.applying:apply", "Make it so"),
    "run": Lazy("pretzel.commands.running:run", "Run the jobs of manifests and wait for them"),
    "destroy": Lazy("pretzel.commands.destroying:destroy", "Delete everything manifests have created"),
    "preview": Lazy("pretzel.commands.previewing:preview", "Show rows, and how to query them elsewhere"),
}
"""The same for every manifest type, and for all types at once."""

COMMANDS = {
    **MANIFEST_COMMANDS,
    "playground": Lazy("pretzel.commands.playground:playground", "Your own environment: create, list, show, use …"),
    "metadata": Lazy("pretzel.commands.metadata:metadata", "What is applied: owners, history, executions, lineage …"),
    "ops": Lazy("pretzel.commands.ops:ops", "Operate what is applied: pause, stop, backfill, rollback, unlock …"),
    "audit": Lazy("pretzel.commands.audit:audit", "Who did what, and how it ended"),
    "server": Lazy("pretzel.commands.server:server", "DCP as a service, for many users at once"),
    "controller": Lazy("pretzel.commands.controller:controller", "Look after everything that was applied"),
    "catalog": Lazy("pretzel.commands.catalog:catalog", "How your own tools connect to an environment's catalog"),
    "coreetl": Lazy("pretzel.commands.coreetl:coreetl", "The driver as a service: what deployed DAGs call"),
    "schema": Lazy("pretzel.commands.schema:schema", "The JSON Schema of a manifest type, for editors"),
    "plugins": Lazy("pretzel.commands.plugins:plugins", "What is installed, and what of it is broken"),
}

EPILOG = "Without -e a command works on your own playground; production is always named: -e production."


class Root(LazyGroup):
    """``pretzel``: the commands, and a group for every installed manifest type."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of a day's work, then the manifest types."""
        return [*self.lazy, *(_group_name(name) for name in manifest_types())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Entry points are looked up only for a name that is not a command."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        wanted = cmd_name.replace("-", "_")
        if wanted not in {name.replace("-", "_") for name in manifest_types()}:
            return None
        from pretzel.commands.manifest_type import ManifestTypeGroup

        manifest_type = next(name for name in manifest_types() if name.replace("-", "_") == wanted)
        return ManifestTypeGroup(manifest_type, MANIFEST_COMMANDS)

    def sections(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """For ``--help``, without importing any plugin."""
        types = [(_group_name(name), "lint, test, plan, apply … for this type") for name in manifest_types()]
        return {**super().sections(ctx), "Manifest types": types}


def _group_name(manifest_type: str) -> str:
    return manifest_type.replace("_", "-")


app = Root(
    "pretzel",
    COMMANDS,
    help="Manage data resources from manifests: a YAML file says what you want, pretzel makes it so.",
    epilog=EPILOG,
    params=[*shared_options(), version_option()],
)
