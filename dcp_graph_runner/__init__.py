"""The Graph Runner, the part that runs in process: the SQL store with its journal, and playgrounds.

``sql_store`` is what the entry points of group ``dcp.stores`` load; beneath it ``journal`` (operations, leases,
steps), ``audit`` (the log, appended to), ``tables`` and ``schema`` (the database and its migrations) and ``database``
(the only place that knows SQLite from PostgreSQL). ``audit_chain`` is what binds records, without any database;
``audit_outbox`` brings them to ``audit_table``, an Iceberg table. ``holder`` tells whether a process still lives,
``playgrounds`` makes and destroys users' sandboxes.

Must not import plugins, primitives, the CoreETL driver or the CLI. Importing this package is cheap: SQLAlchemy is
imported with ``sql_store``, alembic only when a database has to be migrated.
"""

from __future__ import annotations

from dcp_graph_runner.holder import current_holder, is_gone
from dcp_graph_runner.playgrounds import Destruction, Playground, Playgrounds

__all__ = [
    "Destruction",
    "Playground",
    "Playgrounds",
    "current_holder",
    "is_gone",
]
