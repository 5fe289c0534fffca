"""Certificates for tests, each from an authority of its own."""

from __future__ import annotations

from pathlib import Path

import trustme
from attrs import define, field
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

HOST = "127.0.0.1"


@define
class Authority:
    """One authority, and where it puts its files."""

    folder: Path
    ca: Path = field(init=False)
    _authority: trustme.CA = field(factory=trustme.CA)

    def __attrs_post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, host: str = HOST, password: bytes | None = None) -> tuple[Path, Path]:
        """The files of a certificate and of its key; again under the same name, they are renewed.

        Args:
            password: Seals the key.
        """
        issued = self._authority.issue_cert(host)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        sealing = NoEncryption() if password is None else BestAvailableEncryption(password)
        private = load_pem_private_key(issued.private_key_pem.bytes(), None)
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing))
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return certificate, key
