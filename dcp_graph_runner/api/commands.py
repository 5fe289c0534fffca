"""Commands that plugins add: each asked about and recorded, for what they do is theirs to say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcp_core.attribution import plugin_bug
from dcp_core.control_plane import ControlPlane
from dcp_core.errors import DcpError, NotFoundError, NotSupportedError, UsageError
from dcp_core.planner import decompose
from dcp_core.records import Command, Preview
from dcp_core.registry import PLUGINS
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
        NotSupportedError: A file is named through a server.
    """
    command = _found(dcp, request)
    environment = dcp.environment(request.environment, overlay=request.overlay)
    ids = [each.id for each in request.logical_plans]
    label = f"COMMAND {request.manifest_type} {command.name}"
    only = request.logical_plans[0] if len(ids) == 1 else None
    subject = Subject(COMMAND, environment.name, label, only.id if only else "", only.digest if only else "")
    with recorded(dcp, subject) as deed:
        in_force = dcp.store.logical_plans(environment.name, ids) if ids else {}
        for each in request.logical_plans:
            dcp.authorize(COMMAND, environment, each, in_force.get(each.id))
        if not ids:
            dcp.authorize(COMMAND, environment)
        parameters = _parameters(command, request.parameters, is_remote=dcp.caller.is_remote)
        if command.takes_manifests:
            parameters["logical_plans"] = request.logical_plans
        deed.actions = tuple(f"{label} {id}" for id in ids)
        deed.begin()
        provided = frozenset(
            name
            for each in request.logical_plans
            for resource in decompose(each, dcp.registry)
            for name in resource.provides
        )
        ctx = dcp.context(environment, logical_plans=request.logical_plans, provided=provided)
        try:
            result = command.run(ctx, **parameters)
        except DcpError:
            raise
        except Exception as error:
            owner = dcp.registry.owner(PLUGINS, request.manifest_type)
            raise plugin_bug(error, f"{owner}: command {request.name}") from error
    return CommandAnswer(preview=plain_preview(result)) if isinstance(result, Preview) else CommandAnswer(plain(result))


def _found(dcp: ControlPlane, request: CommandRequest) -> Command:
    commands: tuple[Command, ...] = dcp.registry.plugin(request.manifest_type, "get_commands")
    for each in commands:
        if each.name == request.name:
            return each
    raise NotFoundError(f"{request.manifest_type} has no command {request.name!r}")


def _parameters(command: Command, given: Mapping[str, Any], *, is_remote: bool) -> dict[str, Any]:
    """Of the types that the command wants."""
    found: dict[str, Any] = {}
    for each in command.parameters:
        value = given.get(each.name)
        if value is not None and each.type is Path and is_remote:
            raise NotSupportedError(
                f"{each.name} names a file, and a server neither reads nor writes files that its callers name",
                hint="without --server the command works with files of this machine",
            )
        if value is None:
            value = each.default
        try:
            found[each.name] = each.type(value) if value is not None and each.type is not bool else value
        except (TypeError, ValueError):
            raise UsageError(f"{each.name} must be of type {each.type.__name__}, not {value!r}") from None
    return found
