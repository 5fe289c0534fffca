"""A driver that is killed while ten executions run on a cluster: the next one loses none and runs none twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver import Column, ExecutionStatus, JobSpec, Sink, SinkMode
from coreetl_driver.driver import Driver
from dcp_core.settings import Settings
from tests.services.conftest import RestCatalog
from tests.services.kubernetes import bench as kubernetes_bench
from tests.services.kubernetes.conftest import kubernetes  # noqa: F401  # fixture
from tests.services.spark import CATALOGS, Spark
from tests.services.test_emr import Moto, moto, section, shim  # noqa: F401  # fixtures
from tests.services.test_rest_catalog import OWN, empty

ENVIRONMENT = "playground_alice"
EXECUTIONS = 10
RUN_TEN_AND_HANG = f"""
import json, sys, time
from pathlib import Path
from coreetl_driver.driver import Driver
from dcp_core.settings import Settings
driver = Driver(Settings(Path(sys.argv[1]), json.loads(sys.argv[2]), {{}}))
for number in range({EXECUTIONS}):
    print(driver.run_job(f"job_{{number}}", "{ENVIRONMENT}").execution_id, flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["spark_connect", "emr", "sk8"])
def settings(
    request: pytest.FixtureRequest, rest_catalog: RestCatalog, spark: Spark, tmp_path: Path, monkeypatch: Any
) -> Settings:
    """A project whose jobs go to one backend."""
    for name, value in rest_catalog.environ.items():
        monkeypatch.setenv(name, value)
    values: dict[str, Any] = {"coreetl": {"backend": request.param, "spark_connect_url": spark.url}}
    if request.param == "emr":
        values["emr"] = section(request.getfixturevalue("moto"), "serverless")
        request.getfixturevalue("shim")
    if request.param == "sk8":
        plane = request.getfixturevalue("kubernetes").plane
        token = plane.token(kubernetes_bench.NAMESPACE, "coreetl-driver")
        values["sk8"] = kubernetes_bench.section(plane.kubeconfig("killed", token))
    made = Settings(tmp_path, {**rest_catalog.settings, **values}, {})
    made.state.mkdir()
    return made


def execution_ids(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(EXECUTIONS)]


def test_ten_executions_of_a_killed_driver_each_write_once(settings: Settings) -> None:
    import pyarrow as pa
    from pyiceberg.catalog import load_catalog

    for name in CATALOGS:
        empty(load_catalog(name, **settings.catalog_properties(name)))
    catalog = load_catalog(OWN, **settings.catalog_properties(OWN))
    catalog.create_namespace_if_not_exists("dd")
    schema = pa.schema([("number", pa.int64())])
    tables = [catalog.create_table(f"dd.table_{number}", schema) for number in range(EXECUTIONS)]
    first = Driver(settings)
    for number in range(EXECUTIONS):
        spec = JobSpec(
            sql=f"SELECT CAST({number} AS bigint) AS number",
            columns=(Column("number", "bigint"),),
            sink=Sink(OWN, f"dd.table_{number}", SinkMode.APPEND),
            catalogs={name: settings.catalog_properties(name, resolve=False) for name in CATALOGS},
            default_catalog="pedregal",
        )
        first.create_job(f"job_{number}", ENVIRONMENT, "x", spec, {})
    first.close()
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", RUN_TEN_AND_HANG, str(settings.root), json.dumps(settings.values)]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    try:
        started = execution_ids(killed)
        deadline = time.monotonic() + 120
        while not any(table.refresh().metadata.snapshots for table in tables):  # and others have not yet
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    driver = Driver(settings)
    try:
        driver.recover()
        ended = [driver.wait(each, 240) for each in started]
    finally:
        driver.close()
    assert [(each.status, each.rows_written, each.error) for each in ended] == [
        (ExecutionStatus.SUCCEEDED, 1, None)
    ] * EXECUTIONS
    for number, (table, execution_id) in enumerate(zip(tables, started, strict=True)):
        assert table.refresh().scan().to_arrow().column("number").to_pylist() == [number]
        (snapshot,) = table.metadata.snapshots
        assert snapshot.summary is not None
        assert snapshot.summary["coreetl.execution-id"] == execution_id
