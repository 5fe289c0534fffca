"""The same manifests on the embedded engine and on a real Spark, over Spark Connect and classic: the same rows.

Each is run three times: with all rows, with none, and with late ones only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver import SinkMode
from coreetl_driver.compute.artifacts import job_program, job_specification
from coreetl_driver.compute.tasks import Task
from coreetl_driver.driver import Driver
from dcp_core.model import Environment
from dcp_core.settings import Settings
from tests.end_to_end.projects import PLAYGROUND, Project
from tests.services.cluster import Cluster
from tests.services.conftest import RestCatalog
from tests.services.spark import CATALOGS, Spark
from tests.services.test_rest_catalog import OWN, WORKER_ENVIRONMENT, empty
from tests.services.test_spark_connect import SQL

ENGINES = ("sail", "spark_connect", "classic")
MODES = tuple(mode.value for mode in SinkMode)
RUNS = ("1", "9", "3")  # from which id on
MANIFEST = """\
metadata:
  technical_owner: logistics-de
  tier: 1
dataset:
  name: {name}
  partition_by: [day]
  fields:
    - {{name: id, type: long, nullable: false}}
    - {{name: name, type: string}}
    - {{name: amount, type: 'decimal(12, 2)'}}
    - {{name: day, type: date}}
    - {{name: at, type: timestamp}}
    - {{name: local_at, type: timestamp_ntz}}
    - {{name: share, type: double}}
    - {{name: is_new, type: boolean}}
    - {{name: tags, type: array<string>}}
    - {{name: item, type: 'struct<sku: string, qty: int>'}}
{keys}workflow:
  sql: {name}.sql
  mode: {mode}
  params: {{least: "1"}}
  compute: {{backend: {backend}}}
"""
CLASSIC = """\
import json, sys
from coreetl_driver.job.program import main

for arguments in json.loads(sys.argv[1]):
    main(arguments)
"""


@pytest.fixture
def project(tmp_path: Path, rest_catalog: RestCatalog, spark: Spark, monkeypatch: pytest.MonkeyPatch) -> Project:
    import pyarrow as pa

    for name, value in rest_catalog.environ.items():
        monkeypatch.setenv(name, value)
    made = Project(tmp_path)
    connect = spark.config.replace("[coreetl]\n", "")
    made.write("dcp.toml", rest_catalog.config + WORKER_ENVIRONMENT + connect)
    for name in CATALOGS:
        empty(made.catalog(name))
    made.source("raw.ids", [{"id": 1}, {"id": 2}, {"id": 3}], pa.schema([("id", pa.int64())]))
    for engine in ENGINES:
        for mode in MODES:
            name = f"{mode}_on_{engine}"
            keys = "  primary_key: [id]\n" if mode == "merge" else ""
            backend = "spark_connect" if engine == "spark_connect" else "local"
            text = MANIFEST.format(name=name, mode=mode, keys=keys, backend=backend)
            made.write(f"{engine}/derived_dataset/{name}.yaml", text)
            made.write(f"{engine}/derived_dataset/{name}.sql", SQL)
    return made


def by_command(project: Project, engine: str) -> list[list[int]]:
    """Run an engine's manifests three times; the rows that each run of each manifest says it wrote."""
    counted = []
    for least in RUNS:
        answer = project.pretzel("run", engine, "--param", f"least={least}", "-o", "json", timeout_s=300)
        assert answer.status == 0, answer.out + answer.err
        done = {run["job_id"]: run["rows_written"] for run in answer.document["executions"]}
        counted.append([done[name] for name in sorted(done)])
    return counted


def by_spark_submit(project: Project, spark: Spark, tmp_path: Path) -> None:
    """Run the jobs of the manifests three times each, all in one Spark that ``spark-submit`` starts."""
    driver = Driver(Settings.load(project.root / "dcp.toml"))
    environment = Environment.named(PLAYGROUND)
    runs = []
    for mode in MODES:
        job = driver.get_job(environment.scoped(f"{mode}_on_classic_job"), PLAYGROUND)
        for least in RUNS:
            execution = f"classic-{mode}-{least}"
            task = Task(execution, job.job_id, PLAYGROUND, job.spec, {"least": least}, {}, tmp_path)
            specification = evolve(job_specification(task), name=f"{execution}.json")
            file = tmp_path / specification.name
            file.write_bytes(specification.content)
            runs.append(["--specification", str(file), "--sha256", specification.sha256])
    driver.close()
    (tmp_path / "classic.py").write_text(CLASSIC)
    archive = tmp_path / "program.zip"
    archive.write_bytes(job_program().archive.content)
    cluster = Cluster(spark, tmp_path / "cluster")
    run = cluster.submit(tmp_path / "classic.py", [json.dumps(runs)], path=[archive])
    run.process.wait(300)
    assert run.exit_code == 0, run.output


def rows(project: Project, name: str) -> list[dict[str, Any]]:
    found = project.catalog(OWN).load_table(f"derived_datasets.{name}").scan().to_arrow().to_pylist()
    return sorted(found, key=lambda row: (row["id"], str(row)))


def test_the_same_manifests_write_the_same_rows_on_all_engines_in_all_modes(
    project: Project, spark: Spark, tmp_path: Path
) -> None:
    applied = project.pretzel("apply", *ENGINES, "-o", "json", timeout_s=300)
    assert applied.status == 0, applied.out + applied.err
    counts = {engine: by_command(project, engine) for engine in ENGINES[:2]}
    by_spark_submit(project, spark, tmp_path)
    assert counts["sail"] == counts["spark_connect"] == [[3] * 4, [0] * 4, [1] * 4]
    expected = {"append": 4, "overwrite": 1, "overwrite_partitions": 3, "merge": 3}
    for mode in MODES:
        found = [rows(project, f"{mode}_on_{engine}") for engine in ENGINES]
        assert found[0] == found[1] == found[2], mode
        assert len(found[0]) == expected[mode]
