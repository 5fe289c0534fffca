"""Run by alembic: migrates on the connection that ``schema.ensure_current`` hands over, in its transaction.

A developer who wants ``alembic revision --autogenerate`` sets ``config.attributes["connection"]`` likewise.
"""

from __future__ import annotations

from alembic import context

from dcp_graph_runner.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    # SQLite alters little in place; batch mode copies the table where it must.
    render_as_batch=True,
)
context.run_migrations()
