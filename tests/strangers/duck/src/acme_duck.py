"""A compute backend by a stranger: DuckDB computes, pyiceberg writes, each job in a thread of the driver."""

from concurrent import futures

import duckdb
import sqlglot
from coreetl_driver import ExecutionStatus, SinkMode
from coreetl_driver.compute import Capabilities, ComputeBackend, Outcome, Task
from coreetl_driver.sql import source_tables
from dcp_core.errors import NotFoundError
from pyiceberg.catalog import load_catalog


class AcmeDuck(ComputeBackend):
    name = "acme_duck"

    def __init__(self, settings: object) -> None:
        self._pool = futures.ThreadPoolExecutor()
        self._jobs: dict[str, tuple[futures.Future[int], duckdb.DuckDBPyConnection]] = {}

    def capabilities(self) -> Capabilities:
        return Capabilities(modes=(SinkMode.APPEND, SinkMode.OVERWRITE))

    def submit(self, task: Task) -> str:
        if task.key not in self._jobs:
            self._jobs[task.key] = (self._pool.submit(_run, task, engine := duckdb.connect()), engine)
        return task.key

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        if handle not in self._jobs:
            raise NotFoundError(f"there is no job {handle}")
        try:
            return Outcome(ExecutionStatus.SUCCEEDED, self._jobs[handle][0].result(wait_s))
        except futures.TimeoutError:
            return None
        except duckdb.InterruptException:
            return Outcome(ExecutionStatus.CANCELLED)
        except Exception as error:
            return Outcome(ExecutionStatus.FAILED, error=str(error))

    def cancel(self, handle: str) -> None:
        while handle in self._jobs and not futures.wait([self._jobs[handle][0]], 0.01).done:
            self._jobs[handle][1].interrupt()  # again and again: it may be between two queries

    def close(self) -> None:
        for handle in self._jobs:
            self.cancel(handle)


def _run(task: Task, engine: duckdb.DuckDBPyConnection) -> int:
    catalogs = {name: load_catalog(name, **properties) for name, properties in task.catalogs.items()}
    for name in {table.name for table in source_tables(task.spec.sql)}:
        rows = catalogs[task.spec.default_catalog].load_table(name).scan().to_arrow()  # noqa: F841  # DuckDB sees it
        engine.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.')[0]}; CREATE TABLE {name} AS FROM rows")
    found = engine.sql(sqlglot.transpile(task.spec.sql, "spark", "duckdb")[0], params=task.params).to_arrow_table()
    table = catalogs[task.spec.sink.catalog].load_table(task.spec.sink.table)
    write = table.append if task.spec.sink.mode is SinkMode.APPEND else table.overwrite
    write(found.cast(table.schema().as_arrow()), snapshot_properties=task.marks)
    return len(found)
