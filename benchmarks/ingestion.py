"""A whole extract job from SQLite, and from PostgreSQL where it is installed, against the bare driver reading alone.

The floor is the same ADBC driver reading the same rows into Arrow and dropping them, in a process of its own: no check
of a value, no table, no commit. The job's seconds are those of an execution, from its start to its end: the engine's
start, reading, checking, staging, and the Iceberg commit. Its memory is the most that its worker had, engine included.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from benchmarks.measuring import machine
from benchmarks.postgresql import UnavailableError, postgresql

if TYPE_CHECKING:
    from coreetl_driver.api import JobSpec
    from coreetl_driver.driver import Driver
    from dcp_core.settings import Settings

SIZES = (100_000, 1_000_000)
WIDE_ROWS, WIDE_BYTES = 3_000, 200_000
ROUNDS = 3
BARE = """
import importlib, sys
package, uri, sql = sys.argv[1:]
rows = 0
with importlib.import_module(package + ".dbapi").connect(uri, autocommit=True) as connection:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        for batch in cursor.fetch_record_batch():
            rows += batch.num_rows
print(rows)
"""
READ = """
import sys
from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.sources import Connection, ReadColumn, open_connection
columns = [ReadColumn(name, name, parse_engine_type(of)) for name, of in (("id", "long"), ("note", "string"))]
with open_connection(Connection("shop", sys.argv[1])) as source:
    print(sum(batch.num_rows for batch in source.stream("wide", columns)))
"""
COLUMNS = {
    "id": ("long", "BIGINT"),
    "customer": ("string", "TEXT"),
    "amount": ("decimal(12,2)", "NUMERIC(12,2)"),
    "quantity": ("int", "INTEGER"),
    "weight": ("double", "DOUBLE PRECISION"),
    "is_paid": ("boolean", "BOOLEAN"),
    "day": ("date", "DATE"),
    "updated_at": ("timestamp", "TIMESTAMP"),
}
DDL = ", ".join(f"{name} {text}" for name, (_, text) in COLUMNS.items())
POSTGRESQL_ROWS = """
INSERT INTO {table} SELECT n, 'customer number ' || n % 9973, n / 100.0, n % 17, n * 0.37, n % 2 = 0,
DATE '2020-01-01' + n % 2000, TIMESTAMP '2020-01-01' + n * INTERVAL '1.000001 second'
FROM generate_series(0, {last}) AS n
"""


@attrs.frozen
class Taken:
    """What one way of reading took."""

    seconds: float
    peak_mb: float


def main() -> None:
    """Print the figures and the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"Ingestion ({machine('pysail', 'pyiceberg', 'adbc-driver-sqlite')}), the best of {ROUNDS} rounds")
        root = Path(folder)
        file = root / "shop.db"
        for rows in SIZES:
            _fill_sqlite(file, rows)
        _compare(root / "sqlite", "SQLite", "adbc_driver_sqlite", f"sqlite:///{file}", f"file:{file}?mode=ro")
        _wide(root)
        try:
            with filled_postgresql() as uri:
                _compare(root / "postgresql", "PostgreSQL", "adbc_driver_postgresql", uri, uri)
        except UnavailableError as reason:
            print(f"  PostgreSQL: skipped, {reason}")


def _compare(root: Path, name: str, package: str, uri: str, driver_uri: str) -> None:
    from coreetl_driver.driver import Driver
    from dcp_core.settings import Settings

    root.mkdir()
    settings = Settings(root, {"connections": {"shop": {"uri": uri}}}, {})
    driver = Driver(settings)
    peaks = {}
    for rows in SIZES:
        table = f"orders_{rows}"
        driver.create_job(table, "production", table, _spec(settings, table), {})
        whole = _best(lambda table=table: _job(driver, table))  # type: ignore[misc]
        bare = _best(lambda table=table: _bare(package, driver_uri, f"SELECT * FROM {table}"))  # type: ignore[misc]
        peaks[rows] = whole.peak_mb
        job = f"extract job: {whole.seconds:6.2f} s, {whole.peak_mb:5.0f} MB"
        print(f"  {name}, {rows:>9,} rows: {job}; the driver alone: {bare.seconds:6.2f} s, {bare.peak_mb:5.0f} MB; "
              f"seconds {whole.seconds / bare.seconds:.1f} times")  # fmt: skip
    growth = peaks[SIZES[1]] / peaks[SIZES[0]]
    print(f"  {name}: {SIZES[1] // SIZES[0]} times the rows took {growth:.2f} times the memory")
    driver.close()


