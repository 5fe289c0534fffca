from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dcp_graph_runner.ops.sites import Site
from tests.end_to_end.projects import Project, order, orders_schema


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    """Makes it: orders of so many days of January 2026, and the dataset applied in alice's playground."""

    def make(days: int = 3, **dataset: str) -> Site:
        (tmp_path / "dcp.toml").write_text("")
        project = Project(tmp_path)
        rows: list[Any] = [order(f"day{day}", day, day=day) for day in range(1, days + 1)]
        project.source("raw.orders", rows, orders_schema())
        made = Site(project, "")
        made = Site(project, made.write(**dataset))
        assert project.pretzel("apply", made.path).status == 0
        return made

    return make
