"""The JSON Schema of an event ingestion's manifest.

Source: design.md section 12.
"""

from __future__ import annotations

from functools import cache

from coreetl_driver.cron import PRESETS
from dcp_plugins_base import schema
from dcp_plugins_base.durations import PATTERN
from dcp_plugins_ingestion.events.spec import (
    DEAD_LETTER_SUFFIX,
    DEFAULT_CHECKPOINT_S,
    DEFAULT_MAINTENANCE,
    DEFAULT_SCHEMA_TYPE,
    FOREVER,
    EventTable,
)
from dcp_primitives.kafka_topic import COMPATIBILITIES, MAX_NAME_LENGTH, OPERATIONS, SCHEMA_PARTS, SCHEMA_TYPES

_MAX_TABLE_NAME = 63 - len(DEAD_LETTER_SUFFIX)
_DURATION = PATTERN.strip("^$")
_TABLE_KEYS = ("name", "description", "fields", "partition_by", "sort_by", "protect", "properties")


@cache
def manifest_schema() -> schema.Schema:
    """The schema; constant, so that it is compiled once."""
    given = schema.table_properties(
        f"The table is events.<name>, the one for unreadable messages events.<name>{DEAD_LETTER_SUFFIX}, the job "
        "<name>_stream_job, the DAG <name>_maintenance_dag."
    )
    table = {key: given[key] for key in _TABLE_KEYS}
    table["name"]["maxLength"] = _MAX_TABLE_NAME
    table["name"]["x-hint"] = (
        f"lower-case letters, digits and _, starting with a letter, at most {_MAX_TABLE_NAME}: page_views"
    )
    table["fields"]["description"] += " Each is read from the event's member of that name."
    return schema.manifest(
        "event ingestion",
        "Events of Graph Runner: a Kafka topic, the Iceberg table that a streaming job fills from it, and a table for "
        "the messages that cannot be read.",
        EventTable.manifest_type,
        {
            "topic": schema.mapping("Where the events come from.", _topic(), "name"),
            "dataset": schema.mapping("The table that is filled.", table, "name", "fields"),
            "workflow": schema.mapping("The streaming job, and the upkeep of its table.", _workflow()),
        },
        "topic",
        "dataset",
    )


def _topic() -> schema.Schema:
    return {
        "name": schema.text(
            "The topic's name; a playground's topic is playground_<user>__<name>.",
            pattern=r"^[A-Za-z0-9._-]+$",
            maxLength=MAX_NAME_LENGTH,
            **{"x-hint": f"ASCII letters, digits, '.', '_' and '-', at most {MAX_NAME_LENGTH}: shop.page-views"},
        ),
        "partitions": {
            "description": "How many consumers can read side by side; can only grow later.",
            "type": "integer",
            "minimum": 1,
            "maximum": 10_000,
            "default": 1,
        },
        "replication": {
            "description": "On how many brokers each partition is kept.",
            "type": "integer",
            "minimum": 1,
            "maximum": 32,
            "default": 1,
        },
        "retention": schema.text(
            f"How long events are kept: 500ms, 60s, 15m, 12h, 7d, 2w, or {FOREVER}. Left out: as the broker does.",
            pattern=rf"^({_DURATION}|{FOREVER})$",
            maxLength=16,
            **{"x-hint": f"a number and its unit, ms, s, m, h, d or w: 7d; or {FOREVER}"},
        ),
        "config": {
            "description": "More of the topic's configuration, by Kafka's names: cleanup.policy, max.message.bytes …",
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {
                "pattern": r"^[a-z][a-z0-9.]{0,127}$",
                "x-hint": "a configuration of topics as Kafka spells it: max.message.bytes",
            },
            "additionalProperties": {"type": ["string", "number", "boolean"], "maxLength": 1024},
        },
        "acls": {
            "description": "Who may do what with the topic. Left out: its ACLs are not managed.",
            "type": "array",
            "maxItems": 200,
            "items": _acl(),
        },
        "schemas": {
            "description": "Of the messages' keys and values, for the registry of [kafka]. Left out: not managed.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": {part: _schema(part) for part in SCHEMA_PARTS},
        },
    }


def _schema(part: str) -> schema.Schema:
    properties = {
        "file": schema.text(f"The schema of a message's {part}: a file beside the manifest.", maxLength=1024),
        "type": {
            "description": f"What the schema is written in. A value's is {DEFAULT_SCHEMA_TYPE}, since events are JSON.",
            "enum": list(SCHEMA_TYPES),
            "default": DEFAULT_SCHEMA_TYPE,
        },
        "compatibility": {
            "description": "What the registry demands of the next version. Left out: as the registry does.",
            "enum": list(COMPATIBILITIES),
        },
    }
    return schema.mapping(f"What a message's {part} looks like.", properties, "file")


def _acl() -> schema.Schema:
    properties = {
        "principal": schema.text(
            "As the broker's authorizer knows it: User:shop.",
            pattern=r"^[A-Za-z]+:\S(.*\S)?$",
            maxLength=256,
            **{"x-hint": "a type, a colon and a name: User:shop"},
        ),
        "operations": {
            "description": "What it may do.",
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"description": "One operation.", "enum": list(OPERATIONS)},
        },
        "host": schema.text("Where it may come from.", default="*", maxLength=256),
    }
    return schema.mapping("What one principal may do.", properties, "principal", "operations")


def _workflow() -> schema.Schema:
    scheduled = schema.schedule_properties()
    return {
        "format": {"description": "Of a message's value.", "enum": ["json"], "default": "json"},
        "checkpoint_interval": schema.text(
            "How often rows are committed to the table: at least 1s. Shorter is fresher, and more and smaller files.",
            pattern=rf"^{_DURATION}$",
            maxLength=16,
            default=f"{DEFAULT_CHECKPOINT_S}s",
            **{"x-hint": "a number and its unit, s, m or h: 60s"},
        ),
        "maintenance": {
            "description": (
                "When the maintenance DAG triggers the job: five cron fields (UTC) or one of "
                f"{', '.join(PRESETS)}. null: no DAG."
            ),
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 256,
            "default": DEFAULT_MAINTENANCE,
        },
        "retries": scheduled["retries"],
        "compute": scheduled["compute"],
    }
