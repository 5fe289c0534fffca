"""A manifest type whose resources are files, and which does what a test wants while it makes one."""

from __future__ import annotations

import builtins
import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcp_core import Context, Environment, LogicalPlan, Manifest, Metadata, Owner, Plugin, Primitive, Resource, State
from dcp_core.digests import JsonValue
from dcp_core.model import Source
from dcp_core.registry import PLUGINS, PRIMITIVES, Registry

KIND = "probe_file"
PLAYGROUND = "playground_alice"


class Probe(Plugin):
    """One file for each manifest: ``{"name": …, "content": …}``, and what making it ``does``."""

    manifest_type = "probe"

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        return probe(str(manifest.data["name"]), environment=environment.name)

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        spec: Mapping[str, Any] = logical_plan.plugin_spec
        kept = {"content": spec["content"], "does": spec["does"]}
        return (Resource(KIND, str.lower(spec["name"]), logical_plan.id, logical_plan.environment, kept),)


class ProbeFile(Primitive):
    """A file of the project's folder ``probes``; each time that one is made is a line of ``made``."""

    kind = KIND

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        return State({"content": resource.spec["content"]}, Owner(resource.manifest_id, resource.environment))

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        path = self._path(resource, ctx)
        if not path.exists():
            return None
        return State({"content": path.read_text()}, Owner(resource.manifest_id, resource.environment))

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        path = self._path(resource, ctx)
        path.parent.mkdir(exist_ok=True)
        with open(ctx.settings.root / "made", "a", encoding="utf-8") as made:
            made.write(f"{resource.name}\n")
        does = resource.spec["does"]
        if does == "exit":
            os._exit(9)
        if does in ("SystemExit", "GeneratorExit"):
            raise getattr(builtins, does)
        if does == "hold":
            while not (ctx.settings.root / "go").exists():
                time.sleep(0.02)
        if does == "slow":
            with open(path.with_name(f"{path.name}-inside"), "a", encoding="ascii") as inside:
                try:
                    fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go by the kernel when this is killed
                except BlockingIOError:
                    (ctx.settings.root / "anomaly").touch()
                time.sleep(0.05)
        path.write_text(str(desired.values["content"]))

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        self.create(resource, desired, ctx)

    def delete(self, resource: Resource, ctx: Context) -> None:
        self._path(resource, ctx).unlink(missing_ok=True)

    def _path(self, resource: Resource, ctx: Context) -> Path:
        return ctx.settings.root / "probes" / f"{resource.environment}.{resource.name}"


def probe(name: str, content: str = "new", does: str = "", environment: str = PLAYGROUND, **more: Any) -> LogicalPlan:
    """A compiled manifest."""
    spec: Mapping[str, JsonValue] = {"name": name, "content": content, "does": does}
    told = {
        "compiled_by": "embedded",
        "metadata": Metadata("team"),
        "source": Source(f"probe/{name}.yaml", "sha"),
        **more,
    }
    return LogicalPlan("probe", f"probe/{name}", environment, spec, **told)


def register(registry: Registry) -> None:
    """Beside what is installed."""
    registry.register(PLUGINS, "probe", Probe)
    registry.register(PRIMITIVES, KIND, ProbeFile)


def made(root: Path) -> list[str]:
    """The names of what was made, each as often as it was."""
    file = root / "made"
    return file.read_text().splitlines() if file.exists() else []
