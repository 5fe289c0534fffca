"""Waiting until what was told to end has ended, wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

SETTLE_S = 1.0  # for a commit that was on its way to the catalog when what made it was ended
_FIRST_LOOK_S, _LAST_LOOK_S, _SLOWER = 0.1, 5.0, 1.5  # between two looks

Look = TypeVar("Look")


def last_look(look: Callable[[], Look], has_ended: Callable[[Look], bool], timeout_s: float) -> Look:
    """The first look that sees the end, or the one when time is up."""
    deadline, pause = time.monotonic() + timeout_s, _FIRST_LOOK_S
    while not has_ended(found := look()) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(_LAST_LOOK_S, pause * _SLOWER)
    return found
