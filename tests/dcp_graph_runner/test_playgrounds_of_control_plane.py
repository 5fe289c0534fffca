"""Playgrounds wired to a real control plane on a real store; the platform is a folder of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcp_core.context import Context
from dcp_core.control_plane import ControlPlane
from dcp_core.errors import TransientError, UnauthorizedError
from dcp_core.interfaces import Plugin, Primitive
from dcp_core.model import LogicalPlan, Metadata, Resource, Source, State
from dcp_core.planning import owner_of
from dcp_core.records import OperationStatus
from dcp_core.registry import PLUGINS, PRIMITIVES, STORES, Registry
from dcp_core.settings import Settings
from dcp_graph_runner import Playgrounds
from dcp_graph_runner.sql_store import open_store
from tests.dcp_graph_runner.store_contract import ALICE


class Note(Plugin):
    """A manifest type that wants one file for each of its names, and a folder for each playground."""

    manifest_type = "note"

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        return tuple(
            Resource("text_file", name, logical_plan.id, logical_plan.environment, {})
            for name in logical_plan.plugin_spec["names"]
        )

    def create_sandbox(self, user: str, ctx: Context) -> None:
        (ctx.settings.root / f"playground_{user}").mkdir(exist_ok=True)

    def destroy_sandbox(self, sandbox_id: str, ctx: Context) -> None:
        assert not list((ctx.settings.root / sandbox_id).iterdir()), "the resources go first"
        (ctx.settings.root / sandbox_id).rmdir()


class TextFile(Primitive):
    """A file; one called ``stuck`` cannot be deleted while ``lock`` is there."""

    kind = "text_file"

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        return State({}, owner_of(resource)) if self._path(resource, ctx).exists() else None

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        self._path(resource, ctx).touch()

    def delete(self, resource: Resource, ctx: Context) -> None:
        if resource.name == "stuck" and (ctx.settings.root / "lock").exists():
            raise UnauthorizedError("locked")
        self._path(resource, ctx).unlink(missing_ok=True)

    def _path(self, resource: Resource, ctx: Context) -> Path:
        return ctx.settings.root / resource.environment / resource.name


@pytest.fixture
def dcp(tmp_path: Path) -> Iterator[ControlPlane]:
    registry = Registry()
    registry.register(PLUGINS, "note", Note())
    registry.register(PRIMITIVES, "text_file", TextFile())
    registry.register(STORES, "sqlite", open_store)
    with ControlPlane(Settings(tmp_path, {"playground": {"ttl_days": 5}}, {}), registry, "alice") as dcp:
        yield dcp


def note(*names: str) -> LogicalPlan:
    return LogicalPlan("note", "note/x", ALICE, {"names": list(names)}, Metadata("team"), Source("x.yaml", ""))


def test_a_playground_is_created_filled_shown_and_destroyed(dcp: ControlPlane, tmp_path: Path) -> None:
    playgrounds = Playgrounds.of(dcp)
    sandbox = playgrounds.create("alice")
    assert (sandbox.expires_at - sandbox.created_at).days == 5
    assert playgrounds.current("alice") == dcp.environment()
    (applied,) = dcp.apply(dcp.plan(note("a", "b")))
    assert applied.status is OperationStatus.SUCCEEDED
    shown = playgrounds.show("alice")
    assert {item.resource.name for item in shown.inventory} == {"a", "b"}
    assert shown.size_bytes == 0  # no table, so no file in its warehouse
    destroyed = playgrounds.destroy("alice")
    assert destroyed.is_complete
    assert [one.status for one in destroyed.operations] == [OperationStatus.SUCCEEDED]
    assert not (tmp_path / ALICE).exists()
    assert playgrounds.list() == ()
    assert [record.kind for record in dcp.store.audit_records(ALICE)] == ["destroy", "apply"]
    assert (tmp_path / ".dcp" / "state.db").exists()


def test_a_playground_with_something_that_cannot_go_stays_until_it_can(dcp: ControlPlane, tmp_path: Path) -> None:
    playgrounds = Playgrounds.of(dcp)
    playgrounds.create("alice")
    dcp.apply(dcp.plan(note("a", "stuck")))
    (tmp_path / "lock").touch()
    destroyed = playgrounds.destroy("alice")
    assert [item.resource.name for item in destroyed.left] == ["stuck"]
    assert (tmp_path / ALICE).exists()
    (tmp_path / "lock").unlink()
    assert playgrounds.destroy("alice").is_complete
    assert not (tmp_path / ALICE).exists()


def test_a_plugin_that_cannot_be_loaded_keeps_nobody_from_a_playground(dcp: ControlPlane) -> None:
    class Misspelled(Note):
        def decompos(self) -> None:
            raise TransientError("never called")

    dcp.registry.register(PLUGINS, "another", Misspelled())
    playgrounds = Playgrounds.of(dcp)
    playgrounds.create("alice")
    assert playgrounds.destroy("alice").is_complete


def test_a_playground_of_somebody_else_is_not_emptied(dcp: ControlPlane, tmp_path: Path) -> None:
    playgrounds = Playgrounds.of(dcp)
    playgrounds.create("alice")
    dcp.apply(dcp.plan(note("a")))
    dcp.identity = "mallory"
    with pytest.raises(UnauthorizedError, match="alice"):
        playgrounds.destroy("alice")
    assert (tmp_path / ALICE / "a").exists()
