"""The whole end-to-end suite through servers: every project has a Graph Runner of its own, on SQLite or PostgreSQL.

Source: design.md section 9; ``tests/end_to_end/through.py`` says how, and which tests cannot hold so.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKERS = "2"
TIMEOUT_S = 4000


@pytest.mark.timeout(TIMEOUT_S + 60)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_the_end_to_end_suite_passes_through_a_server(store: str, request: pytest.FixtureRequest) -> None:
    # The inner run has workers of its own, and is none itself.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ["DCP_TESTS_THROUGH"] = store
    if store == "postgresql":
        environ["DCP_TESTS_POSTGRESQL"] = request.getfixturevalue("postgresql")
    command = [sys.executable, "-m", "pytest", "tests/end_to_end", "-q", "-n", WORKERS, "--dist", "worksteal",
               "-m", "not services", "-p", "no:cacheprovider"]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed.group(1)) > 200, done.stdout[-2000:]
