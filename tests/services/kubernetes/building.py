"""Compiles the control plane and the Spark operator, and gets the operator's definitions, from Go's module proxy.

Two cores need about four minutes for the 3,100 packages, once: Go keeps what it has compiled.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent / "apiserver"
SOURCES = (*(_HERE / name for name in ("main.go", "go.mod", "go.sum")), Path(__file__))
API_SERVER = "apiserver"
OPERATOR = "operator"
DEFINITIONS = "definitions"
_OPERATOR = "github.com/kubeflow/spark-operator/v2@v2.5.1"
_OPERATOR_SUM = "h1:7E1iz79b5p8fEcn2zr/yJ/T3kuZtJJqj+DPvvGV3WjA="
_DEFINITIONS = "config/crd/bases"
_OLDEST_GO = (1, 26)
_TIMEOUT_S = 1800


def go_problem() -> str | None:
    """Why nothing can be compiled here; None when it can."""
    go = shutil.which("go")
    if go is None:
        return "the Kubernetes API server is compiled with Go, and there is no go on the PATH"
    told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST_GO:
        return f"Kubernetes needs Go {'.'.join(map(str, _OLDEST_GO))} or newer; this is {told.strip() or 'none'}"
    return None


def build(folder: Path) -> str | None:
    """Put the programs and the definitions into ``folder``.

    Returns:
        Why they cannot be had; None when they are there.
    """
    try:
        downloaded = json.loads(_go("mod", "download", "-json", _OPERATOR))
        if downloaded["Sum"] != _OPERATOR_SUM:
            return f"{_OPERATOR} is not what it was: {downloaded['Sum']}"
        operator, programs = Path(downloaded["Dir"]), folder / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        _compile(_HERE, ".", programs / API_SERVER)
        _compile(operator, "./cmd/operator", programs / OPERATOR)
        shutil.copytree(operator / _DEFINITIONS, folder / DEFINITIONS, dirs_exist_ok=True)
    except subprocess.CalledProcessError as error:
        lines = [line for line in (error.stderr or error.stdout).splitlines() if line.strip()]
        return lines[-1] if lines else str(error)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None


def _compile(folder: Path, package: str, program: Path) -> None:
    """Without inlining, which is faster, and fast enough."""
    _go(
        "build",
        "-mod=readonly",
        "-trimpath",
        "-ldflags=-s -w",
        "-gcflags=all=-l",
        "-o",
        str(program),
        package,
        at=folder,
    )


def _go(*arguments: str, at: Path = _HERE) -> str:
    environ = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}
    done = subprocess.run(
        ["go", *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True, cwd=at, env=environ
    )
    return done.stdout
