"""Compiles the OIDC server of these tests, Dex with a directory of users in memory, from Go's module proxy.

Two cores need about one minute, once: Go keeps what it has compiled.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent / "oidc_server"
SOURCES = (*(_HERE / name for name in ("main.go", "go.mod", "go.sum")), Path(__file__))
PROGRAM = "oidc_server"
_TIMEOUT_S = 900


def build(folder: Path) -> str | None:
    """Put the program into ``folder``; why it cannot be had, None when it is there."""
    programs = folder / "bin"
    command = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-gcflags=all=-l"]
    environ = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}
    try:
        programs.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [*command, "-o", str(programs / PROGRAM), "."],
            capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, cwd=_HERE, env=environ,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return None if done.returncode == 0 else (lines[-1] if lines else f"exit status {done.returncode}")
