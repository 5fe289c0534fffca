"""The plugin: the hooks that a derived dataset answers in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic
from dcp_core.interfaces import Plugin
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Resource
from dcp_core.records import TestReport
from dcp_plugins_derived_dataset.spec import MANIFEST_TYPE


class DerivedDataset(Plugin):
    """A SQL query kept as an Iceberg table by a scheduled job.

    Stopping what runs before an apply and resuming it afterwards is the framework's default: the job is the only
    runnable resource, and it depends on the table.
    """

    manifest_type = MANIFEST_TYPE

    def get_manifest_schema(self) -> Mapping[str, Any]:
        """``manifest_schema.py``."""
        from dcp_plugins_derived_dataset.manifest_schema import manifest_schema

        return manifest_schema()

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        """``parsing.py``."""
        from dcp_plugins_derived_dataset.parsing import compile_manifest

        return compile_manifest(manifest, environment)

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        """Table, job, DAG: ``decomposition.py``."""
        from dcp_plugins_derived_dataset.decomposition import resources_of

        return resources_of(logical_plan)

    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        """Every lint of ``lints/table.py``; reads the embedded catalog's table names where there is one."""
        from dcp_plugins_derived_dataset.known_tables import has_catalog, known_tables
        from dcp_plugins_derived_dataset.lints.subject import Subject
        from dcp_plugins_derived_dataset.lints.table import run_lints
        from dcp_plugins_derived_dataset.queries import parse_query
        from dcp_plugins_derived_dataset.spec import Dataset, sql_file_of

        dataset = Dataset.of(logical_plan)
        # Without a catalog (a fresh clone, CI) every source would be unknown: that tells nobody anything.
        known = known_tables(ctx.settings, ctx.environment) if has_catalog(ctx.settings, ctx.environment) else None
        subject = Subject(
            dataset=dataset,
            query=parse_query(dataset.sql),
            sql_file=sql_file_of(logical_plan),
            environment=logical_plan.environment,
            known_tables=known | ctx.provided if known is not None else None,
        )
        return run_lints(subject)

    def test(self, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
        """Analysis, EXPLAIN, LIMIT 0, test cases and checks on an engine: ``checking/``."""
        from dcp_plugins_derived_dataset.checking.report import test_dataset

        return test_dataset(logical_plan, ctx)
