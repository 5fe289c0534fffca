"""The plugin: the hooks that a derived dataset answers in its own way.

Its work is the public base's: this package adds the manifest's shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic
from dcp_core.interfaces import Plugin
from dcp_core.lineage import ColumnLineage
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Resource
from dcp_core.records import TestReport
from dcp_plugins_derived_dataset.spec import DerivedTable


class DerivedDataset(Plugin):
    """A SQL query kept as an Iceberg table by a scheduled job.

    Stopping what runs before an apply and resuming it afterwards is the framework's default: the job is the only
    runnable resource, and it depends on the table.
    """

    manifest_type = DerivedTable.manifest_type

    def get_manifest_schema(self) -> Mapping[str, Any]:
        """``manifest_schema.py``."""
        from dcp_plugins_derived_dataset.manifest_schema import manifest_schema

        return manifest_schema()

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        """Read the SQL, normalise, check."""
        from dcp_plugins_base import reading

        data = manifest.data
        sql, unread = reading.read_sql(manifest, DerivedTable.sql_path)
        dataset = DerivedTable(
            sql=sql,
            mode=data["workflow"].get("mode", "overwrite"),
            **reading.table_values(data["dataset"]),
            **reading.workflow_values(data),
            **reading.query_values(data),
        )
        return reading.compile_query(manifest, environment, dataset, unread)

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        """Table, job, DAG."""
        from dcp_plugins_base.decomposition import query_resources

        return query_resources(DerivedTable.of(logical_plan), logical_plan)

    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        """Every lint of a table and its query."""
        from dcp_plugins_base.lints.running import lint_query

        return lint_query(DerivedTable.of(logical_plan), logical_plan, ctx)

    def test(self, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
        """Analysis, EXPLAIN, LIMIT 0, test cases and checks on an engine."""
        from dcp_plugins_base.checking.report import test_query

        return test_query(DerivedTable.of(logical_plan), logical_plan, ctx)

    def get_lineage(
        self, logical_plan: LogicalPlan, schemas: Mapping[str, Mapping[str, str]], ctx: Context
    ) -> tuple[ColumnLineage, ...]:
        """By the query's text."""
        from dcp_plugins_base.lineage import query_lineage

        return query_lineage(DerivedTable.of(logical_plan), schemas)
