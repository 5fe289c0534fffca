"""Requests of the server with their events, which request an operation belongs to, and what is paused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the three tables; operations that are there belong to no request."""
    time = sa.DateTime(timezone=True)
    op.add_column("dcp_operations", sa.Column("request_id", sa.Text, nullable=False, server_default=""))
    op.create_index("ix_dcp_operations_request_id", "dcp_operations", ["request_id"])
    op.create_table(
        "dcp_requests",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("needs", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("is_cancelled", sa.Boolean, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("finished_at", time),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("interruptions", sa.Integer, nullable=False),
        sa.Column("lease_expires_at", time, nullable=False),
        sa.Column("holder_host", sa.Text, nullable=False),
        sa.Column("holder_pid", sa.BigInteger, nullable=False),
        sa.Column("holder_started", sa.Text, nullable=False),
        sa.Column("holder_user", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dcp_requests"),
        sa.UniqueConstraint("identity", "idempotency_key", name="uq_dcp_requests_identity_idempotency_key"),
    )
    op.create_index("ix_dcp_requests_status", "dcp_requests", ["status"])
    op.create_index("ix_dcp_requests_created_at", "dcp_requests", ["created_at"])
    op.create_table(
        "dcp_request_events",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("at", time, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "sequence", name="pk_dcp_request_events"),
        sa.ForeignKeyConstraint(
            ["request_id"], ["dcp_requests.id"], ondelete="CASCADE", name="fk_dcp_request_events_request_id"
        ),
    )
    op.create_table(
        "dcp_pauses",
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("manifest_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", time, nullable=False),
        sa.PrimaryKeyConstraint("environment", "manifest_id", name="pk_dcp_pauses"),
    )
