"""The driver as a service: gRPC and HTTP, its health, its end, and the recovery of what an earlier process left."""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from coreetl_driver.access import Access
from coreetl_driver.draining import Draining
from coreetl_driver.driver import Driver
from coreetl_driver.guarded import Guard
from coreetl_driver.http_api import application
from coreetl_driver.server_settings import ServerSettings
from coreetl_driver.service import GrpcServer
from coreetl_driver.web import WebServer
from dcp_core.errors import DcpError
from dcp_core.settings import Settings

_LOG = logging.getLogger(__name__)
_RECOVERY_INTERVAL_S = 15.0
_RECOVERY_END_S = 5.0  # a round that hangs on a backend must not keep what runs here from being handed over
_CALLS_SHARE = 2 / 3  # of the grace, for calls that are being answered; the rest is for handing over
ANY_PORTS = ServerSettings(http_port=0, grpc_port=0)


class DriverServer:
    """Serves from construction until ``stop``.

    Args:
        serving: Where it listens and how it ends; by default on any free ports of loopback.

    Raises:
        SettingsError: No caller is configured, or it would be heard in clear, or a certificate cannot be used.
        TransientError: A port is taken.
    """

    def __init__(self, settings: Settings, serving: ServerSettings = ANY_PORTS) -> None:
        access = Access.from_settings(settings)
        certificates = serving.certificates(settings.root)
        self._serving = serving
        self._draining = Draining()
        self._stopping = threading.Event()
        self._driver = Driver(settings)
        self._was_handed_over = False
        guard = Guard(self._driver, access, self._draining)
        with contextlib.ExitStack() as undone:  # who cannot listen must not have taken anything over
            undone.callback(self._driver.close)
            self._grpc = GrpcServer(guard, serving.host, serving.grpc_port, certificates)
            undone.callback(self._grpc.stop, 0)
            self._http = WebServer(
                application(guard, self._is_ready),
                name="coreetl-http",
                host=serving.host,
                port=serving.http_port,
                tls=certificates.context() if certificates else None,
            )
            undone.pop_all()
        self.grpc_port, self.grpc_url = self._grpc.port, self._grpc.url
        self.http_url = self._http.url
        self._grpc.tell_health(is_serving=self._is_ready())
        self._thread = threading.Thread(target=self._keep_recovering, name="coreetl-recovery", daemon=True)
        self._thread.start()

    def stop(self, grace_s: float | None = None) -> bool:
        """End in order: say so, finish the calls that are being answered, hand over what still runs.

        Args:
            grace_s: How long that may take; by default what the settings say.

        Returns:
            Whether all of it was done in time. What was not handed over, the next driver finds by its owner's death.
        """
        ends_at = time.monotonic() + (self._serving.grace_s if grace_s is None else grace_s)
        calls_end_at = time.monotonic() + _CALLS_SHARE * (ends_at - time.monotonic())
        if not self._stopping.is_set():
            self._stopping.set()
            self._draining.begin()
            self._grpc.begin_stop()
            time.sleep(min(self._serving.notice_s, max(0.0, calls_end_at - time.monotonic())))
        self._http.begin_stop(calls_end_at - time.monotonic())
        were_answered = self._grpc.stop(max(0.0, calls_end_at - time.monotonic()))
        were_answered &= self._http.stop(max(0.0, calls_end_at - time.monotonic()))
        closing = threading.Thread(target=self._close, name="coreetl-closing", daemon=True)
        closing.start()
        closing.join(max(0.0, ends_at - time.monotonic()))
        return were_answered and not closing.is_alive() and self._was_handed_over

    def _close(self) -> None:
        self._thread.join(_RECOVERY_END_S)
        self._driver.close()
        self._was_handed_over = self._driver.was_handed_over

    def _is_ready(self) -> bool:
        """Whether the registry answers."""
        try:
            self._driver.list_executions(limit=1)
        except Exception as error:
            _LOG.warning("the driver is not ready: %s", type(error).__name__)
            return False
        return True

    def _keep_recovering(self) -> None:
        while not self._stopping.is_set():
            self._recover()
            self._grpc.tell_health(is_serving=self._is_ready())
            self._stopping.wait(_RECOVERY_INTERVAL_S)

    def _recover(self) -> None:
        try:
            self._driver.recover()
        except DcpError as error:  # the next round tries again; the service itself must stay
            _LOG.warning("recovery is delayed: %s", error)
        except Exception:
            _LOG.exception("recovery failed, and is tried again")
