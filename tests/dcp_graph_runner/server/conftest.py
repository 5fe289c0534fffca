"""Servers of a project of its own, on free ports of loopback, with real parts throughout."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core import ControlPlane
from dcp_core.documents import to_json
from dcp_core.model import LogicalPlan
from dcp_core.registry import Registry
from dcp_core.settings import Settings
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.table import HANDLERS
from dcp_graph_runner.server.serving import ANY_PORTS, GraphRunnerServer
from tests.end_to_end.projects import FOLDER, PLAYGROUND, USER, Project

Serve = Callable[..., GraphRunnerServer]
SQL = "SELECT 'o1' AS order_id, CAST(1 AS BIGINT) AS amount"


@attrs.frozen
class Curled:
    """What curl was answered."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def curl(url: str, *options: str, timeout_s: float = 60) -> Curled:
    """One request by curl itself."""
    done = subprocess.run(
        ["curl", "-sS", "-D", "-", "--max-time", str(timeout_s), *options, url],
        capture_output=True,
        text=True,
        timeout=timeout_s + 5,
        check=True,
    )
    head, _, body = done.stdout.partition("\n\n")  # universal newlines
    status, *lines = head.splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Curled(int(status.split()[1]), headers, body)


def post(url: str, document: Any, *options: str, **limits: float) -> Curled:
    """A JSON body."""
    body = json.dumps(document)
    return curl(url, "-H", "content-type: application/json", "--data-binary", body, *options, **limits)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One dataset that reads nothing, so that no engine is needed."""
    made = Project(tmp_path)
    made.write("dcp.toml", "")
    made.dataset("orders", sql=SQL)
    return made


@pytest.fixture
def settings(project: Project) -> Settings:
    return settings_of(project)


def settings_of(project: Project, values: Mapping[str, Any] | None = None) -> Settings:
    """With alice as who the server takes unnamed callers for."""
    return Settings(project.root, {"identity": {"user": USER}, **(values or {})}, {})


@pytest.fixture
def serve(settings: Settings) -> Iterator[Serve]:
    """Starts servers, and ends them."""
    started: list[GraphRunnerServer] = []

    def start(
        changed: Settings | None = None, handlers: Sequence[AnyHandler] = HANDLERS, **serving: Any
    ) -> GraphRunnerServer:
        started.append(GraphRunnerServer(changed or settings, attrs.evolve(ANY_PORTS, **serving), handlers))
        return started[-1]

    yield start
    for server in started:
        server.stop(grace_s=3.0)


@pytest.fixture
def logical_plan(project: Project, settings: Settings) -> LogicalPlan:
    """The dataset, compiled as a caller does it."""
    with ControlPlane(settings, Registry.from_entry_points(), USER) as dcp:
        return dcp.parse(project.root / FOLDER / "orders.yaml", PLAYGROUND)


def apply_document(plan: LogicalPlan) -> dict[str, Any]:
    """The body of ``POST /apply``."""
    return {"environment": plan.environment, "logical_plans": [to_json(plan)]}


def replaced(name: str, function: Callable[..., Any]) -> tuple[AnyHandler, ...]:
    """The table, where one handler does something else."""
    return tuple(attrs.evolve(each, function=function) if each.name == name else each for each in HANDLERS)
