"""What a package imports it names as a dependency, so that it can be installed by itself."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(each.parent.name for each in ROOT.glob("dcp_plugins_*/pyproject.toml"))


def imported(package: str) -> set[str]:
    """The top-level modules that its files import, also inside functions."""
    names: set[str] = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return {name.partition(".")[0] for name in names}


def named(package: str) -> set[str]:
    """The modules of the distributions it depends on, each of which has the distribution's name."""
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [re.match(r"[A-Za-z0-9-]+", each) for each in project["dependencies"]]
    return {name[0].replace("-", "_").lower() for name in found if name}


@pytest.mark.parametrize("package", PLUGINS)
def test_a_plugin_depends_on_all_that_it_imports_and_on_nothing_else(package: str) -> None:
    used = imported(package) - {package} - sys.stdlib_module_names
    assert "dcp_core" in used
    assert used == named(package)
