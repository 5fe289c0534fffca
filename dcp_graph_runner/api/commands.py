"""Commands that plugins add: each asked about and recorded, for what they do is theirs to say."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs

from dcp_core.attribution import plugin_bug
from dcp_core.control_plane import ControlPlane
from dcp_core.errors import DcpError, NotFoundError, NotSupportedError, UsageError
from dcp_core.planner import provided
from dcp_core.records import Command, FileUse, Preview
from dcp_core.registry import PLUGINS, Registry
from dcp_graph_runner.api.command_files import CommandSettings, HandedFiles, check_files, files_of, handed
from dcp_graph_runner.api.messages import CommandAnswer, CommandRequest
from dcp_graph_runner.api.plain import plain, plain_preview
from dcp_graph_runner.deeds import Subject, recorded

COMMAND = "command"
"""What the rules are asked about, manifest by manifest."""


def perform_command(dcp: ControlPlane, request: CommandRequest) -> CommandAnswer:
    """Run a plugin's command.

    Raises:
        NotFoundError: There is no such command.
        UnauthorizedError: A rule denied it for one of the manifests; nothing was done.
        NotSupportedError: A path is named through a server, in place of a file that is sent.
        UsageError: A parameter or a file is none that the command takes.
    """
    command = find_command(dcp.registry, request)
    settings = CommandSettings.of(dcp.settings)
    environment = dcp.environment(request.environment, overlay=request.overlay)
    ids = [each.id for each in request.logical_plans]
    label = f"COMMAND {request.manifest_type} {command.name}"
    only = request.logical_plans[0] if len(ids) == 1 else None
    subject = Subject(COMMAND, environment.name, label, only.id if only else "", only.digest if only else "")
    with recorded(dcp, subject) as deed, ExitStack() as during:
        in_force = dcp.store.logical_plans(environment.name, ids) if ids else {}
        for each in request.logical_plans:
            dcp.authorize(COMMAND, environment, each, in_force.get(each.id))
        if not ids:
            dcp.authorize(COMMAND, environment)
        files = during.enter_context(handed(command, request.files, request.parameters, settings))
        parameters = _parameters(command, request.parameters, files, is_remote=dcp.caller.is_remote)
        if command.takes_manifests:
            parameters["logical_plans"] = request.logical_plans
        deed.actions = tuple(f"{label} {id}" for id in ids)
        deed.begin()
        names = provided(request.logical_plans, dcp.registry)
        ctx = dcp.context(environment, logical_plans=request.logical_plans, provided=names)
        with files.telling():
            try:
                result = command.run(ctx, **parameters)
            except DcpError:
                raise
            except Exception as error:
                owner = dcp.registry.owner(PLUGINS, request.manifest_type)
                raise plugin_bug(error, f"{owner}: command {request.name}") from error
        written = files.written(command, settings)
        if isinstance(result, Preview):
            rows = tuple(tuple(files.told(list(row))) for row in plain_preview(result).rows)
            return CommandAnswer(preview=attrs.evolve(result, rows=rows), files=written)
        return CommandAnswer(files.told(plain(result)), files=written)


def find_command(registry: Registry, request: CommandRequest) -> Command:
    """The command that is asked for, as its plugin declares it.

    Raises:
        NotFoundError: There is no such command.
    """
    commands: tuple[Command, ...] = registry.plugin(request.manifest_type, "get_commands")
    for each in commands:
        if each.name == request.name:
            return each
    raise NotFoundError(f"{request.manifest_type} has no command {request.name!r}")


def _parameters(command: Command, given: Mapping[str, Any], files: HandedFiles, *, is_remote: bool) -> dict[str, Any]:
    """Of the types that the command wants."""
    found: dict[str, Any] = {}
    read: set[str] = set()
    if not is_remote:
        check_files(command, given)
        read = {each.name for each in files_of(command, given, FileUse.READ)}
    for each in command.parameters:
        if each.name in files.paths:
            found[each.name] = files.paths[each.name]
            continue
        value = given.get(each.name)
        if value is not None and each.type is Path and is_remote:
            raise NotSupportedError(
                f"{each.name} names a file, and a server neither reads nor writes files that its callers name",
                hint="with --server off the command works with files of this machine",
            )
        if each.name in read:
            found[each.name] = Path(str(value))
            continue
        if value is None:
            value = each.default
        try:
            found[each.name] = each.type(value) if value is not None and each.type is not bool else value
        except (TypeError, ValueError):
            raise UsageError(f"{each.name} must be of type {each.type.__name__}, not {value!r}") from None
    return found
