"""Playgrounds: every user's own environment, from its first use until it is destroyed.

A playground is a row in the store, an environment and a catalog that follow from its name, and what manifests put
there. Nothing here talks to a platform: resources go through the control plane's own destruction, which is
journalled, and the rest through the plugins' sandbox hooks; both are handed in.

Source: design.md section 8.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import attrs

from dcp_core.errors import NotFoundError, PluginLoadError, UsageError
from dcp_core.model import PLAYGROUND_PREFIX, PRODUCTION, Environment
from dcp_core.records import InventoryEntry, Operation, Sandbox
from dcp_core.registry import PLUGINS
from dcp_core.sandboxes import PlaygroundSettings, playground_user
from dcp_core.store import Store
from dcp_graph_runner.sizes import warehouse_size_bytes

if TYPE_CHECKING:
    from dcp_core.control_plane import ControlPlane

DAYS_AT_MOST = 365


def _nothing() -> None:
    """Where nobody wants to know that something begins."""


@attrs.frozen
class Playground:
    """What ``show`` tells.

    Args:
        sandbox: Name, owner, and when it expires.
        environment: Where its manifests go.
        inventory: The resources in it, in the order in which they were first applied.
        size_bytes: Of its data, None when that cannot be known.
        is_expired: Whether it may be destroyed without asking its owner.
    """

    sandbox: Sandbox
    environment: Environment
    inventory: tuple[InventoryEntry, ...]
    size_bytes: int | None
    is_expired: bool


@attrs.frozen
class Destruction:
    """How far a destruction came; when it is not complete, destroying again goes on from there.

    Args:
        sandbox: The playground.
        operations: One for each manifest whose resources were deleted, after those that crashed processes left
            behind and that were finished first.
        left: What could not be deleted.
    """

    sandbox: Sandbox
    operations: tuple[Operation, ...]
    left: tuple[InventoryEntry, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the playground is gone."""
        return not self.left


