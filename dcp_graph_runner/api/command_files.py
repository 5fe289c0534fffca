"""The caller's files that a plugin's command reads and writes, handed to it wherever it works.

In process they are the files themselves. Through a server their content goes along with the request and the answer, and
the command has copies in a folder of its own, removed afterwards: no path that a caller names is one of the server's.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from dcp_core.digests import JsonValue
from dcp_core.errors import DcpError, UsageError
from dcp_core.records import Command, FileUse
from dcp_core.settings import Settings
from dcp_graph_runner.api.messages import CommandFile

SECTION = "commands"
TOO_LARGE = "command.file_too_large"
_MEBIBYTE = 1024 * 1024
_PLAIN_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,16}")


@attrs.frozen
class CommandSettings:
    """Section ``[commands]``.

    Args:
        max_file_mib: The largest file that a command reads or writes through a server, in MiB; asked of the caller's
            settings and of the server's. A request is bounded by ``[server] max_request_mib`` too.
    """

    max_file_mib: int = attrs.field(default=32, validator=[attrs.validators.ge(1), attrs.validators.le(1024)])

    @classmethod
    def of(cls, settings: Settings) -> CommandSettings:
        """Those of a project. Raises SettingsError."""
        return settings.section(SECTION, cls)

    def check_size(self, file: str, size_bytes: int) -> None:
        """Refuse a file that is larger.

        Raises:
            UsageError: With both sizes.
        """
        if size_bytes > self.max_file_mib * _MEBIBYTE:
            raise UsageError(
                f"{file} has {size_bytes / _MEBIBYTE:.1f} MiB, and a file of a command has at most "
                f"{self.max_file_mib} MiB through a server",
                hint=f"[{SECTION}] max_file_mib, here and at the server; or in process, with --server off",
                code=TOO_LARGE,
            )


@attrs.frozen
class HandedFiles:
    """What a command is handed in place of files that came with the request.

    Args:
        paths: Of the copies, by parameter.
        names: What the caller calls them, by parameter.
    """

    paths: Mapping[str, Path] = attrs.Factory(dict)
    names: Mapping[str, str] = attrs.Factory(dict)

    def told(self, value: JsonValue) -> JsonValue:
        """What the command gave, with the caller's names in place of the copies'."""
        if not self.paths:
            return value
        if isinstance(value, str):
            return self._told(value)
        if isinstance(value, (list, tuple)):
            return [self.told(each) for each in value]
        if isinstance(value, Mapping):
            return {self._told(name): self.told(each) for name, each in value.items()}
        return value

    @contextmanager
    def telling(self) -> Iterator[None]:
        """What is raised within is told with the caller's names, too."""
        try:
            yield
        except DcpError as error:
            error.message = self._told(error.message)
            error.hint = error.hint and self._told(error.hint)
            error.where = error.where and self._told(error.where)
            raise

    def written(self, command: Command, settings: CommandSettings) -> dict[str, CommandFile]:
        """The files that the command has written, by parameter.

        Raises:
            UsageError: One is larger than a server gives.
        """
        found = {}
        for each in command.parameters:
            path = self.paths.get(each.name)
            if each.file is FileUse.WRITE and path is not None and path.is_file():
                settings.check_size(self.names[each.name], path.stat().st_size)
                found[each.name] = CommandFile(self.names[each.name], path.read_bytes())
        return found

    def _told(self, text: str) -> str:
        for parameter, path in self.paths.items():
            text = text.replace(str(path), self.names[parameter])
        return text


@contextmanager
def handed(
    command: Command, files: Mapping[str, CommandFile], given: Mapping[str, Any], settings: CommandSettings
) -> Iterator[HandedFiles]:
    """Copies of the files that came with a request, as long as the command works.

    Args:
        command: Declares what it does with which.
        files: By parameter.
        given: The parameters that are no files.
        settings: Say how large they may be.

    Raises:
        UsageError: The command takes no such file, or it is too large.
    """
    uses = {each.name: each.file for each in command.parameters if each.file is not None}
    for parameter, file in files.items():
        if parameter not in uses:
            raise UsageError(f"{command.name} takes no file as {parameter!r}")
        if given.get(parameter) is not None:
            raise UsageError(f"{parameter} is given twice: as a value and as a file")
        if uses[parameter] is FileUse.WRITE and file.content:
            raise UsageError(f"{parameter} is written by {command.name}: it is sent without content")
        settings.check_size(file.name, len(file.content))
    if not files:
        yield HandedFiles()
        return
    with tempfile.TemporaryDirectory(prefix="dcp-command-") as folder:
        paths = {}
        for parameter, file in files.items():
            suffix = Path(file.name).suffix  # what a file is, is told by it
            own = Path(folder, parameter)  # beside what a command writes there may be what it writes first
            own.mkdir()
            paths[parameter] = own / (parameter + (suffix if _PLAIN_SUFFIX.fullmatch(suffix) else ""))
            if uses[parameter] is FileUse.READ:
                paths[parameter].write_bytes(file.content)
        yield HandedFiles(paths, {parameter: file.name for parameter, file in files.items()})


def check_files(command: Command, given: Mapping[str, Any]) -> None:
    """Refuse files of this machine that cannot be what the command wants, before it begins.

    Args:
        command: Declares them.
        given: Its parameters, by name.

    Raises:
        UsageError: A file is a folder, its folder is not there, or what would be read would be replaced.
    """
    read, written = ({each.name: each for each in files_of(command, given, use)} for use in FileUse)
    for name in [*read, *written]:
        path = Path(given[name])
        if path.is_dir():
            raise UsageError(f"{path} is a folder; {_option(name)} names a file")
    for name in written:
        path = Path(given[name])
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}")
        for other in read:
            if path.exists() and Path(given[other]).exists() and path.samefile(given[other]):
                raise UsageError(
                    f"{_option(name)} would replace the {other} that are read",
                    hint=f"give {_option(name)} another name",
                )


def files_of(command: Command, given: Mapping[str, Any], use: FileUse) -> Iterator[Any]:
    """The parameters whose values name files of this machine: those to write, or those to read that are there."""
    for each in command.parameters:
        value = given.get(each.name)
        if each.file is not use or not isinstance(value, (str, Path)):
            continue
        if use is FileUse.WRITE or each.type is Path or Path(value).exists():
            yield each


def _option(parameter: str) -> str:
    return f"--{parameter.replace('_', '-')}"
