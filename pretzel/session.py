"""What a command works with: its output, the control plane, the environment. Opened on use, closed at the end."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import click

from pretzel.output import Output

if TYPE_CHECKING:
    from dcp_core.control_plane import ControlPlane
    from dcp_core.loading import LoadResult
    from dcp_core.model import Environment
    from dcp_core.settings import Settings
    from dcp_graph_runner.api.handlers import Handler
    from dcp_graph_runner.api.messages import CommandAnswer, CommandRequest
    from dcp_graph_runner.client.remote import RemoteControlPlane
    from pretzel.delivering import AuditDelivery
    from pretzel.progress import Progress
    from pretzel.rendering.screen import Screen

Q = TypeVar("Q")
A = TypeVar("A")


class Session:
    """One command.

    Args:
        output: ``text``, ``json`` or ``jsonl``.
        environment_name: As given with ``-e``; None for the playground in use.
        config: Path of a ``dcp.toml``; None for the nearest.
        server: Address of a Graph Runner, ``off`` for none; None leaves it to ``[remote]``.
        overlay: Whether reads prefer the playground's own copies; None leaves it to the settings.
        debug: Whether debug messages are shown.
    """

    def __init__(
        self,
        *,
        output: str,
        environment_name: str | None = None,
        config: str | None = None,
        server: str | None = None,
        overlay: bool | None = None,
        debug: bool = False,
    ) -> None:
        self.output = Output(output)
        self.environment_name = environment_name
        self._config = config
        self._server = server
        self._overlay = overlay
        self._debug = debug
        self._local: ControlPlane | None = None
        self._remote: RemoteControlPlane | None = None
        self._delivery: AuditDelivery | None = None
        self._log_handler = _StderrHandler()
        self._log_before = (True, logging.NOTSET)

    def __enter__(self) -> Session:
        log = logging.getLogger("dcp")
        self._log_before = (log.propagate, log.level)
        log.addHandler(self._log_handler)
        log.propagate = False
        log.setLevel(logging.DEBUG if self._debug else logging.WARNING)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            wants_out = _kind is not None and not issubclass(_kind, Exception)  # Ctrl-C
            if self._delivery is not None and not wants_out and (waits := self._delivery.finish()):
                self.notes.line(f"note: {waits}")
            if self._remote is not None:
                self._remote.close()
            elif self._local is not None:
                self._local.close()
        finally:
            log = logging.getLogger("dcp")
            log.removeHandler(self._log_handler)
            log.propagate, log.level = self._log_before

    @cached_property
    def control_plane(self) -> ControlPlane | RemoteControlPlane:
        """In this process, or of a server where one is named.

        Raises:
            SettingsError: ``dcp.toml`` is wrong.
        """
        from dcp_graph_runner.client.settings import chosen_server

        local = self._opened()
        server = chosen_server(local.settings, self._server)
        if server is not None:
            from dcp_graph_runner.client.remote import RemoteControlPlane

            self._remote = RemoteControlPlane.connect(local, server, lambda words: self.notes.line(f"note: {words}"))
            return self._remote
        from dcp_graph_runner.audit_settings import AuditSettings

        if local.settings.section("audit", AuditSettings).table:
            from pretzel.delivering import AuditDelivery

            self._delivery = AuditDelivery(local)
            local.listen(self._delivery)
        if _tells_of_runs(local.settings):
            from dcp_graph_runner.metadata.openlineage.listening import attach

            attach(local)
        return local

    @property
    def local(self) -> ControlPlane:
        """In this process, whatever server is named: for what is about this machine.

        Raises:
            SettingsError: ``dcp.toml`` is wrong.
        """
        return self._opened()

    @property
    def has_driver(self) -> bool:
        """Whether the driver lives in this process: what it runs ends with the command.

        Raises:
            SettingsError: ``dcp.toml`` is wrong.
        """
        from coreetl_driver import CoreetlSettings

        is_here = self.control_plane is self.local
        return is_here and not self.local.settings.section("coreetl", CoreetlSettings).url

    def tell_local(self, what: str) -> None:
        """Say that an answer is about this machine, where a server would do the work."""
        from dcp_graph_runner.client.settings import chosen_server

        server = chosen_server(self.local.settings, self._server)
        if server is not None:
            self.notes.line(f"note: {what} of this machine, not of the server {server}")

    def _opened(self) -> ControlPlane:
        if self._local is None:
            from dcp_core.control_plane import ControlPlane

            self._local = ControlPlane.from_config(self._config)
        return self._local

    @cached_property
    def environment(self) -> Environment:
        """The one named with ``-e``, else the playground in use, else the identity's own.

        Raises:
            BadParameter: ``-e`` names nothing that could be.
        """
        from dcp_core.errors import UsageError

        control_plane = self.control_plane
        try:
            return control_plane.environment(self.environment_name, overlay=self._overlay)
        except UsageError as error:
            if self.environment_name is None:
                raise
            words = f"{error.message}: {error.hint}" if error.hint else error.message
            raise click.BadParameter(words, click.get_current_context(silent=True), param_hint="-e") from None

    @cached_property
    def notes(self) -> Screen:
        """For people, beside the result: stderr."""
        from pretzel.rendering.screen import Screen

        return Screen(sys.stderr)

    def load(self, paths: Sequence[str], manifest_type: str | None) -> LoadResult:
        """The manifests among and below ``paths``, all of them valid.

        Raises:
            UsageError: A path does not exist, or is what lies beside a manifest.
            InvalidManifestError: With every error of every manifest.
        """
        self.check_paths(paths)
        result = self.control_plane.load(paths, self.environment, manifest_type)
        if result.diagnostics:
            from dcp_core.errors import InvalidManifestError

            raise InvalidManifestError(result.diagnostics)
        return result

    def manifest_id(self, name: str) -> str:
        """A manifest's id, also where its file is given.

        Raises:
            UsageError: There is no such file, or it holds several manifests.
            InvalidManifestError: The file holds none that is valid.
        """
        from dcp_core.errors import UsageError
        from dcp_core.manifest import SUFFIXES

        if not os.path.isfile(name):
            if name.endswith(SUFFIXES):  # which no id does
                raise UsageError(f"there is no file {name}", hint="name a manifest's file, or its id: TYPE/NAME")
            return name
        loaded = self.load([name], None).loaded
        if len(loaded) != 1:
            raise UsageError(f"{name} holds {len(loaded)} manifests", hint="name one: TYPE/NAME")
        return loaded[0].logical_plan.id

    def call(self, handler: Handler[Q, A], request: Q) -> A:
        """Ask the Graph Runner: in process, authorized as a server does it, or through one.

        A request whose class has a field ``environment`` is about it, None the playground in use; another one about
        the caller's own.

        Raises:
            DcpError: As the handler's function raises it, or ``UnauthorizedError``.
        """
        control_plane = self.control_plane
        if self._remote is not None:
            return self._remote.call(handler, request)
        if handler.asks is not None:
            self.local.authorize(handler.asks, control_plane.environment(getattr(request, "environment", None)))
        return handler.function(self.local, request)

    def command(self, request: CommandRequest) -> CommandAnswer:
        """A plugin's command, whose files are this machine's wherever it works.

        Raises:
            DcpError: As the command raises it, or ``UnauthorizedError``.
        """
        from dcp_graph_runner.api.table import find

        self.control_plane  # noqa: B018  # opened, in process or through a server
        return self.call(find("Operations.Command"), request) if self._remote is None else self._remote.command(request)

    def check_paths(self, paths: Sequence[str]) -> None:
        """What is likely a slip: a manifest's SQL given in its place, or the manifests of another project.

        SQL would be read as YAML, with errors that explain nothing. Another project's manifests may be meant, so they
        are only told.

        Raises:
            UsageError: A file is no YAML, and has a manifest of its name beside it.
        """
        from dcp_core.errors import UsageError
        from dcp_core.manifest import SUFFIXES
        from dcp_core.settings import CONFIG_FILE, find_root

        if self._config is None:
            root = self.control_plane.settings.root
            folders = [path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path)) for path in paths]
            around = {find_root(Path(folder)) for folder in folders if os.path.isdir(folder)}
            for other in sorted(each for each in around if each != root and (each / CONFIG_FILE).is_file()):
                self.notes.line(
                    f"note: these manifests lie in the project {other}, and the one in use is {root}; "
                    f"to work in theirs: --config {other / CONFIG_FILE}"
                )
        for path in paths:
            name, suffix = os.path.splitext(path)
            beside = [name + each for each in SUFFIXES if os.path.isfile(name + each)]
            if suffix not in SUFFIXES and beside and os.path.isfile(path):
                raise UsageError(
                    f"{path} is not a manifest", hint=f"give the {beside[0][len(name) :]} beside it: {beside[0]}"
                )

    @cached_property
    def progress(self) -> Progress:
        """A context: shows what happens meanwhile, on stderr, and as events in ``jsonl``."""
        from pretzel.progress import Progress

        control_plane = self.control_plane
        if self._remote is not None:
            progress = Progress(self.notes, self.output, self._remote.clock)
        else:
            progress = Progress(self.notes, self.output)
        control_plane.listen(progress)
        return progress

    def tell_created_sandboxes(self) -> None:
        """Say which playground the command has created."""
        for sandbox in self.control_plane.created_sandboxes:
            until = sandbox.expires_at.date().isoformat()
            self.notes.line(f"created playground {sandbox.id} (until {until})")
        self.control_plane.created_sandboxes.clear()


def _tells_of_runs(settings: Settings) -> bool:
    from dcp_graph_runner.metadata.openlineage.settings import OpenLineageSettings

    return settings.section("openlineage", OpenLineageSettings).is_on


class _StderrHandler(logging.Handler):
    """Looks stderr up for each message: a progress display may stand in front of it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)
        except Exception:  # a log line that cannot be written is no reason to stop
            self.handleError(record)
