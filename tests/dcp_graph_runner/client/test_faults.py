"""Lost answers, cut streams and servers that go away: what was asked happens once, and its end is heard of."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import ConflictError, NotFoundError, TransientError
from dcp_core.hookspecs import hookimpl
from dcp_core.model import Environment
from dcp_core.records import ActionResult, OperationStatus
from dcp_graph_runner.api.playground import ExtendRequest
from dcp_graph_runner.api.table import find
from dcp_graph_runner.client.client import LeftRunningError
from dcp_graph_runner.client.remote import RemoteControlPlane
from tests.dcp_graph_runner.client.faulty_server import FaultyServer
from tests.end_to_end.projects import PLAYGROUND, USER, Project, order, orders_schema

HERE = Environment.named(PLAYGROUND)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "dcp.toml").write_text("")
    made = Project(tmp_path)
    made.source("raw.orders", [order("a", 1), order("b", 2)], orders_schema())
    made.dataset("daily")
    return made


@pytest.fixture
def server(project: Project) -> Iterator[FaultyServer]:
    opened = FaultyServer(project.root)
    opened.start()
    yield opened
    opened.stop()


class Heard:
    """Everything that a listener is told."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.statuses: list[str] = []

    @hookimpl
    def action_finished(self, result: ActionResult) -> None:
        self.labels.append(f"{result.label} {result.status}")

    @hookimpl
    def execution_changed(self, execution: Any) -> None:
        self.statuses.append(execution.status.value)


class Caller:
    """Somebody who works through a server."""

    def __init__(self, project: Project, server: FaultyServer, **environ: str) -> None:
        self.told: list[str] = []
        self.heard = Heard()
        os.environ.update(environ)
        try:
            local = ControlPlane.from_config(project.root / "dcp.toml", identity=USER)
        finally:
            for name in environ:
                del os.environ[name]
        self.dcp = RemoteControlPlane.connect(local, server.address, self.told.append)
        self.signing_in = self.dcp.client.signing_in
        self.dcp.listen(self.heard)
        self.folder = project.root / "manifests"

    def apply(self) -> list[str]:
        plans = [each.logical_plan for each in self.dcp.load([self.folder], HERE).loaded]
        (operation,) = self.dcp.apply(self.dcp.plan(plans))
        assert operation.status is OperationStatus.SUCCEEDED
        return [f"{each.label} {each.status}" for each in operation.results]

    def run(self) -> Any:
        return self.dcp.run([each.logical_plan for each in self.dcp.load([self.folder], HERE).loaded])


@pytest.fixture
def caller(project: Project, server: FaultyServer) -> Iterator[Caller]:
    made = Caller(project, server)
    yield made
    made.dcp.close()


def records(project: Project) -> list[tuple[str, str]]:
    with project.in_process() as dcp:
        return sorted((each.kind, each.outcome.value) for each in dcp.store.audit_records(limit=100))


SLOW = (
    "SELECT order_id, amount FROM raw.orders CROSS JOIN range({rows}) "
    "WHERE length(sha2(CAST(id AS STRING), 256)) < amount"
)
"""Some seconds for some millions of rows."""
DONE = ["CREATE_TABLE SUCCEEDED", "CREATE_JOB SUCCEEDED", "CREATE_DAG SUCCEEDED"]


def test_an_apply_whose_answers_get_lost_is_done_once(caller: Caller, server: FaultyServer, project: Project) -> None:
    server.lose = lambda method, times: method == "Operations.Apply" and times < 4
    assert caller.apply() == DONE
    keys = server.keys("Operations.Apply")
    assert len(keys) == 4
    assert len(set(keys)) == 1
    assert records(project) == [("apply", "SUCCEEDED")]


def test_a_second_apply_has_a_key_of_its_own(caller: Caller, server: FaultyServer) -> None:
    caller.apply()
    caller.apply()
    assert len(set(server.keys("Operations.Apply"))) == 2


@pytest.mark.parametrize("every", [1, 3])
def test_events_of_a_stream_that_is_cut_again_and_again_are_heard_once_each_and_in_order(
    caller: Caller, server: FaultyServer, every: int
) -> None:
    seen = set()

    def cut(number: int) -> bool:
        # Each time one more event gets through, or three.
        is_new = number % (every + 1) == 0 and number not in seen
        seen.add(number)
        return is_new

    server.cut = cut
    assert sorted(caller.apply()) == sorted(DONE)
    assert sorted(caller.heard.labels) == sorted(DONE)
    assert caller.heard.labels[-1] == DONE[-1]


def test_a_server_that_is_started_again_meanwhile_is_waited_for_and_watched_again(
    caller: Caller, server: FaultyServer, project: Project
) -> None:
    caller.apply()
    restarts = []

    def restart() -> None:
        while not caller.heard.statuses:
            time.sleep(0.01)
        server.stop()
        time.sleep(1.0)
        server.start()
        restarts.append(server.port)

    thread = threading.Thread(target=restart)
    thread.start()
    (result,) = caller.run()
    thread.join()
    assert restarts
    assert result.ok, result
    assert caller.heard.statuses[-1] == "SUCCEEDED"
    assert [each for each in caller.told if "trying again" in each][1:] == []
    assert len(project.rows("derived_datasets.daily")) == 2
    assert records(project) == [("apply", "SUCCEEDED"), ("run", "SUCCEEDED")]


