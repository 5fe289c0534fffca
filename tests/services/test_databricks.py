"""Backend ``databricks`` before a stand-in of the service, with programs that a real Spark runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver.compute.databricks.backend import DatabricksBackend
from coreetl_driver.testing import BackendContract
from coreetl_driver.testing.bench import CANARY
from tests.services.cluster import Cluster
from tests.services.conftest import RestCatalog
from tests.services.databricks_http import serving
from tests.services.databricks_workspace import Workspace
from tests.services.spark import Spark

ENVIRONMENT = "playground_alice"
ALICE = "alice@example.com"
CLUSTER = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge"}


@pytest.fixture
def workspace(spark: Spark, tmp_path: Path) -> Iterator[Workspace]:
    cluster = Cluster(spark, tmp_path / "cluster")
    with serving(Workspace(cluster, tmp_path / "workspace", {CANARY: ALICE})) as served:
        yield served
        cluster.close()


def section(workspace: Workspace, **changes: Any) -> dict[str, Any]:
    return {"host": workspace.url, "cluster": CLUSTER, **changes}


class TestDatabricks(BackendContract):
    backend = DatabricksBackend
    environment = ENVIRONMENT

    @pytest.fixture
    def values(
        self, rest_catalog: RestCatalog, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> Mapping[str, Any]:
        for name, value in rest_catalog.environ.items():
            monkeypatch.setenv(name, value)
        return {**rest_catalog.settings, "databricks": section(workspace)}
