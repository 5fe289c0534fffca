"""Replicas of the service without transports: in this process, and in processes of their own that a test may kill."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field

from dcp_core.documents import from_json, to_json
from dcp_core.errors import DcpError
from dcp_core.records import AuditRecord
from dcp_core.settings import Settings
from dcp_graph_runner.api.long_running import (
    Event,
    GetOperationRequest,
    OperationState,
    RequestStatus,
    WatchOperationRequest,
)
from dcp_graph_runner.api.table import find
from dcp_graph_runner.server.problems import problem_of
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner.server.probes import register
from tests.warm import Ended, Started, warm_process

DEADLINE_S = 60.0
ALICE = {"x-dcp-identity": "alice"}
T = TypeVar("T")


def service(root: Path, **options: Any) -> Service:
    """In this process; close it."""
    made = Service(Settings.load(root / "dcp.toml"), **options)
    register(made.registry)
    return made


def call(at: Service, method: str, request: Any, headers: Mapping[str, str] = ALICE) -> Any:
    return at.call(find(method), request, headers)


def ended(at: Service, id: str, deadline_s: float = DEADLINE_S) -> OperationState:
    """The operation, once it has ended or waits."""
    return until(lambda: _unless_running(at.requests.get(id)), deadline_s)


def done(at: Service, method: str, request: Any, headers: Mapping[str, str] = ALICE) -> OperationState:
    """Ask, and wait for the end."""
    return ended(at, call(at, method, request, headers).id)


def answered(at: Service, method: str, request: Any, headers: Mapping[str, str] = ALICE) -> Any:
    """The answer of a long-running operation that must have one."""
    state = done(at, method, request, headers)
    assert state.status is RequestStatus.DONE, state
    return from_json(state.answer, find(method).answer)


def watched(at: Service, id: str, after: int = 0) -> list[Event]:
    """Every event, until the operation ends."""

    async def watch() -> list[Event]:
        return [each async for each in at.watch(WatchOperationRequest(id, after), ALICE)]

    return asyncio.run(watch())


def until(look: Callable[[], T | None], deadline_s: float = DEADLINE_S) -> T:
    """What ``look`` finds, once it finds something."""
    ends_at = time.monotonic() + deadline_s
    while time.monotonic() < ends_at:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing found in {deadline_s:g} s")


def audit(at: Service) -> list[AuditRecord]:
    """Oldest first; the chain must be whole."""
    assert at.store.audit_log.verify().broken is None
    return list(reversed(at.store.audit_records(limit=10_000)))


def told(at: Service) -> list[tuple[str, str, str]]:
    """Kind, manifest and outcome of every record, sorted."""
    return sorted((each.kind, each.manifest_id, str(each.outcome)) for each in audit(at))


def _unless_running(state: OperationState) -> OperationState | None:
    return None if state.status is RequestStatus.RUNNING else state


@define
class Replica:
    """One in a process of its own.

    Args:
        root: Of the project.
        name: Tells it from others.
        dies_at: The number of the SQL statement after ``arm`` that it does not survive.
    """

    root: Path
    name: str
    dies_at: int = 0
    environ: Mapping[str, str] = field(factory=dict)
    process: Started = field(init=False)
    _connection: Connection = field(init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        from tests.end_to_end.projects import Project

        address = str(self.root / f"{self.name}.sock")
        environ = Project(self.root, self.environ).process_environ()
        self.process = warm_process().start(
            "tests.dcp_graph_runner.server.replicas:serve", address, self.dies_at, cwd=self.root, environ=environ
        )
        self._connection = until(lambda: _connected(address))

    def call(self, method: str, request: Any, headers: Mapping[str, str] = ALICE) -> Any:
        """As ``Service.call``; an error is a ``Problem``'s document."""
        with self._lock:
            self._connection.send(json.dumps({"method": method, "request": to_json(request), "headers": dict(headers)}))
            answer = json.loads(self._connection.recv())
        if "problem" in answer:
            raise AssertionError(answer["problem"])
        handler = find(method)
        return from_json(answer["answer"], OperationState if handler.is_long else handler.answer)

    def state(self, id: str) -> OperationState:
        state: OperationState = self.call("Operations.GetOperation", GetOperationRequest(id))
        return state

    def ended(self, id: str, deadline_s: float = DEADLINE_S) -> OperationState:
        return until(lambda: _unless_running(self.state(id)), deadline_s)

    def kill(self) -> Ended:
        self.process.kill(signal.SIGKILL)
        return self.process.wait()


def _connected(address: str) -> Connection | None:
    try:
        return Client(address)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


# In a process of its own (``tests.warm``)


def serve(address: str, dies_at: int) -> int:
    """Answer calls until the caller hangs up; from its first one on, die at that SQL statement."""
    from tests.faults.children import die_at_statement

    replica = service(Path.cwd())
    listener = Listener(address)
    connection = listener.accept()
    if dies_at:
        die_at_statement(dies_at)
    while True:
        try:
            asked = json.loads(connection.recv())
        except EOFError:
            replica.close(5.0)
            return 0
        try:
            handler = find(asked["method"])
            answer = replica.call(handler, from_json(asked["request"], handler.request), asked["headers"])
            connection.send(json.dumps({"answer": to_json(answer)}))
        except DcpError as error:
            connection.send(json.dumps({"problem": to_json(problem_of(error, "a test"))}))
