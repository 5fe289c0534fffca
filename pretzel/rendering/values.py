"""One value of a field as text."""

from __future__ import annotations

import json
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
