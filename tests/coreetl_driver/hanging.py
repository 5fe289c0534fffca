"""A backend that never answers."""

from __future__ import annotations

import time
from pathlib import Path

from coreetl_driver.compute import Capabilities, ComputeBackend, Outcome, Task


class Hanging(ComputeBackend):
    """Says in a file that it was asked, and is not heard of again."""

    name = "hanging"

    def capabilities(self) -> Capabilities:
        return Capabilities()

    def submit(self, task: Task) -> str:
        Path(self._settings.state / "asked").touch()
        time.sleep(600)
        return task.key

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        return None

    def cancel(self, handle: str) -> None:
        """Nothing was begun."""
