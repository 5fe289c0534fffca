"""What this process does something about: executions that it begins, runs, lets wait, or has to note the end of.

An execution belongs to a process. One that says so in the registry while this process does nothing about it is lost
all the same: an answer of the registry was, or it was away when the execution was to be given up.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

_HELD: Counter[str] = Counter()  # of the process, as owners are: it may have several drivers for one registry
_LOCK = threading.Lock()


def claim(execution_id: str) -> bool:
    """Hold what nobody in this process holds; False when somebody does."""
    with _LOCK:
        if execution_id in _HELD:
            return False
        _HELD[execution_id] = 1
        return True


def hold(execution_id: str) -> None:
    """Hold it once more; each time is released by itself."""
    with _LOCK:
        _HELD[execution_id] += 1


def release(execution_id: str) -> None:
    """Hold it once less."""
    with _LOCK:
        _HELD[execution_id] -= 1
        if _HELD[execution_id] <= 0:
            del _HELD[execution_id]


@contextlib.contextmanager
def held(execution_id: str) -> Iterator[None]:
    """Hold it meanwhile."""
    hold(execution_id)
    try:
        yield
    finally:
        release(execution_id)


def is_held(execution_id: str) -> bool:
    """Whether anybody in this process holds it."""
    with _LOCK:
        return execution_id in _HELD