class Playgrounds:
    """Creates, shows, extends and destroys playgrounds.

    Args:
        store: Where they are remembered.
        clock: UTC now.
        settings: ``[playground]``.
        destroy_environment: Deletes every resource in the environment's inventory, manifest by manifest;
            ``ControlPlane.destroy_environment``.
        create_sandbox: Calls ``create_sandbox`` of every plugin; repeated after a crash.
        destroy_sandbox: Calls ``destroy_sandbox`` of every plugin; repeated after a crash.
        measure: Size of the environment's data in bytes, None when unknown.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], datetime],
        destroy_environment: Callable[[Environment], tuple[Operation, ...]],
        create_sandbox: Callable[[Environment], None],
        destroy_sandbox: Callable[[Environment], None],
        settings: PlaygroundSettings = PlaygroundSettings(),
        measure: Callable[[Environment], int | None] = lambda environment: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._destroy_environment = destroy_environment
        self._create_sandbox = create_sandbox
        self._destroy_sandbox = destroy_sandbox
        self._measure = measure

    @classmethod
    def of(cls, dcp: ControlPlane) -> Playgrounds:
        """The playgrounds of a control plane."""

        def every_plugin(hook: str, environment: Environment, **arguments: str) -> None:
            ctx = dcp.context(environment)
            for name in dcp.registry.names(PLUGINS):
                try:
                    dcp.registry.plugin(name, hook, ctx=ctx, **arguments)
                except PluginLoadError as error:
                    # A plugin that cannot be loaded must not keep anybody from a playground, or from leaving it.
                    ctx.log.warning("%s is passed over in %s: %s", name, hook, error.message)

        return cls(
            dcp.store,
            clock=lambda: dcp.context(Environment.named(PRODUCTION)).clock(),
            destroy_environment=dcp.destroy_environment,
            create_sandbox=lambda environment: every_plugin("create_sandbox", environment, user=environment.user or ""),
            destroy_sandbox=lambda environment: every_plugin(
                "destroy_sandbox", environment, sandbox_id=environment.name
            ),
            settings=dcp.settings.section("playground", PlaygroundSettings),
            measure=lambda environment: warehouse_size_bytes(dcp.settings, environment),
        )

    def create(self, identity: str, user: str | None = None, begins: Callable[[], None] = _nothing) -> Sandbox:
        """Create a playground; the one that is there is prepared again, and its expiry stays as it was.

        Args:
            identity: Whose it is.
            user: Its name without ``playground_``; None derives it from the identity.
            begins: Called before the first change, when there is none yet.

        Raises:
            UsageError: The name is not allowed.
            ConflictError: The name belongs to another identity; says both ways out.
        """
        environment = _environment(playground_user(identity) if user is None else user)
        known = self.find(environment.name)
        now = self._clock()
        sandbox = Sandbox(
            id=environment.name,
            user=environment.name.removeprefix(PLAYGROUND_PREFIX),
            identity=identity,
            created_at=now,
            expires_at=now + timedelta(days=self._settings.ttl_days),
        )
        if known is not None and known.identity != identity:
            self._store.put_sandbox(sandbox)  # refuses, and says both ways out
        if known is None:
            begins()
        # The row comes last: while there is none, the next apply or create prepares again.
        self._create_sandbox(environment)
        if known is not None:
            return known
        self._store.put_sandbox(sandbox)
        return sandbox

    def list(self) -> tuple[Sandbox, ...]:
        """All playgrounds, by name."""
        return self._store.sandboxes()

    def expired(self) -> tuple[Sandbox, ...]:
        """Those that may be destroyed without asking, the longest expired first."""
        now = self._clock()
        past = (sandbox for sandbox in self._store.sandboxes() if sandbox.expires_at <= now)
        return tuple(sorted(past, key=lambda sandbox: sandbox.expires_at))

    def find(self, name: str) -> Sandbox | None:
        """The playground called ``alice`` or ``playground_alice``, None when there is none."""
        sandbox_id = _sandbox_id(name)
        return next((sandbox for sandbox in self._store.sandboxes() if sandbox.id == sandbox_id), None)

    def show(self, name: str) -> Playground:
        """One playground with its contents. Raises NotFoundError."""
        sandbox = self.get(name)
        environment = Environment.named(sandbox.id)
        return Playground(
            sandbox=sandbox,
            environment=environment,
            inventory=self._store.inventory(sandbox.id),
            size_bytes=self._measure(environment),
            is_expired=sandbox.expires_at <= self._clock(),
        )

    def current(self, identity: str) -> Environment:
        """The environment that ``identity`` works on without ``-e``: the chosen playground, else its own.

        Its own may not exist yet. A chosen one that is gone no longer counts.
        """
        chosen = self._store.chosen_sandbox(identity)
        if chosen is not None:
            sandbox = self.find(chosen)
            if sandbox is not None:
                return Environment.named(sandbox.id)
        return _environment(playground_user(identity))

    def use(self, identity: str, name: str | None) -> Environment:
        """Choose the playground that ``identity`` works on from now; None goes back to its own.

        Raises:
            NotFoundError: There is no such playground.
        """
        self._store.choose_sandbox(identity, None if name is None else self.get(name).id)
        return self.current(identity)

    def extend(self, name: str, days: int, begins: Callable[[], None] = _nothing) -> Sandbox:
        """Let a playground live ``days`` longer: counted from its expiry, or from now when that is past.

        ``begins`` is called before the change.

        Raises:
            NotFoundError: There is no such playground.
            UsageError: ``days`` is not 1 to 365.
        """
        if not 1 <= days <= DAYS_AT_MOST:
            raise UsageError(f"a playground can be extended by 1 to {DAYS_AT_MOST} days, not by {days}")
        sandbox = self.get(name)
        longer = attrs.evolve(sandbox, expires_at=max(sandbox.expires_at, self._clock()) + timedelta(days=days))
        begins()
        self._store.put_sandbox(longer)
        return longer

    def destroy(self, name: str, begins: Callable[[], None] = _nothing) -> Destruction:
        """Delete everything in a playground, then what the plugins made for it, then the playground itself.

        Whatever stops it half-way, destroying again goes on: the row goes last. ``begins`` is called before the
        first change.

        Raises:
            NotFoundError: There is no such playground.
            ConflictError: Somebody put something into it meanwhile.
        """
        sandbox = self.get(name)
        environment = Environment.named(sandbox.id)
        begins()
        operations = self._destroy_environment(environment)
        destruction = Destruction(sandbox, operations, self._store.inventory(sandbox.id))
        if destruction.is_complete:
            self._destroy_sandbox(environment)
            self._store.delete_sandbox(sandbox.id)
        return destruction

    def get(self, name: str) -> Sandbox:
        """The playground called ``alice`` or ``playground_alice``. Raises NotFoundError."""
        sandbox = self.find(name)
        if sandbox is None:
            raise NotFoundError(
                f"there is no playground {_sandbox_id(name)}",
                hint="pretzel playground list shows them; pretzel playground create makes yours",
                code="playground.not_found",
            )
        return sandbox


def _environment(user: str) -> Environment:
    return Environment.named(PLAYGROUND_PREFIX + user)


def _sandbox_id(name: str) -> str:
    return name if name.startswith(PLAYGROUND_PREFIX) else PLAYGROUND_PREFIX + name