def _wide(root: Path) -> None:
    """Few rows with long texts, read as a job reads them in a process of their own: a chunk is bounded by its bytes."""
    file = root / "wide.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE wide (id INTEGER PRIMARY KEY, note TEXT)")
        rows = ((number, chr(97 + number % 26) * WIDE_BYTES) for number in range(WIDE_ROWS))
        connection.executemany("INSERT INTO wide VALUES (?, ?)", rows)
    connection.close()
    read = _run([sys.executable, "-c", READ, f"sqlite:///{file}"])
    file.unlink()
    print(f"  SQLite, {WIDE_ROWS:,} rows of {WIDE_BYTES / 1000:.0f} KB, read and checked: {read.seconds:6.2f} s, "
          f"{read.peak_mb:5.0f} MB of {WIDE_ROWS * WIDE_BYTES / 1e6:.0f} MB")  # fmt: skip


def _spec(settings: Settings, table: str) -> JobSpec:
    import pyarrow as pa
    from pyiceberg.catalog import load_catalog

    from coreetl_driver.api import Column, JobSpec, Sink, SinkMode
    from coreetl_driver.column_types import parse_type
    from coreetl_driver.job_sources import SourceTable
    from coreetl_driver.sources.converting import arrow_type

    properties = settings.catalog_properties("pedregal")
    settings.state.mkdir(exist_ok=True)
    catalog = load_catalog("pedregal", **properties)
    catalog.create_namespace_if_not_exists("bench")
    fields = [(name, arrow_type(parse_type(of))) for name, (of, _) in COLUMNS.items()]
    catalog.create_table(f"bench.{table}", pa.schema(fields))
    columns = tuple(Column(name, of) for name, (of, _) in COLUMNS.items())
    source = SourceTable("shop", table, {name: name for name in COLUMNS})
    sink = Sink("pedregal", f"bench.{table}", SinkMode.OVERWRITE)
    return JobSpec("", columns, sink, {"pedregal": properties}, "pedregal", kind="extract", source=source)


def _job(driver: Driver, job: str) -> Taken:
    """One execution, and the most memory that its worker had."""
    from coreetl_driver.owners import Owner

    execution = driver.run_job(job, "production")
    worker = Owner.parse(driver._registry.get_run(execution.execution_id).handle)
    peak_mb = 0.0
    while not (execution := driver.wait(execution.execution_id, 0.05)).status.is_final:
        if worker is not None:
            peak_mb = max(peak_mb, _peak_mb(worker.pid))
    assert execution.status == "SUCCEEDED", execution.error
    assert execution.started_at is not None
    assert execution.finished_at is not None
    return Taken((execution.finished_at - execution.started_at).total_seconds(), peak_mb)


def _bare(package: str, uri: str, sql: str) -> Taken:
    return _run([sys.executable, "-c", BARE, package, uri, sql])


def _run(command: list[str]) -> Taken:
    """A process, and the most memory that it had."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    peak_mb = 0.0
    while process.poll() is None:
        peak_mb = max(peak_mb, _peak_mb(process.pid))
        time.sleep(0.01)
    assert process.returncode == 0
    return Taken(time.perf_counter() - began, peak_mb)


def _best(call: Callable[[], Taken]) -> Taken:
    taken = [call() for _ in range(ROUNDS)]
    return Taken(min(each.seconds for each in taken), max(each.peak_mb for each in taken))


def _peak_mb(pid: int) -> float:
    """What Linux says of a process that lives; 0 of one that does not."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def _fill_sqlite(file: Path, rows: int) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"CREATE TABLE orders_{rows} ({DDL})")
        connection.execute(
            f"INSERT INTO orders_{rows} WITH RECURSIVE count(n) AS "
            f"(SELECT 0 UNION ALL SELECT n + 1 FROM count WHERE n < {rows - 1}) "
            "SELECT n, 'customer number ' || n % 9973, n / 100.0, n % 17, n * 0.37, n % 2, "
            "date('2020-01-01', n % 2000 || ' days'), datetime('2020-01-01', n || ' seconds') || '.000001' FROM count"
        )
    connection.close()


@contextmanager
def filled_postgresql() -> Iterator[str]:
    """The URI of a server with the tables in it.

    Raises:
        UnavailableError: It is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("adbc_driver_postgresql") is None:
        raise UnavailableError("adbc-driver-postgresql is not installed")
    with postgresql(durable=False) as uri:
        _fill_postgresql(uri)
        yield uri


def _fill_postgresql(uri: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        for rows in SIZES:
            cursor.execute(f"CREATE TABLE orders_{rows} ({DDL})")
            cursor.execute(POSTGRESQL_ROWS.format(table=f"orders_{rows}", last=rows - 1))
