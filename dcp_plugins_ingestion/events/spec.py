"""A stream of events as data.

Source: design.md sections 5 and 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from coreetl_driver.api import SinkMode
from dcp_core.diagnostics import FieldPath
from dcp_plugins_base.dataset import Dataset

FOREVER = "forever"
DEFAULT_CHECKPOINT_S = 60
DEFAULT_MAINTENANCE = "0 3 * * *"
DEFAULT_SCHEMA_TYPE = "JSON"
DEAD_LETTER_SUFFIX = "_dead_letter"
RETENTION: FieldPath = ("topic", "retention")
CHECKPOINT: FieldPath = ("workflow", "checkpoint_interval")


@attrs.frozen
class Acl:
    """What one principal may do with the topic."""

    principal: str
    operations: tuple[str, ...]
    host: str = "*"


@attrs.frozen
class Schema:
    """What the keys or the values of messages look like, for the schema registry.

    Args:
        text: Of the file that the manifest names.
        type: As the registry calls it.
        compatibility: What it demands of the next version; None leaves that to it.
    """

    text: str
    type: str = DEFAULT_SCHEMA_TYPE
    compatibility: str | None = None


@attrs.frozen
class Topic:
    """The topic that events come through.

    Args:
        name: In production; other environments have one apart.
        retention_ms: How long events are kept, in milliseconds; -1 for ever, None as the broker does.
        config: More of the topic's configuration.
        acls: Who may do what; None leaves that alone.
        schemas: Of ``key`` and ``value``; None leaves the registry alone.
    """

    name: str
    partitions: int = 1
    replication: int = 1
    retention_ms: int | None = None
    config: Mapping[str, str] = attrs.Factory(dict)
    acls: tuple[Acl, ...] | None = None
    schemas: Mapping[str, Schema] | None = None


@attrs.frozen(kw_only=True)
class EventTable(Dataset):
    """The table ``events.<name>``, the topic that fills it, and ``events.<name>_dead_letter`` for what it cannot hold.

    Args:
        topic: Where the events come from.
        format: Of a message's value.
        checkpoint_interval_s: Seconds between two commits to the table.
    """

    manifest_type: ClassVar[str] = "gr_ingestion"
    namespace: ClassVar[str] = "events"
    schedule_path: ClassVar[FieldPath] = ("workflow", "maintenance")

    topic: Topic
    mode: str = SinkMode.APPEND.value
    format: str = "json"
    checkpoint_interval_s: int = DEFAULT_CHECKPOINT_S

    @property
    def dead_letter_name(self) -> str:
        """The name of the table for messages that cannot be read."""
        return f"{self.table_name}{DEAD_LETTER_SUFFIX}"

    @property
    def dead_letter_table(self) -> str:
        """The same with its namespace."""
        return f"{self.namespace}.{self.dead_letter_name}"

    @property
    def workflow_name(self) -> str:
        """A dataset derived from it may have its name."""
        return f"{self.table_name}_stream"

    @property
    def dag_name(self) -> str:
        """The schedule is that of maintenance: the job itself runs all the time."""
        return f"{self.table_name}_maintenance_dag"
