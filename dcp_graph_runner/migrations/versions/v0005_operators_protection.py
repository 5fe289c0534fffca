"""Which operator protects a resource, beside what its manifest says."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nobody protects what is there."""
    op.add_column("dcp_inventory", sa.Column("protected_by", sa.Text, nullable=False, server_default=""))
