"""The CoreETL driver: registers jobs, runs them on a compute backend, and lets them write only where they may.

``api`` holds the data and the protocol, ``driver`` the implementation in process, ``service`` and ``http_api``
the same over gRPC and HTTP, ``compute`` the backends, ``job`` the program that runs inside them, ``sources`` the
databases that jobs extract from, ``engine`` the query engine that tests use, ``sql`` the guard that refuses anything
but one plain query.

Must not import manifests, plugins, primitives or the Graph Runner: of the core it knows errors and settings only.
Importing this package is cheap; ``connect`` imports what it needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from coreetl_driver.api import Column, CoreETLDriver, Execution, ExecutionStatus, Job, JobSpec, Sink, SinkMode
from coreetl_driver.job_sources import SourceColumn, SourceTable, SourceTopic
from dcp_core.errors import NotSupportedError
from dcp_core.settings import Secret

if TYPE_CHECKING:
    from dcp_core.settings import Settings

__all__ = [
    "Column",
    "CoreETLDriver",
    "CoreetlSettings",
    "Execution",
    "ExecutionStatus",
    "Job",
    "JobSpec",
    "Sink",
    "SinkMode",
    "SourceColumn",
    "SourceTable",
    "SourceTopic",
    "connect",
]


_NO_TOKEN = Secret("")
# gRPC's C core writes lines of its own to stderr, and reads this when it is imported; our errors say what matters.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@frozen
class CoreetlSettings:
    """Section ``[coreetl]``.

    Args:
        url: ``grpc://host:port`` of a driver that runs as a service, ``grpcs://host:port`` with TLS; empty means in
            process.
        token: Bearer token for that service.
        ca: File (PEM) of the authority that signed its certificate, relative to the project's root; empty means those
            that the system trusts.
        client_certificate: File (PEM) of what this client shows of itself, where the service asks for it.
        client_key: File (PEM) of its private key.
        store: SQLAlchemy URL of the job registry: SQLite, or PostgreSQL for several drivers.
        backend: The compute backend of jobs that do not name one and that no rule sends elsewhere.
        routes: ``[[coreetl.routes]]``, rules that send jobs to backends; see ``compute.routing``.
        spark_connect_url: ``sc://host:port`` of a real Spark, for ``Engine`` and backend ``spark_connect``; empty means
            the embedded engine. It may hold a token, as a ``${NAME}`` reference.
        poll_interval_s: Seconds between looks at an execution that another process runs.
        worker_environment: Names of environment variables that workers get, such as ``AWS_REGION``.
    """

    url: str = ""
    token: Secret = _NO_TOKEN
    ca: str = ""
    client_certificate: str = ""
    client_key: str = ""
    store: str = field(default="sqlite:///{state}/coreetl.db", repr=False)  # it may hold a password
    backend: str = "local"
    routes: tuple[Mapping[str, Any], ...] = ()
    spark_connect_url: str = field(default="", repr=False)
    poll_interval_s: float = 0.1
    worker_environment: tuple[str, ...] = ()


def connect(settings: Settings) -> CoreETLDriver:
    """The driver of this project: in process, or the gRPC client when ``[coreetl] url`` is set.

    Raises:
        SettingsError: A setting is wrong, or a file that it names cannot be read.
        NotSupportedError: What a client needs is not installed.
    """
    section = settings.section("coreetl", CoreetlSettings)
    if section.url:
        try:
            from coreetl_driver.client import DriverClient, Trust
        except ModuleNotFoundError as error:
            raise NotSupportedError(
                f"a driver elsewhere cannot be called: there is no module {error.name}",
                hint="pip install 'coreetl-driver[client]'",
            ) from None

        names = (section.ca, section.client_certificate, section.client_key)
        trust = Trust(*(settings.root / name if name else None for name in names))
        return DriverClient(section.url, section.token, trust)
    from coreetl_driver.driver import Driver

    return Driver(settings)
