"""``run`` through the driver against the same SQL on the same engine without us.

The floor is a program of a few lines: it starts Sail on the same catalogs, opens a Spark Connect session, runs the
query and replaces the rows of a table of the same shape. Both write through an Iceberg REST catalog on loopback.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measuring import Measured, machine, ratio

ROUNDS = 5
ROWS = 1_000_000
SQL = "SELECT order_id, SUM(amount) AS amount FROM raw.orders GROUP BY order_id"
MANIFEST = """\
metadata:
  technical_owner: logistics-de
dataset:
  name: ours
  fields:
    - {name: order_id, type: string}
    - {name: amount, type: long}
workflow:
  sql: ours.sql
"""
FLOOR = """
import json, os, sys
given = json.load(sys.stdin)
os.environ["SAIL_CATALOG__LIST"] = given["catalogs"]
os.environ["SAIL_CATALOG__DEFAULT_CATALOG"] = '"pedregal"'
from pysail.spark import SparkConnectServer
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
host, port = server.listening_address
from pyspark.sql.connect.session import SparkSession
from pyspark.sql.functions import lit
spark = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
spark.sql(given["sql"]).writeTo("pedregal.bench.floor").overwrite(lit(True))
spark.stop()
server.stop()
"""


def main() -> None:
    """Print the figures and the ratios."""
    from coreetl_driver.api import Column, JobSpec, Sink, SinkMode
    from coreetl_driver.catalog_endpoint import CatalogEndpoint, Grant
    from coreetl_driver.driver import Driver
    from dcp_core.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = Settings(root)
        properties = settings.catalog_properties("pedregal")
        _tables(root, properties)
        columns = (Column("order_id", "string"), Column("amount", "long"))
        spec = JobSpec(
            SQL, columns, Sink("pedregal", "bench.ours", SinkMode.OVERWRITE), {"pedregal": properties}, "pedregal"
        )
        program = root / "floor.py"
        program.write_text(FLOOR)
        driver = Driver(settings)
        driver.create_job("bench", "production", "bench", spec, {})

        def ours() -> None:
            execution = driver.wait(driver.run_job("bench", "production").execution_id)
            assert execution.status == "SUCCEEDED", execution.error

        pretzel = [sys.executable, "-m", "pretzel"]
        command = partial(_project, root, pretzel)
        command("apply")
        endpoint = CatalogEndpoint()
        floors: list[float] = []
        runs: list[float] = []
        commands: list[float] = []
        for number in range(ROUNDS + 1):
            issued = endpoint.grant(
                Grant(
                    execution_id=f"floor-{number}", job_id="floor", environment="production",
                    catalogs={"pedregal": properties}, default_catalog="pedregal",
                    sink_catalog="pedregal", sink_table="bench.floor",
                )
            )  # fmt: skip
            catalogs = (
                f'[{{type="iceberg-rest", name="pedregal", uri="{issued.catalog_uri("pedregal")}",'
                f' bearer_access_token="{issued.token}"}}]'
            )
            given = json.dumps({"catalogs": catalogs, "sql": SQL})
            floor_s = _timed(partial(_without_us, program, given))
            run_s = _timed(ours)
            command_s = _timed(partial(command, "run"))
            if number:
                floors.append(floor_s)
                runs.append(run_s)
                commands.append(command_s)
        endpoint.stop()
        driver.close()
    floor = Measured("the same SQL on the same Sail, without us", tuple(floors))
    run = Measured("run through the driver", tuple(runs))
    whole = Measured("pretzel run, the whole process", tuple(commands))
    print(f"Run, {ROWS:,} rows in ({machine('pysail', 'pyspark-client', 'pyiceberg')})")
    for each in (floor, run, whole):
        print(f"  {each}")
    for each in (run, whole):
        print(f"  {ratio(each, floor)}")


def _tables(root: Path, properties: dict[str, str]) -> None:
    import pyarrow as pa
    from pyiceberg.catalog import load_catalog

    (root / ".dcp").mkdir()
    catalog = load_catalog("pedregal", **properties)
    catalog.create_namespace("raw")
    catalog.create_namespace("bench")
    numbers = pa.array(range(ROWS), pa.int64())
    names = pa.array([f"order-{number % (ROWS // 10)}" for number in range(ROWS)])
    source = pa.table({"order_id": names, "amount": numbers})
    catalog.create_table("raw.orders", source.schema).append(source)
    for name in ("bench.ours", "bench.floor"):
        catalog.create_table(name, source.schema)


def _project(root: Path, pretzel: list[str], command: str) -> None:
    """The same query as a manifest, applied or run in production by the command line."""
    (root / "dcp.toml").touch()
    manifest = root / "derived_dataset" / "ours.yaml"
    manifest.parent.mkdir(exist_ok=True)
    manifest.write_text(MANIFEST)
    manifest.with_suffix(".sql").write_text(SQL)
    arguments = [*pretzel, command, str(manifest), "-e", "production"]
    subprocess.run(arguments, cwd=root, check=True, capture_output=True)


def _without_us(program: Path, given: str) -> None:
    done = subprocess.run([sys.executable, str(program)], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
