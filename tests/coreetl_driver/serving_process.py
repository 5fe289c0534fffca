"""The driver's service as a process of its own, as an operator starts it: one to kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[2]


@attrs.frozen
class Serving:
    """A started service.

    Args:
        urls: ``grpc_url`` and ``http_url``.
    """

    process: subprocess.Popen[str]
    urls: Mapping[str, str]


@contextmanager
def serving(root: Path, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """``pretzel coreetl start`` in a project's root, on any ports; killed at the end, if it still runs."""
    given = {**os.environ, **(environ or {})}
    given["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), (environ or {}).get("PYTHONPATH")]))
    words = ("-m", "pretzel", "coreetl", "start", "--http-port", "0", "--grpc-port", "0", "-o", "json", *options)
    process = subprocess.Popen(
        [sys.executable, *words], cwd=root, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [""]
        while lines[-1] != "}\n":
            lines.append(process.stdout.readline())
            assert lines[-1], f"it ended before it said where it listens: {lines} {process.communicate()}"
        told: dict[str, Any] = json.loads("".join(lines))
        assert "grpc_url" in told, told
        yield Serving(process, told)
    finally:
        process.kill()
        process.communicate()
