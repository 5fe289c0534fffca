"""Backfills on the embedded platform: which intervals are run, and each once, whatever kills the process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.dcp_graph_runner.ops.sites import ID, TABLE, Site
from tests.warm import warm_process

JANUARY = ("--from", "2026-01-01", "--to", "2026-01-04")


def wanted(answer: object) -> dict[int, bool]:
    """By day of January."""
    return {int(row["start"][8:10]): row["wanted"] for row in answer["rows"]}  # type: ignore[index]


def test_a_backfill_runs_what_is_missing_once_and_a_dry_run_says_so_beforehand(site: Callable[..., Site]) -> None:
    made = site()
    assert made.project.pretzel("run", made.path, "--date", "2026-01-02").status == 0
    dry = made.ops("backfill", ID, *JANUARY, "--dry-run").document
    assert wanted(dry) == {1: True, 2: False, 3: True}
    assert [row["before"] for row in dry["rows"]] == [None, "SUCCEEDED", None]
    assert (dry["status"], made.rows(), made.audit("backfill")) == ("", ["day2"], [])

    done = made.ops("backfill", made.path, *JANUARY)
    assert (done.status, done.document["status"]) == (0, "SUCCEEDED")
    assert made.rows() == ["day1", "day2", "day3"]
    first = "RUN 2026-01-01T00:00:00+00:00/2026-01-02T00:00:00+00:00 SUCCEEDED"
    assert made.audit("backfill") == [("SUCCEEDED", first)]

    again = made.ops("backfill", ID, *JANUARY).document
    assert (wanted(again), made.rows()) == ({1: False, 2: False, 3: False}, ["day1", "day2", "day3"])
    assert len(made.audit("backfill")) == 1, "nothing was done"

    text = made.project.pretzel("ops", "backfill", ID, *JANUARY, "--reprocess", "completed", "--max-parallel", "2")
    assert "3 of 3 run" in text.out
    assert max(map(len, text.out.splitlines())) <= 80
    assert made.rows() == ["day1", "day1", "day2", "day2", "day3", "day3"]


def test_the_first_failure_ends_it_and_reprocess_failed_goes_on(site: Callable[..., Site]) -> None:
    made = site()
    source = made.project.catalog("pedregal")
    source.rename_table("raw.orders", "raw.hidden")
    failed = made.ops("backfill", ID, *JANUARY)
    assert (failed.status, failed.document["status"]) == (1, "FAILED")
    assert [row["status"] for row in failed.document["rows"]] == ["FAILED", None, None]
    assert "one before it failed" in failed.document["rows"][1]["error"]
    source.rename_table("raw.hidden", "raw.orders")

    assert wanted(made.ops("backfill", ID, *JANUARY, "--dry-run").document) == {1: False, 2: True, 3: True}
    done = made.ops("backfill", ID, *JANUARY, "--reprocess", "failed")
    assert (done.status, made.rows()) == (0, ["day1", "day2", "day3"])


def test_a_backfill_that_is_killed_and_repeated_runs_each_interval_once(site: Callable[..., Site]) -> None:
    made = site(6)
    words = ("ops", "backfill", ID, "--from", "2026-01-01", "--to", "2026-01-07", "-o", "json")
    for snapshots in (1, 2, 4):
        started = warm_process().start(
            "pretzel.__main__:main", words, cwd=made.project.root, environ=made.project.process_environ()
        )
        deadline = time.monotonic() + 60
        while _snapshots(made) < snapshots and time.monotonic() < deadline:
            time.sleep(0.02)
        started.kill(signal.SIGKILL)
        started.wait()
    last = made.project.pretzel(*words)
    assert last.status == 0, last
    assert made.rows() == [f"day{day}" for day in range(1, 7)]
    assert made.audit("backfill")[-1][0] in ("SUCCEEDED", "FAILED")
    assert wanted(made.ops("backfill", ID, *words[3:7]).document) == dict.fromkeys(range(1, 7), False)


def _snapshots(made: Site) -> int:
    return len(made.project.catalog().load_table(TABLE).snapshots())


def test_a_reprocessing_that_is_killed_goes_on_with_what_it_has_not_done(site: Callable[..., Site]) -> None:
    made = site(4)
    words = ("ops", "backfill", ID, "--from", "2026-01-01", "--to", "2026-01-05")
    assert made.project.pretzel(*words).status == 0
    again = (*words, "--reprocess", "completed")
    started = warm_process().start(
        "pretzel.__main__:main", again, cwd=made.project.root, environ=made.project.process_environ()
    )
    deadline = time.monotonic() + 60
    while _snapshots(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    started.kill(signal.SIGKILL)
    started.wait()
    assert made.project.pretzel(*again).status == 0
    assert made.rows() == sorted(2 * [f"day{day}" for day in range(1, 5)]), "each day once more, none twice more"


def test_what_has_no_interval_cannot_be_backfilled(site: Callable[..., Site]) -> None:
    made = site()
    short = made.ops("backfill", ID, "--from", "2026-01-01T01:00", "--to", "2026-01-01T02:00")
    assert (short.status, "no interval" in short.document["error"]["message"]) == (1, True)
    backwards = made.ops("backfill", ID, "--from", "2026-01-02", "--to", "2026-01-01")
    assert backwards.status == 64
    future = made.ops("backfill", ID, "--from", "2999-01-01", "--to", "2999-01-03").document
    assert [row["why"] for row in future["rows"]] == 2 * ["it has not ended yet"]
