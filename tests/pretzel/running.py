"""How a command ended, and how a distribution is installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as the one document it has to be."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """stdout as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


Pretzel = Callable[..., Ended]
Note = Callable[..., str]


def install(site: Path, name: str, version: str, entry_points: str) -> None:
    """A distribution as installers leave it, so that entry points are found as anywhere else."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "entry_points.txt").write_text(entry_points)
