"""The certificate of a service: read from its files, checked at once, and read again when the files change.

A certificate that is renewed needs no restart: both servers look at the files at every handshake. One that cannot be
read then leaves the last good one in force.
"""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field, frozen

from coreetl_driver.loopback import is_loopback
from dcp_core.errors import SettingsError

if TYPE_CHECKING:
    import grpc

_LOG = logging.getLogger(__name__)
_ALPN = ["http/1.1"]


@frozen
class CertificateFiles:
    """PEM files.

    Args:
        section: Of the settings that name them, for what is said of them.
        certificate: The service's, with the intermediate ones after it.
        key: Its private key, without a passphrase.
        client_ca: Of the authorities that sign callers' certificates; None when callers need none.
    """

    section: str
    certificate: Path
    key: Path
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """For the HTTP server.

        Raises:
            SettingsError: A file cannot be read, or is not what it should be. Never shows what is in it.
        """
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.set_alpn_protocols(_ALPN)
        try:
            made.load_cert_chain(self.certificate, self.key, password=_refuse_passphrase)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"the certificate {self.certificate} and the key {self.key} cannot be used: {_words(error)}",
                hint=f"[{self.section}] certificate and key are PEM files that belong together, the key in clear",
            ) from None
        if self.client_ca is not None:
            try:
                made.load_verify_locations(self.client_ca)
            except OSError as error:
                raise SettingsError(
                    f"the client authority {self.client_ca} cannot be used: {_words(error)}",
                    hint=f"[{self.section}] client_ca is a PEM file",
                ) from None
            made.verify_mode = ssl.CERT_REQUIRED
        return made

    def stamps(self) -> tuple[tuple[int, int], ...]:
        """What changes with the files. Raises ``OSError``."""
        files = (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))
        return tuple((found.st_mtime_ns, found.st_size) for found in (file.stat() for file in files))


@define
class Certificates:
    """The files as both servers use them.

    Raises:
        SettingsError: As ``CertificateFiles.context``.
    """

    files: CertificateFiles
    _context: ssl.SSLContext = field(init=False)
    _grpc: Any = field(init=False)
    _stamps: tuple[tuple[int, int], ...] = field(init=False)
    _given: Any = field(init=False)
    _lock: threading.Lock = field(factory=threading.Lock)

    def __attrs_post_init__(self) -> None:
        self._context = self.files.context()
        self._stamps = self.files.stamps()
        self._grpc = self._given = self._read_for_grpc()

    def context(self) -> ssl.SSLContext:
        """For the HTTP server: every handshake gets the files as they are then."""

        def renew(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
            self._renew()
            connection.context = self._context

        listening = self.files.context()
        listening.sni_callback = renew
        return listening

    def credentials(self) -> grpc.ServerCredentials:
        """For the gRPC server, in the same way."""
        import grpc

        def fetch() -> Any:
            self._renew()
            with self._lock:
                if self._grpc is self._given:
                    return None  # as before
                self._given = self._grpc
                return self._grpc

        return grpc.dynamic_ssl_server_credentials(
            self._grpc, fetch, require_client_authentication=self.files.client_ca is not None
        )

    def _renew(self) -> None:
        try:
            stamps = self.files.stamps()
            with self._lock:
                if stamps == self._stamps:
                    return
                context, for_grpc = self.files.context(), self._read_for_grpc()
                self._context, self._grpc, self._stamps = context, for_grpc, stamps
        except (OSError, SettingsError) as error:  # half way through being written: the next handshake looks again
            _LOG.warning("the service's certificate cannot be renewed yet: %s", error)
        else:
            _LOG.info("the service's certificate was read again")

    def _read_for_grpc(self) -> Any:
        import grpc

        pair = (self.files.key.read_bytes(), self.files.certificate.read_bytes())
        authority = self.files.client_ca.read_bytes() if self.files.client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=authority)


class Listening(Protocol):
    """What the settings of a service say of where it listens."""

    @property
    def host(self) -> str:
        """A name or an address of this machine."""
        ...

    @property
    def certificate(self) -> str:
        """File of its certificate; empty without TLS."""
        ...

    @property
    def key(self) -> str:
        """File of its private key."""
        ...

    @property
    def client_ca(self) -> str:
        """File of the authorities that sign callers' certificates; empty when callers need none."""
        ...


def certificates_of(
    listening: Listening, root: Path, *, section: str, service: str, tls_needed: str
) -> Certificates | None:
    """TLS, or None without; a service that would be heard in clear is refused.

    Args:
        listening: Of the section.
        root: What relative names of files are relative to.
        section: Its name, for errors.
        service: What the service is called in errors.
        tls_needed: The code of the error that it may not listen there in clear.

    Raises:
        SettingsError: The host is not loopback and there is no certificate, or the files do not fit.
    """
    if not listening.certificate and not listening.key:
        if listening.client_ca:
            raise SettingsError(f"[{section}] client_ca needs certificate and key")
        if not is_loopback(listening.host):
            raise SettingsError(
                f"{service} does not listen on {listening.host} without TLS: "
                "callers' tokens would cross the network in clear",
                hint=f'[{section}] certificate = "…" and key = "…" (or --certificate and --key), or host 127.0.0.1',
                code=tls_needed,
            )
        return None
    if not (listening.certificate and listening.key):
        raise SettingsError(f"[{section}] certificate and key belong together")
    client_ca = root / listening.client_ca if listening.client_ca else None
    return Certificates(CertificateFiles(section, root / listening.certificate, root / listening.key, client_ca))


def check_client_files(ca: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Refuse files with which no handshake can succeed; gRPC itself would only say that nobody answers.

    Raises:
        SettingsError: One is not PEM, or the key is another certificate's. Never shows what is in it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificate is not None and key is not None:
        try:
            context.load_cert_chain(certificate, key, password=_refuse_passphrase)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"the certificate {certificate} and the key {key} cannot be used: {_words(error)}",
                hint="[coreetl] client_certificate and client_key are PEM files that belong together, the key in clear",
            ) from None
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except OSError as error:
            raise SettingsError(
                f"the authority {ca} cannot be used: {_words(error)}", hint="[coreetl] ca is a PEM file"
            ) from None


def _refuse_passphrase() -> str:
    raise ValueError("the key has a passphrase")


def _words(error: Exception) -> str:
    """Why, in a line: OpenSSL's own reason, or the system's."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
