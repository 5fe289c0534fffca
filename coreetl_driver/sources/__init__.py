"""The SQL databases that jobs extract from: opened read-only, streamed as Arrow, each value checked on its way.

``connections`` reads ``[connections.NAME]``, ``opening`` picks the driver, ``sqlite``, ``postgresql``, ``generic`` and
``connectorx`` are the kinds of source, ``converting`` makes each chunk what the table declares or refuses.

Must not import the job program, the driver or its registry. Importing this package is cheap: pyarrow and the
databases' drivers are imported when a source is opened.
"""

from __future__ import annotations

from coreetl_driver.sources.connections import (
    Connection,
    ConnectionSettings,
    connection_names,
    require_connection,
    resolved_connection,
)
from coreetl_driver.sources.opening import open_connection, open_source
from coreetl_driver.sources.source import (
    ReadColumn,
    Since,
    Source,
    SourceColumnInfo,
    ValueProblemError,
    problem_extracting,
    read_columns,
)

__all__ = [
    "Connection",
    "ConnectionSettings",
    "ReadColumn",
    "Since",
    "Source",
    "SourceColumnInfo",
    "ValueProblemError",
    "connection_names",
    "open_connection",
    "open_source",
    "problem_extracting",
    "read_columns",
    "require_connection",
    "resolved_connection",
]
