"""The driver as a service: gRPC and HTTP on loopback, and the recovery of what an earlier process left."""

from __future__ import annotations

import logging
import threading

from coreetl_driver.access import Access
from coreetl_driver.driver import Driver
from coreetl_driver.http_api import application
from coreetl_driver.loopback import LoopbackServer
from coreetl_driver.service import start_grpc
from dcp_core.errors import DcpError
from dcp_core.settings import Settings

_LOG = logging.getLogger(__name__)
_RECOVERY_INTERVAL_S = 15.0


class DriverServer:
    """Serves from construction until ``stop``.

    Args:
        grpc_port: 0 for any.
        http_port: 0 for any.

    Raises:
        SettingsError: No caller is configured.
        TransientError: A port is taken.
    """

    def __init__(self, settings: Settings, *, grpc_port: int = 0, http_port: int = 0) -> None:
        access = Access.from_settings(settings)
        self._driver = Driver(settings)
        self._stopping = threading.Event()
        self._recover()
        self._grpc, self.grpc_port = start_grpc(self._driver, access, grpc_port)
        self.grpc_url = f"grpc://127.0.0.1:{self.grpc_port}"
        try:
            self._http = LoopbackServer(application(self._driver, access), name="coreetl-http", port=http_port)
        except BaseException:
            self._grpc.stop(None)
            raise
        self.http_url = self._http.url
        self._thread = threading.Thread(target=self._keep_recovering, name="coreetl-recovery", daemon=True)
        self._thread.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Finish the calls that are being answered; hand over what still runs."""
        self._stopping.set()
        self._http.stop()
        self._grpc.stop(grace_s).wait()
        self._thread.join(timeout=grace_s)
        self._driver.close()

    def _keep_recovering(self) -> None:
        while not self._stopping.wait(_RECOVERY_INTERVAL_S):
            self._recover()

    def _recover(self) -> None:
        try:
            self._driver.recover()
        except DcpError as error:  # the next round tries again; the service itself must stay
            _LOG.warning("recovery is delayed: %s", error)
