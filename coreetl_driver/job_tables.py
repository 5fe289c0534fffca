"""The tables of the job registry, and how those of older versions become these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

SCHEMA_VERSION = 3  # counted up with every change of these tables, which then comes with its upgrade

METADATA = sa.MetaData()
SCHEMA = sa.Table("coreetl_schema", METADATA, sa.Column("version", sa.Integer, primary_key=True))
JOBS = sa.Table(
    "coreetl_jobs",
    METADATA,
    sa.Column("environment", sa.String(200), primary_key=True),
    sa.Column("job_id", sa.String(200), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)
VERSIONS = sa.Table(
    "coreetl_job_versions",
    METADATA,
    sa.Column("environment", sa.String(200), primary_key=True),
    sa.Column("job_id", sa.String(200), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("labels", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
)
EXECUTIONS = sa.Table(
    "coreetl_executions",
    METADATA,
    sa.Column("execution_id", sa.String(64), primary_key=True),
    sa.Column("environment", sa.String(200), nullable=False),
    sa.Column("job_id", sa.String(200), nullable=False),
    sa.Column("job_version", sa.Integer, nullable=False),
    sa.Column("backend", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("rows_written", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("params", sa.Text, nullable=False),
    sa.Column("user_name", sa.String(200)),
    sa.Column("idempotency_key", sa.String(200)),
    sa.Column("stop_requested", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False, index=True),
    sa.Column("started_at", sa.DateTime),
    sa.Column("finished_at", sa.DateTime),
    # Who runs it: host, pid, and the process's start, for pids are used again.
    sa.Column("owner", sa.String(300)),
    sa.Column("heartbeat_at", sa.DateTime),
    # What the backend calls this attempt; NULL until it has been submitted.
    sa.Column("handle", sa.Text),
    # The attempt that has certainly not been submitted yet; NULL where it may run, without a handle too.
    sa.Column("unsubmitted_attempt", sa.Integer),
    sa.UniqueConstraint("environment", "job_id", "idempotency_key"),
    sa.Index("coreetl_executions_by_job", "environment", "job_id", "created_at"),
)


# By the version that they upgrade from. A driver of the old version that still runs goes on with what it knows.
UPGRADES: Mapping[int, Sequence[str]] = {
    1: (
        "ALTER TABLE coreetl_executions ADD COLUMN handle TEXT",
        "UPDATE coreetl_executions SET handle = worker",
    ),
    2: ("ALTER TABLE coreetl_executions ADD COLUMN unsubmitted_attempt INTEGER",),
}
