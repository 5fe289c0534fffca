"""Section ``[remote]``: which Graph Runner works for this project, and how to sign in to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import attrs

from dcp_core.errors import SettingsError
from dcp_core.settings import Secret, Settings

SECTION = "remote"
OFF = "off"
"""In place of an address: this process does it, whatever ``dcp.toml`` says."""
_VARIABLE = "DCP_REMOTE_SERVER"
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


@attrs.frozen
class RemoteSettings:
    """Section ``[remote]``.

    Args:
        server: ``grpcs://host:port``, or ``grpc://host:port`` without TLS; "" or ``off`` to work in process.
        ca: File of the authority that signed the server's certificate; "" means those that the system trusts.
        certificate: What this client shows of itself, where the server asks for it; with ``key``.
        key: The private key of ``certificate``.
        token: Bearer token; in ``dcp.toml`` a reference, ``"${NAME}"``.
        token_command: Prints a token, such as ``["acme-login", "print-token"]``; asked again when the one it gave is
            refused.
        connect_s: How long a server may take to answer at all, in seconds.
        answer_s: How long a single answer may take, in seconds; what goes on after its answer has no limit.
        reconnect_s: How long to wait for a server that has gone away, or is busy, in seconds.
    """

    server: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: Secret = attrs.field(default=Secret(""), metadata={"secret": True})
    token_command: tuple[str, ...] = ()
    connect_s: float = attrs.field(default=5.0, validator=attrs.validators.gt(0))
    answer_s: float = attrs.field(default=300.0, validator=attrs.validators.gt(0))
    reconnect_s: float = attrs.field(default=300.0, validator=attrs.validators.ge(0))

    @classmethod
    def of(cls, settings: Settings) -> RemoteSettings:
        """Those of a project.

        Raises:
            SettingsError: A setting is wrong, or a token is written out. It is not shown.
        """
        raw = settings.values.get(SECTION, {})
        token = raw.get("token") if isinstance(raw, Mapping) else None
        server = raw.get("server") if isinstance(raw, Mapping) else None
        where = str(settings.file) if settings.file else None
        if server is not None and not isinstance(server, str):
            raise SettingsError(
                f"[{SECTION}] server must be text, got {server!r}",
                where=where,
                hint='server = "grpcs://host:port", or "off" to work in process',
            )
        if token is not None and not (isinstance(token, str) and _REFERENCE.fullmatch(token)):
            raise SettingsError(
                f"[{SECTION}] token must be a reference to the environment",
                where=where,
                hint='token = "${DCP_TOKEN}", or token_command = ["…"]',
            )
        found = settings.section(SECTION, cls)
        if found.token.reveal() and found.token_command:
            raise SettingsError(f"[{SECTION}] has a token and a token_command; only one of them can count", where=where)
        return found


def chosen_server(settings: Settings, given: str | None) -> str | None:
    """The address of the server to use; None to work in process.

    Args:
        settings: Of the project.
        given: On the command line, which wins.
    """
    if given is None:
        raw = settings.values.get(SECTION)
        if raw is None and _VARIABLE not in settings.environ:
            return None  # as almost always: nothing of this section is read then
        given = RemoteSettings.of(settings).server
    given = given.strip()
    return None if given in ("", OFF) else given
