"""Where the Graph Runner listens, what it takes and how it ends: section ``[server]``.

Without TLS it listens on loopback only: callers' tokens must not cross a network in clear. Without ``[auth]`` too,
which ``signing_in`` sees to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from coreetl_driver.certificates import Certificates, certificates_of
from dcp_core.errors import SettingsError
from dcp_core.settings import Settings

SECTION = "server"
GRPC_PORT = 8620
HTTP_PORT = 8621
"""Always the same, for others' settings hold them."""
MEBIBYTE = 1024 * 1024
_MOST = {
    "workers": 256,
    "open_requests": 10_000,
    "calls": 1024,
    "watchers": 65536,
    "connections": 65536,
    "max_request_mib": 1024,
}


@frozen
class ServerSettings:
    """Section ``[server]``.

    Args:
        host: A name or an address of this machine; all but loopback need a certificate and ``[auth]``.
        grpc_port: 0 for any that is free.
        http_port: 0 for any that is free.
        certificate: File (PEM) of the server's certificate, with the intermediate ones after it; turns TLS on for both
            transports. Relative to the project's root, as the next two.
        key: File (PEM) of its private key.
        client_ca: File (PEM) of the authorities whose certificates callers must show, beside their token; empty when
            they need none.
        workers: How many long-running operations this replica works on at once.
        open_requests: How many long-running operations of one identity may run or wait for a free hand, at all
            replicas; whoever asks for more is told to come back.
        calls: How many calls are answered at once; as many again wait, and more are told to come back.
        watchers: How many callers follow operations at once, half of them of one identity; more are told to come back.
        connections: How many connections HTTP takes at once. Those on which nothing is asked make room for more; while
            all of them are asking, whoever comes beyond is told to come back. Over gRPC, how many watch its health.
        max_request_mib: The largest request, in MiB.
        request_s: How long a caller may take to send one, and over HTTP the head of one, in seconds.
        grace_s: How long the server may take to end, in seconds.
        notice_s: How long it goes on answering after health has said that it ends, in seconds, so that load balancers
            see it; a part of ``grace_s``.
        controller: Whether a controller works in this process too.
    """

    host: str = "127.0.0.1"
    grpc_port: int = GRPC_PORT
    http_port: int = HTTP_PORT
    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    workers: int = 8
    open_requests: int = 100
    calls: int = 64
    watchers: int = 256
    connections: int = 1024
    max_request_mib: int = 64
    request_s: float = 60.0
    grace_s: float = 30.0
    notice_s: float = 0.0
    controller: bool = False

    @classmethod
    def from_settings(cls, settings: Settings, **given: Any) -> ServerSettings:
        """The section, with what the command line says in its place.

        Args:
            settings: Of the project.
            given: By name; None leaves what the settings say.

        Raises:
            SettingsError: A value is wrong.
        """
        found = settings.section(SECTION, cls)
        return evolve(found, **{name: value for name, value in given.items() if value is not None})

    def certificates(self, root: Path) -> Certificates | None:
        """TLS, or None without; a server that would be heard in clear is refused.

        Args:
            root: What relative names of files are relative to.

        Raises:
            SettingsError: The host is not loopback and there is no certificate; the files do not fit; a value is wrong.
        """
        self._check_values()
        return certificates_of(self, root, section=SECTION, service="the server", tls_needed="server.tls_needed")

    def _check_values(self) -> None:
        if self.http_port and self.http_port == self.grpc_port:
            raise SettingsError(
                f"[{SECTION}] http_port and grpc_port are both {self.http_port}", hint="each transport needs its own"
            )
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise SettingsError(f"[{SECTION}] {name} is {getattr(self, name)}, expected 1 to {most}")
        if not 0 < self.request_s <= 3600:
            raise SettingsError(f"[{SECTION}] request_s is {self.request_s:g}, expected more than 0 and at most 3600")
        if not 0 < self.grace_s <= 3600:
            raise SettingsError(f"[{SECTION}] grace_s is {self.grace_s:g}, expected more than 0 and at most 3600")
        if not 0 <= self.notice_s < self.grace_s:
            raise SettingsError(f"[{SECTION}] notice_s is {self.notice_s:g}, expected less than grace_s")
