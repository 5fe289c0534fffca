"""One project's driver in three ways: in this process, as a service, and as a service with TLS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve

from coreetl_driver.server import ANY_PORTS, DriverServer
from dcp_core.settings import Settings
from tests.coreetl_driver.certifying import Authority

IN_PROCESS, GRPC, GRPC_WITH_TLS = "in process", "grpc", "grpc with TLS"
WAYS = (IN_PROCESS, GRPC, GRPC_WITH_TLS)
TOKEN = "a-token-for-playgrounds-0123456789"


@contextmanager
def driven(way: str, root: Path, values: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
    """What ``dcp.toml`` of whoever uses the driver holds, for as long as the driver is there.

    Args:
        root: Of the project, which the service works on too.
        values: What the service's own ``dcp.toml`` holds, and its user's too but for ``[coreetl]``.
    """
    given = dict(values or {})
    if way == IN_PROCESS:
        yield given
        return
    callers = {"coreetl_tokens": {"alice": {"token": TOKEN, "environments": ["playground_*"]}}}
    serving, section = ANY_PORTS, {"token": TOKEN}
    if way == GRPC_WITH_TLS:
        authority = Authority(root / ".dcp" / "certificates")
        certificate, key = authority.issue("driver")
        serving = evolve(serving, certificate=str(certificate), key=str(key))
        section["ca"] = str(authority.ca)
    server = DriverServer(Settings(root, {**given, **callers}, {}), serving)
    try:
        yield {**given, "coreetl": {**section, "url": server.grpc_url}}
    finally:
        server.stop()
