"""Some of this suite through a server on SQLite; ``tests/services`` runs all of it so, on PostgreSQL too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end import through

HERE = Path(__file__).parent
SOME = (
    "test_plans.py::test_a_saved_plan_is_refused_when_the_dag_file_was_edited",
    "test_plans.py::test_a_saved_plan_does_what_was_shown_whatever_became_of_the_manifest_and_only_once",
    "test_plans.py::test_a_table_of_somebody_else_is_blocked_until_it_is_adopted",
    "test_strangers.py::test_a_strangers_dataset_comes_after_the_dataset_that_it_reads_and_is_treated_the_same",
)


@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(through.THROUGH), reason="this run goes through a server already")
def test_some_of_the_suite_passes_through_a_server() -> None:
    environ = {**os.environ, "DCP_TESTS_THROUGH": "sqlite"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(HERE / each) for each in SOME)],
        cwd=HERE.parents[1], env=environ, capture_output=True, text=True, timeout=840, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed.group(1)) >= len(SOME), done.stdout[-2000:]
