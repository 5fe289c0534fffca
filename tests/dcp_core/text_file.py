"""About as small as an honest primitive gets: a text in a file of its own."""

from __future__ import annotations

import json
from pathlib import Path

from dcp_core import Context, Owner, Primitive, Resource, State
from dcp_core.errors import ConflictError


class TextFile(Primitive):
    """Keeps the values and the mark side by side in JSON."""

    kind = "text_file"

    def _path(self, resource: Resource, ctx: Context) -> Path:
        return ctx.settings.state / "texts" / f"{resource.name}.json"

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        path = self._path(resource, ctx)
        if not path.exists():
            return None
        read = json.loads(path.read_text())
        return State(read["values"], Owner(*read["owner"]))

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        path = self._path(resource, ctx)
        path.parent.mkdir(parents=True, exist_ok=True)
        owner = [resource.manifest_id, resource.environment]
        path.write_text(json.dumps({"values": desired.values, "owner": owner}))

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        if self.get_actual_state(resource, ctx) not in (actual, desired):
            raise ConflictError(f"{resource.name} was changed meanwhile")
        self.create(resource, desired, ctx)

    def delete(self, resource: Resource, ctx: Context) -> None:
        actual = self.get_actual_state(resource, ctx)
        if actual is not None and actual.owner != Owner(resource.manifest_id, resource.environment):
            raise ConflictError(f"{resource.name} is somebody else's")
        self._path(resource, ctx).unlink(missing_ok=True)
