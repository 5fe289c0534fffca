"""Whether an attempt that did not end well had committed before: its table knows, whoever submitted it."""

from __future__ import annotations

import json

from coreetl_driver.warehouse import Warehouse, committed_snapshot, rows_of
from dcp_core.errors import TransientError
from dcp_core.settings import Settings


def committed_rows(settings: Settings, specification: str) -> int | None:
    """The rows that the execution of a staged specification has committed; None when it has not.

    Args:
        settings: Whose ``[catalog]`` leads to the same tables as the cluster's.
        specification: As ``compute.artifacts.job_specification`` makes it.

    Raises:
        TransientError: The table cannot be asked.
    """
    document = json.loads(specification)
    sink, execution_id = document["sink"], document["marks"]["coreetl.execution-id"]
    try:
        store = (sink["catalog"], settings.catalog_properties(sink["catalog"]))
        table = Warehouse().load(store, tuple(sink["table"].split(".")))
        summary = None if table is None else committed_snapshot(table, execution_id)
    except Exception as problem:  # whatever pyiceberg and its catalogs raise: nobody knows yet
        raise TransientError(f"whether the job's commit was made cannot be found out: {problem}") from problem
    return None if summary is None else rows_of(summary)