@pytest.mark.timeout(1200)  # its job outlasts a restart on any machine, and is run from its beginning after it
def test_what_waits_for_its_user_goes_on_with_the_users_tokens(project: Project, server: FaultyServer) -> None:
    project.dataset("daily", sql=SLOW.format(rows=60_000_000))
    caller = Caller(project, server, DCP_CREDENTIALS_ACME="a-secret-token")
    caller.apply()

    def replace() -> None:
        while not caller.heard.statuses:
            time.sleep(0.01)
        server.stop(grace_s=0.0)
        server.start()

    thread = threading.Thread(target=replace)
    thread.start()
    (result,) = caller.run()
    thread.join()
    caller.dcp.close()
    assert result.ok, result
    assert [each for each in caller.told if "goes on with your tokens for acme" in each]
    assert "Operations.ResumeOperation" in [method for method, _ in server.calls]
    assert "a-secret-token" not in " ".join(caller.told)


def test_what_waits_for_tokens_that_nobody_here_has_says_which(project: Project, server: FaultyServer) -> None:
    project.dataset("daily", sql=SLOW.format(rows=1_000_000_000))
    caller = Caller(project, server, DCP_CREDENTIALS_ACME="a-secret-token")
    caller.apply()

    def replace() -> None:
        while not caller.heard.statuses:
            time.sleep(0.01)
        caller.signing_in.credentials = {}
        server.stop(grace_s=0.0)
        server.start()

    thread = threading.Thread(target=replace)
    thread.start()
    with pytest.raises(ConflictError, match="needs the tokens for acme") as waiting:
        caller.run()
    thread.join()
    caller.dcp.close()
    assert waiting.value.code == "operation.waiting"
    assert "DCP_CREDENTIALS_ACME" in (waiting.value.hint or "")


def test_what_may_have_been_done_is_not_done_twice(caller: Caller, server: FaultyServer, project: Project) -> None:
    caller.apply()
    with project.in_process() as dcp:
        (before,) = dcp.store.sandboxes()
    server.lose = lambda method, times: method == "Playground.Extend"
    with pytest.raises(TransientError, match="gone away") as lost:
        caller.dcp.call(find("Playground.Extend"), ExtendRequest(PLAYGROUND, 3))
    assert lost.value.hint == "it may have been done: look before you do it again"
    with project.in_process() as dcp:
        (after,) = dcp.store.sandboxes()
    assert (after.expires_at - before.expires_at).days == 3


def test_what_only_reads_is_asked_again(caller: Caller, server: FaultyServer) -> None:
    server.lose = lambda method, times: method == "Playground.Current" and times < 3
    assert caller.dcp.environment().name == PLAYGROUND


def test_a_server_that_stays_away_is_given_up_with_what_becomes_of_the_work(
    project: Project, server: FaultyServer
) -> None:
    caller = Caller(project, server, DCP_REMOTE_RECONNECT_S="0.5")
    caller.apply()
    server.cut = lambda number: True
    with pytest.raises(TransientError, match="gone away") as ended:
        caller.run()
    assert "goes on without you" in (ended.value.hint or "")
    server.cut = lambda number: False
    caller.dcp.close()


def test_errors_come_with_their_class_and_place(caller: Caller, server: FaultyServer) -> None:
    with pytest.raises(NotFoundError) as missing:
        caller.dcp.plan_destruction(HERE, ["derived_dataset/nothing"])
    assert "derived_dataset/nothing has nothing in playground_alice" in missing.value.message
    assert missing.value.hint == "`pretzel plan` shows what there is"


@contextmanager
def interrupted_when(condition: Any) -> Iterator[None]:
    """Ctrl-C for this process as soon as something holds; none after the block, where it would end the test run."""
    lock = threading.Lock()
    has_ended = False

    def watch() -> None:
        deadline = time.monotonic() + 120
        while not (condition() or has_ended):
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        with lock:
            if not has_ended:
                os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        with lock:
            has_ended = True
        thread.join()


def test_ctrl_c_cancels_a_run_and_sees_its_end(caller: Caller, server: FaultyServer, project: Project) -> None:
    project.dataset("daily", sql=SLOW.format(rows=1_000_000_000))
    caller.apply()
    with pytest.raises(KeyboardInterrupt) as ended, interrupted_when(lambda: "RUNNING" in caller.heard.statuses):
        caller.run()
    assert not isinstance(ended.value, LeftRunningError)
    assert ("run", "CANCELLED") in records(project)
    assert caller.heard.statuses.count("RUNNING") == 1


def test_ctrl_c_leaves_an_apply_to_the_server_and_says_so(
    caller: Caller, server: FaultyServer, project: Project
) -> None:
    server.cut = lambda number: time.sleep(0.3) or False  # so that there is something to interrupt
    with pytest.raises(LeftRunningError) as ended, interrupted_when(lambda: caller.heard.labels):
        caller.apply()
    assert "the server goes on with it (req_" in ended.value.hint
    deadline = time.monotonic() + 120
    while not records(project) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert records(project) == [("apply", "SUCCEEDED")]
