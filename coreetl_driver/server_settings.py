"""Where the driver's service listens, and how it ends: section ``[coreetl_server]``.

Without TLS it listens on loopback only: callers' tokens and what their jobs do must not cross a network in clear.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from coreetl_driver.certificates import Certificates, certificates_of
from dcp_core.errors import SettingsError
from dcp_core.settings import Settings

SECTION = "coreetl_server"
HTTP_PORT = 8610
GRPC_PORT = 8611
"""Always the same, for others' settings hold them."""


@frozen
class ServerSettings:
    """Section ``[coreetl_server]``.

    Args:
        host: A name or an address of this machine; all but loopback need a certificate.
        http_port: 0 for any that is free.
        grpc_port: 0 for any that is free.
        certificate: File (PEM) of the service's certificate, with the intermediate ones after it; turns TLS on for
            both servers. Relative to the project's root, as the next two.
        key: File (PEM) of its private key.
        client_ca: File (PEM) of the authorities whose certificates callers must show, beside their token; empty when
            they need none.
        grace_s: How long the service may take to end, in seconds.
        notice_s: How long it goes on answering after health has said that it ends, in seconds, so that load balancers
            see it; a part of ``grace_s``.
    """

    host: str = "127.0.0.1"
    http_port: int = HTTP_PORT
    grpc_port: int = GRPC_PORT
    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    grace_s: float = 30.0
    notice_s: float = 0.0

    @classmethod
    def from_settings(cls, settings: Settings, **given: Any) -> ServerSettings:
        """The section, with what the command line says in its place.

        Args:
            given: By name; None leaves what the settings say.

        Raises:
            SettingsError: A value is wrong.
        """
        found = settings.section(SECTION, cls)
        return evolve(found, **{name: value for name, value in given.items() if value is not None})

    def certificates(self, root: Path) -> Certificates | None:
        """TLS, or None without; a service that would be heard in clear is refused.

        Args:
            root: What relative names of files are relative to.

        Raises:
            SettingsError: The host is not loopback and there is no certificate; the files do not fit; a time is wrong.
        """
        self._check_times()
        if self.http_port and self.http_port == self.grpc_port:
            raise SettingsError(
                f"[{SECTION}] http_port and grpc_port are both {self.http_port}", hint="each server needs its own"
            )
        return certificates_of(
            self, root, section=SECTION, service="the driver's service", tls_needed="coreetl.tls_needed"
        )

    def _check_times(self) -> None:
        if not 0 < self.grace_s <= 3600:
            raise SettingsError(f"[{SECTION}] grace_s is {self.grace_s:g}, expected more than 0 and at most 3600")
        if not 0 <= self.notice_s < self.grace_s:
            raise SettingsError(f"[{SECTION}] notice_s is {self.notice_s:g}, expected less than grace_s")
