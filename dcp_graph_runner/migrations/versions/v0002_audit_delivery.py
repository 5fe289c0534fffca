"""Records announced ahead, and the outbox that delivers the audit log to a table.

Records themselves are as they were: the first schema chained them already.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two tables; the log gets the name that tells it from others for good."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "dcp_audit_announced",
        sa.Column("operation_id", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("announced_at", time, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.Column("holder_host", sa.Text, nullable=False),
        sa.Column("holder_pid", sa.BigInteger, nullable=False),
        sa.Column("holder_started", sa.Text, nullable=False),
        sa.Column("holder_user", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("operation_id", name="pk_dcp_audit_announced"),
    )
    outbox = op.create_table(
        "dcp_audit_outbox",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("log_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("delivered_at", time),
        sa.PrimaryKeyConstraint("id", name="pk_dcp_audit_outbox"),
    )
    op.bulk_insert(outbox, [{"id": 1, "log_id": uuid.uuid4().hex, "sequence": 0}])
