"""A project folder, a stranger's package that is installed for real, and a way to run commands in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pretzel.__main__ import main
from tests.pretzel.running import Ended, Note, Pretzel, install

STRANGER = """[dcp.plugins]
sticky_note = tests.pretzel.stranger:Note
torn_page = tests.pretzel.there_is_no_such_module:Torn
[dcp.primitives]
paper_sheet = tests.pretzel.stranger:Paper
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions, with the stranger's in it; our own manifest types are switched off."""
    folder = tmp_path / "site"
    install(folder, "stationery", "2.1", STRANGER)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("DCP_DISABLE", "derived_dataset")
    return folder


@pytest.fixture
def project(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which is the working folder."""
    folder = tmp_path / "project"
    (folder / "notes").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DCP_IDENTITY_USER", "alice")
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def pretzel(project: Path, capsys: pytest.CaptureFixture[str]) -> Pretzel:
    """Runs one command in this process; stdin is no terminal."""

    def run(*words: str) -> Ended:
        capsys.readouterr()
        status = main(words)
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return run


@pytest.fixture
def note(project: Path) -> Note:
    """Writes a manifest; gives its path."""

    def write(name: str, text: str = "hello", **fields: Any) -> str:
        content = {"manifest_type": "sticky_note", "name": name, "text": text, **fields}
        path = project / "notes" / f"{name}.yaml"
        path.write_text(
            "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in content.items()),
            encoding="utf-8",
        )
        return f"notes/{name}.yaml"

    return write
