"""By a stranger: a report is a table made from other tables, and a page in a folder that names it."""

import json
from typing import ClassVar

import attrs
from dcp_core import Command, Context, Diagnostic, Environment, LogicalPlan, Manifest, Owner
from dcp_core import Plugin, Primitive, Resource, State, TestReport
from dcp_plugins_base import QueryDataset, schema
from dcp_plugins_base.checking.report import test_query
from dcp_plugins_base.decomposition import query_resources
from dcp_plugins_base.lints.running import lint_query
from dcp_plugins_base.reading import compile_query, read_sql, table_values, workflow_values


@attrs.frozen(kw_only=True)
class Report(QueryDataset):
    manifest_type: ClassVar[str] = "acme_report"
    namespace: ClassVar[str] = "reports"
    section: ClassVar[str] = "report"
    title: str


class AcmeReport(Plugin):
    manifest_type = Report.manifest_type

    def get_manifest_schema(self) -> dict[str, object]:
        table = schema.table_properties("The table is reports.<name>.")
        report = {"name": table["name"], "fields": table["fields"], "title": schema.text("Of the page.")}
        workflow = schema.mapping("The query.", {"sql": schema.sql_file()}, "sql")
        sections = {"report": schema.mapping("The report.", report, *report), "workflow": workflow}
        return schema.manifest("report", "A table and a page.", self.manifest_type, sections, *sections)

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        sql, unread = read_sql(manifest, Report.sql_path)
        report = manifest.data["report"]
        values = {**table_values(report), **workflow_values(manifest.data)}
        return compile_query(manifest, environment, Report(sql=sql, title=report["title"], **values), unread)

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        report = Report.of(logical_plan)
        table, job = query_resources(report, logical_plan)
        name = Environment.named(logical_plan.environment).scoped(report.table_name)
        spec = {"title": report.title, "table": report.table}
        page = Resource("acme_page", name, logical_plan.id, logical_plan.environment, spec, (table.key,))
        return table, job, page

    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        return lint_query(Report.of(logical_plan), logical_plan, ctx)

    def test(self, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
        return test_query(Report.of(logical_plan), logical_plan, ctx)

    def get_commands(self) -> tuple[Command, ...]:
        return (Command("titles", "List the titles of reports.", self._titles, takes_manifests=True),)

    def _titles(self, ctx: Context, logical_plans: tuple[LogicalPlan, ...]) -> dict[str, str]:
        return {Report.of(each).table: Report.of(each).title for each in logical_plans}


class AcmePage(Primitive):
    kind = "acme_page"

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        path = ctx.settings.state / "pages" / f"{resource.name}.json"
        values, *owner = json.loads(path.read_text()) if path.exists() else (None,)
        return State(values, Owner(*owner)) if owner else None

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        path = ctx.settings.state / "pages" / f"{resource.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([desired.values, resource.manifest_id, resource.environment]))

    def delete(self, resource: Resource, ctx: Context) -> None:
        (ctx.settings.state / "pages" / f"{resource.name}.json").unlink(missing_ok=True)
