"""A manifest type and a primitive by a stranger: a text file that says how many rows somebody expects."""

from __future__ import annotations

import json
from pathlib import Path

from dcp_core import ConflictError, Context, Environment, LogicalPlan, Manifest, Metadata, Owner
from dcp_core import Plugin, Primitive, Resource, State


class RowCount(Plugin):
    manifest_type = "row_count"

    def get_manifest_schema(self) -> dict[str, object]:
        fields = {"name": {"type": "string", "pattern": "^[a-z_]+$"}, "rows": {"type": "integer"}}
        return {"type": "object", "required": ["name", "rows"], "additionalProperties": False, "properties": fields}

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        id = f"row_count/{manifest.data['name']}"
        return LogicalPlan("row_count", id, environment.name, manifest.data, Metadata("acme"), manifest.source())

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        spec = logical_plan.plugin_spec
        name = Environment.named(logical_plan.environment).scoped(spec["name"])
        return (Resource("text_file", name, logical_plan.id, logical_plan.environment, {"rows": spec["rows"]}),)


class TextFile(Primitive):
    kind = "text_file"

    def _path(self, resource: Resource, ctx: Context) -> Path:
        return ctx.settings.state / "texts" / f"{resource.name}.json"

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        path = self._path(resource, ctx)
        if not path.exists():
            return None
        rows, *owner = json.loads(path.read_text())
        return State({"rows": rows}, Owner(*owner))

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        self._path(resource, ctx).parent.mkdir(parents=True, exist_ok=True)
        content = [desired.values["rows"], resource.manifest_id, resource.environment]
        self._path(resource, ctx).write_text(json.dumps(content))

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        if self.get_actual_state(resource, ctx) not in (actual, desired):
            raise ConflictError(f"{resource.name} was changed meanwhile")
        self.create(resource, desired, ctx)

    def delete(self, resource: Resource, ctx: Context) -> None:
        actual = self.get_actual_state(resource, ctx)
        if actual is not None and actual.owner != Owner(resource.manifest_id, resource.environment):
            raise ConflictError(f"{resource.name} is somebody else's")
        self._path(resource, ctx).unlink(missing_ok=True)
