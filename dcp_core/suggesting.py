"""What a name that is not there was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """The hint of an error.

    Args:
        name: What was asked for: ``TYPE/NAME``, or any other.
        known: What there is. One of another type with the same name is the nearest.
        otherwise: The hint when nothing is near.
    """
    names = sorted(known)
    last = name.rpartition("/")[2]
    close = [each for each in names if each.rpartition("/")[2] == last] or difflib.get_close_matches(name, names, n=1)
    return f'did you mean "{close[0]}"?' if close else otherwise
