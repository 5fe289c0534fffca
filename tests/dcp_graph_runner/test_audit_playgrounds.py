"""What is done to a playground itself leaves one record, whatever comes in the middle; what changes nothing, none."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcp_core.context import Context
from dcp_core.control_plane import ControlPlane
from dcp_core.errors import ConflictError, NotFoundError, TransientError, UnauthorizedError, UsageError
from dcp_core.model import LogicalPlan
from dcp_core.records import AuditRecord, OperationStatus
from dcp_core.registry import PLUGINS, PRIMITIVES, STORES, Registry
from dcp_core.settings import Settings
from dcp_graph_runner import Playgrounds
from dcp_graph_runner.audit import log_of
from dcp_graph_runner.audit_playgrounds import LEFT, recorded
from dcp_graph_runner.sql_store import open_store
from tests.dcp_graph_runner import processes
from tests.dcp_graph_runner.store_contract import ALICE
from tests.dcp_graph_runner.test_playgrounds_of_control_plane import Note, TextFile, note

WANTED: LogicalPlan = note("a", "b")


class Watched(Note):
    """Something happens once a playground is prepared, and once it is empty."""

    _then: Callable[[], None] = staticmethod(lambda: None)

    def create_sandbox(self, user: str, ctx: Context) -> None:
        super().create_sandbox(user, ctx)
        self._then()

    def destroy_sandbox(self, sandbox_id: str, ctx: Context) -> None:
        self._then()
        super().destroy_sandbox(sandbox_id, ctx)


def opened(root: Path, plugin: Note) -> ControlPlane:
    registry = Registry()
    registry.register(PLUGINS, "note", plugin)
    registry.register(PRIMITIVES, "text_file", TextFile())
    registry.register(STORES, "sqlite", open_store)
    return ControlPlane(Settings(root, {}, {}), registry, "alice")


@pytest.fixture
def plugin() -> Watched:
    return Watched()


@pytest.fixture
def dcp(tmp_path: Path, plugin: Watched) -> Iterator[ControlPlane]:
    with opened(tmp_path, plugin) as dcp:
        yield dcp


def create(dcp: ControlPlane) -> None:
    with recorded(dcp, "create", "alice") as deed:
        Playgrounds.of(dcp).create(dcp.identity, "alice", deed.begin)


def extend(dcp: ControlPlane, days: int = 1) -> None:
    with recorded(dcp, "extend", "alice") as deed:
        Playgrounds.of(dcp).extend("alice", days, deed.begin)


def destroy(dcp: ControlPlane) -> None:
    with recorded(dcp, "destroy", ALICE) as deed:
        Playgrounds.of(dcp).destroy("alice", deed.begin)


def told(dcp: ControlPlane) -> list[tuple[str, OperationStatus]]:
    """Of playgrounds themselves, oldest first."""
    found = [each for each in dcp.store.audit_records() if each.kind.startswith("playground_")]
    return [(each.kind, each.outcome) for each in reversed(found)]


def last(dcp: ControlPlane) -> AuditRecord:
    return dcp.store.audit_records(limit=1)[0]


FAILURES = (
    ConflictError("somebody put something into it"),
    UnauthorizedError("the platform refuses"),
    NotFoundError("the folder is gone"),
    UsageError("no such name"),
    TransientError("the platform is away"),
    RuntimeError("a bug"),
    SystemExit(3),
    KeyboardInterrupt(),
)


@pytest.mark.parametrize("deed", [create, destroy])
def test_whatever_comes_in_the_middle_the_deed_is_recorded_and_never_as_refused(
    dcp: ControlPlane, plugin: Watched, deed: Callable[[ControlPlane], None]
) -> None:
    kind, undo = f"playground_{deed.__name__}", destroy if deed is create else create
    if deed is destroy:
        create(dcp)
        dcp.apply(dcp.plan(WANTED))
    for failure in FAILURES:

        def fail(failure: BaseException = failure) -> None:
            raise failure

        plugin._then = fail
        with pytest.raises(BaseException) as raised:
            deed(dcp)
        assert type(raised.value) is type(failure) or "a bug" in str(raised.value)
        record = last(dcp)
        outcome = OperationStatus.CANCELLED if isinstance(failure, KeyboardInterrupt) else OperationStatus.FAILED
        assert (record.kind, record.outcome, record.environment) == (kind, outcome, ALICE), failure
        assert record.actions == (f"{deed.__name__.upper()}_PLAYGROUND {ALICE} {outcome}",)
        assert record.message not in ("", LEFT), failure
        assert log_of(dcp.store).announced() == 0
        plugin._then = lambda: None
        deed(dcp)
        assert told(dcp)[-1] == (kind, OperationStatus.SUCCEEDED)
        undo(dcp)


def killed_while(root: Path, kind: str) -> None:
    plugin = Watched()
    dcp = opened(root, plugin)
    if kind == "destroy":
        create(dcp)
        dcp.apply(dcp.plan(WANTED))
    plugin._then = lambda: os.kill(os.getpid(), signal.SIGKILL)
    {"create": create, "destroy": destroy}[kind](dcp)


@pytest.mark.parametrize("kind", ["create", "destroy"])
def test_a_process_killed_in_the_middle_is_recorded_by_the_next_command(
    tmp_path: Path, dcp: ControlPlane, kind: str
) -> None:
    assert processes.run(killed_while, tmp_path, kind) == -9
    assert f"playground_{kind}" not in [each for each, _ in told(dcp)]
    dcp.settle_audit()
    record = last(dcp)
    assert (record.kind, record.outcome, record.message) == (f"playground_{kind}", OperationStatus.FAILED, LEFT)
    assert record.actions == (f"{kind.upper()}_PLAYGROUND {ALICE} FAILED",)
    assert log_of(dcp.store).announced() == 0
    {"create": create, "destroy": destroy}[kind](dcp)
    assert told(dcp)[-1] == (f"playground_{kind}", OperationStatus.SUCCEEDED)


def test_while_it_is_done_it_is_announced_and_nobody_settles_it(dcp: ControlPlane, plugin: Watched) -> None:
    seen: list[int] = []

    def look() -> None:
        dcp.settle_audit()
        seen.append(log_of(dcp.store).announced())

    plugin._then = look
    create(dcp)
    destroy(dcp)
    assert seen == [1, 1]
    assert told(dcp) == [
        ("playground_create", OperationStatus.SUCCEEDED),
        ("playground_destroy", OperationStatus.SUCCEEDED),
    ]


def test_creating_the_playground_that_is_there_is_not_recorded_again(dcp: ControlPlane) -> None:
    create(dcp)
    create(dcp)
    assert told(dcp) == [("playground_create", OperationStatus.SUCCEEDED)]


def test_only_what_is_refused_before_anything_began_is_recorded_as_refused(dcp: ControlPlane) -> None:
    create(dcp)
    dcp.identity = "mallory"
    with pytest.raises(ConflictError):
        create(dcp)
    record = last(dcp)
    assert (record.user, record.kind, record.outcome) == ("mallory", "playground_create", OperationStatus.REFUSED)


def test_what_cannot_be_or_names_no_playground_leaves_no_record(dcp: ControlPlane) -> None:
    for deed in (extend, destroy):
        with pytest.raises(NotFoundError):
            deed(dcp)
    create(dcp)
    with pytest.raises(UsageError):
        extend(dcp, days=0)
    with pytest.raises(KeyboardInterrupt), recorded(dcp, "destroy", "alice"):
        raise KeyboardInterrupt  # at the question whether to
    assert told(dcp) == [("playground_create", OperationStatus.SUCCEEDED)]
    assert log_of(dcp.store).announced() == 0
