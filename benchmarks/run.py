"""``run`` through the driver against the same SQL on the same engine without us."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.engine_alone import engine_alone
from benchmarks.measuring import Measured, machine, ratio, timed

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


def main() -> None:
    """Print the figures and the ratios."""
    from coreetl_driver.api import Column, JobSpec, Sink, SinkMode
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
        driver = Driver(settings)
        driver.create_job("bench", "production", "bench", spec, {})

        def ours() -> None:
            execution = driver.wait(driver.run_job("bench", "production").execution_id)
            assert execution.status == "SUCCEEDED", execution.error

        pretzel = [sys.executable, "-m", "pretzel"]
        command = partial(_project, root, pretzel)
        command("apply")
        floors: list[float] = []
        runs: list[float] = []
        commands: list[float] = []
        with engine_alone(root, properties, "bench.floor") as alone:
            for number in range(ROUNDS + 1):
                floor_s, run_s = timed(partial(alone.run, SQL)), timed(ours)
                command_s = timed(partial(command, "run"))
                if number:
                    floors.append(floor_s)
                    runs.append(run_s)
                    commands.append(command_s)
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
