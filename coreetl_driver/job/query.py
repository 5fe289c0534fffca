"""A query job: the output checked against what is declared, then written to its table in one commit.

The same for every backend; who opens the session, and where the answer goes, is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from coreetl_driver.api import SinkMode
from coreetl_driver.job.output import conform
from coreetl_driver.job.session import Session, quoted
from coreetl_driver.job.sink import write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def write_output(
    session: Session,
    output: DataFrame,
    request: Mapping[str, Any],
    note: Callable[[Mapping[str, str]], None],
    log: Callable[[str], None],
) -> int | None:
    """Write what a query gives to the job's table.

    Args:
        request: ``columns``, ``sink`` and ``marks`` as JSON; what ``compute.worker_attempts.job_request`` makes.
        note: Takes what is to be in the summary of the commit, before the commit.
        log: Takes one line for the execution's log.

    Returns:
        The number of rows, where the mode has to count them; else the commit tells.

    Raises:
        JobError: The output does not fit. Nothing was written.
    """
    began = time.monotonic()
    sink = request["sink"]
    target = quoted(sink["catalog"], *sink["table"].split("."))
    declared = [column["name"] for column in request["columns"]]
    checked = conform(output, declared, session.spark.table(target).schema, sink["table"])
    mode = SinkMode(sink["mode"])
    log(f"writing to {sink['catalog']}.{sink['table']}, mode {mode.value}")

    def announce(rows: int) -> None:
        # Before the commit: a merge rewrites old rows too, so its snapshot cannot tell how many were the job's.
        note({"coreetl.rows-written": str(rows)})
        session.mark({"coreetl.rows-written": str(rows)})

    session.mark(request.get("marks") or {})
    rows = write(session, checked, target, mode, sink["keys"], log, announce)
    log(f"done in {time.monotonic() - began:.2f} s")
    return rows
