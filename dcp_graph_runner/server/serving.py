"""The Graph Runner as a service, from its start to its end: both transports, health, and an end that cuts nobody off.

At its end a replica says so first, then refuses what is new, answers the calls that have come, and lets what it works
on end; what does not in time, another replica takes over.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence

from coreetl_driver.web import WebServer
from dcp_core.errors import TransientError
from dcp_core.settings import Settings
from dcp_graph_runner.access.settings import AuthSettings
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.table import HANDLERS
from dcp_graph_runner.server.calls import Calls
from dcp_graph_runner.server.controlling import ServedController
from dcp_graph_runner.server.grpc_api import GrpcServer
from dcp_graph_runner.server.http_api import HttpApi
from dcp_graph_runner.server.metrics import Metrics
from dcp_graph_runner.server.observing import observing
from dcp_graph_runner.server.readings import readings
from dcp_graph_runner.server.service import Service
from dcp_graph_runner.server.settings import ServerSettings
from dcp_graph_runner.server.telemetry import telemetry

_LOG = logging.getLogger("dcp.server")
_LOOK_EVERY_S = 5.0
_CALLS_SHARE = 1 / 3  # of the grace, for calls that are being answered; the rest is for what goes on after its answer
_LAST_EVENTS_S = 2.0  # for whoever watches what has just ended
_END_S = 1.0  # for closing connections, after the grace
ANY_PORTS = ServerSettings(grpc_port=0, http_port=0)


class GraphRunnerServer:
    """Serves from construction until ``stop``.

    Args:
        settings: Of the project.
        serving: Where it listens and how it ends; by default on any free ports of loopback.
        handlers: What it answers.

    Raises:
        SettingsError: ``dcp.toml`` is wrong, callers would be heard in clear, or a certificate cannot be used.
        NotSupportedError: The store is none on SQL, or something is not installed.
        TransientError: A port is taken, or the database does not answer.
    """

    def __init__(
        self, settings: Settings, serving: ServerSettings = ANY_PORTS, handlers: Sequence[AnyHandler] = HANDLERS
    ) -> None:
        certificates = serving.certificates(settings.root)
        self._serving = serving
        self._ending = threading.Event()
        self._is_ready = False
        with contextlib.ExitStack() as undone:  # who cannot listen must not have taken anything over
            self._telemetry = telemetry(settings)
            undone.callback(self._telemetry.close)
            self.metrics = Metrics(lambda: readings(self.service, serving.workers))
            self.service = Service(
                settings,
                host=serving.host,
                threads=serving.workers,
                open_requests=serving.open_requests,
                watchers=serving.watchers,
                observe=observing(self._telemetry, self.metrics),
            )
            undone.callback(self.service.close, 0.0)
            self._calls = Calls(
                self.service, self._telemetry, self.metrics, serving.calls, serving.request_s, serving.watchers
            )
            undone.callback(self._calls.close)
            with _telling_of_ports():
                self._grpc = GrpcServer(
                    handlers,
                    self._calls,
                    host=serving.host,
                    port=serving.grpc_port,
                    certificates=certificates,
                    max_request_mib=serving.max_request_mib,
                    health_watchers=serving.connections,
                )
            undone.callback(self._grpc.stop, 0.0)
            api = HttpApi(
                handlers,
                self._calls,
                has_tokens=AuthSettings.of(settings).is_on,
                is_ready=lambda: self._is_ready,
                measured=self.metrics.text,
                max_request_mib=serving.max_request_mib,
            )
            with _telling_of_ports():
                self._http = WebServer(
                    api.application(),
                    name="dcp-http",
                    host=serving.host,
                    port=serving.http_port,
                    tls=certificates.context() if certificates else None,
                    connections=serving.connections,
                    head_s=serving.request_s,
                )
            # Last, for it works on its own at once.
            self._controller = ServedController(settings, serving.grace_s) if serving.controller else None
            undone.pop_all()
        self.grpc_port, self.grpc_url = self._grpc.port, self._grpc.url
        self.http_port, self.http_url = self._http.port, self._http.url
        self._look()
        self._thread = threading.Thread(target=self._keep_looking, name="dcp-readiness", daemon=True)
        self._thread.start()

    def stop(self, grace_s: float | None = None) -> bool:
        """End in order: say so, answer the calls that have come, let what goes on after its answer end.

        Args:
            grace_s: How long that may take, in seconds; by default what the settings say.

        Returns:
            Whether all of it was done in time. What was not, another replica takes over.
        """
        ends_at = time.monotonic() + (self._serving.grace_s if grace_s is None else grace_s)
        if not self._ending.is_set():
            self._ending.set()
            self._is_ready = False
            self._thread.join(_LOOK_EVERY_S)
            self._grpc.begin_stop()
            _LOG.info("the server ends: no new calls")
            time.sleep(min(self._serving.notice_s, max(0.0, ends_at - time.monotonic())))
        self.service.begin_drain()
        if self._controller is not None:
            self._controller.begin_stop()  # it ends beside the rest
        calls_end_at = time.monotonic() + _CALLS_SHARE * max(0.0, ends_at - time.monotonic())
        is_done = self._calls.wait_until_idle(calls_end_at - time.monotonic())
        is_done &= self.service.worker.close(max(0.0, ends_at - time.monotonic() - _LAST_EVENTS_S))
        self._calls.wait_until_unwatched(min(_LAST_EVENTS_S, max(0.0, ends_at - time.monotonic())))
        self._grpc.stop(min(_END_S, max(0.0, ends_at - time.monotonic())))
        self._http.stop(min(_END_S, max(0.0, ends_at - time.monotonic())))
        self._calls.close()
        if self._controller is not None:
            is_done &= self._controller.stop(ends_at - time.monotonic())
        is_done &= self.service.close(0.0)
        self._telemetry.close()
        _LOG.info("the server has ended%s", "" if is_done else "; another replica goes on with what was left")
        return is_done

    def _look(self) -> None:
        self._is_ready = self.service.is_ready() and not self._ending.is_set()
        self._grpc.tell_health(is_serving=self._is_ready)

    def _keep_looking(self) -> None:
        while not self._ending.wait(_LOOK_EVERY_S):
            was = self._is_ready
            try:
                self._look()
            except Exception:
                _LOG.exception("readiness cannot be told, and is looked at again")
            if was and not self._is_ready and not self._ending.is_set():
                _LOG.warning("the server is not ready: its database does not answer")


@contextlib.contextmanager
def _telling_of_ports() -> Iterator[None]:
    try:
        yield
    except TransientError as error:
        error.hint = error.hint or "--grpc-port / --http-port, or another `pretzel server start` runs"
        raise
