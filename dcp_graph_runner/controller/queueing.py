"""What waits to be healed: keys only, each once, environments taking turns.

A key that is being worked on is not handed out again; put meanwhile, it waits until ``done``. So nobody's 10,000
manifests keep another environment waiting for more than one of them.

Source: design.md section 9; the rules are those of client-go's workqueue.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

Key = tuple[str, str]
"""Environment and manifest id."""


class FairQueue:
    """Thread-safe; never blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Both in the order in which they are served.
        self._waiting: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._working: set[Key] = set()
        self._again: set[Key] = set()

    def put(self, key: Key) -> None:
        """Unless it waits already."""
        with self._lock:
            if key in self._working:
                self._again.add(key)
            else:
                self._waiting.setdefault(key[0], OrderedDict())[key[1]] = None

    def take(self) -> Key | None:
        """The next one, None when nothing waits; to be ended with ``done``."""
        with self._lock:
            if not self._waiting:
                return None
            environment, ids = self._waiting.popitem(last=False)
            id, _ = ids.popitem(last=False)
            if ids:
                self._waiting[environment] = ids  # behind all others
            key = (environment, id)
            self._working.add(key)
            return key

    def done(self, key: Key) -> None:
        """It is no longer worked on."""
        with self._lock:
            self._working.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._waiting.setdefault(key[0], OrderedDict())[key[1]] = None

    def has_any(self, environment: str) -> bool:
        """Whether anything of that environment waits or is worked on."""
        with self._lock:
            return environment in self._waiting or any(key[0] == environment for key in self._working)

    def forget(self) -> None:
        """Nothing waits any more; what is worked on stays so."""
        with self._lock:
            self._waiting.clear()
            self._again.clear()

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._waiting.values())) + len(self._working) + len(self._again)
