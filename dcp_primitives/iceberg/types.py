"""Column types as plain JSON trees: a text for a scalar, a mapping for the nested ones.

``"long"``, ``{"type": "struct", "fields": [{"name": "sku", "type": "string"}]}``,
``{"type": "list", "element": "int"}``, ``{"type": "map", "key": "string", "value": "int"}``. Field ids, and the
documentation and nullability of nested fields, are left out: they are kept as they are, and not managed.

Source: Iceberg table specification, "Schemas and Data Types" and appendix C (JSON serialization).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from coreetl_driver.column_types import ArrayType, ColumnType, MapType, ScalarType, StructType, parse_type

Tree = Any
"""A text or a mapping as above."""

_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_WIDENINGS = {("int", "long"), ("float", "double")}


def tree_of_text(text: str) -> Tree:
    """The tree of a type as a manifest writes it.

    Raises:
        InvalidSpecError: Unknown or malformed.
    """
    return tree_of(parse_type(text))


def tree_of(column_type: ColumnType) -> Tree:
    """The tree of a parsed type."""
    match column_type:
        case ScalarType():
            return str(column_type)
        case ArrayType(element):
            return {"type": "list", "element": tree_of(element)}
        case MapType(key, value):
            return {"type": "map", "key": tree_of(key), "value": tree_of(value)}
        case StructType(fields):
            return {"type": "struct", "fields": [{"name": name, "type": tree_of(of)} for name, of in fields]}


def tree_of_iceberg(document: Any) -> Tree:
    """The tree of a type in an Iceberg metadata document. Types that manifests cannot write keep their own name."""
    if isinstance(document, str):
        if document == "timestamp":
            return "timestamp_ntz"
        return document.replace(" ", "")
    if document["type"] == "list":
        return {"type": "list", "element": tree_of_iceberg(document["element"])}
    if document["type"] == "map":
        return {"type": "map", "key": tree_of_iceberg(document["key"]), "value": tree_of_iceberg(document["value"])}
    fields = [{"name": field["name"], "type": tree_of_iceberg(field["type"])} for field in document["fields"]]
    return {"type": "struct", "fields": fields}


def text_of(tree: Tree) -> str:
    """As a manifest would write it: what plans show."""
    if isinstance(tree, str):
        return tree
    if tree["type"] == "list":
        return f"array<{text_of(tree['element'])}>"
    if tree["type"] == "map":
        return f"map<{text_of(tree['key'])},{text_of(tree['value'])}>"
    return "struct<" + ",".join(f"{field['name']}:{text_of(field['type'])}" for field in tree["fields"]) + ">"


def decimal_of(tree: Tree) -> tuple[int, int] | None:
    """Precision and scale of a decimal; None for any other type."""
    match = _DECIMAL.fullmatch(tree) if isinstance(tree, str) else None
    return (int(match.group(1)), int(match.group(2))) if match else None


def widens(actual: Tree, desired: Tree) -> bool:
    """Whether a scalar may become another in place, every value kept.

    Source: Iceberg table specification, "Schema Evolution".
    """
    if not isinstance(actual, str) or not isinstance(desired, str):
        return False
    if (actual, desired) in _WIDENINGS:
        return True
    before, after = decimal_of(actual), decimal_of(desired)
    return before is not None and after is not None and before[1] == after[1] and before[0] <= after[0]


def field_at(tree: Tree, path: list[str]) -> Tree | None:
    """The type below ``path`` through structs only; None when there is no such field."""
    for name in path:
        if not isinstance(tree, Mapping) or tree["type"] != "struct":
            return None
        found = [field["type"] for field in tree["fields"] if field["name"] == name]
        if not found:
            return None
        tree = found[0]
    return tree


def keeps_its_data(actual: Tree, desired: Tree) -> bool:
    """Whether a column can become ``desired`` in place, though fields of structs in it may come, go or start anew.

    False means that the column itself has to be dropped and added again. ``comparing`` and ``evolving`` both ask
    here, so that what a plan says is what is done.
    """
    if isinstance(actual, str) or isinstance(desired, str):
        return bool(actual == desired) or widens(actual, desired)
    if actual["type"] != desired["type"]:
        return False
    if actual["type"] == "list":
        return keeps_its_data(actual["element"], desired["element"])
    if actual["type"] == "map":
        # The keys of a map cannot evolve at all.
        return actual["key"] == desired["key"] and keeps_its_data(actual["value"], desired["value"])
    return True


def match_names(actual: list[str], desired: list[tuple[str, tuple[str, ...]]]) -> dict[str, str | None]:
    """Which existing column each desired one continues; None for a new one.

    Args:
        actual: Names that exist.
        desired: Names wanted, each with the names it had before.

    A name that exists continues itself. One that does not continues the first of its earlier names that exists,
    even when that name is wanted too: then it was given to a new column later. Names that differ in case only are
    the same column, since engines do not tell them apart.
    """
    by_folded = {name.lower(): name for name in actual}
    matched: dict[str, str | None] = {}
    taken: set[str] = set()
    for name, earlier in desired:
        if name.lower() not in by_folded:
            found = next(
                (by_folded[old.lower()] for old in earlier if by_folded.get(old.lower(), "") not in {"", *taken}), None
            )
            matched[name] = found
            if found is not None:
                taken.add(found)
    for name, _ in desired:
        if name.lower() in by_folded:
            existing = by_folded[name.lower()]
            matched[name] = None if existing in taken else existing
    return matched
