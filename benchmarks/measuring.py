"""Times whole processes, the measured one and its floor in turn, so that both see the same machine."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import attrs


@attrs.frozen
class Measured:
    """Wall-clock seconds of some runs of one command."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The middle run."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        return f"{self.name:<46} {self.median_s:7.3f} s  (least {low:.3f}, most {high:.3f}, {len(self.seconds)} runs)"


def in_turn(
    commands: Mapping[str, Sequence[str]], folder: Path, rounds: int, environ: Mapping[str, str] | None = None
) -> dict[str, Measured]:
    """Run every command once a round, after one round that does not count.

    Raises:
        subprocess.CalledProcessError: A command failed; its output is in the error.
    """
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, cwd=folder, env={**os.environ, **(environ or {})}, check=True, capture_output=True)
            if number:
                taken[name].append(time.perf_counter() - started)
    return {name: Measured(name, tuple(seconds)) for name, seconds in taken.items()}


def timed(call: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def ratio(measured: Measured, floor: Measured) -> str:
    """One line: how many times the floor."""
    return f"{measured.name} / {floor.name}: {measured.median_s / floor.median_s:.2f}"


def machine(*distributions: str) -> str:
    """What the figures were measured on."""
    versions = ", ".join(f"{name} {version(name)}" for name in distributions)
    return f"Python {platform.python_version()}, {os.cpu_count()} cores" + (f", {versions}" if versions else "")
