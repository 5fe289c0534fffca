"""A project whose jobs a driver service runs for whoever holds the token, as the DAGs of an Airflow do."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from coreetl_driver.server import DriverServer
from dcp_core.settings import Settings
from tests.end_to_end.projects import Project, order, orders_schema

TOKEN = "a-token-of-the-services"


@frozen
class Driven:
    """The project, with ``raw.orders`` in it, and the driver service."""

    project: Project
    driver: DriverServer

    @property
    def config(self) -> str:
        """The section of ``dcp.toml`` that leads to the driver."""
        return f'[coreetl]\nurl = "{self.driver.grpc_url}"\ntoken = "${{COREETL_TOKEN}}"\n'

    @property
    def environ(self) -> dict[str, str]:
        """What an Airflow has to be given, so that its DAGs find the driver."""
        return {"COREETL_URL": self.driver.http_url, "COREETL_TOKEN": TOKEN}

    def executions(self, job_id: str) -> list[Any]:
        """Of a job, as the driver's HTTP has them: the newest first."""
        request = urllib.request.Request(
            f"{self.driver.http_url}/v1/executions?job_id={job_id}", headers={"authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: list[Any] = json.load(answer)["executions"]
        return found


@contextmanager
def driven(root: Path, environ: Mapping[str, str] | None = None) -> Iterator[Driven]:
    """For as long as the block lasts.

    Args:
        root: Empty.
        environ: Of the project's commands, beside the driver's token.
    """
    project = Project(root, {"COREETL_TOKEN": TOKEN, **(environ or {})})
    project.write("dcp.toml", "")
    project.source("raw.orders", [order("a", 1), order("b", 2)], orders_schema())
    callers = {"airflow": {"token": TOKEN, "environments": ["production", "playground_*"]}}
    driver = DriverServer(Settings(root, {"coreetl_tokens": callers}, {}))
    try:
        yield Driven(project, driver)
    finally:
        driver.stop()
