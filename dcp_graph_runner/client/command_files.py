"""The files of this machine that a plugin's command reads and writes at a server: sent along, and kept when they come.

Source: docs/remote.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from dcp_core.errors import NotFoundError, PermanentError, UsageError
from dcp_core.files import replacing
from dcp_core.records import Command, FileUse
from dcp_graph_runner.api.command_files import CommandSettings, check_files, files_of
from dcp_graph_runner.api.messages import CommandFile, CommandRequest


def with_files(command: Command, request: CommandRequest, settings: CommandSettings) -> CommandRequest:
    """A request that holds its files, in place of the parameters that name them.

    Args:
        command: As the plugin that is installed here declares it.
        request: As it would be asked in process.
        settings: Say how large a file may be.

    Raises:
        UsageError: A file is too large, or cannot be what the command wants.
        NotFoundError: One that is read is not there.
    """
    given = request.parameters
    check_files(command, given)
    files = {each.name: _read(Path(given[each.name]), settings) for each in files_of(command, given, FileUse.READ)}
    for each in files_of(command, given, FileUse.WRITE):
        files[each.name] = CommandFile(str(given[each.name]))
    left = {name: value for name, value in given.items() if name not in files}
    return attrs.evolve(request, parameters=left, files=files)


def keep(files: Mapping[str, CommandFile], command: Command, request: CommandRequest) -> None:
    """Write what the command has written, each file whole or not at all.

    Args:
        files: Of the answer.
        command: Says which of its files are written.
        request: Says which of these its caller has asked for, and where they are; no other one is written.

    Raises:
        PermanentError: One cannot be written, or the server gives another one.
    """
    wanted = {each.name for each in command.parameters if each.file is FileUse.WRITE} & request.files.keys()
    for parameter, file in files.items():
        if parameter not in wanted:
            raise PermanentError(f"the server gave a file that nobody has asked it to write: {parameter}")
        path = Path(request.files[parameter].name)
        try:
            _write(path, file.content)
        except OSError as error:
            raise PermanentError(f"cannot write {path}: {error.strerror or error}", code="command.output") from None


def _read(path: Path, settings: CommandSettings) -> CommandFile:
    try:
        with path.open("rb") as file:
            settings.check_size(str(path), os.fstat(file.fileno()).st_size)
            return CommandFile(str(path), file.read())
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)
