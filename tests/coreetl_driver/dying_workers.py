"""Workers that die at a named point of an extraction, each a fork of one warm process: a start costs next to nothing.

A worker is the program that it always is, with one of its parts replaced by one that ends the process by SIGKILL and
says so in the log before. Its parent gives it the pipes, the folder and the variables that the driver made for it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any

from attrs import define

from coreetl_driver.catalog_endpoint import CatalogEndpoint

# In the order in which a run comes by; after the first three chunks there is no more.
IN_THE_WORKER = (
    "session opened", "table looked at", "before chunk 1", "before chunk 2", "before chunk 3", "after the last chunk",
    "staged file closed", "note sent", "before the write", "before the answer",
)  # fmt: skip
IN_THE_ENDPOINT = ("before the commit", "after the commit")
WRITTEN = ("after the commit", "before the answer")  # where the rows are in the table already
POINTS = (*IN_THE_WORKER, *IN_THE_ENDPOINT)
_WARM = (
    "adbc_driver_postgresql.dbapi", "adbc_driver_sqlite.dbapi", "coreetl_driver.job.worker", "pandas",
    "coreetl_driver.sources.converting", "coreetl_driver.sources.postgresql", "coreetl_driver.sources.sqlite",
    "pyarrow.parquet", "pysail.spark", "pyspark.sql.connect.session",
)  # fmt: skip
_MAX_REQUEST = 1_000_000
_WORKER = "coreetl_driver.job.worker"


@define
class Worker:
    """As much of ``subprocess.Popen`` as the driver uses, of a process that is the warm one's child."""

    pid: int
    stdin: IO[str]
    stdout: IO[str]
    _nursery: Nursery
    _status: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._status is None:
            self._status = self._nursery.ask({"wait": self.pid})
            if self._status is None:
                if deadline is not None and time.monotonic() > deadline:
                    raise subprocess.TimeoutExpired("worker", timeout or 0.0)
                time.sleep(0.005)
        return self._status


class Nursery:
    """The warm process. While it is ``used``, every worker that a driver starts is its child.

    Attributes:
        point: Where the next worker dies; empty for one that lives.
    """

    def __init__(self) -> None:
        self.point = ""
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )
        assert self._reply() == "ready"

    def close(self) -> None:
        self._ours.close()
        self._process.wait(60)

    @contextmanager
    def used(self) -> Iterator[None]:
        popen = subprocess.Popen

        def start(command: Sequence[str], **options: Any) -> Any:
            return self._start(**options) if _WORKER in command else popen(command, **options)

        with _replaced(subprocess, "Popen", start):  # the module that the driver has too
            yield

    def ask(self, request: Mapping[str, Any], handles: Sequence[int] = ()) -> Any:
        with self._lock:
            socket.send_fds(self._ours, [json.dumps(request).encode()], list(handles))
            return self._reply()

    def _start(self, *, stderr: IO[bytes], cwd: Path, env: Mapping[str, str], **_: Any) -> Worker:
        (their_input, our_output), (our_input, their_output) = os.pipe(), os.pipe()
        request = {"point": self.point, "cwd": str(cwd), "env": dict(env)}
        pid = self.ask(request, [their_input, their_output, stderr.fileno()])
        os.close(their_input)
        os.close(their_output)
        return Worker(pid, os.fdopen(our_output, "w", encoding="utf-8"), os.fdopen(our_input, encoding="utf-8"), self)

    def _reply(self) -> Any:
        answer = self._ours.recv(_MAX_REQUEST)
        assert answer, "the warm process is gone"
        return json.loads(answer)


@contextmanager
def dying_at_the_commit(point: str, worker_of: Callable[[str], Any]) -> Iterator[list[str]]:
    """Kill the worker whose commit comes in, before or after it is made; gives the executions that died.

    Args:
        worker_of: The worker of an execution.
    """
    commit = CatalogEndpoint.commit
    died: list[str] = []

    def and_kill(self: CatalogEndpoint, issued: Any, *rest: Any) -> Any:
        answer = commit(self, issued, *rest) if point == "after the commit" else None
        died.append(issued.grant.execution_id)  # before the kill: whoever waits for the execution is told of it at once
        worker_of(issued.grant.execution_id).kill_group()
        if answer is None:
            raise RuntimeError("nobody is there for an answer")
        return answer

    with _replaced(CatalogEndpoint, "commit", and_kill):
        yield died


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    real = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, real)


def main() -> None:
    """The warm process: forks for every request until the other end is closed."""
    for name in _WARM:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a fork would lose threads that some import has started"
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        requests.send(b'"ready"')
        children: set[int] = set()
        ended: dict[int, int] = {}  # two threads of a driver may wait for one worker
        while True:
            text, handles, _, _ = socket.recv_fds(requests, _MAX_REQUEST, 3)
            if not text:
                break
            request = json.loads(text)
            answer: int | None
            if "wait" in request:
                pid = request["wait"]
                if pid in children:
                    found, status = os.waitpid(pid, os.WNOHANG)
                    if found:
                        children.remove(pid)
                        ended[pid] = os.waitstatus_to_exitcode(status)
                answer = ended.get(pid)
            else:
                answer = os.fork()
                if answer == 0:
                    requests.close()
                    _live(request, handles)
                ended.pop(answer, None)  # a number that comes again is another worker's
                children.add(answer)
                for handle in handles:
                    os.close(handle)
            requests.send(json.dumps(answer).encode())
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _live(request: Mapping[str, Any], handles: Sequence[int]) -> None:
    """Be a worker, and die where the request says."""
    status = 70
    try:
        os.setsid()
        for target, handle in enumerate(handles):
            os.dup2(handle, target)
            os.close(handle)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        time.tzset()
        tempfile.tempdir = None
        worker = importlib.import_module(_WORKER)
        if request["point"]:
            _make_mortal(request["point"])
        worker.main()
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _make_mortal(point: str) -> None:
    extract: Any = importlib.import_module("coreetl_driver.job.extract")
    worker: Any = importlib.import_module(_WORKER)

    def die() -> None:
        os.write(2, f"killed: {point}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)

    def after(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def and_die(*arguments: Any, **named: Any) -> None:
            real(*arguments, **named)
            die()

        setattr(owner, name, and_die)

    def chunks(real: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def and_die(*arguments: Any) -> Iterator[Any]:
            found = real(*arguments)
            for number in count(1):
                if point == f"before chunk {number}":
                    die()
                chunk = next(found, None)
                if chunk is None:
                    break
                yield chunk
            if point == "after the last chunk":
                die()

        return and_die

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        def and_die(session: Any, request: Any, catalogs: Any, note: Callable[[Any], None], log: Any) -> Any:
            def sent(document: Any) -> None:
                note(document)
                die()

            return real(session, request, catalogs, sent, log)

        return and_die

    match point:
        case "session opened":
            after(worker.Session, "opened")
        case "table looked at":
            after(extract, "table_metadata")
        case "staged file closed":
            after(extract, "_stage")
        case "before the answer":
            after(worker.Worker, "answer")
        case "before the write":
            extract.write = lambda *_: die()
        case "note sent":
            worker.extract = noting(worker.extract)
        case _:
            extract._chunks = chunks(extract._chunks)


if __name__ == "__main__":
    main()
