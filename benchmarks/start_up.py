"""Starting up: ``pretzel --help`` and ``pretzel plan`` of one unchanged manifest, against ``python -c pass``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import in_turn, machine, ratio

ROUNDS = 10
MANIFEST = """\
metadata:
  technical_owner: logistics-de
dataset:
  name: daily_orders
  fields:
    - {name: order_id, type: string}
workflow:
  schedule: "0 * * * *"
  sql: daily_orders.sql
"""


def main() -> None:
    """Print the figures and the ratios."""
    python, pretzel = [sys.executable], [sys.executable, "-m", "pretzel"]
    environ = {"DCP_IDENTITY_USER": "bench"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        manifest = root / "derived_dataset" / "daily_orders.yaml"
        manifest.parent.mkdir()
        (root / "dcp.toml").touch()
        manifest.write_text(MANIFEST)
        manifest.with_suffix(".sql").write_text("SELECT order_id FROM raw.orders")
        known = {**os.environ, **environ}
        subprocess.run([*pretzel, "apply", str(manifest)], cwd=root, check=True, capture_output=True, env=known)
        measured = in_turn(
            {
                "python -c pass": [*python, "-c", "pass"],
                "python -c 'import click'": [*python, "-c", "import click"],
                "pretzel --help": [*pretzel, "--help"],
                "pretzel plan, one manifest, unchanged": [*pretzel, "plan", str(manifest), "--detailed-exitcode"],
            },
            root,
            ROUNDS,
            environ,
        )
    print(f"Start-up ({machine('click', 'SQLAlchemy')})")
    for each in measured.values():
        print(f"  {each}")
    floor = measured["python -c pass"]
    for each in list(measured.values())[1:]:
        print(f"  {ratio(each, floor)}")
