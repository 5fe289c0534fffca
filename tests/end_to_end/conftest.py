from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end import through
from tests.end_to_end.projects import Project, order, orders_schema


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        reason = through.ONLY_IN_PROCESS.get(getattr(item, "originalname", item.name))
        if through.THROUGH and reason is not None and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"through a server: {reason}"))


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
