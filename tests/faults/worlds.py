"""A project that is put back as it was before each death, and what must hold after the next command."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from dcp_core.records import OperationStatus
from dcp_graph_runner.sql_store import SqlStore, open_store
from dcp_primitives.airflow.places.folder import LOCK
from tests.dcp_graph_runner.chains import verified
from tests.end_to_end.projects import FOLDER, PLAYGROUND, USER, Project
from tests.faults.children import now
from tests.warm import Ended, Started, Warm

TABLE = "derived_datasets.daily"
JOB = f"{PLAYGROUND}__daily_job"
DAG = f"{PLAYGROUND}__daily_dag"
CATALOG = f"pedregal-playground-{USER}"
FINAL = {"SUCCEEDED", "FAILED", "CANCELLED"}
# Runs for minutes on any machine, in little memory: something to stop.
ENDLESS = """
SELECT CAST(count(*) AS string) AS order_id, sum(a.id * b.id % 7) AS amount
FROM range(4000000) a CROSS JOIN range(4000000) b WHERE a.id % 3 <> b.id % 5
"""


@frozen
class World:
    """The project, and processes in it."""

    project: Project
    warm: Warm

    @property
    def state(self) -> Path:
        return self.project.root / ".dcp"

    def start(self, function: str, *arguments: Any) -> Started:
        function = function if ":" in function else f"tests.faults.children:{function}"
        return self.warm.start(function, *arguments, cwd=self.project.root, environ=self.project.process_environ())

    def pretzel(self, *arguments: str) -> Ended:
        return self.start("pretzel", *arguments).wait()

    def done(self, *arguments: str) -> Ended:
        """A command that must succeed."""
        ended = self.pretzel(*arguments)
        assert ended.status == 0, f"pretzel {' '.join(arguments)}: {ended.status}\n{ended.out}\n{ended.err}"
        return ended

    def mortal(self, command: str, when: str = "", number: int = 0) -> tuple[Ended, list[str]]:
        """One command that dies (see ``children.mortal``); gives the journal writes it reached."""
        log = self.project.root / "writes.log"
        log.unlink(missing_ok=True)
        ended = self.start("mortal", command, [str(FOLDER)], str(log), when, number).wait()
        return ended, log.read_text().splitlines() if log.exists() else []

    # Time travel. The same place each time, for catalogs hold absolute paths.

    def keep(self) -> None:
        self._copy(self.state, self._kept)

    def restore(self) -> None:
        self._copy(self._kept, self.state)

    @contextmanager
    def explained(self, moment: str) -> Iterator[None]:
        """A failure inside says at which moment the process was killed."""
        try:
            yield
        except BaseException as error:
            error.add_note(f"killed {moment}")
            raise

    @property
    def _kept(self) -> Path:
        return self.project.root / "kept"

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)

    # What is there

    def store(self) -> SqlStore:
        """Close it."""
        opened = open_store(f"sqlite:///{self.state}/state.db", now)
        assert isinstance(opened, SqlStore)
        return opened

    def query(self, database: str, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        """Rows of one of the databases, read by a program that knows nothing of DCP."""
        with closing(sqlite3.connect(self.state / database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, arguments)]

    def tables(self) -> dict[str, str]:
        """Metadata file by table, of the playground's catalog."""
        rows = self.query("catalog.db", "SELECT * FROM iceberg_tables WHERE catalog_name = ?", CATALOG)
        return {f"{row['table_namespace']}.{row['table_name']}": row["metadata_location"] for row in rows}

    def metadata_files(self) -> list[Path]:
        """Every metadata document of every table in the playground's warehouse, in the catalog or not."""
        return sorted((self.state / "warehouse" / CATALOG).rglob("*.metadata.json"))

    def dags(self) -> list[str]:
        """Every file of the DAG folder, hidden ones too, but for the lock."""
        folder = self.state / "dags"
        return sorted({file.name for file in folder.iterdir()} - {LOCK}) if folder.is_dir() else []

    def jobs(self) -> dict[str, int]:
        """Version by job."""
        if not (self.state / "coreetl.db").exists():
            return {}
        rows = self.query("coreetl.db", "SELECT * FROM coreetl_jobs")
        return {row["job_id"]: row["version"] for row in rows}

    def executions(self) -> list[dict[str, Any]]:
        """Oldest first."""
        if not (self.state / "coreetl.db").exists():
            return []
        return self.query("coreetl.db", "SELECT * FROM coreetl_executions ORDER BY created_at")

    def until_running(self, count: int = 1) -> None:
        """Wait until the n-th execution has a worker."""
        deadline = time.monotonic() + 60
        while sum(row["status"] == "RUNNING" for row in self.executions()) < count:
            assert time.monotonic() < deadline, self.executions()
            time.sleep(0.02)

    # What must hold

    def assert_settled(self, audited: list[tuple[str, str]]) -> None:
        """Nothing is to do or half done, no lock is left, and the audit log has each operation once.

        Args:
            audited: Kind and outcome of every operation since the beginning, in any order.
        """
        store = self.store()
        try:
            assert store.interrupted(PLAYGROUND) == ()
            ended = store.operations(PLAYGROUND)
            assert [each for each in ended if each.status is OperationStatus.RUNNING] == []
            records = store.audit_records(PLAYGROUND)
            assert sorted((each.kind, str(each.outcome)) for each in records) == sorted(audited)
            assert verified(store) == len(audited)
            assert {each.id for each in ended} <= {each.operation_id for each in records}
        finally:
            store.close()
        assert list(self.state.rglob("*deploying*")) == []

    def assert_applied(self, version: int) -> None:
        """The three resources are there, once, and a plan finds nothing to do."""
        summary = self.done("plan", str(FOLDER), "-o", "json").document["summary"]
        assert summary == {
            "create": 0, "update": 0, "replace": 0, "delete": 0, "adopt": 0, "noop": 3, "blocked": 0,
        }  # fmt: skip
        assert list(self.tables()) == [TABLE]
        assert self.jobs() == {JOB: version}
        assert self.dags() == [f"{DAG}.py"]
        assert self.inventory() == [TABLE, JOB, DAG]

    def inventory(self) -> list[str]:
        """Names, in the order in which they were first applied."""
        store = self.store()
        try:
            return [entry.resource.name for entry in store.inventory(PLAYGROUND)]
        finally:
            store.close()
