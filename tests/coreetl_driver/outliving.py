"""A backend whose jobs are processes that outlive the driver: DuckDB computes, pyiceberg writes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from coreetl_driver import ExecutionStatus, SinkMode
from coreetl_driver.compute import Capabilities, ComputeBackend, Outcome, Task
from dcp_core.errors import NotFoundError


class Outliving(ComputeBackend):
    name = "outliving"

    def capabilities(self) -> Capabilities:
        return Capabilities(modes=(SinkMode.APPEND, SinkMode.OVERWRITE), survives_driver=True)

    def submit(self, task: Task) -> str:
        folder = self._settings.state / "outliving" / task.key
        with contextlib.suppress(FileExistsError):  # then it was submitted before
            folder.mkdir(parents=True)
            given = {**task.spec.to_json(), "params": task.params, "catalogs": task.catalogs, "marks": task.marks}
            with (folder / "lock").open("w") as lock, (folder / "log").open("w") as log:
                fcntl.flock(lock, fcntl.LOCK_EX)  # the process holds it for as long as it lives
                command, pipe, fds = [sys.executable, __file__, str(folder)], subprocess.PIPE, [lock.fileno()]
                worker = subprocess.Popen(command, stdin=pipe, stderr=log, pass_fds=fds, start_new_session=True)
            (folder / "pid").write_text(str(worker.pid))
            with worker.stdin as pipe:  # type: ignore[union-attr]
                pipe.write(json.dumps(given, default=dict).encode())
        return task.key

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        lives = self._lives(handle)  # before the look at its answer
        with contextlib.suppress(FileNotFoundError):
            status, rows, error = json.loads((self._settings.state / "outliving" / handle / "outcome").read_text())
            return Outcome(ExecutionStatus(status), rows, error)
        if not lives:
            raise NotFoundError(f"process of {handle} is gone")
        return None

    def cancel(self, handle: str) -> None:
        while self._lives(handle):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                os.killpg(int((self._settings.state / "outliving" / handle / "pid").read_text()), signal.SIGKILL)

    def logs(self, handle: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self._settings.state / "outliving" / handle / "log").read_text()
        raise NotFoundError(f"there is no attempt {handle}")

    def _lives(self, handle: str) -> bool:
        with (
            contextlib.suppress(FileNotFoundError),
            (self._settings.state / "outliving" / handle / "lock").open() as lock,
        ):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def run(given: Any) -> int:
    import duckdb
    import pyiceberg.catalog
    import sqlglot

    from coreetl_driver.sql import source_tables

    engine, sink = duckdb.connect(), given["sink"]
    source, target = (
        pyiceberg.catalog.load_catalog(name, **given["catalogs"][name])
        for name in (given["default_catalog"], sink["catalog"])
    )
    for name in {table.name for table in source_tables(given["sql"])}:
        rows = source.load_table(name).scan().to_arrow()  # noqa: F841  # DuckDB sees it
        engine.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.')[0]}; CREATE TABLE {name} AS FROM rows")
    table = target.load_table(sink["table"])
    found = engine.execute(sqlglot.transpile(given["sql"], "spark", "duckdb")[0], given["params"]).to_arrow_table()
    found = found.select(table.schema().column_names).cast(table.schema().as_arrow())
    write = table.append if sink["mode"] == "append" else table.overwrite
    write(found, snapshot_properties={**given["marks"], "coreetl.rows-written": str(found.num_rows)})
    return found.num_rows


if __name__ == "__main__":
    try:
        outcome = ("SUCCEEDED", run(json.load(sys.stdin)), None)
    except Exception as error:
        outcome = ("FAILED", None, str(error))
    (Path(sys.argv[1]) / "outcome.new").write_text(json.dumps(outcome))
    (Path(sys.argv[1]) / "outcome.new").rename(Path(sys.argv[1]) / "outcome")
