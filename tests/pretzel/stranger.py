"""A manifest type that somebody else wrote: notes, kept as files below the project root, one folder an environment.

Real on purpose: whatever the command line shows was done by this code to real files.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic, warning
from dcp_core.diagnostics import error as finding
from dcp_core.errors import PermanentError
from dcp_core.interfaces import Plugin, Primitive
from dcp_core.manifest import Manifest
from dcp_core.model import Effect, Environment, FieldChange, LogicalPlan, Metadata, Owner, Resource, State
from dcp_core.planning import compare_values
from dcp_core.records import Command, Execution, ExecutionStatus, Parameter, Preview, TestReport, TestResult


class Note(Plugin):
    manifest_type = "sticky_note"

    def get_manifest_schema(self) -> Mapping[str, Any]:
        return {
            "type": "object",
            "required": ["name", "text"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string"},
                "text": {"type": "string"},
                "size": {"type": "integer"},
                "reads": {"type": "array", "items": {"type": "string"}},
            },
        }

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        owner = Metadata("stationery")
        id = f"{self.manifest_type}/{manifest.data['name']}"
        return LogicalPlan(self.manifest_type, id, environment.name, manifest.data, owner, manifest.source())

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        spec = logical_plan.plugin_spec
        name = spec["name"]
        return (
            Resource(
                "paper_sheet",
                name,
                logical_plan.id,
                logical_plan.environment,
                {key: spec[key] for key in ("text", "size") if key in spec},
                provides=(name,),
                reads=tuple(spec.get("reads", ())),
                runnable=True,
            ),
        )

    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        text = logical_plan.plugin_spec["text"]
        if "[bold]" in text:
            return (warning("note.markup", "no [bold]markup[/bold] please", path=("text",), hint="write plainly"),)
        if "rude" in text:
            return (finding("note.rude", "this is rude", path=("text",)),)
        if text == "BUG":
            raise KeyError("a stranger's mistake")
        return ()

    def test(self, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
        text = logical_plan.plugin_spec["text"]
        return TestReport(
            (TestResult("it is short", len(text) < 200, f"it has {len(text)} letters"),), engine="eyes 1.0"
        )

    def get_commands(self) -> tuple[Command, ...]:
        count = Parameter("times", "How often.", int, default=1)
        return (Command("shout", "Say it louder.", _shout, (Parameter("word", "What.", required=True), count)),)


def _shout(ctx: Context, word: str, times: int) -> dict[str, Any]:
    if word == "BUG":
        raise KeyError("a stranger's mistake")
    return {"environment": ctx.environment.name, "said": " ".join([word.upper()] * times)}


class Paper(Primitive):
    kind = "paper_sheet"

    def __init__(self) -> None:
        self._executions: dict[str, Execution] = {}

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        path = self._path(resource, ctx)
        if not path.exists():
            return None
        values = json.loads(path.read_text())
        owner = values.pop("owner", None)
        return State(values, Owner(*owner) if owner else None, info={"backend_reason": "there is but one pen"})

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        if desired is None:
            return (FieldChange("text", "", None, Effect.DESTRUCTIVE, "its text would be lost"),)
        if actual is None:
            return ()
        return tuple(
            FieldChange(each.field, each.actual, each.desired, Effect.DESTRUCTIVE, "smaller paper cuts the text")
            if each.field == "size" and (each.actual or 0) > (each.desired or 0)
            else each
            for each in compare_values(desired.values, actual.values)
        )

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        if resource.spec["text"] == "unwritable":
            raise PermanentError("the pen is dry", code="paper.dry")
        self._write(resource, desired, ctx)
        if resource.spec["text"] == "deadly" and not (ctx.settings.root / "died").exists():
            (ctx.settings.root / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        self._write(resource, desired, ctx)

    def delete(self, resource: Resource, ctx: Context) -> None:
        self._path(resource, ctx).unlink(missing_ok=True)

    def start(self, resource: Resource, params: Mapping[str, str], idempotency_key: str, ctx: Context) -> Execution:
        fails = resource.spec["text"] == "unreadable"
        status = ExecutionStatus.FAILED if fails else ExecutionStatus.SUCCEEDED
        error = "nobody can read this" if fails else None
        rows = None if fails else int(params.get("rows", "7"))
        id = f"ex_{resource.name}"
        self._executions[id] = Execution(id, resource.key, resource.environment, status, "pen", rows, error)
        return self._executions[id]

    def get_status(self, resource: Resource, execution_id: str | None, ctx: Context) -> Execution | None:
        return None if execution_id is None else self._executions.get(execution_id)

    def preview(self, resource: Resource, limit: int, ctx: Context) -> Preview | None:
        rows = ((1, resource.spec["text"], float("nan")), (2, None, 0.5))
        return Preview(("line", "words", "weight"), rows[:limit], 2, {"shell": "cat " + str(self._path(resource, ctx))})

    def _write(self, resource: Resource, desired: State, ctx: Context) -> None:
        path = self._path(resource, ctx)
        path.parent.mkdir(parents=True, exist_ok=True)
        owner = [resource.manifest_id, resource.environment]
        path.write_text(json.dumps({**desired.values, "owner": owner}))

    def _path(self, resource: Resource, ctx: Context) -> Path:
        return ctx.settings.root / "papers" / resource.environment / resource.name
