from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.projects import Project, order, orders_schema
from tests.faults.worlds import World
from tests.warm import warm_process


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project with three orders in production and the manifest of ``daily``; nothing is applied."""
    (tmp_path / "dcp.toml").write_text("")
    project = Project(tmp_path)
    project.source("raw.orders", [order("a", 1), order("b", 2), order("c", 3, day=2)], orders_schema())
    project.dataset("daily")
    return World(project, warm_process())
