"""What a name that is not there was meant to be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """The hint of an error.

    Names are compared by their last parts: what names have in common before it, a type or a schema, makes none near.

    Args:
        name: What was asked for: ``TYPE/NAME``, ``schema.table``, or any other.
        known: What there is. One of another type with the same name is the nearest.
        otherwise: The hint when nothing is near.
    """
    before, last = _parts(name)
    by_last: dict[str, list[str]] = {}
    for each in sorted(known):
        by_last.setdefault(_parts(each)[1], []).append(each)
    close = difflib.get_close_matches(last, by_last, n=1)
    if not close:
        return otherwise
    found = by_last[close[0]]
    return f'did you mean "{next((each for each in found if _parts(each)[0] == before), found[0])}"?'


def _parts(name: str) -> tuple[str, str]:
    """Of ``a/b`` and ``a.b``; "" in front where there is one part."""
    *before, last = re.split(r"[/.](?=[^/.]*$)", name)
    return "".join(before), last
