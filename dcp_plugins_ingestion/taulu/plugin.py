"""The plugin: the hooks that a table ingestion answers in its own way.

Table, job and DAG are the public base's; this package adds where the rows come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic
from dcp_core.interfaces import Plugin
from dcp_core.lineage import ColumnLineage
from dcp_core.manifest import Manifest
from dcp_core.model import Action, ActionKind, Environment, LogicalPlan, Resource
from dcp_core.planning import ResourceStates
from dcp_core.records import TestReport
from dcp_plugins_ingestion.taulu.spec import SNAPSHOT, IngestedTable, sink_mode

SOURCE_SCHEMA = "source_schema"
"""Reason code of a job that is blocked because its source cannot fill the declared table."""


class TauluIngestion(Plugin):
    """A table of a SQL database kept as an Iceberg table by a scheduled job.

    A playground has a table and, in it, a cursor of its own, and only ever reads the source.
    """

    manifest_type = IngestedTable.manifest_type

    def get_manifest_schema(self) -> Mapping[str, Any]:
        """``manifest_schema.py``."""
        from dcp_plugins_ingestion.taulu.manifest_schema import manifest_schema

        return manifest_schema()

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        """Normalise and check; the source is not looked at."""
        from dcp_plugins_base import reading
        from dcp_plugins_ingestion.taulu.lints import OF_THE_STRUCTURE

        data = manifest.data
        source, workflow = data["source"], data.get("workflow", {})
        extraction = workflow.get("mode", SNAPSHOT)
        table = IngestedTable(
            connection=source["connection"],
            source_table=source["table"],
            columns=dict(source.get("columns", {})),
            extraction=extraction,
            cursor=workflow.get("cursor"),
            lookback=workflow.get("lookback", 0),
            mode=sink_mode(extraction, has_key=bool(data["dataset"].get("primary_key"))).value,
            **reading.table_values(data["dataset"]),
            **reading.workflow_values(data),
        )
        return reading.compile_dataset(manifest, environment, table, OF_THE_STRUCTURE)

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        """Table, job, DAG."""
        from dcp_plugins_base.decomposition import dag_resources, job_resource, table_resource

        dataset = IngestedTable.of(logical_plan)
        table = table_resource(dataset, logical_plan)
        source, schedule = dataset.source(), dataset.schedule
        job = job_resource(dataset, logical_plan, table, kind="extract", sql="", source=source, schedule=schedule)
        return (table, job, *dag_resources(dataset, logical_plan, job))

    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        """Every lint of a table and of its source, compared with the real one where it can be read."""
        from dcp_plugins_ingestion.taulu.lints import lint_table

        return lint_table(IngestedTable.of(logical_plan), logical_plan, ctx)

    def test(self, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
        """A bounded sample of the source, through the job's own conversion."""
        from dcp_plugins_ingestion.taulu.sampling import test_source

        return test_source(IngestedTable.of(logical_plan), ctx)

    def get_lineage(
        self, logical_plan: LogicalPlan, schemas: Mapping[str, Mapping[str, str]], ctx: Context
    ) -> tuple[ColumnLineage, ...]:
        """Column by column of the source table, as ``connection://NAME/table``."""
        from dcp_plugins_base.lineage import copied_lineage

        dataset = IngestedTable.of(logical_plan)
        source = f"connection://{dataset.connection}/{dataset.source_table}"
        return copied_lineage(dataset, source, {each.name: dataset.source_column(each) for each in dataset.fields})

    def plan(self, logical_plan: LogicalPlan, states: tuple[ResourceStates, ...], ctx: Context) -> tuple[Action, ...]:
        """The diff; the job is BLOCKED while its source cannot fill the declared table.

        A source that does not answer blocks nothing: the job will tell. Reads the source's schema, changes nothing.
        """
        actions = super().plan(logical_plan, states, ctx)
        if not any(_runs(each) for each in actions):
            return actions
        from dcp_plugins_ingestion.taulu.comparing import compared, in_one_line

        found = compared(IngestedTable.of(logical_plan), ctx)
        if found.unread is not None:
            ctx.log.warning("%s was planned without a look at its source: %s", logical_plan.id, found.unread.message)
        if not found.errors:
            return actions
        return tuple(_blocked(each, in_one_line(found.errors)) if _runs(each) else each for each in actions)


def _runs(action: Action) -> bool:
    """Whether the action leaves a job that will read the source."""
    is_wanted = action.desired is not None and action.kind is not ActionKind.BLOCKED
    return action.resource.runnable and is_wanted


def _blocked(action: Action, message: str) -> Action:
    wants = None if action.kind is ActionKind.NOOP else action.kind
    return attrs.evolve(action, kind=ActionKind.BLOCKED, reason=SOURCE_SCHEMA, message=message, wants=wants)
