"""One value of a field as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def value_text(value: Any) -> str:
    """Strings bare, everything else as compact JSON; nothing is ``-``."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value if value else '""'
    return json.dumps(value, ensure_ascii=False, default=str, separators=(", ", ": "))


def is_long(value: Any) -> bool:
    """Whether it is text of several lines: SQL, a generated file."""
    return isinstance(value, str) and "\n" in value.rstrip("\n")


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field that holds something, by dotted path; things in a list that have a name are found by it."""
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flattened(value, f"{path}.")
        elif isinstance(value, (list, tuple)) and value and all(_is_named(item) for item in value):
            for item in value:
                rest = {key: part for key, part in item.items() if key != "name" and part not in (None, False, "")}
                yield f"{path}.{item['name']}", ", ".join(f"{key} {value_text(part)}" for key, part in rest.items())
        elif value not in (None, "", [], ()):
            yield path, value


def _is_named(item: Any) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("name"), str)
