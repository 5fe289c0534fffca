"""Playgrounds on a real store; the control plane's destruction and the plugins' hooks are told apart by their calls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from dcp_core.errors import ConflictError, NotFoundError, TransientError, UsageError
from dcp_core.model import Environment
from dcp_core.records import Operation, OperationStatus
from dcp_core.sandboxes import PlaygroundSettings
from dcp_core.settings import Settings
from dcp_core.store import InventoryChange, StateStore, StepStatus
from dcp_graph_runner import Playgrounds
from dcp_graph_runner.sizes import warehouse_size_bytes
from dcp_graph_runner.sql_store import open_store
from tests.dcp_graph_runner.store_contract import ALICE, FIRST, START, Clock, apply, entry, finish, operation

IDENTITY = "alice"


class Platform:
    """Stands in for the control plane and the plugins, which are tested elsewhere; deletes through the journal."""

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self.calls: list[str] = []
        self.fails_at: str | None = None
        self.keeps: set[str] = set()

    def create_sandbox(self, environment: Environment) -> None:
        self._call(f"create {environment.name}")

    def destroy_sandbox(self, environment: Environment) -> None:
        self._call(f"destroy {environment.name}")

    def destroy_environment(self, environment: Environment) -> tuple[Operation, ...]:
        self._call(f"empty {environment.name}")
        if not self.store.inventory(environment.name):
            return ()
        lease = self.store.begin(attrs.evolve(operation(f"op_d{len(self.calls)}"), kind="destroy"), FIRST)
        for item in self.store.inventory(environment.name):
            if item.resource.name in self.keeps:
                continue
            key = f"action:{item.resource.key}"
            self.store.start_step(lease, key)
            change = InventoryChange(environment.name, item.resource.key, None)
            self.store.finish_step(lease, key, StepStatus.DONE, None, (change,))
        return (finish(self.store, lease, OperationStatus.PARTIAL if self.keeps else OperationStatus.SUCCEEDED),)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fails_at:
            raise TransientError("the platform is down")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[StateStore]:
    store = open_store(f"sqlite:///{tmp_path}/state.db", clock)
    yield store
    store.close()


@pytest.fixture
def platform(store: StateStore) -> Platform:
    return Platform(store)


@pytest.fixture
def playgrounds(store: StateStore, platform: Platform, clock: Clock) -> Playgrounds:
    return Playgrounds(
        store,
        clock=clock,
        destroy_environment=platform.destroy_environment,
        create_sandbox=platform.create_sandbox,
        destroy_sandbox=platform.destroy_sandbox,
    )


def test_a_new_playground_lives_for_two_weeks_and_is_prepared_by_plugins(
    playgrounds: Playgrounds, platform: Platform, store: StateStore
) -> None:
    sandbox = playgrounds.create(IDENTITY)
    assert (sandbox.id, sandbox.user, sandbox.identity) == (ALICE, "alice", IDENTITY)
    assert (sandbox.created_at, sandbox.expires_at) == (START, START + timedelta(days=14))
    assert store.sandboxes() == playgrounds.list() == (sandbox,)
    assert platform.calls == [f"create {ALICE}"]


def test_the_time_to_live_is_a_setting(store: StateStore, platform: Platform, clock: Clock, tmp_path: Path) -> None:
    settings = Settings(tmp_path, {"playground": {"ttl_days": 3}}, {})
    playgrounds = Playgrounds(
        store,
        clock=clock,
        destroy_environment=platform.destroy_environment,
        create_sandbox=platform.create_sandbox,
        destroy_sandbox=platform.destroy_sandbox,
        settings=settings.section("playground", PlaygroundSettings),
    )
    assert playgrounds.create(IDENTITY).expires_at == START + timedelta(days=3)


def test_creating_again_prepares_again_what_failed_and_then_keeps_the_expiry(
    playgrounds: Playgrounds, platform: Platform, clock: Clock
) -> None:
    platform.fails_at = f"create {ALICE}"
    with pytest.raises(TransientError):
        playgrounds.create(IDENTITY)
    assert playgrounds.list() == ()
    platform.fails_at = None
    assert playgrounds.create(IDENTITY).expires_at == START + timedelta(days=14)
    clock.advance(timedelta(days=1))
    assert playgrounds.create(IDENTITY).expires_at == START + timedelta(days=14)
    assert platform.calls == [f"create {ALICE}"] * 3


def test_two_identities_that_share_a_name_are_refused_with_both_ways_out(
    playgrounds: Playgrounds, platform: Platform
) -> None:
    playgrounds.create("alice.smith")
    with pytest.raises(ConflictError) as refused:
        playgrounds.create("alice-smith")
    told = f"{refused.value} {refused.value.hint}"
    assert "alice.smith" in told
    assert "alice-smith" in told
    assert "create NAME" in told
    assert "destroy playground_alice_smith" in told
    assert platform.calls == ["create playground_alice_smith"]
    assert playgrounds.create("alice-smith", "alice2").id == "playground_alice2"


@pytest.mark.parametrize("name", ["", "Alice", "a" * 33, "../x", "a-b", "a b", "alice\n"])
def test_a_name_that_is_not_allowed_is_refused(playgrounds: Playgrounds, store: StateStore, name: str) -> None:
    with pytest.raises(UsageError):
        playgrounds.create(IDENTITY, name)
    assert store.sandboxes() == ()


def test_work_goes_to_ones_own_playground_until_another_is_chosen(playgrounds: Playgrounds) -> None:
    assert playgrounds.current(IDENTITY).name == ALICE  # before it exists
    playgrounds.create("bob")
    assert playgrounds.use(IDENTITY, "bob").name == "playground_bob"
    assert playgrounds.current(IDENTITY).name == "playground_bob"
    assert playgrounds.use(IDENTITY, None).name == ALICE
    with pytest.raises(NotFoundError, match="playground_carol"):
        playgrounds.use(IDENTITY, "playground_carol")
    playgrounds.use(IDENTITY, "playground_bob")
    assert playgrounds.destroy("bob").is_complete
    assert playgrounds.current(IDENTITY).name == ALICE


def test_showing_tells_contents_and_expiry(playgrounds: Playgrounds, store: StateStore, clock: Clock) -> None:
    playgrounds.create(IDENTITY)
    apply(store, operation(), entry("a"))
    shown = playgrounds.show("alice")
    assert (shown.sandbox.id, shown.environment.catalog) == (ALICE, "pedregal-playground-alice")
    assert (shown.inventory, shown.size_bytes, shown.is_expired) == ((entry("a"),), None, False)
    assert playgrounds.expired() == ()
    clock.advance(timedelta(days=14))
    assert playgrounds.show(ALICE).is_expired
    assert [sandbox.id for sandbox in playgrounds.expired()] == [ALICE]


def test_extending_counts_from_the_expiry_or_from_now(playgrounds: Playgrounds, clock: Clock) -> None:
    playgrounds.create(IDENTITY)
    assert playgrounds.extend(IDENTITY, 10).expires_at == START + timedelta(days=24)
    clock.advance(timedelta(days=100))
    assert playgrounds.extend(ALICE, 1).expires_at == clock.now + timedelta(days=1)
    assert playgrounds.list()[0].expires_at == clock.now + timedelta(days=1)
    for days in (0, -1, 366):
        with pytest.raises(UsageError):
            playgrounds.extend(ALICE, days)
    with pytest.raises(NotFoundError):
        playgrounds.extend("nobody", 1)


def test_destroying_deletes_resources_then_the_plugins_part_then_the_row(
    playgrounds: Playgrounds, platform: Platform, store: StateStore
) -> None:
    playgrounds.create(IDENTITY)
    apply(store, operation(), entry("a"), entry("b"))
    destroyed = playgrounds.destroy("alice")
    assert destroyed.is_complete
    assert [one.kind for one in destroyed.operations] == ["destroy"]
    assert platform.calls == [f"create {ALICE}", f"empty {ALICE}", f"destroy {ALICE}"]
    assert store.inventory(ALICE) == ()
    assert playgrounds.list() == ()
    with pytest.raises(NotFoundError):
        playgrounds.destroy("alice")


def test_what_cannot_be_deleted_keeps_the_playground_and_is_named(
    playgrounds: Playgrounds, platform: Platform, store: StateStore
) -> None:
    playgrounds.create(IDENTITY)
    apply(store, operation(), entry("a"), entry("b"))
    platform.keeps = {"b"}
    destroyed = playgrounds.destroy(ALICE)
    assert not destroyed.is_complete
    assert destroyed.left == (entry("b"),)
    assert f"destroy {ALICE}" not in platform.calls
    assert len(playgrounds.list()) == 1
    platform.keeps = set()
    assert playgrounds.destroy(ALICE).is_complete


@pytest.mark.parametrize("fails_at", [f"empty {ALICE}", f"destroy {ALICE}"])
def test_a_destruction_that_stopped_anywhere_goes_on(
    playgrounds: Playgrounds, platform: Platform, store: StateStore, fails_at: str
) -> None:
    playgrounds.create(IDENTITY)
    apply(store, operation(), entry("a"))
    platform.fails_at = fails_at
    with pytest.raises(TransientError):
        playgrounds.destroy(ALICE)
    assert len(playgrounds.list()) == 1
    platform.fails_at = None
    assert playgrounds.destroy(ALICE).is_complete
    assert (store.inventory(ALICE), playgrounds.list()) == ((), ())


# Sizes


def test_the_size_is_that_of_the_warehouses_files(tmp_path: Path) -> None:
    settings = Settings(tmp_path, {}, {})
    environment = Environment.named(ALICE)
    assert warehouse_size_bytes(settings, environment) == 0
    folder = tmp_path / ".dcp" / "warehouse" / environment.catalog / "derived_datasets" / "x"
    folder.mkdir(parents=True)
    (folder / "data.parquet").write_bytes(b"x" * 1000)
    (folder / "metadata.json").write_bytes(b"x" * 24)
    (tmp_path / ".dcp" / "warehouse" / "pedregal").mkdir()
    (tmp_path / ".dcp" / "warehouse" / "pedregal" / "production").write_bytes(b"x" * 5000)
    assert warehouse_size_bytes(settings, environment) == 1024


@pytest.mark.parametrize("warehouse", ["s3://bucket/x", "file:///srv/shared", ""])
def test_a_size_that_cannot_be_known_is_unknown(tmp_path: Path, warehouse: str) -> None:
    settings = Settings(tmp_path, {"catalog": {"type": "rest", "uri": "http://x", "warehouse": warehouse}}, {})
    assert warehouse_size_bytes(settings, Environment.named(ALICE)) is None
