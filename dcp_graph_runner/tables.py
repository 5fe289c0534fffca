"""The tables of the state database, as they are after the newest migration.

Documents (plans, results, resources) are JSON texts made by ``dcp_core.documents``; a column beside them exists
only where a query or a constraint needs it. Every table is named ``dcp_…``, so that a database can be shared with
an Iceberg catalog.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
VERSION_TABLE = "dcp_schema_version"

# SQLite numbers rows by itself only in a column whose type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """A point in time, aware and in UTC; a naive one is refused, because it would be read as another time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite keeps no zone, so it gets none."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Aware again, in UTC."""
        if value is None:
            return None
        aware: datetime = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC)


operations = Table(
    "dcp_operations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("manifest_id", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("results", Text, nullable=False),
    Column("error", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("fence", Integer, nullable=False),
    Column("lease_expires_at", UtcTime, nullable=False),
    Column("holder_host", Text, nullable=False),
    Column("holder_pid", BigInteger, nullable=False),
    Column("holder_started", Text, nullable=False),
    Column("holder_user", Text, nullable=False),
    Column("request_id", Text, nullable=False, server_default=""),
    Index("ix_dcp_operations_environment_created_at", "environment", "created_at"),
    Index("ix_dcp_operations_request_id", "request_id"),
    # The lock, one running operation per manifest and environment, is a partial index that only the migration
    # spells out: naming PostgreSQL's dialect here would import it into every command.
)

steps = Table(
    "dcp_steps",
    METADATA,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("operation_id", Text, ForeignKey("dcp_operations.id", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("result", Text),
    Column("fence", Integer, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    UniqueConstraint("operation_id", "key"),
)

inventory = Table(
    "dcp_inventory",
    METADATA,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("environment", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("manifest_id", Text, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("resource", Text, nullable=False),
    Column("applied_digest", Text, nullable=False),
    Column("logical_plan_digest", Text, nullable=False),
    Column("protected_by", Text, nullable=False, server_default=""),
    UniqueConstraint("environment", "kind", "name"),
    Index("ix_dcp_inventory_environment_manifest_id", "environment", "manifest_id"),
)

logical_plans = Table(
    "dcp_logical_plans",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("manifest_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("operation_id", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

audit = Table(
    "dcp_audit",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("operation_id", Text, nullable=False, unique=True),
    Column("environment", Text, nullable=False),
    Column("manifest_id", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("ix_dcp_audit_environment_manifest_id", "environment", "manifest_id"),
)

audit_head = Table(
    "dcp_audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

# What will be recorded of operations that take no lease, should their processes end without a word.
audit_announced = Table(
    "dcp_audit_announced",
    METADATA,
    Column("operation_id", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("announced_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("holder_host", Text, nullable=False),
    Column("holder_pid", BigInteger, nullable=False),
    Column("holder_started", Text, nullable=False),
    Column("holder_user", Text, nullable=False),
)

# One row: the log's name among others in a shared table, and how far it was delivered when somebody last looked.
audit_outbox = Table(
    "dcp_audit_outbox",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("log_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("delivered_at", UtcTime),
)

# Calls of the server that go on after their answer. Users' tokens are never in it; ``needs`` names whose came along.
# ``groups`` holds the environments that the caller's token is for too, where it says so (``request_rows.teams_of``).
requests = Table(
    "dcp_requests",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("method", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("digest", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("needs", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("answer", Text),
    Column("error", Text),
    Column("is_cancelled", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("fence", Integer, nullable=False),
    Column("interruptions", Integer, nullable=False),
    Column("lease_expires_at", UtcTime, nullable=False),
    Column("holder_host", Text, nullable=False),
    Column("holder_pid", BigInteger, nullable=False),
    Column("holder_started", Text, nullable=False),
    Column("holder_user", Text, nullable=False),
    UniqueConstraint("identity", "idempotency_key"),
    Index("ix_dcp_requests_status", "status"),
    Index("ix_dcp_requests_created_at", "created_at"),
)

request_events = Table(
    "dcp_request_events",
    METADATA,
    Column("request_id", Text, ForeignKey("dcp_requests.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

# Manifests that somebody has paused: their schedules stand still and drift in them is only told.
pauses = Table(
    "dcp_pauses",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("manifest_id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

# The controller's: how each resource is found to be. When that was is kept once for each kind, in observations.
conditions = Table(
    "dcp_conditions",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("manifest_id", Text, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("changes", Text, nullable=False),
    Column("since", UtcTime, nullable=False),
    Index("ix_dcp_conditions_environment_manifest_id", "environment", "manifest_id"),
)

observations = Table(
    "dcp_observations",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("observed_at", UtcTime, nullable=False),
)

# Manifests that could not be healed, and when that is tried again.
heal_attempts = Table(
    "dcp_heal_attempts",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("manifest_id", Text, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcTime, nullable=False),
    Column("error", Text, nullable=False),
)

# Which replica of the controller looks after what; what it writes is bound to the fence.
controller_leases = Table(
    "dcp_controller_leases",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("replica", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
)

controller_replicas = Table(
    "dcp_controller_replicas",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("expires_at", UtcTime, nullable=False),
    Column("holder_host", Text, nullable=False),
    Column("holder_pid", BigInteger, nullable=False),
    Column("holder_started", Text, nullable=False),
    Column("holder_user", Text, nullable=False),
)

sandboxes = Table(
    "dcp_sandboxes",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
)

chosen_sandboxes = Table(
    "dcp_chosen_sandboxes",
    METADATA,
    Column("identity", Text, primary_key=True),
    Column("sandbox_id", Text, nullable=False),
)
