"""Backend ``spark_connect`` on a real Spark: the public contract, and drivers that die."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver import Column, Execution, ExecutionStatus, JobSpec, Sink, SinkMode
from coreetl_driver.compute.spark_connect import SparkConnectBackend
from coreetl_driver.driver import Driver
from coreetl_driver.testing import BackendContract
from dcp_core.settings import Settings
from tests.services.conftest import RestCatalog
from tests.services.spark import CATALOGS, Spark
from tests.services.test_rest_catalog import OWN, empty

ENVIRONMENT = "playground_alice"
COLUMNS = (
    Column("id", "bigint"), Column("name", "string"), Column("amount", "decimal(12,2)"), Column("day", "date"),
    Column("at", "timestamp"), Column("local_at", "timestamp_ntz"), Column("share", "double"),
    Column("is_new", "boolean"), Column("tags", "array<string>"), Column("item", "struct<sku: string, qty: int>"),
)  # fmt: skip
SQL = """
SELECT id, IF(id = 2, NULL, concat('n', id)) AS name, CAST(id * 1.5 AS decimal(12, 2)) AS amount,
  date_add(DATE'2026-01-30', CAST(id AS int)) AS day, TIMESTAMP'2026-01-31 06:00:00' AS at,
  TIMESTAMP_NTZ'2026-01-31 06:00:00' AS local_at, id / 4 AS share, id > 1 AS is_new,
  array('a', concat('b', id)) AS tags, named_struct('sku', concat('s', id), 'qty', CAST(id AS int)) AS item
FROM raw.ids WHERE id >= CAST(:least AS bigint)
"""


class TestSparkConnect(BackendContract):
    backend = SparkConnectBackend
    environment = ENVIRONMENT

    @pytest.fixture
    def values(self, rest_catalog: RestCatalog, spark: Spark, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
        for name, value in rest_catalog.environ.items():
            monkeypatch.setenv(name, value)
        return {**rest_catalog.settings, "coreetl": {"spark_connect_url": spark.url}}


@pytest.fixture
def settings(tmp_path: Path, rest_catalog: RestCatalog, spark: Spark, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project on services: source rows in production, and no table in the playground."""
    import pyarrow as pa

    for name, value in rest_catalog.environ.items():
        monkeypatch.setenv(name, value)
    coreetl = {"spark_connect_url": spark.url, "worker_environment": list(rest_catalog.environ)}
    made = Settings(tmp_path, {**rest_catalog.settings, "coreetl": coreetl}, {})
    made.state.mkdir()
    for name in CATALOGS:
        empty(catalog(made, name))
    rows = pa.table({"id": pa.array([1, 2, 3], pa.int64())})
    production = catalog(made, "pedregal")
    production.create_namespace_if_not_exists("raw")
    production.create_table("raw.ids", rows.schema).append(rows)
    catalog(made, OWN).create_namespace_if_not_exists("dd")
    return made


@pytest.fixture
def driver(settings: Settings) -> Iterator[Driver]:
    opened = Driver(settings)
    yield opened
    opened.close()


def catalog(settings: Settings, name: str) -> Any:
    from pyiceberg.catalog import load_catalog

    return load_catalog(name, **settings.catalog_properties(name))


def spec_of(settings: Settings, backend: str, mode: SinkMode) -> JobSpec:
    """A job of every type, to a table of its backend's own."""
    return JobSpec(
        sql=SQL,
        columns=COLUMNS,
        sink=Sink(OWN, f"dd.on_{backend}", mode, ("id",) if mode is SinkMode.MERGE else ()),
        catalogs={name: settings.catalog_properties(name, resolve=False) for name in CATALOGS},
        default_catalog="pedregal",
        params={"least": "1"},
        compute={"backend": backend},
    )


def make_table(settings: Settings, name: str) -> None:
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import (
        BooleanType,
        DateType,
        DecimalType,
        DoubleType,
        IntegerType,
        ListType,
        LongType,
        NestedField,
        StringType,
        StructType,
        TimestampType,
        TimestamptzType,
    )  # fmt: skip

    item = StructType(NestedField(21, "sku", StringType()), NestedField(22, "qty", IntegerType()))
    types = (
        LongType(), StringType(), DecimalType(12, 2), DateType(), TimestamptzType(), TimestampType(), DoubleType(),
        BooleanType(), ListType(20, StringType(), element_required=False), item,
    )  # fmt: skip
    names = [column.name for column in COLUMNS]
    fields = [
        NestedField(n, name, of, required=n == 1) for n, (name, of) in enumerate(zip(names, types, strict=True), 1)
    ]
    table = catalog(settings, OWN).create_table(name, Schema(*fields))
    with table.update_spec() as partitions:
        partitions.add_field("day", IdentityTransform())


def run(driver: Driver, backend: str, **params: str) -> Execution:
    done = driver.wait(driver.run_job(f"{backend}_job", ENVIRONMENT, params=params).execution_id, 180)
    assert done.status is ExecutionStatus.SUCCEEDED, f"{done.error}\n{driver.get_logs(done.execution_id)}"
    assert done.backend == backend
    return done


