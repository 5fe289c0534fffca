"""A little platform in memory with a plugin and a primitive of its own: nothing of it stands in for a real one.

A ``World`` outlives the control planes that work on it, as a real platform outlives processes; ``Crash`` is a
process that ends at a chosen write to the journal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import evolve

from dcp_core import (
    Context,
    ControlPlane,
    Effect,
    Environment,
    Execution,
    ExecutionStatus,
    FieldChange,
    LogicalPlan,
    Manifest,
    Metadata,
    Plugin,
    Preview,
    Primitive,
    Registry,
    Resource,
    ResourceKey,
    Settings,
    Source,
    State,
)
from dcp_core.memory_store import MemoryStore
from dcp_core.model import ResourceKey as Key
from dcp_core.registry import PLUGINS, PRIMITIVES
from dcp_core.store import Holder

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SHELF = "shelf"
ITEM = "shelf_item"


class Crash(BaseException):
    """The process ends here; not an Exception, so that nothing handles it."""


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class World:
    """What exists, what was called, and what goes wrong."""

    def __init__(self) -> None:
        self.items: dict[str, State] = {}
        self.calls: list[tuple[str, str]] = []
        self.running: dict[str, str] = {}
        self.executions: dict[str, Execution] = {}
        self.keys: dict[str, str] = {}
        self.failures: dict[tuple[str, str], list[BaseException]] = {}
        self.is_dead = False
        self._lock = threading.RLock()

    def fail(self, hook: str, name: str, *errors: BaseException) -> None:
        """The next calls of ``hook`` for ``name`` raise these, one each."""
        self.failures.setdefault((hook, name), []).extend(errors)

    def called(self, hook: str) -> list[str]:
        """The names that ``hook`` was called for and did, in order."""
        return [name for called, name in self.calls if called == hook]

    def do(self, hook: str, name: str, change: Callable[[], None] = lambda: None) -> None:
        """One call of the platform: fails, or changes something and is noted."""
        with self._lock:
            if self.is_dead:
                raise Crash
            errors = self.failures.get((hook, name))
            if errors:
                raise errors.pop(0)
            change()
            self.calls.append((hook, name))


class ShelfItem(Primitive):
    """An item: values and a mark. A changed ``size`` replaces it, ``loses`` is destructive, ``never`` refused.

    An execution has ended when it is looked at; one with the parameter ``endless`` goes on until it is stopped.
    """

    kind = ITEM

    def __init__(self, world: World) -> None:
        self._world = world

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        self._world.do("read", resource.name)
        return self._world.items.get(resource.name)

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        if desired is None:
            loses = bool(actual and actual.values.get("loses"))
            return (FieldChange("item", resource.name, None, Effect.DESTRUCTIVE, "drops rows"),) if loses else ()
        effects = {"size": Effect.REPLACE, "loses": Effect.DESTRUCTIVE, "never": Effect.REFUSED}
        return tuple(
            FieldChange(
                each.field, each.actual, each.desired, effects.get(each.field, Effect.UPDATE),
                f"{each.field} changes" if each.field in effects else None,
            )
            for each in super().compare(resource, desired, actual)
        )  # fmt: skip

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        assert resource.name not in self._world.items, "create is called only when it is absent"
        self._world.do("create", resource.name, lambda: self._put(resource, desired))

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        assert self._world.items[resource.name] == actual
        self._world.do("update", resource.name, lambda: self._put(resource, desired))

    def delete(self, resource: Resource, ctx: Context) -> None:
        self._world.do("delete", resource.name, lambda: self._take(resource))

    def start(self, resource: Resource, params: Mapping[str, str], idempotency_key: str, ctx: Context) -> Execution:
        if resource.name not in self._world.items:
            raise KeyError(resource.name)
        known = self._world.keys.get(idempotency_key)
        if known is None:
            self._world.do("start", resource.name)
            known = self._world.keys[idempotency_key] = f"e{len(self._world.keys) + 1}"
            self._world.running[resource.name] = known
            self._world.executions[known] = evolve(
                self._execution(resource, known, ExecutionStatus.RUNNING),
                params=dict(params),
                idempotency_key=idempotency_key,
                is_endless="endless" in params,
            )
        return self._world.executions[known]

    def stop(self, resource: Resource, ctx: Context) -> tuple[Execution, ...]:
        running = self._world.running.get(resource.name)
        if running is None:
            return ()
        self._world.do("stop", resource.name, lambda: self._end(resource, ExecutionStatus.CANCELLED))
        return (self._world.executions[running],)

    def get_status(self, resource: Resource, execution_id: str | None, ctx: Context) -> Execution | None:
        if execution_id is None:
            return self._world.executions.get(self._world.running.get(resource.name, ""))
        self._world.do("look", resource.name)
        if (
            self._world.running.get(resource.name) == execution_id
            and not self._world.executions[execution_id].is_endless
        ):
            failed = self._world.items[resource.name].values.get("text") == "fails"
            self._end(resource, ExecutionStatus.FAILED if failed else ExecutionStatus.SUCCEEDED)
        return self._world.executions.get(execution_id)

    def preview(self, resource: Resource, limit: int, ctx: Context) -> Preview | None:
        state = self._world.items.get(resource.name)
        return Preview(("text",), ((state.values.get("text"),),)[:limit]) if state else None

    def _put(self, resource: Resource, desired: State) -> None:
        self._world.items[resource.name] = desired

    def _take(self, resource: Resource) -> None:
        self._world.items.pop(resource.name, None)
        self._world.running.pop(resource.name, None)

    def _end(self, resource: Resource, status: ExecutionStatus) -> None:
        ended = self._world.running.pop(resource.name)
        self._world.executions[ended] = evolve(self._world.executions[ended], status=status)

    def _execution(self, resource: Resource, id: str, status: ExecutionStatus) -> Execution:
        return Execution(id, resource.key, resource.environment, status, "memory")


class Shelf(Plugin):
    """A shelf of items: ``name``, ``items`` (name, text, needs, runnable, protect …), ``reads``, ``owner``."""

    manifest_type = SHELF

    def get_manifest_schema(self) -> Mapping[str, Any]:
        text = {"type": "string"}
        item = {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "description": "The item's name."},
                "text": text,
                "colour": {"enum": ["red", "green", "blue"]},
                "size": {"type": "integer", "minimum": 1},
                "never": {"type": "integer"},
                "loses": {"type": "integer"},
                "needs": {"type": "array", "items": text},
                "runnable": {"type": "boolean"},
                "protect": {"type": "boolean"},
            },
            "additionalProperties": False,
        }
        return {
            "type": "object",
            "required": ["name", "items"],
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
                "owner": text,
                "items": {"type": "array", "items": item, "minItems": 1},
                "reads": {"type": "array", "items": text},
                "file": text,
                "labels": {
                    "type": "object",
                    "propertyNames": {"pattern": "^[a-z]+$"},
                    "additionalProperties": {"type": "string"},
                },
                "when": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["at"]}], "x-hint": "say when"},
            },
            "additionalProperties": False,
        }

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        data = {key: value for key, value in manifest.data.items() if key != "manifest_type"}
        if "file" in data:
            data["content"] = manifest.read(data["file"], path=("file",))
        metadata = Metadata(data.pop("owner", "acme"), labels=data.pop("labels", {}))
        return LogicalPlan(SHELF, f"{SHELF}/{data['name']}", environment.name, data, metadata, manifest.source())

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        spec = logical_plan.plugin_spec
        scoped = Environment.named(logical_plan.environment).scoped
        first = spec["items"][0]["name"]
        return tuple(
            Resource(
                ITEM, scoped(item["name"]), logical_plan.id, logical_plan.environment,
                {key: item[key] for key in ("text", "size", "never", "loses") if key in item},
                tuple(ResourceKey(ITEM, scoped(name)) for name in item.get("needs", ())),
                (spec["name"],) if item["name"] == first else (),
                tuple(spec.get("reads", ())) if item["name"] == first else (),
                item.get("runnable", False), item.get("protect"), ("items", number),
            )
            for number, item in enumerate(spec["items"])
        )  # fmt: skip


def item(name: str, **fields: Any) -> dict[str, Any]:
    """One item of a shelf's spec."""
    return {"name": name, **fields}


