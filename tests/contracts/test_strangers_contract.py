"""The stranger's package of the documentation, through the public contract suites."""

from __future__ import annotations

import sys
from pathlib import Path

from dcp_core.testing import PluginContract, PrimitiveContract

sys.path.append(str(Path(__file__).parents[1] / "strangers" / "row_count" / "src"))

from acme_row_count import RowCount, TextFile


class TestRowCount(PluginContract):
    plugin = RowCount
    manifest = "name: sales\nrows: 3\n"


class TestTextFile(PrimitiveContract):
    primitive = TextFile
    spec = {"rows": 3}  # noqa: RUF012
    changed_spec = {"rows": 4}  # noqa: RUF012
