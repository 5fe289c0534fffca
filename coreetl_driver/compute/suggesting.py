"""What a name that is not there was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], what: str) -> str:
    """The hint of an error.

    Args:
        what: All of ``known`` together, where nothing is near: "sizes".
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f'did you mean "{close[0]}"?' if close else f"{what}: {', '.join(names)}"
