"""The JSON Schema of a feature view's manifest."""

from __future__ import annotations

from functools import cache

from coreetl_driver.column_types import EXPECTED_TYPES
from dcp_plugins_base import case_schema, durations, schema
from dcp_plugins_feature_platform.backfill import SINCE


@cache
def manifest_schema() -> schema.Schema:
    """The schema; constant, so that it is compiled once."""
    workflow = {
        **schema.schedule_properties(),
        **schema.upstream_properties(),
        "params": schema.params(),
        "backfill_window": _duration(
            "How far back a run computes, by the event timestamp, in whole seconds: 30d. Left out: everything. "
            f"`pretzel run --param {SINCE}=2026-01-01` computes everything from that moment on instead."
        ),
    }
    return schema.manifest(
        "feature view",
        "Features of an entity: their history as an Iceberg table, one job, one Airflow DAG.",
        "feature_platform",
        {
            "feature_view": _feature_view(),
            "source": _source(),
            "workflow": schema.mapping("The job that fills the table, and when.", workflow),
            **case_schema.tests_and_checks(),
        },
        "feature_view",
        "source",
    )


def _feature_view() -> schema.Schema:
    table = schema.table_properties(
        "The table is features.<name>, the job <name>_features_job, the DAG <name>_features_dag."
    )
    properties = {
        "name": table["name"],
        "description": schema.text("What the features tell of the entity; becomes the table's comment."),
        "entity": schema.text(
            "What the features describe: customer.",
            pattern=r"^[a-z][a-z0-9_]*$",
            maxLength=63,
            **{"x-hint": "lower-case letters, digits and _, starting with a letter: customer"},
        ),
        "join_keys": {
            "description": "The columns that identify an entity; labels have them under the same names.",
            "type": "array",
            "minItems": 1,
            "maxItems": 16,
            "items": _column("One join key: a type of exact values, never NULL."),
        },
        "event_timestamp": _event_timestamp(),
        "ttl": _duration("How long after its event timestamp a value may be used: 30d. Left out or null: for ever."),
        "features": {
            "description": "The values, in the table's order.",
            "type": "array",
            "minItems": 1,
            "maxItems": 2000,
            "items": _feature(),
        },
        "protect": table["protect"],
        "properties": table["properties"],
    }
    required = ("name", "entity", "join_keys", "event_timestamp", "features")
    return schema.mapping("The features, and whose they are.", properties, *required)


def _column(description: str, **more: schema.Schema) -> schema.Schema:
    of = schema.field()["properties"]
    return schema.mapping(
        description, {"name": of["name"], "type": of["type"], "description": of["description"], **more}, "name", "type"
    )


def _event_timestamp() -> schema.Schema:
    name = schema.field_name("The column; its type is timestamp.")
    properties = {
        "name": schema.field_name("The column."),
        "type": schema.text("timestamp or timestamp_ntz.", default="timestamp"),
        "description": schema.text("What it says; becomes the column's comment."),
    }
    return {
        "description": "From which moment on the values of a row were known.",
        "anyOf": [name, schema.mapping("The same, with its type.", properties, "name")],
        "x-hint": "the column's name, or {name: event_ts, type: timestamp}",
    }


def _feature() -> schema.Schema:
    of = schema.field()["properties"]
    properties = {
        "name": schema.field_name("The feature's name, in snake case."),
        "type": schema.text(f"Its type: {EXPECTED_TYPES}. decimal alone is decimal(38, 9).", maxLength=16384),
        "description": schema.text("What it means; becomes the column's comment."),
        "default": {
            "description": "What training sets and serving give where there is no value, whatever the reason.",
            "type": ["string", "number", "boolean"],
        },
        "renamed_from": of["renamed_from"],
    }
    return schema.mapping("One feature.", properties, "name", "type")


def _source() -> schema.Schema:
    properties = {
        "sql": schema.sql_file(),
        "table": schema.text(
            "A table that has the columns as they are: derived_datasets.daily_orders.",
            pattern=r"^[A-Za-z_]\w*\.[A-Za-z_]\w*$",
            maxLength=256,
            **{"x-hint": "namespace.table: derived_datasets.daily_orders"},
        ),
        "columns": {
            "description": "With table: its column by column of the view, where the names differ.",
            "type": "object",
            "maxProperties": 2000,
            "additionalProperties": schema.field_name("A column of the table."),
        },
    }
    return schema.mapping("Where the values come from: exactly one of sql and table.", properties)


def _duration(description: str) -> schema.Schema:
    return {
        "description": description,
        "type": ["string", "null"],
        "pattern": durations.PATTERN,
        "x-hint": durations.EXPECTED,
    }
