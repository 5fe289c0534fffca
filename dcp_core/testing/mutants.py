"""Broken versions of a sample manifest: each field in turn is missing, or is something else.

What a user can type wrong is endless; this is the part that can be derived from any sample.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from dcp_core.diagnostics import FieldPath, format_path

STRANGE: tuple[Any, ...] = (
    None, True, -1, 2**63, 1.5, "", "zz zz", "../x", "a" * 300, "é\u2028\n", [], [None], {}, {"zz_unknown": 1},
)  # fmt: skip
AT_MOST = 1500


def mutants(data: Any) -> Iterator[tuple[str, str]]:
    """``(what was done, manifest text)`` for each field of ``data``, at most ``AT_MOST`` of them.

    The text is JSON, which is YAML too; one value a line, so that positions mean something.
    """
    made = 0
    for path in _paths(data):
        for what, mutant in _at(data, path):
            if made == AT_MOST:
                return
            made += 1
            yield f"{format_path(path)} {what}", json.dumps(mutant, indent=1, ensure_ascii=True)


def _paths(data: Any, path: FieldPath = ()) -> Iterator[FieldPath]:
    """Every field, the outer ones first; of a list the first two elements only."""
    inner: list[FieldPath] = []
    if isinstance(data, dict):
        inner = [(*path, name) for name in data]
    elif isinstance(data, list):
        inner = [(*path, index) for index in range(min(len(data), 2))]
    yield from inner
    for each in inner:
        yield from _paths(data[each[-1]], each)


def _at(data: Any, path: FieldPath) -> Iterator[tuple[str, Any]]:
    without = copy.deepcopy(data)
    del _parent(without, path)[path[-1]]
    yield "is missing", without
    for strange in STRANGE:
        changed = copy.deepcopy(data)
        _parent(changed, path)[path[-1]] = strange
        yield f"is {json.dumps(strange)[:40]}", changed


def _parent(data: Any, path: FieldPath) -> Any:
    for part in path[:-1]:
        data = data[part]
    return data
