"""The JSON Schema of a table ingestion's manifest.

Source: design.md section 12.
"""

from __future__ import annotations

from functools import cache

from dcp_plugins_base import schema
from dcp_plugins_ingestion.taulu.spec import INCREMENTAL, SNAPSHOT, IngestedTable

_CONNECTION = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"
_PART = r"[A-Za-z_][A-Za-z0-9_$]{0,127}"
_HUNDRED_YEARS_S = 100 * 366 * 24 * 3600


@cache
def manifest_schema() -> schema.Schema:
    """The schema; constant, so that it is compiled once."""
    table = schema.table_properties(
        "The table is raw.<name>, the job <name>_ingestion_job, the DAG <name>_ingestion_dag."
    )
    table["fields"]["description"] += " Each is read from the source column of its name, or as source.columns says."
    table["primary_key"]["description"] = (
        "The fields that identify a row; they must be nullable: false. With mode incremental, rows are updated by them."
    )
    return schema.manifest(
        "table ingestion",
        "A table of a SQL database, kept as an Iceberg table by a scheduled job: one Iceberg table, one job, one "
        "Airflow DAG.",
        IngestedTable.manifest_type,
        {
            "source": schema.mapping("The table that is read.", _source(), "connection", "table"),
            "dataset": schema.mapping("The table that is filled.", table, "name", "fields"),
            "workflow": schema.mapping("How it is read, and when.", {**_reading(), **schema.schedule_properties()}),
        },
        "source",
        "dataset",
    )


def _source() -> schema.Schema:
    return {
        "connection": schema.text(
            "NAME of [connections.NAME] in dcp.toml: where the database is and who asks. Never an address.",
            pattern=_CONNECTION,
            maxLength=100,
            **{"x-hint": "the name of a section [connections.NAME] in dcp.toml; addresses and passwords belong there"},
        ),
        "table": schema.text(
            "The source table or view, as the database spells it: orders or public.orders.",
            pattern=rf"^{_PART}(\.{_PART}){{0,2}}$",
            maxLength=386,
            **{"x-hint": "a table or schema.table: public.orders"},
        ),
        "columns": {
            "description": "Source columns by field, for fields that the source calls otherwise.",
            "type": "object",
            "maxProperties": 2000,
            "propertyNames": {"pattern": schema.FIELD_NAME, "x-hint": "the name of a declared field"},
            "additionalProperties": schema.text("The source column.", maxLength=255),
        },
    }


def _reading() -> schema.Schema:
    return {
        "mode": {
            "description": (
                "snapshot reads all rows and replaces the table, in one atomic commit; incremental reads the rows "
                "whose cursor has grown and updates by dataset.primary_key, or adds them where there is no key. Rows "
                "deleted in the source vanish with snapshot only."
            ),
            "enum": [SNAPSHOT, INCREMENTAL],
            "default": SNAPSHOT,
        },
        "cursor": schema.field_name(
            "The field that grows with every new or changed row, for mode incremental: a whole number, a decimal, a "
            "date or a timestamp."
        ),
        "lookback": {
            "description": (
                "An incremental run reads again from the last cursor minus this, for rows that are committed late: "
                "seconds for a date or timestamp, units for a number. Needs a primary key, by which rows do not double."
            ),
            "type": "integer",
            "minimum": 0,
            "maximum": _HUNDRED_YEARS_S,
            "default": 0,
        },
    }
