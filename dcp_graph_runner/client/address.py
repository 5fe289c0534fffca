"""Where a Graph Runner listens, as users write it."""

from __future__ import annotations

import ipaddress

import attrs

from dcp_core.errors import SettingsError

PORT = 8620
_SCHEMES = {"grpc": False, "grpcs": True}


@attrs.frozen
class Address:
    """One server.

    Args:
        host: A name or an IP address.
        port: Of gRPC.
        is_encrypted: Whether it speaks TLS.
    """

    host: str
    port: int
    is_encrypted: bool

    @classmethod
    def parse(cls, text: str) -> Address:
        """``grpc://host:port``, ``grpcs://host:port``, ``host:port``; the port is 8620 where there is none.

        Without a scheme it is TLS, but on this machine.

        Raises:
            SettingsError: It is none of these forms.
        """
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = "", text
        host, port = _host_and_port(rest.rstrip("/"))
        if (scheme and scheme not in _SCHEMES) or not host or not 0 < port < 65536 or set(host) & set("/@ ?#"):
            hint = "HTTP is for other programs; pretzel speaks gRPC" if scheme.startswith("http") else None
            raise SettingsError(
                f"the server {text!r} is not of the form grpcs://host:port or grpc://host:port",
                hint=hint or f"gRPC's port is {PORT} unless the server's [server] says otherwise; off works in process",
            )
        made = cls(host, port, _SCHEMES.get(scheme, False))
        return made if scheme else attrs.evolve(made, is_encrypted=not made.is_loopback)

    @property
    def target(self) -> str:
        """As gRPC takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether what is said stays on this machine; of a name that is not ``localhost`` nobody knows."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_private(self) -> bool:
        """Whether nobody between can read what is said."""
        return self.is_encrypted or self.is_loopback

    def __str__(self) -> str:
        return f"{'grpcs' if self.is_encrypted else 'grpc'}://{self.target}"


def _host_and_port(text: str) -> tuple[str, int]:
    """Port 0 when what stands there is none."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest else str(PORT)
    else:
        host, separator, port = text.partition(":")
        port = port if separator else str(PORT)
    return host, int(port) if port.isascii() and port.isdecimal() else 0
