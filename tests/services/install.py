"""Gets the servers that these tests start: ``python -m tests.services.install``; with names after it, those alone.

Each goes into a virtual environment of its own under ``.services/``, from PyPI and Maven Central, at the versions in
``requirements/``; Kubernetes and Dex are compiled there, from Go's module proxy, at the versions in their ``go.mod``;
the driver of PostgreSQL goes into the project's own environment, at the version in ``constraints.txt``. What is there
already is left alone. What cannot be had is no failure: its tests are skipped and say why.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from coreetl_driver.compute.suggesting import nearest
from tests.services import kafka_building, kafka_registry, oidc_building, spark
from tests.services.kubernetes import building

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / ".services"
REQUIREMENTS = Path(__file__).parent / "requirements"
NAMES = ("airflow", "apicurio", "dex", "kafka", "kubernetes", "moto", "postgresql", "seaweedfs", "spark")
_NEEDS = {
    "apicurio": kafka_registry.java_problem,
    "dex": building.go_problem,
    "kafka": kafka_building.java_problem,
    "kubernetes": building.go_problem,
    "spark": spark.java_problem,
}
# With no Python in them: from sources, or jars alone.
_BUILT = {
    "apicurio": kafka_registry.build,
    "dex": oidc_building.build,
    "kafka": kafka_building.build,
    "kubernetes": building.build,
}
_SOURCES = {
    "apicurio": kafka_registry.SOURCES,
    "dex": oidc_building.SOURCES,
    "kafka": kafka_building.SOURCES,
    "kubernetes": building.SOURCES,
}
_TIMEOUT_S = 900


def folder(name: str) -> Path:
    """The virtual environment of one server."""
    return SERVICES / name


def missing(name: str) -> str | None:
    """Why a server cannot be used; None when it can."""
    if is_installed(name):
        return _lacks(name)
    reason = _reason(name)
    return reason.read_text() if reason.is_file() else f"{name} is not installed; run `make test-services`"


def is_installed(name: str) -> bool:
    """Whether the versions that ``requirements/`` names now are there."""
    stamp = _stamp(name)
    return stamp.is_file() and stamp.read_text() == _digest(name)


def chosen(arguments: Sequence[str]) -> tuple[str, ...]:
    """The servers that a command line names; all when it names none.

    Raises:
        SystemExit: There is none of that name.
    """
    for name in arguments:
        if name not in NAMES:
            raise SystemExit(f"there is no server {name!r}; {nearest(name, NAMES, 'known')}")
    return tuple(dict.fromkeys(arguments)) or NAMES


def main(arguments: Sequence[str]) -> None:
    """Install what is missing of what is chosen, one after the other."""
    names = chosen(arguments)
    SERVICES.mkdir(exist_ok=True)
    for name in names:
        if not is_installed(name):
            _report(name, _install(name))
    if "postgresql" in names and importlib.util.find_spec("psycopg") is None:
        constraints = str(ROOT / "constraints.txt")
        _report("psycopg", _pip(Path(sys.executable), "-c", constraints, "psycopg[binary]"))


def _install(name: str) -> str | None:
    """Why it cannot be had; None when it is there now."""
    began = time.monotonic()
    print(f"Installing {name} into .services/{name} …", flush=True)
    problem = _lacks(name) or (_BUILT[name](folder(name)) if name in _BUILT else _environment(name))
    if problem:
        _reason(name).write_text(f"{name} cannot be installed: {problem}")
        return problem
    _reason(name).unlink(missing_ok=True)
    _stamp(name).write_text(_digest(name))
    print(f"  done in {time.monotonic() - began:.0f} s")
    return None


def _environment(name: str) -> str | None:
    """Make a virtual environment with its packages, and its jars; why it cannot be had, or None."""
    problem = _run([sys.executable, "-m", "venv", "--clear", str(folder(name))])
    # The list is whole: without looking for more, pip takes seconds instead of a minute.
    problem = problem or _pip(folder(name) / "bin" / "python", "--no-deps", "-r", str(_requirements(name, "txt")))
    if _requirements(name, "jars").is_file():
        problem = problem or spark.copy_jars(_requirements(name, "jars"), folder(name) / "jars")
    return problem


def _lacks(name: str) -> str | None:
    """What of the machine a server needs and does not find."""
    return _NEEDS[name]() if name in _NEEDS else None


def _pip(python: Path, *arguments: str) -> str | None:
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        *arguments,
    ]
    return _run(command)


def _run(command: list[str]) -> str | None:
    """The last line of what went wrong; None when nothing did."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return None if done.returncode == 0 else (lines[-1] if lines else f"exit status {done.returncode}")


def _report(name: str, problem: str | None) -> None:
    if problem:
        print(f"{name} cannot be had, its tests will be skipped: {problem}", file=sys.stderr)


def _stamp(name: str) -> Path:
    return folder(name) / ".installed"


def _reason(name: str) -> Path:
    return SERVICES / f"{name}.reason"


def _requirements(name: str, kind: str) -> Path:
    """Its Python packages (``txt``) or its Java archives (``jars``)."""
    return REQUIREMENTS / f"{name}.{kind}"


def _digest(name: str) -> str:
    files = _SOURCES[name] if name in _SOURCES else [_requirements(name, kind) for kind in ("txt", "jars")]
    wanted = b"".join(file.read_bytes() for file in files if file.is_file())
    return hashlib.sha256(wanted + sys.version.encode()).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1:])
