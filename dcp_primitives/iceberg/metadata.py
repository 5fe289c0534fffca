"""An Iceberg metadata document as a ``State``: the managed part as values, the rest as facts beside them.

Works on the JSON of format versions 2 and up, as the specification gives it, so it needs no library.

Source: Iceberg table specification, appendix C (JSON serialization).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dcp_core.digests import JsonValue
from dcp_core.model import Owner, State
from dcp_primitives.iceberg.spec import identifies
from dcp_primitives.iceberg.types import tree_of_iceberg

MANIFEST = "dcp.manifest"
ENVIRONMENT = "dcp.environment"
PRIMARY_KEY = "dcp.primary-key"
MANAGED = "dcp.managed-properties"
COMMENT = "comment"


def state_of(metadata: Mapping[str, Any], properties_wanted: Iterable[str], revision: str | None = None) -> State:
    """The state that a metadata document describes.

    Args:
        metadata: The document, format version 2 or up.
        properties_wanted: Names of properties that the manifest manages, beside those it managed before.
        revision: Where the document lies.

    ``info`` holds ``rows``, ``size_bytes``, ``snapshot_id``, ``format_version``, ``location``,
    ``metadata_location``, ``pinned`` (column → the partition spec or sort order that names it) and
    ``partition_names`` (name of each partition field → its column, where the two must not clash).
    """
    schema = current_schema(metadata)
    names = column_names(schema)
    columns: list[JsonValue] = [
        {
            "name": field["name"],
            "type": tree_of_iceberg(field["type"]),
            "required": bool(field.get("required")),
            "doc": field.get("doc") or None,
        }
        for field in schema["fields"]
    ]
    properties: Mapping[str, str] = metadata.get("properties") or {}
    managed = {*properties_wanted, *_names(properties.get(MANAGED))}
    spec = next(each for each in metadata["partition-specs"] if each["spec-id"] == metadata["default-spec-id"])
    order: list[Mapping[str, Any]] = next(
        (each["fields"] for each in metadata["sort-orders"] if each["order-id"] == metadata["default-sort-order-id"]),
        [],
    )
    values = {
        "columns": columns,
        "partition_by": [
            {"column": _name(field["source-id"], names), "transform": field["transform"]}
            for field in spec["fields"]
            if field["transform"] != "void"
        ],
        "sort_by": [
            {
                "column": _name(field["source-id"], names),
                "transform": field["transform"],
                "direction": field["direction"],
                "nulls": field["null-order"].removeprefix("nulls-"),
            }
            for field in order
        ],
        "primary_key": _primary_key(schema, columns, properties, names),
        "properties": {name: properties[name] for name in sorted(managed) if name in properties},
        "doc": properties.get(COMMENT) or None,
    }
    return State(values, owner_in(properties), revision, _info(metadata, names, revision))


def owner_in(properties: Mapping[str, str]) -> Owner | None:
    """The mark among a table's properties."""
    if MANIFEST not in properties:
        return None
    return Owner(properties[MANIFEST], properties.get(ENVIRONMENT, ""))


def marks(values: Mapping[str, JsonValue], owner: Owner) -> dict[str, str]:
    """The properties that record the mark, the primary key and what is managed."""
    return {
        MANIFEST: owner.manifest_id,
        ENVIRONMENT: owner.environment,
        PRIMARY_KEY: json.dumps(values["primary_key"]),
        MANAGED: json.dumps(sorted(values["properties"])),
    }


def current_schema(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema in force."""
    found: Mapping[str, Any] = next(
        each for each in metadata["schemas"] if each["schema-id"] == metadata["current-schema-id"]
    )
    return found


def column_names(schema: Mapping[str, Any]) -> dict[int, str]:
    """Dotted names by field id, nested ones too."""
    return dict(_walk(schema["fields"], ""))


def _walk(fields: Iterable[Mapping[str, Any]], prefix: str) -> Iterator[tuple[int, str]]:
    for field in fields:
        name = prefix + field["name"]
        yield field["id"], name
        yield from _inside(field["type"], name)


def _inside(of: Any, name: str) -> Iterator[tuple[int, str]]:
    if isinstance(of, str):
        return
    if of["type"] == "struct":
        yield from _walk(of["fields"], name + ".")
    elif of["type"] == "list":
        yield of["element-id"], f"{name}.element"
        yield from _inside(of["element"], f"{name}.element")
    elif of["type"] == "map":
        yield of["key-id"], f"{name}.key"
        yield from _inside(of["key"], f"{name}.key")
        yield of["value-id"], f"{name}.value"
        yield from _inside(of["value"], f"{name}.value")


def _primary_key(
    schema: Mapping[str, Any],
    columns: list[JsonValue],
    properties: Mapping[str, str],
    names: Mapping[int, str],
) -> list[JsonValue]:
    """The recorded key as long as the identifier fields agree with it, else the identifier fields."""
    fields = [_name(identifier, names) for identifier in sorted(schema.get("identifier-field-ids") or ())]
    recorded = _names(properties.get(PRIMARY_KEY))
    expected = recorded if identifies(columns, recorded) else []
    return list(recorded) if sorted(expected) == sorted(fields) else list(fields)


def _info(metadata: Mapping[str, Any], names: Mapping[int, str], revision: str | None) -> dict[str, JsonValue]:
    current = metadata.get("current-snapshot-id")
    snapshots = metadata.get("snapshots") or ()
    snapshot = next((each for each in snapshots if each["snapshot-id"] == current), None)
    summary: Mapping[str, str] = (snapshot or {}).get("summary") or {}
    pinned: dict[str, str] = {}
    partition_names: dict[str, JsonValue] = {}
    for spec in metadata["partition-specs"]:
        for field in spec["fields"]:
            column = names.get(field["source-id"])
            partition_names[field["name"]] = {"column": column, "transform": field["transform"]}
            if column is not None:
                pinned[column] = f"partition spec {spec['spec-id']}"
    for order in metadata["sort-orders"]:
        for field in order["fields"]:
            column = names.get(field["source-id"])
            if column is not None:
                pinned.setdefault(column, f"sort order {order['order-id']}")
    return {
        "rows": _number(summary.get("total-records")) if snapshot else 0,
        "size_bytes": _number(summary.get("total-files-size")) if snapshot else 0,
        "snapshot_id": str(current) if snapshot else None,
        "format_version": metadata["format-version"],
        "location": metadata["location"],
        "metadata_location": revision,
        "pinned": pinned,
        "partition_names": partition_names,
    }


def _name(field_id: int, names: Mapping[int, str]) -> str:
    # A spec may name a column that was dropped all the same, by another program.
    return names.get(field_id, f"(dropped column {field_id})")


def _names(text: str | None) -> tuple[str, ...]:
    """A JSON list of names from a property; anything else, written by somebody else, counts as none."""
    try:
        found = json.loads(text) if text else []
    except ValueError:
        return ()
    return tuple(found) if isinstance(found, list) and all(isinstance(each, str) for each in found) else ()


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
