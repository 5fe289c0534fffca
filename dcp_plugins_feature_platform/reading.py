"""From a feature view's manifest, which satisfies the schema, to a logical plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dcp_core.diagnostics import Diagnostic
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan
from dcp_plugins_base import reading
from dcp_plugins_base.lints.subject import error
from dcp_plugins_feature_platform.backfill import table_query
from dcp_plugins_feature_platform.lints import STRUCTURAL, UNFIT
from dcp_plugins_feature_platform.view import FeatureView, TableFeatureView


def compile_manifest(manifest: Manifest, environment: Environment) -> LogicalPlan:
    """The logical plan of a feature view.

    Raises:
        InvalidManifestError: With every error.
    """
    data = manifest.data
    unread = tuple(_source_errors(data["source"]))
    values = _values(data)
    if "table" in data["source"]:
        table, columns = data["source"]["table"], dict(data["source"].get("columns", {}))
        names = [field.name for field in values["fields"]]
        view: FeatureView = TableFeatureView(
            sql=table_query(table, columns, names), source_table=table, columns=columns, **values
        )
    else:
        sql, missing = ("", ()) if unread else reading.read_sql(manifest, FeatureView.sql_path)
        unread = (*unread, *missing)
        view = FeatureView(sql=sql, **values)
    return reading.compile_query(manifest, environment, view, unread, STRUCTURAL, UNFIT)


def _source_errors(source: Mapping[str, Any]) -> Iterator[Diagnostic]:
    if "sql" in source and "table" in source:
        hint = "a table gives its columns as they are, a query computes them: keep one of the two"
        yield error("source.choice", "source has both sql and table", ("source", "table"), hint=hint)
    elif "sql" not in source and "table" not in source:
        hint = "sql: customer_orders.sql, or table: derived_datasets.daily_orders"
        yield error("source.choice", "source has neither sql nor table", ("source",), hint=hint)
    if "columns" in source and "table" not in source:
        message = "source.columns says what columns of a table are called; there is no table"
        yield error("source.columns", message, ("source", "columns"), hint="name columns in the SQL: … AS name")


def _values(data: Mapping[str, Any]) -> dict[str, Any]:
    section = data["feature_view"]
    keys = section["join_keys"]
    moment = section["event_timestamp"]
    moment = {"name": moment} if isinstance(moment, str) else moment
    features = section["features"]
    required = [*keys, {"type": "timestamp", **moment}]
    fields = [
        *(reading.field({**each, "nullable": False}) for each in required),
        *(reading.field(each) for each in features),
    ]
    return {
        **reading.table_values(section, fields),
        **reading.workflow_values(data),
        **reading.query_values(data),
        "mode": "merge",
        "partition_by": (f"day({moment['name']})",),
        "primary_key": tuple(each["name"] for each in required),
        "entity": section["entity"],
        "join_keys": tuple(each["name"] for each in keys),
        "event_timestamp": moment["name"],
        "ttl": section.get("ttl"),
        "defaults": {each["name"]: each["default"] for each in features if "default" in each},
        "backfill_window": data.get("workflow", {}).get("backfill_window"),
    }
