"""A project beside a stand-in for a Databricks workspace, where runs end when a test says so.

For what goes wrong around runs; that jobs run is shown by ``tests/services/test_databricks.py``, on a real Spark.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

from coreetl_driver.compute.databricks.backend import DatabricksBackend
from coreetl_driver.compute.finding import Backend, Backends
from coreetl_driver.compute.tasks import Outcome
from coreetl_driver.testing.bench import Bench, project
from dcp_core.model import Environment
from tests.services.cluster import Run
from tests.services.databricks_http import serving
from tests.services.databricks_workspace import Workspace

ALICE, BOB, PRINCIPAL = "alice@example.com", "bob@example.com", "7d6f1a52-0000-4000-8000-5f2d4c1b0a99"
TOKEN, NEW_TOKEN, BOBS_TOKEN = "dapi-of-alice-0123456789", "dapi-of-alice-renewed", "dapi-of-bob-0123456789"
PRINCIPALS_TOKEN = "dapi-of-the-principal-0123456789"
CLUSTER = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge"}
_SCRIPT = """
import json, pathlib, sys, time
file = pathlib.Path(sys.argv[1])
while not file.exists():
    time.sleep(0.02)
end = json.loads(file.read_text())
print(end["says"])
sys.exit(end["code"])
"""


@define
class Scripts:
    """In place of a cluster: each run waits until it is told how it ends. The job's program is not run."""

    folder: Path
    runs: list[Run] = field(factory=list)

    def start(self, main: Path, arguments: Sequence[str]) -> Run:
        place = self.folder / uuid.uuid4().hex
        place.mkdir(parents=True)
        log = place / "log.txt"
        with log.open("wb") as output:
            command = [sys.executable, "-c", _SCRIPT, str(self.folder / "end")]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        self.runs.append(Run(process, log, None, ""))
        return self.runs[-1]

    def submit(self, main: Path, arguments: Sequence[str], options: Sequence[str] = ()) -> Run:
        raise NotImplementedError("there is no Spark here")

    def end(self, *, rows: int | None = None, error: str | None = None, says: str = "", code: int = 0) -> None:
        """All runs end like this, those to come too."""
        if rows is not None or error is not None:
            result = {"ok": error is None} | ({"rows": rows} if error is None else {"error": error})
            says = f"{says}\ncoreetl-result: {json.dumps(result)}"
        file = self.folder / "being-written"
        file.write_text(json.dumps({"says": says, "code": code if error is None else 1}))
        file.rename(self.folder / "end")
        for run in self.runs:
            run.process.wait(30)

    def close(self) -> None:
        for run in self.runs:
            if run.exit_code is None:
                run.cancel()


@define
class Place:
    """The service, and a project that uses it."""

    workspace: Workspace
    scripts: Scripts
    bench: Bench
    opened: list[Backends] = field(factory=list)

    def backend(self) -> Backend:
        """As a driver that has just started has it."""
        self.opened.append(self.bench.driver())
        return self.opened[-1].get(DatabricksBackend.name)

    @property
    def submissions(self) -> int:
        """How many runs there are."""
        return len(self.workspace.submitted)


@contextmanager
def placed(folder: Path, environment: str = "playground_alice", **section: Any) -> Iterator[Place]:
    """One of alice's, with a workspace where she, bob and a service principal have tokens."""
    scripts = Scripts(folder / "runs")
    scripts.folder.mkdir()
    tokens = {TOKEN: ALICE, BOBS_TOKEN: BOB, PRINCIPALS_TOKEN: PRINCIPAL}
    with serving(Workspace(scripts, folder / "workspace", tokens)) as workspace:
        values = {"databricks": {"host": workspace.url, "cluster": CLUSTER, **section}}
        bench = Bench(DatabricksBackend, project(folder, values), Environment.named(environment))
        place = Place(workspace, scripts, bench)
        try:
            yield place
        finally:
            for each in place.opened:
                each.close()
            scripts.close()


def ended(backend: Backend, handle: str) -> Outcome:
    """Ask until it has ended."""
    deadline = time.monotonic() + 30
    while (outcome := backend.poll(handle, 0.0)) is None:
        assert time.monotonic() < deadline, "it does not end"
        time.sleep(0.05)
    return outcome
