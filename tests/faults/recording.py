"""A manifest type whose platform remembers every change that was made to it, by which operation, and when.

A change and its record are one transaction, so a process that is killed leaves both or neither. What was begun and
never ended shows too. It is installed by ``install`` as any package would be, and asks no server but a SQLite file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs

from dcp_core import (
    Action,
    Context,
    Environment,
    LogicalPlan,
    Manifest,
    Metadata,
    Operation,
    Owner,
    Plugin,
    Primitive,
    Resource,
    ResourceKey,
    State,
    hookimpl,
)
from dcp_core.model import Source

TYPE, KIND, DISTRIBUTION = "recorded", "recorded_thing", "recording==1"
CHANGE_S = 0.3
_ENTRY_POINTS = """\
[dcp.plugins]
recorded = tests.faults.recording:Recorded
[dcp.primitives]
recorded_thing = tests.faults.recording:RecordedThing
[dcp.extensions]
recording = tests.faults.recording:Recording
"""
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE things (environment TEXT, name TEXT, manifest TEXT, content TEXT, PRIMARY KEY (environment, name));
CREATE TABLE changes (id INTEGER PRIMARY KEY, pid INTEGER, operation TEXT, environment TEXT, manifest TEXT, name TEXT,
    verb TEXT, begun_at REAL, was TEXT, became TEXT, is_made INTEGER DEFAULT 0, ended_at REAL);
"""
_here = threading.local()


@attrs.frozen
class RecordingSettings:
    """Section ``[recording]``: the file that is the platform."""

    platform: str


class Recording:
    """Tells the primitive on whose behalf it works, which an action's own thread is told first."""

    @hookimpl
    def action_started(self, operation: Operation, action: Action) -> None:
        _here.operation = operation.id


class Recorded(Plugin):
    """``{"parts": {"a": "content", …}}``: a thing for each part; the part ``b`` needs ``a``."""

    manifest_type = TYPE

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        return recorded(str(manifest.data["name"]), manifest.data["parts"], environment.name)

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        parts: Mapping[str, str] = logical_plan.plugin_spec["parts"]
        prefix = f"{logical_plan.environment}.{logical_plan.id.rpartition('/')[2]}"
        return tuple(
            Resource(
                KIND,
                f"{prefix}_{part}",
                logical_plan.id,
                logical_plan.environment,
                {"content": content},
                depends_on=(ResourceKey(KIND, f"{prefix}_a"),) if part == "b" and "a" in parts else (),
            )
            for part, content in sorted(parts.items())
        )


class RecordedThing(Primitive):
    """A row, and a row for each change of it."""

    kind = KIND

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        return State({"content": resource.spec["content"]}, Owner(resource.manifest_id, resource.environment))

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        query = "SELECT content, manifest FROM things WHERE environment = ? AND name = ?"
        with _platform(ctx) as platform:
            found = platform.execute(query, (resource.environment, resource.name)).fetchone()
        return None if found is None else State({"content": found[0]}, Owner(found[1], resource.environment))

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        self._change("CREATE", resource, str(desired.values["content"]), ctx)

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        self._change("UPDATE", resource, str(desired.values["content"]), ctx)

    def delete(self, resource: Resource, ctx: Context) -> None:
        self._change("DELETE", resource, None, ctx)

    def _change(self, verb: str, resource: Resource, content: str | None, ctx: Context) -> None:
        """Takes its time before it is made and after, so that whoever is killed is killed in it."""
        where = (resource.environment, resource.name)
        with _platform(ctx) as platform:
            begun = platform.execute(
                "INSERT INTO changes (pid, operation, environment, manifest, name, verb, begun_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (os.getpid(), _here.operation, where[0], resource.manifest_id, where[1], verb, time.time()),
            )
            time.sleep(CHANGE_S / 2)
            platform.execute("BEGIN IMMEDIATE")
            was = platform.execute("SELECT content FROM things WHERE environment = ? AND name = ?", where).fetchone()
            if content is None:
                platform.execute("DELETE FROM things WHERE environment = ? AND name = ?", where)
            else:
                platform.execute(
                    "INSERT OR REPLACE INTO things VALUES (?, ?, ?, ?)", (*where, resource.manifest_id, content)
                )
            platform.execute(
                "UPDATE changes SET was = ?, became = ?, is_made = 1 WHERE id = ?",
                (was and was[0], content, begun.lastrowid),
            )
            platform.execute("COMMIT")
            time.sleep(CHANGE_S / 2)
            platform.execute("UPDATE changes SET ended_at = ? WHERE id = ?", (time.time(), begun.lastrowid))


@contextmanager
def opened(file: Path | str) -> Iterator[sqlite3.Connection]:
    """The platform; each statement is a transaction unless one is begun."""
    connection = sqlite3.connect(file, timeout=30, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing by it
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _platform(ctx: Context) -> Iterator[sqlite3.Connection]:
    with opened(ctx.settings.section("recording", RecordingSettings).platform) as platform:
        yield platform


def recorded(name: str, parts: Mapping[str, str], environment: str) -> LogicalPlan:
    """A compiled manifest."""
    return LogicalPlan(
        TYPE,
        f"{TYPE}/{name}",
        environment,
        {"parts": dict(parts)},
        metadata=Metadata("team"),
        source=Source(f"{TYPE}/{name}.yaml", "sha"),
        compiled_by=DISTRIBUTION,
    )


def install(folder: Path) -> Path:
    """Make the platform, and what an installed package leaves; gives the folder for ``PYTHONPATH``."""
    with opened(folder / "platform.db") as platform:
        platform.executescript(_SCHEMA)
    site = folder / "site"
    info = site / f"{DISTRIBUTION.replace('==', '-')}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recording\nVersion: 1\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    return site
