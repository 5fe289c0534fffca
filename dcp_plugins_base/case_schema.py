"""Pieces of JSON Schema for what a manifest with a query says of its output: test cases and checks.

Source: design.md section 12.
"""

from __future__ import annotations

from dcp_plugins_base import schema
from dcp_plugins_base.dataset import CASE_DATE


def tests_and_checks() -> schema.Schema:
    """The sections ``tests`` and ``checks`` of a manifest with a query."""
    return {
        "tests": {
            "description": "Source rows in, expected rows out; `pretzel test` runs each on the engine.",
            "type": "array",
            "maxItems": 200,
            "items": case(),
        },
        "checks": {
            "description": (
                "What must hold for every output. `pretzel test` evaluates them on the output of each test "
                "case; they are not evaluated in production runs, where only types and NOT NULL are enforced."
            ),
            "type": "array",
            "maxItems": 200,
            "items": check(),
        },
    }


def rows(description: str) -> schema.Schema:
    """Rows of a test."""
    return {
        "description": description,
        "type": "array",
        "maxItems": 1000,
        "items": {"type": "object", "description": "Values by column; a column left out is NULL."},
    }


def case() -> schema.Schema:
    """One item of ``tests``."""
    spelled_out = schema.mapping(
        "Rows with the types of their columns.",
        {
            "columns": {
                "description": "Types by column. Without it: those of the real table, else guessed from the values.",
                "type": "object",
                "additionalProperties": schema.text("A type, as the fields have them."),
            },
            "rows": rows("The table's rows."),
        },
        "rows",
    )
    properties = {
        "name": schema.text("What the case shows.", maxLength=200),
        "inputs": {
            "description": "Rows by source table, as the SQL names it: raw.orders. Every source needs an entry.",
            "type": "object",
            "additionalProperties": {
                "description": "A list of rows, or {columns, rows}.",
                "anyOf": [rows("The table's rows."), spelled_out],
                "x-hint": "a list of rows, or {columns: {id: long}, rows: [...]}",
            },
        },
        "params": {
            "description": "Values for this case; they override workflow.params.",
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        },
        "expected": rows("The rows that the query must return. A column that no row names is not compared."),
        "date": schema.date(
            f"The day (UTC) that the case runs for, for dates of the run in parameters; else {CASE_DATE}."
        ),
        "ordered": {"description": "Whether the order of rows counts.", "type": "boolean", "default": False},
    }
    return schema.mapping("One test case.", properties, "name", "inputs", "expected")


def check() -> schema.Schema:
    """One item of ``checks``."""
    accepted = schema.mapping(
        "A field and its values; NULL is always accepted.",
        {
            "field": schema.field_name("A declared field."),
            "values": {"description": "All it may be.", "type": "array", "minItems": 1},
        },
        "field",
        "values",
    )
    properties = {
        "name": schema.text("How reports call it.", maxLength=200),
        "not_null": schema.field_names("Fields that are never NULL."),
        "unique": schema.field_names("Fields that together are different in every row."),
        "accepted_values": accepted,
        "expression": schema.text("A SQL condition over the output, true for every row: total_amount >= 0."),
    }
    return schema.mapping("One check; all parts that it has must hold.", properties, minProperties=1)
