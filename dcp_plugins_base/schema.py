"""Pieces of JSON Schema for manifests of datasets, written for editors: every key says what it does.

What a schema cannot say (types, references between fields, the SQL) is in ``lints/``. Every function gives a new
object, to be changed freely.

Source: design.md section 12; JSON Schema draft 2020-12. ``x-hint`` is printed beside an error of its subschema.
"""

from __future__ import annotations

from typing import Any

from coreetl_driver.column_types import EXPECTED_TYPES
from coreetl_driver.cron import PRESETS
from dcp_plugins_base import durations
from dcp_plugins_base.upstream import FILLED, TIMEOUT

Schema = dict[str, Any]
FIELD_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"


def manifest(title: str, description: str, manifest_type: str, sections: Schema, *required: str) -> Schema:
    """The schema of a whole manifest: these sections beside ``manifest_type``, ``metadata`` and ``lint``.

    Args:
        sections: Their schemas by name.
        required: Which of them must be there; ``metadata`` always must.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **mapping(
            description,
            {
                "manifest_type": {
                    "description": "Needed only where neither the command nor the folder's name says it.",
                    "const": manifest_type,
                },
                "metadata": metadata(),
                **sections,
                "lint": lint(),
            },
            "metadata",
            *required,
        ),
    }


def mapping(description: str, properties: Schema, *required: str, **more: Any) -> Schema:
    """An object with these keys and no others."""
    return {
        "description": description,
        "type": "object",
        "required": list(required),
        "additionalProperties": False,
        "properties": properties,
        **more,
    }


def text(description: str, **more: Any) -> Schema:
    """Some text, never empty."""
    return {"description": description, "type": "string", "minLength": 1, "maxLength": 4096, **more}


def date(description: str) -> Schema:
    """A day."""
    hint = {"x-hint": "a date as YYYY-MM-DD: 2026-01-31"}
    return text(description, pattern=r"^\d{4}-\d{2}-\d{2}$", maxLength=10, **hint)


def duration(description: str, **more: Any) -> Schema:
    """A span of time."""
    return text(description, pattern=durations.PATTERN, maxLength=16, **{"x-hint": durations.EXPECTED}, **more)


def field_name(description: str) -> Schema:
    """The name of a column."""
    return text(
        description,
        pattern=FIELD_NAME,
        maxLength=128,
        **{"x-hint": "letters, digits and _, starting with a letter or _: order_id"},
    )


def field_names(description: str) -> Schema:
    """Names of declared columns, each once."""
    return {
        "description": description,
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": field_name("A declared field."),
    }


def metadata() -> Schema:
    """The section ``metadata``."""
    properties = {
        "technical_owner": text(
            "The team that answers for the dataset, in kebab case: logistics-de.",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$",
            maxLength=64,
            **{"x-hint": "a team's name: logistics-de"},
        ),
        "tier": {
            "description": "How critical it is: 1 (most) to 5 (least).",
            "type": "integer",
            "minimum": 1,
            "maximum": 5,
        },
        "labels": {
            "description": "Free key-value pairs.",
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {"pattern": r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"},
            "additionalProperties": {"type": "string", "maxLength": 256},
        },
        "description": text("What the dataset is for."),
    }
    return mapping("Who answers for it.", properties, "technical_owner")


def table_properties(name_description: str) -> Schema:
    """Keys of the section that describes the table: a plugin takes those that its users may set.

    Args:
        name_description: What ``name`` names.
    """
    return {
        "name": text(
            name_description,
            pattern=r"^[a-z][a-z0-9_]*$",
            maxLength=63,
            **{"x-hint": "lower-case letters, digits and _, starting with a letter, at most 63: daily_orders"},
        ),
        "description": text("What one row is; becomes the table's comment."),
        "fields": {
            "description": "The table's columns, in its order.",
            "type": "array",
            "minItems": 1,
            "maxItems": 2000,
            "items": field(),
        },
        "partition_by": {
            "description": "How its files are divided: day(order_ts), bucket(16, id), truncate(4, code), region.",
            "type": "array",
            "maxItems": 32,
            "items": partition_field(),
        },
        "sort_by": {
            "description": "How rows are sorted within files: order_id, order_ts desc, order_ts desc nulls last.",
            "type": "array",
            "maxItems": 32,
            "items": sort_field(),
        },
        "primary_key": field_names(
            "The fields that identify a row. Mode merge updates by them; they must be nullable: false."
        ),
        "protect": {
            "description": "true refuses every destructive change, also when the manifest is gone; false lifts that.",
            "type": "boolean",
        },
        "properties": {
            "description": "Iceberg table properties, such as write.target-file-size-bytes.",
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {
                "pattern": r"^(?!dcp\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
                "x-hint": "properties that start with dcp. are DCP's own",
            },
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        },
    }


def field() -> Schema:
    """One column."""
    properties = {
        "name": field_name("The column's name, in snake case."),
        "type": text(f"Spark SQL or Iceberg type: {EXPECTED_TYPES}. decimal alone is decimal(38, 9).", maxLength=16384),
        "nullable": {
            "description": "false refuses NULL when the job writes.",
            "type": "boolean",
            "default": True,
        },
        "description": text("What it means; becomes the column's comment."),
        "renamed_from": {
            "description": "The field's former name, or names: its data is kept under the new one.",
            "anyOf": [field_name("The former name."), field_names("The former names.")],
            "x-hint": "one former name, or a list of them",
        },
    }
    return mapping("One column.", properties, "name", "type")


def partition_field() -> Schema:
    """One item of ``partition_by``."""
    written = text("column, or year|month|day|hour(column), bucket(N, column), truncate(N, column).", maxLength=256)
    properties = {
        "column": field_name("A declared field."),
        "transform": text("identity, year, month, day, hour, bucket or truncate.", default="identity"),
        "width": {"description": "N of bucket and truncate.", "type": "integer", "minimum": 1},
    }
    return {
        "description": "One partition field, as text or as an object.",
        "anyOf": [written, mapping("The same, spelled out.", properties, "column")],
        "x-hint": 'write "day(order_ts)", or {column: order_ts, transform: day}',
    }


def sort_field() -> Schema:
    """One item of ``sort_by``."""
    written = text("column [asc|desc] [nulls first|nulls last].", maxLength=256)
    properties = {
        "column": field_name("A declared field."),
        "direction": {"description": "Smallest first, or largest first.", "enum": ["asc", "desc"], "default": "asc"},
        "nulls": {"description": "Where NULL goes; first for asc, last for desc.", "enum": ["first", "last"]},
    }
    return {
        "description": "One sort field, as text or as an object.",
        "anyOf": [written, mapping("The same, spelled out.", properties, "column")],
        "x-hint": 'write "order_ts desc nulls last", or {column: order_ts, direction: desc}',
    }


def sql_file() -> Schema:
    """The query's file."""
    return text(
        "The file beside the manifest that holds the query: one SELECT in Spark SQL.",
        pattern=r"\.sql$",
        maxLength=512,
        **{"x-hint": "a file's name that ends in .sql: daily_orders.sql"},
    )


