"""What the documentation shows is what runs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_plugin_in_the_documentation_is_the_one_that_the_tests_install() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "plugins.md").read_text(), re.S)
    source = (ROOT / "tests" / "strangers" / "row_count" / "src" / "acme_row_count.py").read_text()
    assert shown[0] == source


def test_the_backend_in_the_documentation_is_the_one_that_the_tests_install() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "compute.md").read_text(), re.S)
    source = (ROOT / "tests" / "strangers" / "duck" / "src" / "acme_duck.py").read_text()
    assert shown[0] == source


def test_every_link_between_documents_leads_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_manifest_in_the_readme_is_the_example() -> None:
    shown = re.findall(r"```yaml\n# (\S+)\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert shown
    for file, text in shown:
        assert (ROOT / "examples" / file).read_text() == text
