"""Every shipped backend, a stranger's, and one that outlives its driver, through the public contract suite."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from coreetl_driver.compute.local import LocalBackend
from coreetl_driver.testing import BackendContract
from dcp_core.registry import COMPUTE
from tests.coreetl_driver.outliving import Outliving

sys.path.append(str(Path(__file__).parents[1] / "strangers" / "duck" / "src"))

from acme_duck import AcmeDuck

ELSEWHERE = {"databricks", "emr", "sk8", "spark_connect"}  # need a server: tests/services


class TestLocal(BackendContract):
    backend = LocalBackend


class TestAcmeDuck(BackendContract):
    backend = AcmeDuck


class TestOutliving(BackendContract):
    backend = Outliving


def test_every_shipped_backend_is_here_or_among_the_services() -> None:
    points = importlib.metadata.entry_points(group=COMPUTE)
    shipped = {each.name for each in points if each.dist is not None and each.dist.name == "coreetl-driver"}
    assert shipped == {LocalBackend.name} | ELSEWHERE