def shelf(
    name: str, *items: dict[str, Any], environment: str = "playground_alice", owner: str = "acme", **fields: Any
) -> LogicalPlan:
    """The logical plan of a shelf."""
    source = Source(f"shelf/{name}.yaml", "sha256:0")
    return LogicalPlan(
        SHELF, f"{SHELF}/{name}", environment, {"name": name, "items": list(items), **fields}, Metadata(owner), source
    )


def key(name: str, environment: str = "playground_alice") -> Key:
    """The key of an item."""
    return Key(ITEM, Environment.named(environment).scoped(name))


class CrashingStore(MemoryStore):
    """A store whose process ends at the ``crash_at``-th write: before it when that is even, after it when odd.

    Args:
        world: Dies with the process, so that other threads of it change nothing any more.
    """

    WRITES = ("begin", "start_step", "finish_step", "save_logical_plan", "finish", "put_sandbox")

    def __init__(self, clock: Clock, world: World) -> None:
        super().__init__(clock, is_gone=lambda holder: holder.pid in self.gone)
        self.gone: set[int] = set()
        self.crash_at: int | None = None
        self.writes = 0
        self._world = world
        self._counting = threading.Lock()
        for name in self.WRITES:
            setattr(self, name, self._counted(getattr(self, name)))

    def restart(self, crash_at: int | None = None) -> None:
        """A new process, which ends at its ``crash_at``-th half-write."""
        self.writes, self.crash_at, self._world.is_dead = 0, crash_at, False

    def _counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._tick()
            written = write(*arguments, **named)
            self._tick()
            return written

        return counted

    def _tick(self) -> None:
        with self._counting:
            if self._world.is_dead:
                raise Crash
            if self.crash_at is not None and self.writes >= self.crash_at:
                self._world.is_dead = True
                raise Crash
            self.writes += 1


class Desk:
    """Control planes over one world and one store; each one is a process with a number."""

    def __init__(self, root: Path, world: World | None = None) -> None:
        self.root = root
        self.world = world or World()
        self.clock = Clock()
        self.store = CrashingStore(self.clock, self.world)
        self.processes = 0

    def registry(self) -> Registry:
        """With the shelf and its items."""
        registry = Registry()
        registry.register(PLUGINS, SHELF, Shelf(), "acme-shelf==1.0")
        registry.register(PRIMITIVES, ITEM, ShelfItem(self.world), "acme-shelf==1.0")
        return registry

    def open(self, identity: str = "alice", registry: Registry | None = None) -> ControlPlane:
        """A new process of ``identity``."""
        self.processes += 1
        holder = Holder("here", self.processes, "", identity)
        settings = Settings(self.root, {}, {})
        return ControlPlane(
            settings, registry or self.registry(), identity, store=self.store, clock=self.clock, holder=holder
        )

    def bury(self) -> None:
        """Every process so far has ended."""
        self.store.gone.update(range(self.processes + 1))
