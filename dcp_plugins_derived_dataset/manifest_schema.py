"""The JSON Schema of a derived dataset's manifest.

Source: design.md section 12.
"""

from __future__ import annotations

from functools import cache

from dcp_plugins_base import case_schema, schema


@cache
def manifest_schema() -> schema.Schema:
    """The schema; constant, so that it is compiled once."""
    table = schema.table_properties("The table is derived_datasets.<name>, the job <name>_job, the DAG <name>_dag.")
    table["fields"]["description"] += " The query returns them by name, in any order."
    table["grants"] = _grants()
    workflow = {
        "sql": schema.sql_file(),
        "mode": {
            "description": (
                "How the query's rows reach the table, in one atomic commit: overwrite replaces all rows, "
                "overwrite_partitions those of the partitions that it returns, append adds, merge updates by "
                "dataset.primary_key and inserts what is new."
            ),
            "enum": ["append", "overwrite", "overwrite_partitions", "merge"],
            "default": "overwrite",
        },
        "params": schema.params(),
        **schema.schedule_properties(),
        **schema.upstream_properties(),
    }
    return schema.manifest(
        "derived dataset",
        "A table that a SQL query fills on a schedule: one Iceberg table, one job, one Airflow DAG.",
        "derived_dataset",
        {
            "dataset": schema.mapping("The table.", table, "name", "fields"),
            "workflow": schema.mapping("The job that fills the table, and when.", workflow, "sql"),
            **case_schema.tests_and_checks(),
        },
        "dataset",
        "workflow",
    )


def _grants() -> schema.Schema:
    return {
        "description": (
            "Who may do what with the table in production, where the catalog is Unity Catalog: privileges by user, "
            "group or service principal. Each list is whole, so [] takes all away; principals that are not here keep "
            "what they have."
        ),
        "type": "object",
        "maxProperties": 200,
        "propertyNames": {"minLength": 1, "maxLength": 255},
        "additionalProperties": {
            "description": "Privileges on the table.",
            "type": "array",
            "uniqueItems": True,
            "items": {"enum": ["SELECT", "MODIFY", "APPLY_TAG", "MANAGE", "ALL_PRIVILEGES"]},
        },
    }
