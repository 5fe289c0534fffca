"""Whether an execution has committed: its table knows, whatever the service says of the attempt's end."""

from __future__ import annotations

from collections.abc import Mapping

from dcp_core.errors import TransientError
from dcp_core.settings import Settings


def rows_committed(catalog: str, properties: Mapping[str, str], table: str, execution_id: str) -> int | None:
    """The rows that an execution has committed, as the summaries of the table's snapshots say; None when it has not.

    Args:
        properties: pyiceberg's, of the catalog, resolved.
        table: ``namespace.name``.
    """
    from coreetl_driver.warehouse import Warehouse, committed_snapshot, rows_of

    found = Warehouse().load((catalog, properties), tuple(table.split(".")))
    summary = None if found is None else committed_snapshot(found, execution_id)
    return None if summary is None else rows_of(summary)


def rows_known_to_be_committed(settings: Settings, catalog: str, table: str, execution_id: str) -> int | None:
    """The same by the driver's own ``[catalog]``, for an attempt that its service says has failed or was cancelled.

    Raises:
        TransientError: The table cannot be asked, so that nobody knows yet.
    """
    try:
        return rows_committed(catalog, settings.catalog_properties(catalog), table, execution_id)
    except Exception as problem:  # whatever pyiceberg and its catalogs raise
        message = f"whether execution {execution_id} has committed cannot be found out: {problem}"
        raise TransientError(message) from problem
