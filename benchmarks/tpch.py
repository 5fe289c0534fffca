"""What the driver adds to the engine on the tables of TPC-H, at scale factor 1: 6 million order lines.

The queries are of the kinds that the benchmark has, in words of our own: these are no TPC-H results.

Source: https://www.tpc.org/tpch/ for the tables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from benchmarks.engine_alone import engine_alone
from benchmarks.measuring import Measured, machine, ratio, timed

if TYPE_CHECKING:
    from coreetl_driver.driver import Driver

ROUNDS = 3
_SCALE_VARIABLE = "DCP_BENCHMARK_TPCH_SCALE"  # 0.01 to see whether it works
_TABLES = ("customer", "lineitem", "nation", "orders", "region", "supplier")
_NET = "CAST(SUM(l_extendedprice * (1 - l_discount)) AS DECIMAL(28, 2))"
_LINES = """tpch.customer JOIN tpch.orders ON c_custkey = o_custkey JOIN tpch.lineitem ON o_orderkey = l_orderkey"""


@frozen
class Query:
    """One job.

    Args:
        columns: Type by name.
    """

    name: str
    columns: Mapping[str, str]
    sql: str


QUERIES = (
    Query(
        "a scan that sums",
        {"flag": "string", "status": "string", "quantity": "decimal(28,2)", "net": "decimal(28,2)", "n": "long"},
        f"""SELECT l_returnflag AS flag, l_linestatus AS status, CAST(SUM(l_quantity) AS DECIMAL(28, 2)) AS quantity,
          {_NET} AS net, COUNT(*) AS n
        FROM tpch.lineitem WHERE l_shipdate < DATE'1998-08-01' GROUP BY l_returnflag, l_linestatus""",
    ),
    Query(
        "a join of three tables",
        {"order_key": "long", "ordered_on": "date", "net": "decimal(28,2)"},
        f"""SELECT o_orderkey AS order_key, o_orderdate AS ordered_on, {_NET} AS net FROM {_LINES}
        WHERE c_mktsegment = 'MACHINERY' AND o_orderdate < DATE'1995-03-20' AND l_shipdate > DATE'1995-03-20'
        GROUP BY o_orderkey, o_orderdate ORDER BY net DESC, order_key LIMIT 100""",
    ),
    Query(
        "a join of six tables",
        {"nation": "string", "net": "decimal(28,2)"},
        f"""SELECT n_name AS nation, {_NET} AS net
        FROM {_LINES} JOIN tpch.supplier ON l_suppkey = s_suppkey AND c_nationkey = s_nationkey
          JOIN tpch.nation ON s_nationkey = n_nationkey JOIN tpch.region ON n_regionkey = r_regionkey
        WHERE r_name = 'EUROPE' AND year(o_orderdate) = 1996 GROUP BY n_name""",
    ),
    Query(
        "a selective filter",
        {"given_away": "decimal(28,2)"},
        """SELECT CAST(SUM(l_extendedprice * l_discount) AS DECIMAL(28, 2)) AS given_away FROM tpch.lineitem
        WHERE l_shipdate >= DATE'1995-01-01' AND l_shipdate < DATE'1996-01-01'
          AND l_discount BETWEEN 0.04 AND 0.06 AND l_quantity < 20""",
    ),
    Query(
        "a join on an aggregate",
        {"customer": "long", "order_key": "long", "quantity": "decimal(28,2)"},
        f"""SELECT c_custkey AS customer, o_orderkey AS order_key, CAST(SUM(l_quantity) AS DECIMAL(28, 2)) AS quantity
        FROM {_LINES} WHERE o_orderkey IN
          (SELECT l_orderkey FROM tpch.lineitem GROUP BY l_orderkey HAVING SUM(l_quantity) > 280)
        GROUP BY c_custkey, o_orderkey""",
    ),
    Query(
        "a copy of all order lines",
        {"order_key": "long", "number": "int", "price": "decimal(15,2)", "shipped_on": "date", "remark": "string"},
        """SELECT l_orderkey AS order_key, l_linenumber AS number, l_extendedprice AS price, l_shipdate AS shipped_on,
          l_comment AS remark FROM tpch.lineitem""",
    ),
)


def main() -> None:
    """Print the figures and the ratios."""
    from coreetl_driver.driver import Driver
    from dcp_core.settings import Settings

    generator = shutil.which("tpchgen-cli", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if generator is None:
        print("TPC-H: left out, there is no tpchgen-cli: pip install tpchgen-cli")
        return
    scale = os.environ.get(_SCALE_VARIABLE, "1")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = Settings(root)
        settings.state.mkdir()
        properties = settings.catalog_properties("pedregal")
        _load(root, generator, properties, scale)
        driver = Driver(settings)
        compared = [_compared(driver, root, properties, f"query_{number}") for number in range(len(QUERIES))]
        driver.close()
    print(f"TPC-H tables at scale factor {scale} ({machine('pysail', 'pyspark-client', 'pyiceberg')})")
    for query, (run, floor) in zip(QUERIES, compared, strict=True):
        print(f"  {query.name}\n    {run}\n    {floor}\n    {ratio(run, floor)}")
    runs, floors = (_summed(side) for side in zip(*compared, strict=True))
    print(f"  all {len(QUERIES)}\n    {runs}\n    {floors}\n    {ratio(runs, floors)}")


def _compared(driver: Driver, root: Path, properties: dict[str, str], name: str) -> tuple[Measured, Measured]:
    """One query in turn through the driver and without it; both must have written the same rows."""
    from pyiceberg.catalog import load_catalog

    from coreetl_driver.api import Column, JobSpec, Sink, SinkMode

    query = QUERIES[int(name.removeprefix("query_"))]
    catalog = load_catalog("pedregal", **properties)
    ours, floors = (catalog.create_table(f"{where}.{name}", _schema(query)) for where in ("ours", "floor"))
    columns = [Column(*column) for column in query.columns.items()]
    sink = Sink("pedregal", f"ours.{name}", SinkMode.OVERWRITE)
    spec = JobSpec(query.sql, columns, sink, {"pedregal": properties}, "pedregal")
    driver.create_job(name, "production", name, spec, {})

    def run() -> None:
        execution = driver.wait(driver.run_job(name, "production").execution_id)
        assert execution.status == "SUCCEEDED", execution.error

    with engine_alone(root, properties, f"floor.{name}") as alone:
        seconds = [(timed(run), timed(partial(alone.run, query.sql))) for _ in range(ROUNDS + 1)][1:]
    written, expected = (sorted(table.refresh().scan().to_arrow().to_pylist(), key=repr) for table in (ours, floors))
    assert written == expected, query.name
    of_runs, of_floors = zip(*seconds, strict=True)
    return Measured("run through the driver", of_runs), Measured("the same on the engine alone", of_floors)


def _load(root: Path, generator: str, properties: Mapping[str, str], scale: str) -> None:
    """Generate the tables and bring them into the catalog."""
    import pyarrow.parquet as pq
    from pyiceberg.catalog import load_catalog

    files = root / "generated"
    command = [generator, "parquet", "-s", scale, "--tables", ",".join(_TABLES), "--output-dir", str(files)]
    subprocess.run(command, check=True, capture_output=True)
    catalog = load_catalog("pedregal", **properties)
    for namespace in ("tpch", "ours", "floor"):
        catalog.create_namespace(namespace)
    for table in _TABLES:
        rows = pq.read_table(files / f"{table}.parquet")
        catalog.create_table(f"tpch.{table}", rows.schema).append(rows)
    shutil.rmtree(files)


def _schema(query: Query) -> Any:
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    return Schema(*(NestedField(n, *column, required=False) for n, column in enumerate(query.columns.items(), 1)))


def _summed(each: tuple[Measured, ...]) -> Measured:
    return Measured(each[0].name, tuple(map(sum, zip(*(one.seconds for one in each), strict=True))))
