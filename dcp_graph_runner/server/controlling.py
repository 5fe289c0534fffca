"""A controller inside the server's process: one process serves, and looks after what was applied.

Its control plane, its registry and its store are its own, so that neither waits for what the other keeps.
"""

from __future__ import annotations

import logging
import threading

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.credentials import own_credentials
from dcp_core.records import Caller
from dcp_core.registry import Registry
from dcp_core.sections import ExtensionSettings
from dcp_core.settings import Settings
from dcp_graph_runner.controller.controller import IDENTITY, Controller, Listener
from dcp_graph_runner.controller.settings import ControllerSettings

_LOG = logging.getLogger("dcp.server")


class ServedController:
    """Looks after everything from construction until ``stop``.

    Args:
        settings: Of the project: ``[controller]`` says how often it looks.
        grace_s: What it has begun may take that long after ``begin_stop``, in seconds, or less where the settings say.

    Raises:
        SettingsError: ``[controller]`` is wrong, or a required extension is missing.
        NotSupportedError: The store is none on SQL.
    """

    def __init__(self, settings: Settings, grace_s: float) -> None:
        chosen = settings.section("controller", ControllerSettings)
        required = settings.section("extensions", ExtensionSettings).required
        registry = Registry.from_entry_points(required=required, environ=settings.environ)
        who = Caller(IDENTITY, is_system=True)
        self._dcp = ControlPlane(settings, registry, who, credentials=own_credentials(settings))
        self._stop = threading.Event()
        self._has_drained = False
        try:
            self._controller = Controller(
                self._dcp,
                attrs.evolve(chosen, drain_s=min(chosen.drain_s, grace_s)),
                Listener(failed=lambda what, why: _LOG.warning("the controller failed at %s: %s", what, why)),
            )
        except BaseException:
            self._dcp.close()
            raise
        self._thread = threading.Thread(target=self._run, name="dcp-controller", daemon=True)
        self._thread.start()
        _LOG.info("%s looks every %g s", self._controller.replica, chosen.interval_s)

    def begin_stop(self) -> None:
        """Begin nothing more; what was begun goes on."""
        self._stop.set()

    def stop(self, grace_s: float) -> bool:
        """End.

        Args:
            grace_s: How long to wait for what was begun, in seconds.

        Returns:
            Whether it has all ended; if not, the process is to end now, and another controller goes on.
        """
        self.begin_stop()
        self._thread.join(max(0.0, grace_s))
        if self._thread.is_alive() or not self._has_drained:
            return False
        self._dcp.close()
        return True

    def _run(self) -> None:
        try:
            self._has_drained = self._controller.run(self._stop)
        except Exception:
            _LOG.exception("the controller has ended, and nobody here looks after what was applied any more")
