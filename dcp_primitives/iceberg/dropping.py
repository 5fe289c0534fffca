"""Records of dropped tables: a drop leaves data and metadata where they are, and the record says where.

``{state}/dropped/<environment>/<table>-<time>.json`` holds all that ``register_table`` needs to bring it back.

Source: design.md section 11: a drop keeps data for a retention time and can be restored.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from attrs import asdict, frozen

from dcp_core.context import Context
from dcp_core.errors import ConflictError
from dcp_core.model import Resource


@frozen
class DroppedTable:
    """One dropped table.

    Args:
        table: ``namespace.name``.
        catalog: The catalog it was in.
        manifest_id: Who had wanted it.
        environment: Where.
        metadata_location: What ``register_table`` takes.
        location: The folder of its files.
        dropped_at: UTC, ISO 8601.
        dropped_by: The user.
    """

    table: str
    catalog: str
    manifest_id: str
    environment: str
    metadata_location: str
    location: str
    dropped_at: str
    dropped_by: str


def record(resource: Resource, metadata_location: str, location: str, ctx: Context) -> Path:
    """Write the record, durably, before the table is dropped; a repeated drop writes it once.

    Returns:
        The file.
    """
    for earlier in dropped(resource.name, ctx):
        if earlier.metadata_location == metadata_location:
            return _file(earlier, ctx)
    entry = DroppedTable(
        resource.name,
        ctx.environment.catalog,
        resource.manifest_id,
        resource.environment,
        metadata_location,
        location,
        ctx.clock().isoformat(),
        ctx.user,
    )
    file = _file(entry, ctx)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(asdict(entry), stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    return file


def dropped(table: str, ctx: Context) -> tuple[DroppedTable, ...]:
    """The records of a table in this environment, the latest last.

    Raises:
        ConflictError: A record cannot be read.
    """
    found: list[DroppedTable] = []
    for file in sorted(_folder(ctx).glob(f"{table}-*.json")):
        try:
            found.append(DroppedTable(**json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise ConflictError(f"{file} is not a record of a dropped table: {error}") from None
    return tuple(entry for entry in found if entry.table == table)


def _folder(ctx: Context) -> Path:
    return ctx.settings.state / "dropped" / ctx.environment.name


def _file(entry: DroppedTable, ctx: Context) -> Path:
    moment = "".join(character for character in entry.dropped_at[:26] if character.isdigit() or character == "T")
    return _folder(ctx) / f"{entry.table}-{moment}.json"
