from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.projects import Project, order, orders_schema


@pytest.fixture
def empty_project(tmp_path: Path) -> Project:
    """A project root without manifests or tables."""
    (tmp_path / "dcp.toml").write_text("")
    return Project(tmp_path)


@pytest.fixture
def project(empty_project: Project) -> Project:
    """A project with three orders in production."""
    empty_project.source("raw.orders", [order("a", 1), order("b", 2), order("c", 3, day=2)], orders_schema())
    return empty_project
