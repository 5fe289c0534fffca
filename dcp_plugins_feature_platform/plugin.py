"""The plugin: the hooks that a feature view answers in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic
from dcp_core.interfaces import Plugin
from dcp_core.lineage import ColumnLineage
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Resource
from dcp_core.records import Command, Execution, FileUse, Parameter, TestReport


class FeaturePlatform(Plugin):
    """Features of an entity, kept as an Iceberg table of their history by a scheduled job."""

    manifest_type = "feature_platform"

    def get_manifest_schema(self) -> Mapping[str, Any]:
        """``manifest_schema.py``."""
        from dcp_plugins_feature_platform.manifest_schema import manifest_schema

        return manifest_schema()

    def get_commands(self) -> tuple[Command, ...]:
        """``get-historical``."""
        return (
            Command(
                "get-historical",
                "Training set: labels with the features as they were known at each label's moment",
                self._get_historical,
                (
                    Parameter(
                        "labels",
                        "Parquet file or table (namespace.table) of the labels.",
                        required=True,
                        file=FileUse.READ,
                    ),
                    Parameter("timestamp_column", "The labels' moment.", default="event_timestamp"),
                    Parameter("features", "Comma-separated; all of the views' features when left out."),
                    Parameter("full_names", "Name every feature's column view__feature.", bool, default=False),
                    Parameter(
                        "to", "Parquet file to write; without it the first rows are shown.", Path, file=FileUse.WRITE
                    ),
                    Parameter("limit", "How many rows are shown.", int, default=10),
                ),
                takes_manifests=True,
            ),
        )

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        """``reading.py``."""
        from dcp_plugins_feature_platform.reading import compile_manifest

        return compile_manifest(manifest, environment)

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        """Table, job, DAG; the job computes the backfill window."""
        from dcp_plugins_base.decomposition import query_resources
        from dcp_plugins_feature_platform.backfill import job_params, job_query
        from dcp_plugins_feature_platform.view import view_of

        view = view_of(logical_plan)
        return query_resources(view, logical_plan, job_query(view), job_params(view))

    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        """Every lint of a table, its query and its features."""
        from dcp_plugins_base.lints.running import lint_query
        from dcp_plugins_feature_platform.lints import UNFIT, lints_beside
        from dcp_plugins_feature_platform.neighbours import Neighbours
        from dcp_plugins_feature_platform.view import view_of

        more = lints_beside(Neighbours.of(ctx))
        return lint_query(view_of(logical_plan), logical_plan, ctx, more, UNFIT)

    def test(self, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
        """Analysis, EXPLAIN, LIMIT 0, test cases and checks on an engine."""
        from dcp_plugins_base.checking.report import test_query
        from dcp_plugins_feature_platform.view import view_of

        return test_query(view_of(logical_plan), logical_plan, ctx)

    def get_lineage(
        self, logical_plan: LogicalPlan, schemas: Mapping[str, Mapping[str, str]], ctx: Context
    ) -> tuple[ColumnLineage, ...]:
        """By the view's query; the window only chooses rows."""
        from dcp_plugins_base.lineage import query_lineage
        from dcp_plugins_feature_platform.view import view_of

        return query_lineage(view_of(logical_plan), schemas)

    def run(self, logical_plan: LogicalPlan, params: Mapping[str, str], ctx: Context) -> tuple[Execution, ...]:
        """The default, with parameters that are known to be good."""
        from dcp_plugins_feature_platform.backfill import run_params
        from dcp_plugins_feature_platform.view import view_of

        return super().run(logical_plan, run_params(view_of(logical_plan), params), ctx)

    def _get_historical(self, ctx: Context, logical_plans: tuple[LogicalPlan, ...], **given: Any) -> Any:
        from dcp_plugins_feature_platform.historical import get_historical

        return get_historical(ctx, logical_plans, **given)