def schedule_properties() -> Schema:
    """When the job runs, and on what."""
    return {
        "schedule": {
            "description": (
                "When the DAG runs: five cron fields (minute hour day-of-month month day-of-week, UTC) or one of "
                f"{', '.join(PRESETS)}. Left out or null: no DAG, it runs only when a user runs it."
            ),
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 256,
        },
        "start_date": date("The first day that the schedule counts from (UTC)."),
        "catchup": {
            "description": "Whether the DAG runs for the intervals between start_date and now.",
            "type": "boolean",
            "default": False,
        },
        "retries": {
            "description": "How often the DAG tries a failed run again.",
            "type": "integer",
            "minimum": 0,
            "maximum": 20,
            "default": 2,
        },
        "timeout": duration("How long a try of the DAG may take: 2h. The job is stopped when it is over."),
        "compute": compute(),
    }


def upstream_properties() -> Schema:
    """What a run has to do with the datasets that the query reads."""
    return {
        "upstream": {
            "description": (
                "How the DAG follows the tables that the query reads. none: Airflow shows them, no more. assets: it "
                "runs when all of them have been updated, and by its schedule, where it has one. sensors: it runs by "
                "its schedule, and waits until each is complete up to the run's moment."
            ),
            "enum": ["none", "assets", "sensors"],
            "default": "none",
        },
        "upstream_tables": {
            "description": (
                "Those that upstream is about, as the SQL names them. Left out: with assets, those in "
                f"{' and '.join(FILLED)}, for nobody may ever update any other; with sensors, all, for the driver "
                "knows which of them a job fills."
            ),
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": text("A table, as the SQL names it: derived_datasets.orders.", maxLength=256),
        },
        "upstream_timeout": duration("How long a run waits for them, with sensors.", default=TIMEOUT),
    }


def params() -> Schema:
    """The query's parameters."""
    return {
        "description": (
            "Parameters of the SQL with their defaults; :name in it is text, so CAST(:day AS DATE). A default may have "
            'dates of the run in it, filled in when it starts: "{{ ds }}", "{{ data_interval_end | ds }}", '
            '"{{ macros.ds_add(ds, -3) }}".'
        ),
        "type": "object",
        "maxProperties": 64,
        "propertyNames": {
            "pattern": r"^[a-z][a-z0-9_]{0,62}$",
            "x-hint": "lower-case letters, digits and _, starting with a letter",
        },
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    }


def compute() -> Schema:
    """What the job runs on."""
    properties = {
        "backend": text(
            "Where the job runs, when not where the platform's router sends it: local, spark_connect, emr …",
            pattern=r"^[a-z][a-z0-9_]{0,62}$",
        ),
        "size": {"description": "How much it needs.", "enum": ["small", "medium", "large", "xlarge"]},
        "tier": {
            "description": "Overrides metadata.tier for the choice of resources.",
            "type": "integer",
            "minimum": 1,
            "maximum": 5,
        },
    }
    return mapping("What the job runs on.", properties)


def lint() -> Schema:
    """The section ``lint``."""
    ignored = mapping(
        "One warning to leave out.",
        {
            "code": text("Its code, such as engine.avg_truncates.", pattern=r"^[a-z_]+\.[a-z_]+$"),
            "reason": text("Why it is no problem here."),
        },
        "code",
        "reason",
    )
    return mapping(
        "What the lints leave out. Errors cannot be ignored.",
        {"ignore": {"description": "Warnings to leave out.", "type": "array", "items": ignored}},
    )
