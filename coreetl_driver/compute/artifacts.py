"""What a cluster needs to run a job: the program, packed from what is installed here, and the job's specification.

The program is two files: ``main.py``, which Spark starts, and ``program.zip``, the rest. Both are the same bytes as
long as the same versions are installed, so their digest names them and each is staged once. Where they are staged is
the backend's matter; nothing in them is secret.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from attrs import field, frozen

from coreetl_driver.compute.tasks import Task
from coreetl_driver.sql import without_comments

MAIN = "main.py"
PROGRAM = "program.zip"
SPECIFICATION = "specification.json"
# What the job program imports, PySpark apart; a test runs the archive with nothing else beside it.
_MODULES = (
    "coreetl_driver", "coreetl_driver.api", "coreetl_driver.column_types", "coreetl_driver.job",
    "coreetl_driver.job.engine_errors", "coreetl_driver.job.output", "coreetl_driver.job.program",
    "coreetl_driver.job.query", "coreetl_driver.job.session", "coreetl_driver.job.sink", "coreetl_driver.job_sources",
    "coreetl_driver.writing", "dcp_core", "dcp_core.errors", "dcp_core.settings", "typing_extensions",
)  # fmt: skip
_PACKAGES = ("attr", "attrs", "cattr", "cattrs")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


@frozen
class Artifact:
    """One file to stage.

    Args:
        name: Without folders.
        content: Its bytes.
    """

    name: str
    content: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """In hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()

    def unique(self) -> Artifact:
        """The same document of JSON with a digest that no other has."""
        document = {**json.loads(self.content), "nonce": secrets.token_hex(16)}
        return Artifact(self.name, _json(document))


@frozen
class Program:
    """The files that are the same for every job."""

    main: Artifact
    archive: Artifact

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change when the program does."""
        return hashlib.sha256(self.main.content + self.archive.content).hexdigest()[:16]


@cache
def job_program() -> Program:
    """The job program as it is installed here; about 250 KB."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(_files()):
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), file.read_bytes(), zipfile.ZIP_DEFLATED)
    main = Path(__file__).parents[1] / "job" / MAIN
    return Program(Artifact(MAIN, main.read_bytes()), Artifact(PROGRAM, packed.getvalue()))


def job_specification(task: Task) -> Artifact:
    """One attempt of a query job as the program takes it: no catalog properties, no tokens.

    The SQL has been checked by the driver; the program trusts the digest that it is given beside the file.
    """
    spec = task.spec.to_json()
    document = {
        "sql": without_comments(task.spec.sql),
        "params": dict(task.params),
        "columns": spec["columns"],
        "sink": spec["sink"],
        "default_catalog": task.spec.default_catalog,
        "marks": task.marks,
    }
    return Artifact(SPECIFICATION, _json(document))


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _files() -> Iterator[tuple[str, Path]]:
    """Name in the archive and place here of each."""
    for module in _MODULES:
        file = _place(module)
        name = module.replace(".", "/")
        yield f"{name}/__init__.py" if file.name == "__init__.py" else f"{name}.py", file
    for package in _PACKAGES:
        folder = _place(package).parent
        for file in folder.rglob("*.py"):
            yield f"{package}/{file.relative_to(folder).as_posix()}", file


def _place(module: str) -> Path:
    found = importlib.util.find_spec(module)
    assert found is not None, f"{module} is a dependency"
    assert found.origin is not None, f"{module} is a file"
    return Path(found.origin)
