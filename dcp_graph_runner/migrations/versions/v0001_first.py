"""The first schema: operations, steps, inventory, logical plans, audit and playgrounds.

Times are ``TIMESTAMP WITH TIME ZONE`` (SQLite: text in UTC), documents are JSON in TEXT.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    time = sa.DateTime(timezone=True)
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "dcp_operations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("manifest_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("results", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("created_at", time, nullable=False),
        sa.Column("finished_at", time),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("lease_expires_at", time, nullable=False),
        sa.Column("holder_host", sa.Text, nullable=False),
        sa.Column("holder_pid", sa.BigInteger, nullable=False),
        sa.Column("holder_started", sa.Text, nullable=False),
        sa.Column("holder_user", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dcp_operations"),
    )
    op.create_index("ix_dcp_operations_environment_created_at", "dcp_operations", ["environment", "created_at"])
    op.create_index(
        "uq_dcp_operations_running",
        "dcp_operations",
        ["environment", "manifest_id"],
        unique=True,
        sqlite_where=sa.text("status = 'RUNNING'"),
        postgresql_where=sa.text("status = 'RUNNING'"),
    )
    op.create_table(
        "dcp_steps",
        sa.Column("id", row_id, nullable=False, autoincrement=True),
        sa.Column("operation_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("started_at", time, nullable=False),
        sa.Column("finished_at", time),
        sa.PrimaryKeyConstraint("id", name="pk_dcp_steps"),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["dcp_operations.id"], name="fk_dcp_steps_operation_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("operation_id", "key", name="uq_dcp_steps_operation_id_key"),
    )
    op.create_table(
        "dcp_inventory",
        sa.Column("id", row_id, nullable=False, autoincrement=True),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("manifest_id", sa.Text, nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("applied_digest", sa.Text, nullable=False),
        sa.Column("logical_plan_digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dcp_inventory"),
        sa.UniqueConstraint("environment", "kind", "name", name="uq_dcp_inventory_environment_kind_name"),
    )
    op.create_index("ix_dcp_inventory_environment_manifest_id", "dcp_inventory", ["environment", "manifest_id"])
    op.create_table(
        "dcp_logical_plans",
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("manifest_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("operation_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("at", time, nullable=False),
        sa.PrimaryKeyConstraint("environment", "manifest_id", "version", name="pk_dcp_logical_plans"),
    )
    op.create_table(
        "dcp_audit",
        sa.Column("sequence", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("operation_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("manifest_id", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_dcp_audit"),
        sa.UniqueConstraint("operation_id", name="uq_dcp_audit_operation_id"),
    )
    op.create_index("ix_dcp_audit_environment_manifest_id", "dcp_audit", ["environment", "manifest_id"])
    head = op.create_table(
        "dcp_audit_head",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dcp_audit_head"),
    )
    op.bulk_insert(head, [{"id": 1, "sequence": 0, "hash": ""}])
    op.create_table(
        "dcp_sandboxes",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dcp_sandboxes"),
    )
    op.create_table(
        "dcp_chosen_sandboxes",
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("sandbox_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("identity", name="pk_dcp_chosen_sandboxes"),
    )
