"""A real Airflow as processes of these tests: its database and its port outlive an outage, and nothing of it stays.

with airflow_server.started(tmp_path / "airflow", dags=folder) as airflow:
    airflow.wait_for_dag("daily_orders_dag")
    airflow.stop()
    airflow.start()
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import Factory, define, field

from tests.services import servers
from tests.services.conftest import require

USER = "admin"
PASSWORD = "a-password-of-the-services"
RUN_TIMEOUT_S = 300.0
# A month that is half a year away: nothing but a test starts a run of what is scheduled for it.
FAR_MONTH = (datetime.now(UTC).month + 5) % 12 + 1
API = "api-server"
SCHEDULER = "scheduler"
PROCESSOR = "dag-processor"
TRIGGERER = "triggerer"
PARTS = (API, SCHEDULER, PROCESSOR, TRIGGERER)
_COMMANDS = {
    API: ["api-server"],
    SCHEDULER: ["scheduler", "--skip-serve-logs"],
    PROCESSOR: ["dag-processor"],
    TRIGGERER: ["triggerer", "--skip-serve-logs"],
}
# What DAG files are read at is Airflow's to say; the defaults of 5 minutes are too slow for a test.
_QUICK = {
    "DAG_PROCESSOR__REFRESH_INTERVAL": "1",
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "1",
    "DAG_PROCESSOR__STALE_DAG_THRESHOLD": "2",
    "SCHEDULER__PARSING_CLEANUP_INTERVAL": "2",
}


@define
class AirflowServer:
    """One Airflow, with its REST API v2.

    Args:
        url: Of its API server.
        home: Its database, logs and configuration.
        environ: What its processes have beside the environment of this one.
        parts: Which of ``PARTS`` it is made of.
    """

    url: str
    home: Path
    environ: Mapping[str, str]
    parts: Sequence[str] = PARTS
    token: str = field(default="", repr=False)
    _running: dict[str, ExitStack] = Factory(dict)
    _processes: dict[str, Any] = Factory(dict)

    @property
    def log(self) -> Path:
        """All that its processes say."""
        return self.home / "airflow.log"

    @property
    def program(self) -> str:
        """The command ``airflow``."""
        return str(require("airflow") / "airflow")

    def migrate(self) -> None:
        """Make its database."""
        with servers.running([self.program, "db", "migrate"], self.log, self.environ) as migration:
            servers.wait_until(lambda: migration.poll() is not None, "Airflow's database", self.log)
        assert migration.returncode == 0, self.log.read_text()

    def start(self, *parts: str) -> None:
        """Start these parts, all of it when none is named; those that run are left alone."""
        for part in parts or self.parts:
            if part not in self._running:
                stack = ExitStack()
                command = [self.program, *_COMMANDS[part]]
                # A triggerer asked politely takes its time, and has nothing to put in order.
                ending = signal.SIGKILL if part == TRIGGERER else signal.SIGTERM
                process = stack.enter_context(servers.running(command, self.log, self.environ, ending=ending))
                self._processes[part] = process
                self._running[part] = stack
        if API in self._running:
            servers.wait_until(self.sign_in, "Airflow's start", self.log, list(self._processes.values()))

    def stop(self, *parts: str) -> None:
        """Stop these parts with all that they started, all of it when none is named; the database stays."""
        for part in parts or tuple(self._running):
            self._processes.pop(part, None)
            stack = self._running.pop(part, None)
            if stack is not None:
                stack.close()

    def sign_in(self) -> bool:
        """Get a token; True."""
        answer = self.call("POST", "/auth/token", {"username": USER, "password": PASSWORD})
        self.token = answer["access_token"]
        return True

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the API; None where the answer is empty.

        Raises:
            HTTPError: It is refused.
            OSError: Nobody is there.
        """
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def dags(self) -> dict[str, Any]:
        """Its DAGs by name, without those whose files are gone."""
        return {dag["dag_id"]: dag for dag in self.call("GET", "/api/v2/dags?limit=100")["dags"]}

    def dag(self, dag_id: str) -> Any:
        """One DAG, also one whose file is gone; None when there is none."""
        try:
            return self.call("GET", f"/api/v2/dags/{quote(dag_id)}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def import_errors(self) -> dict[str, str]:
        """What Airflow could not import, by file."""
        found = self.call("GET", "/api/v2/importErrors?limit=100")["import_errors"]
        return {one["filename"]: one["stack_trace"] for one in found}

    def wait_for_dag(self, *dag_ids: str) -> None:
        """Until it has them all."""
        wanted = set(dag_ids)
        servers.wait_until(lambda: wanted <= set(self.dags()), f"the appearance of {wanted}", self.log)

    def unpause(self, dag_id: str) -> None:
        """Let its runs begin."""
        self.call("PATCH", f"/api/v2/dags/{quote(dag_id)}", {"is_paused": False})

    def trigger(self, dag_id: str, run_id: str, logical_date: str | None = None) -> Any:
        """Begin a run."""
        body = {"dag_run_id": run_id, "logical_date": logical_date}
        return self.call("POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", body)

    def finished(self, dag_id: str, run_id: str, timeout_s: float = RUN_TIMEOUT_S) -> str:
        """The state in which the run ends, or in which it is when that takes too long."""
        deadline = time.monotonic() + timeout_s
        while True:
            state: str = self.call("GET", f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}")["state"]
            if state in ("success", "failed") or time.monotonic() > deadline:
                return state
            time.sleep(0.5)

    def task_log(self, dag_id: str, run_id: str, task_id: str = "run_job") -> str:
        """What the first try of a task said."""
        path = f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{task_id}/logs/1"
        return json.dumps(self.call("GET", f"{path}?full_content=true")["content"])


@contextmanager
def started(
    home: Path,
    *,
    dags: Path | None = None,
    bundles: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    parts: Sequence[str] = PARTS,
) -> Iterator[AirflowServer]:
    """A running Airflow for as long as the block lasts; skips the test where it is not installed.

    Args:
        home: An empty folder, or none yet.
        dags: The folder that it reads, as the bundle ``dags-folder``.
        bundles: Instead of that folder: what ``[dag_processor] dag_bundle_config_list`` is to hold.
        settings: More of its configuration: ``{"SECTION__KEY": "value"}``.
        environ: More environment variables of its workers: ``COREETL_URL``.
        parts: Without a scheduler nothing runs, without a triggerer nothing that is deferred goes on.
    """
    program = require("airflow") / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    (home / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
    configured = {
        "CORE__DAGS_FOLDER": str(dags or home / "no_dags"),
        "CORE__LOAD_EXAMPLES": "false",
        "CORE__PARALLELISM": "2",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "API__BASE_URL": url,
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": "a-key-of-the-services-that-is-long-enough-for-a-signature",
        **_QUICK,
    }
    if bundles:
        configured["DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps(list(bundles))
    configured |= settings or {}
    every = {f"AIRFLOW__{name}": value for name, value in configured.items()}
    # Its workers find `airflow` there; and the packages of the project are not theirs.
    every |= {"AIRFLOW_HOME": str(home), "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": ""}
    server = AirflowServer(url, home, every | dict(environ or {}), tuple(parts))
    server.migrate()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    """Below those that the system gives to whoever connects: it has to be free again after an outage."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
