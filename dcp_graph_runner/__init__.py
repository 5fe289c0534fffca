"""The Graph Runner: what DCP does for many users, in the caller's process or as a service.

What is remembered:

- ``sql_store`` is what the entry points of group ``dcp.stores`` load; beneath it ``journal`` with ``journal_rows``
  (operations, leases, steps), ``giving_up`` (operations that nobody survives), ``requests`` with ``request_rows`` and
  ``request_events`` (what a server was asked for), ``pauses``, ``tables``, ``schema`` and ``migrations``, and
  ``database``, the only place that knows SQLite from PostgreSQL. ``clean_up`` takes away what is old, and ``holder``
  tells whether a process still lives.
- ``audit`` is the log; ``audit_chain`` what binds its records, without any database; ``audit_outbox`` brings them to
  ``audit_table``, an Iceberg table. ``deeds`` are what is recorded without being an operation.

What is done:

- ``api``: what may be asked, a class for each request and answer, in one table of handlers for every transport.
- ``graphs``: the nodes that a call goes through. ``access``: who calls, and what they may.
- ``playgrounds``, ``ops`` and ``metadata``: what the handlers of these services do.
- ``server``: gRPC, HTTP and the workers; ``client``: the same façade as ``ControlPlane``, done by a server.
- ``controller``: looks after what was applied. ``ending``: frees the manifest of an operation that nobody goes on with.

Plugins and primitives are reached through the registry only, and of the CoreETL driver nothing but what any service
needs: certificates, the web server, names that were meant. Must not import the CLI. Importing this package is cheap:
SQLAlchemy is imported with ``sql_store``, gRPC and Starlette with ``server``, alembic only when a database has to be
migrated.
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
