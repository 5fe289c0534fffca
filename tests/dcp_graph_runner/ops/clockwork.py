"""A stranger's manifest type whose one resource runs for hours of a day, and remembers its executions in a file.

An execution happens when its line is written. A key that is there is not written again, as a platform promises.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from dcp_core import Context, ControlPlane, Plugin, Resource
from dcp_core.intervals import START, Interval
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Metadata, Source
from dcp_core.records import Caller, Execution, ExecutionStatus
from dcp_core.registry import PLUGINS, PRIMITIVES, STORES, Registry
from dcp_core.settings import Settings
from dcp_graph_runner.sql_store import open_store
from tests.dcp_core.text_file import TextFile

ENVIRONMENT = "playground_alice"
CLOCK = LogicalPlan("clockwork", "clockwork/clock", ENVIRONMENT, {}, Metadata("watchmakers"), Source("clock.yaml", ""))


class Clockwork(Plugin):
    manifest_type = "clockwork"

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        return CLOCK

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        names = ["clock", *logical_plan.plugin_spec.get("also", ())]
        return tuple(Resource("clock", each, CLOCK.id, ENVIRONMENT, {}, runnable=True) for each in names)


class Clock(TextFile):
    """Fails the hours it is told to; calls ``before`` and ``after`` around each line."""

    kind = "clock"

    def __init__(self) -> None:
        self._fails: set[int] = set()
        self._stopped: set[int] = set()
        self._before: Callable[[], None] = lambda: None
        self._after: Callable[[], None] = lambda: None

    def start(self, resource: Resource, params: Mapping[str, str], idempotency_key: str, ctx: Context) -> Execution:
        with self._file(ctx).open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # one of those who ask at once writes the line
            return self._started(stream, params, idempotency_key, ctx)

    def _started(self, stream: TextIO, params: Mapping[str, str], idempotency_key: str, ctx: Context) -> Execution:
        known = {each.idempotency_key: each for each in self._read(ctx)}
        if idempotency_key in known:
            return known[idempotency_key]
        self._before()
        hour = datetime.fromisoformat(params[START]).hour
        status = ExecutionStatus.FAILED if hour in self._fails else ExecutionStatus.SUCCEEDED
        status = ExecutionStatus.CANCELLED if hour in self._stopped else status
        line = {"id": f"ex{len(known)}", "status": status.value, "params": dict(params), "key": idempotency_key}
        line["at"] = ctx.clock().isoformat()
        stream.write(json.dumps(line) + "\n")
        stream.flush()
        self._after()
        return self._execution(line)

    def get_status(self, resource: Resource, execution_id: str | None, ctx: Context) -> Execution | None:
        return next((each for each in self._read(ctx) if each.id == execution_id), None)

    def get_executions(self, resource: Resource, limit: int, before: str | None, ctx: Context) -> tuple[Execution, ...]:
        return tuple(reversed(self._read(ctx)))[:limit]

    def get_intervals(self, resource: Resource, start: datetime, end: datetime, ctx: Context) -> tuple[Interval, ...]:
        hour = timedelta(hours=1)
        count = max(0, int((end - start) / hour))
        return tuple(Interval(start + n * hour, start + (n + 1) * hour) for n in range(count))

    def _file(self, ctx: Context) -> Path:
        file = ctx.settings.state / "executions.jsonl"
        file.touch()
        return file

    def _read(self, ctx: Context) -> list[Execution]:
        return [self._execution(json.loads(line)) for line in self._file(ctx).read_text().splitlines()]

    def _execution(self, line: Mapping[str, Any]) -> Execution:
        return Execution(
            line["id"],
            Clockwork().decompose(CLOCK)[0].key,
            ENVIRONMENT,
            ExecutionStatus(line["status"]),
            params=line["params"],
            idempotency_key=line["key"],
            created_at=datetime.fromisoformat(line["at"]),
        )


def opened(root: Path, clock: Clock, caller: Caller = Caller("alice")) -> ControlPlane:
    """The clock, applied in alice's playground; close it."""
    registry = Registry()
    registry.register(PLUGINS, "clockwork", Clockwork())
    registry.register(PRIMITIVES, "clock", clock)
    registry.register(STORES, "sqlite", open_store)
    dcp = ControlPlane(Settings(root, {}, {}), registry, caller)
    dcp.apply(dcp.plan(CLOCK))
    return dcp


def hours(root: Path, status: str = "SUCCEEDED") -> list[int]:
    """Of which hours there are executions that ended so, in the order in which they ran."""
    lines = map(json.loads, (root / ".dcp" / "executions.jsonl").read_text().splitlines())
    return [datetime.fromisoformat(each["params"][START]).hour for each in lines if each["status"] == status]


def backfill_and_die(root: str, deadly: int, is_after: bool, reprocess: str) -> int:
    """Backfill twelve hours, and be killed before or after the line of one execution is written."""
    import signal

    from dcp_graph_runner.api.ops import BACKFILL
    from tests.dcp_graph_runner.ops.test_backfilling_strangers import request

    clock = Clock()
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(clock, "_after" if is_after else "_before", tick)
    with opened(Path(root), clock) as dcp:
        BACKFILL.function(dcp, request(reprocess))
    return 0