def test_a_job_that_had_committed_on_the_cluster_when_its_driver_died_has_succeeded(
    driver: Driver, settings: Settings
) -> None:
    import sqlite3
    from contextlib import closing

    make_table(settings, "dd.on_spark_connect")
    spec = spec_of(settings, "spark_connect", SinkMode.APPEND)
    driver.create_job("spark_connect_job", ENVIRONMENT, "x", spec, {})
    done = run(driver, "spark_connect")
    with closing(sqlite3.connect(settings.state / "coreetl.db")) as connection, connection:
        connection.execute("UPDATE coreetl_executions SET status = 'RUNNING', owner = NULL, rows_written = NULL")
    (found,) = driver.recover()
    assert (found.status, found.rows_written, found.attempt) == (ExecutionStatus.SUCCEEDED, 3, 1)
    assert found.execution_id == done.execution_id
    assert len(catalog(settings, OWN).load_table("dd.on_spark_connect").metadata.snapshots) == 1


@pytest.mark.parametrize("mode", [SinkMode.APPEND, SinkMode.OVERWRITE])
def test_a_job_stopped_while_the_cluster_writes_leaves_the_table_as_it_was(
    driver: Driver, settings: Settings, mode: SinkMode
) -> None:
    import pyarrow as pa

    rows = pa.table({"id": pa.array([1, 2, 3], pa.int64())})
    table = catalog(settings, OWN).create_table("dd.endless", rows.schema)
    table.append(rows)
    endless = "SELECT a.id * 1000000 + b.id AS id FROM range(4000000) a CROSS JOIN range(4000000) b"
    own = Sink(OWN, "dd.endless", mode)
    spec = evolve(spec_of(settings, "spark_connect", mode), sql=endless, columns=COLUMNS[:1], sink=own, params={})
    driver.create_job("endless_job", ENVIRONMENT, "x", spec, {})
    running = driver.run_job("endless_job", ENVIRONMENT)
    deadline = time.monotonic() + 120
    while "writing to" not in driver.get_logs(running.execution_id):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(3.0)  # the rows go to a file of the object store, which nobody sees before it is whole
    (stopped,) = driver.stop_job("endless_job", ENVIRONMENT)
    assert stopped.status is ExecutionStatus.CANCELLED
    assert catalog(settings, OWN).load_table("dd.endless").metadata_location == table.metadata_location
    assert len(table.refresh().scan().to_arrow()) == 3


def test_the_address_of_the_cluster_may_hold_a_token_which_nobody_sees(settings: Settings, spark: Spark) -> None:
    values = {**settings.values, "coreetl": {"spark_connect_url": spark.url + "/;user_id=${WHO};x-key=${KEY}"}}
    own = evolve(settings, values=values, environ={"WHO": "dcp", "KEY": "hunter2-of-the-cluster"})
    make_table(own, "dd.on_spark_connect")
    driver = Driver(own)
    try:
        spec = spec_of(own, "spark_connect", SinkMode.APPEND)
        driver.create_job("spark_connect_job", ENVIRONMENT, "x", spec, {})
        done = run(driver, "spark_connect")
        broken = evolve(spec, sql=SQL.replace("raw.ids", "raw.nothing"))
        driver.update_job("spark_connect_job", ENVIRONMENT, broken, {})
        failed = driver.wait(driver.run_job("spark_connect_job", ENVIRONMENT).execution_id, 120)
        assert failed.error == "table raw.nothing does not exist"
        for told in (driver.get_logs(done.execution_id), driver.get_logs(failed.execution_id)):
            assert "hunter2" not in told
    finally:
        driver.close()
    for file in own.state.rglob("*"):
        assert not file.is_file() or b"hunter2" not in file.read_bytes(), file


def test_a_path_in_place_of_a_table_is_refused_by_the_cluster_too(spark: Spark) -> None:
    from coreetl_driver.job.session import Session

    session = Session.opened({"spark_connect_url": spark.url, "default_catalog": "pedregal"})
    try:
        with pytest.raises(Exception, match="TABLE_OR_VIEW_NOT_FOUND"):
            session.spark.sql("SELECT * FROM text.`/etc/hostname`").collect()
    finally:
        session.close()


RUN_AND_HANG = """
import sys, time
from coreetl_driver.driver import Driver
from dcp_core.settings import Settings
driver = Driver(Settings.load(sys.argv[1]))
print(driver.run_job("spark_connect_job", "playground_alice").execution_id, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("after_s", [0.5, 1.0, 2.0])
def test_a_driver_killed_while_the_cluster_writes_is_followed_by_one_that_writes_once(
    settings: Settings, rest_catalog: RestCatalog, spark: Spark, after_s: float
) -> None:
    file = settings.root / "dcp.toml"
    file.write_text(rest_catalog.config + spark.config)
    make_table(settings, "dd.on_spark_connect")
    driver = Driver(Settings.load(file))
    spec = spec_of(Settings.load(file), "spark_connect", SinkMode.APPEND)
    driver.create_job("spark_connect_job", ENVIRONMENT, "x", spec, {})
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", RUN_AND_HANG, str(file)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    try:
        assert other.stdout is not None
        execution_id = other.stdout.readline().strip()
        deadline = time.monotonic() + 120
        while "writing to" not in driver.get_logs(execution_id):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(after_s)
    finally:
        other.kill()
        other.wait()
    driver.recover()
    done = driver.wait(execution_id, 180)
    driver.close()
    assert (done.status, done.rows_written) == (ExecutionStatus.SUCCEEDED, 3), done.error
    table = catalog(settings, OWN).load_table("dd.on_spark_connect")
    assert (len(table.metadata.snapshots), len(table.scan().to_arrow())) == (1, 3)
