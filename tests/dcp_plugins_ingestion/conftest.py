from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcp_plugins_ingestion import GrIngestion, TauluIngestion
from tests.dcp_plugins_ingestion.workbench import EVENTS, ORDERS, TAULU, Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """A table ingestion whose source is as its manifest says."""
    workbench = Workbench(tmp_path, TauluIngestion(), TAULU)
    workbench.shop.execute(ORDERS)
    yield workbench
    workbench.shared.close()


@pytest.fixture
def stream(tmp_path: Path) -> Workbench:
    """An event ingestion."""
    return Workbench(tmp_path, GrIngestion(), EVENTS)
