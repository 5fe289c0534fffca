"""Backend ``databricks`` before a stand-in of the service, with programs that a real Spark runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver import connect
from coreetl_driver.api import ExecutionStatus, SinkMode
from coreetl_driver.compute.databricks.backend import DatabricksBackend
from coreetl_driver.compute.tasks import Outcome
from coreetl_driver.testing import BackendContract
from coreetl_driver.testing.bench import CANARY, OLD_ROWS, ROWS, Bench, outcome_of, project
from dcp_core.model import Environment
from dcp_core.settings import Settings
from tests.end_to_end.projects import Project, order, orders_schema
from tests.services.cluster import Cluster
from tests.services.conftest import RestCatalog
from tests.services.databricks_http import serving
from tests.services.databricks_workspace import Fault, Workspace
from tests.services.spark import Spark
from tests.services.test_rest_catalog import OWN, TABLE, empty, manifest

ENVIRONMENT = "playground_alice"
ALICE, TOKEN = "alice@example.com", "dapi-of-alice-0123456789"
CLUSTER = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge"}
CONFIG = """
[coreetl]
backend = "databricks"

[databricks]
host = "{host}"

[databricks.cluster]
spark_version = "17.3.x-scala2.13"
node_type_id = "i3.xlarge"
"""


@pytest.fixture
def workspace(
    spark: Spark, rest_catalog: RestCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    for name, value in rest_catalog.environ.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(spark, tmp_path / "cluster")
    with serving(Workspace(cluster, tmp_path / "workspace", {CANARY: ALICE, TOKEN: ALICE})) as served:
        yield served
        cluster.close()


class TestDatabricks(BackendContract):
    """As the user: the token that the suite looks for everywhere is the one that is let in."""

    backend = DatabricksBackend
    environment = ENVIRONMENT

    @pytest.fixture
    def values(self, rest_catalog: RestCatalog, workspace: Workspace) -> Mapping[str, Any]:
        return {**rest_catalog.settings, "databricks": {"host": workspace.url, "cluster": CLUSTER}}


def test_spark_takes_the_configuration_that_is_built_for_the_cluster(
    workspace: Workspace, rest_catalog: RestCatalog, tmp_path: Path
) -> None:
    section = {"host": workspace.url, "cluster": CLUSTER, "auth": "driver", "token": TOKEN}
    spark = {"conf": {"spark.sql.shuffle.partitions": "1"}}
    values = {**rest_catalog.settings, "databricks": section, "spark": spark}
    bench = Bench(DatabricksBackend, project(tmp_path, values), Environment.named(ENVIRONMENT))
    bench.make_tables()
    workspace.submits = True
    drivers = bench.driver()
    try:
        sut = drivers.get("databricks")
        task = bench.task(
            "SELECT order_id, qty FROM {ns}.orders WHERE order_id <> :left_out", SinkMode.MERGE, left_out="a"
        )
        handle = sut.submit(evolve(task, user_token=None))
        (run,) = workspace.submitted.values()
        conf = run.body["tasks"][0]["new_cluster"]["spark_conf"]
        assert {"spark.sql.shuffle.partitions", "spark.sql.runSQLOnFiles", "spark.app.name"} <= set(conf)
        assert outcome_of(sut, handle, 600) == Outcome(ExecutionStatus.SUCCEEDED, 2), sut.logs(handle)
        assert bench.rows() == sorted((*ROWS[1:], OLD_ROWS[1]), key=lambda row: (row["order_id"], row["qty"]))
    finally:
        drivers.close()
        bench.drop_tables()


def test_pretzel_runs_as_its_user_whose_token_is_nowhere_afterwards(
    workspace: Workspace, rest_catalog: RestCatalog, tmp_path: Path
) -> None:
    """From a manifest to rows, through trouble, with everything that was written or printed looked through."""
    made = Project(tmp_path / "project", {"DATABRICKS_TOKEN": TOKEN})
    made.write("dcp.toml", rest_catalog.config + CONFIG.format(host=workspace.url))
    empty(made.catalog(OWN))
    made.source("raw.orders", [order("a", 1), order("b", 2), order("c", 3, day=2)], orders_schema())
    made.dataset("daily_orders")
    applied = made.pretzel("apply", manifest(made), "-o", "json")
    assert applied.document["status"] == "SUCCEEDED", applied.out + applied.err

    without = Project(made.root, {"DATABRICKS_TOKEN": ""}).pretzel("run", manifest(made))
    assert without.status == 1
    assert "your token did not come along" in without.out + without.err
    assert "DATABRICKS_TOKEN" in without.out + without.err

    workspace.faults.append(Fault("runs/submit", 429, code="REQUEST_LIMIT_EXCEEDED", headers={"Retry-After": "1"}))
    answer = made.pretzel("run", manifest(made), "--explain", "-o", "json")
    document = answer.document
    assert (document["status"], document["rows_written"]) == ("SUCCEEDED", 3), answer.out + answer.err
    assert document["backend"] == "databricks"
    assert len(made.rows(TABLE)) == 3
    assert [run.owner for run in workspace.submitted.values()] == [ALICE]
    driver = connect(Settings.load(made.root / "dcp.toml"))
    log = driver.get_logs(document["execution_id"])
    driver.close()
    assert "mode overwrite" in log, "what the program said on the cluster"

    workspace.expire(TOKEN)
    refused = made.pretzel("run", manifest(made), "-o", "json")
    assert refused.status == 1
    assert "may have expired" in str(refused.document["error"])
    for said in (applied, without, answer, refused):
        assert TOKEN not in said.out + said.err + log
    looked_at = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.name == "state.db" for file in looked_at)
    assert any(file.name == "main.py" for file in looked_at)
    for file in looked_at:
        assert TOKEN.encode() not in file.read_bytes(), file
