"""Certificates for tests, each from an authority of its own."""

from __future__ import annotations

from pathlib import Path

import trustme
from attrs import define, field

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

    def issue(self, name: str, host: str = HOST) -> tuple[Path, Path]:
        """The files of a certificate and of its key; again under the same name, they are renewed."""
        issued = self._authority.issue_cert(host)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        issued.private_key_pem.write_to_path(str(key))
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return certificate, key
