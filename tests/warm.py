"""Processes by the dozen, each a fresh one with nothing opened yet, for the price of a fork.

One process imports what commands import, opens nothing, starts no thread, and forks for every request. Python's
start would otherwise take ten times as long as what is tested.
"""

from __future__ import annotations

import atexit
import importlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

DEADLINE_S = 120.0
_WARM = (
    "alembic.command", "coreetl_driver.catalog_endpoint", "coreetl_driver.compute.local", "coreetl_driver.driver",
    "coreetl_driver.sql", "dcp_core.control_plane", "dcp_graph_runner.playgrounds", "dcp_graph_runner.sql_store",
    "dcp_plugins_base.lints.engine", "dcp_plugins_derived_dataset.plugin", "dcp_primitives.airflow_dag",
    "dcp_primitives.coreetl_job", "dcp_primitives.iceberg.evolving", "dcp_primitives.iceberg_table",
    "pretzel.commands.applying", "pretzel.commands.destroying", "pretzel.commands.running", "pretzel.failures",
    "pretzel.rendering.operations", "pretzel.rendering.plans", "pyiceberg.catalog.sql", "pyiceberg.io.pyarrow",
    "sqlglot.dialects.spark", "starlette.applications", "uvicorn", "tests.faults.children",
)  # fmt: skip


@frozen
class Ended:
    """How a process ended: its exit status, or a signal's number below zero; and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that ``-o json`` promises."""
        return json.loads(self.out)


@frozen
class Started:
    """A process that runs. ``wait`` for it."""

    pid: int
    folder: Path
    warm: Warm

    def wait(self, timeout_s: float = DEADLINE_S) -> Ended:
        deadline = time.monotonic() + timeout_s
        while (status := self.warm.ask({"wait": self.pid})) is None and time.monotonic() < deadline:
            time.sleep(0.005)
        out, err = ((self.folder / name).read_text() for name in ("out", "err"))
        assert status is not None, f"process {self.pid} did not end in {timeout_s} s: {out} {err}"
        assert "Traceback" not in err, err
        return Ended(status, out, err)

    def kill(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


@define
class Warm:
    """The process that forks, as its parent sees it."""

    scratch: Path
    _process: subprocess.Popen[str] = field(init=False)
    _numbers: Iterator[int] = field(factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(factory=threading.Lock)

    def __attrs_post_init__(self) -> None:
        root = str(Path(__file__).parents[1])
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )
        assert self._reply() == "ready"

    def start(self, function: str, *arguments: Any, cwd: Path, environ: Mapping[str, str]) -> Started:
        """Call ``module:function`` in a process of its own; what it returns is the exit status."""
        folder = self.scratch / str(next(self._numbers))
        folder.mkdir(parents=True)
        for name in ("out", "err"):
            (folder / name).touch()  # whoever reads it need not wait for the child
        request = {"function": function, "arguments": arguments, "cwd": str(cwd), "environ": dict(environ)}
        return Started(self.ask({**request, "folder": str(folder)}), folder, self)

    def ask(self, request: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return self._reply()

    def close(self) -> None:
        """Children that still run are killed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(DEADLINE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _reply(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the warm process is gone"
        return json.loads(line)


@cache
def warm_process() -> Warm:
    """The one of this test process; ends with it."""
    opened = Warm(Path(tempfile.mkdtemp(prefix="warm-")))

    def close() -> None:
        opened.close()
        shutil.rmtree(opened.scratch, ignore_errors=True)

    atexit.register(close)
    return opened


def main() -> None:
    """Serve requests until the input ends."""
    for name in _WARM:
        importlib.import_module(name)
    # OpenBLAS and jemalloc have threads too, and mend themselves after a fork.
    assert threading.active_count() == 1, "a fork would lose threads that some import has started"
    children: set[int] = set()
    _say("ready")
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            found, status = os.waitpid(request["wait"], os.WNOHANG)
            children.discard(found)
            _say(os.waitstatus_to_exitcode(status) if found else None)
        else:
            pid = os.fork()
            if pid == 0:
                _be(request)
            children.add(pid)
            _say(pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _be(request: Mapping[str, Any]) -> None:
    """Become the child; never returns to the loop."""
    status = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        folder = Path(request["folder"])
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environ"])
        module, _, function = request["function"].partition(":")
        status = getattr(importlib.import_module(module), function)(*request["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _say(document: Any) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    main()
