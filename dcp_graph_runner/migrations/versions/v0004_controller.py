"""What the controller knows: conditions, when each kind was seen, what it tries again, and who looks after what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the five tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "dcp_conditions",
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("manifest_id", sa.Text, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("changes", sa.Text, nullable=False),
        sa.Column("since", time, nullable=False),
        sa.PrimaryKeyConstraint("environment", "kind", "name", name="pk_dcp_conditions"),
    )
    op.create_index("ix_dcp_conditions_environment_manifest_id", "dcp_conditions", ["environment", "manifest_id"])
    op.create_table(
        "dcp_observations",
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("observed_at", time, nullable=False),
        sa.PrimaryKeyConstraint("environment", "shard", "kind", name="pk_dcp_observations"),
    )
    op.create_table(
        "dcp_heal_attempts",
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("manifest_id", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", time, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("environment", "manifest_id", name="pk_dcp_heal_attempts"),
    )
    op.create_table(
        "dcp_controller_leases",
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("replica", sa.Text, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.PrimaryKeyConstraint("environment", "shard", name="pk_dcp_controller_leases"),
    )
    op.create_table(
        "dcp_controller_replicas",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.Column("holder_host", sa.Text, nullable=False),
        sa.Column("holder_pid", sa.BigInteger, nullable=False),
        sa.Column("holder_started", sa.Text, nullable=False),
        sa.Column("holder_user", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dcp_controller_replicas"),
    )
