"""A project worked on in this process: manifests edited, planned, applied and run, tables read by two engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from coreetl_driver import connect
from coreetl_driver.column_types import parse_type
from coreetl_driver.engine import Engine
from dcp_core import ControlPlane, Environment, LogicalPlan, Operation, OperationStatus, Plan, PlanOptions
from dcp_core.diagnostics import Severity
from dcp_plugins_derived_dataset.spec import DerivedTable
from tests.end_to_end.projects import FOLDER, PLAYGROUND, Project

Row = dict[str, Any]
CATALOG = "pedregal-playground-alice"


def manifest_text(*fields: str, schedule: str | None = "0 * * * *", mode: str = "append", **dataset: str) -> str:
    """A manifest from the texts of its fields (``"note: string"``, or what stands between ``{`` and ``}``).

    Args:
        dataset: More lines of its section ``dataset``, YAML values by key.
    """
    lines = ["metadata: {technical_owner: logistics-de, tier: 1}", "dataset:", "  name: {name}", "  fields:"]
    lines += [f"    - {{{{{_field(each)}}}}}" for each in fields]
    lines += [f"  {key}: {value.replace('{', '{{').replace('}', '}}')}" for key, value in dataset.items()]
    lines += ["workflow:", "  sql: {name}.sql", f"  mode: {mode}"]
    if schedule is not None:
        lines.append(f'  schedule: "{schedule}"')
    return "\n".join(lines) + "\n"


def _field(text: str) -> str:
    if text.startswith("name:"):
        return text
    name, _, type_ = text.partition(": ")
    return f"name: {name}, type: '{type_}'"


@attrs.frozen
class Workspace:
    """One project, its control plane and one engine over its two catalogs."""

    project: Project
    dcp: ControlPlane
    engine: Engine

    @classmethod
    def open(cls, project: Project) -> Workspace:
        dcp = project.control_plane()
        catalogs = {name: dcp.settings.catalog_properties(name) for name in ("pedregal", CATALOG)}
        return cls(project, dcp, Engine(catalogs, CATALOG, settings=dcp.settings))

    def close(self) -> None:
        self.engine.close()
        self.dcp.close()

    def environment(self, *, overlay: bool = False) -> Environment:
        return self.dcp.environment(PLAYGROUND, overlay=overlay)

    def compile(self, *paths: Path, overlay: bool = False) -> list[LogicalPlan]:
        """Valid and without lint errors, or the test fails."""
        environment = self.environment(overlay=overlay)
        result = self.dcp.load(paths, environment)
        findings = [*result.diagnostics, *self.dcp.lint(result.loaded, environment)]
        assert [each for each in findings if each.severity is Severity.ERROR] == []
        return [each.logical_plan for each in result.loaded]

    def plan(self, *paths: Path, **options: bool) -> Plan:
        folders = [path for path in paths if path.is_dir()]
        return self.dcp.plan(
            self.compile(*paths), options=PlanOptions(**options), folders=folders, environment=self.environment()
        )

    def apply(self, *paths: Path, **options: bool) -> tuple[Operation, ...]:
        """Plans and applies; every operation succeeds, or the test fails."""
        operations = self.dcp.apply(self.plan(*paths, **options))
        assert [each for each in operations if each.status is not OperationStatus.SUCCEEDED] == []
        return operations

    def run(self, path: Path) -> int:
        """Runs the job; gives the rows that it wrote."""
        (result,) = self.dcp.run(self.compile(path))
        assert result.ok, result
        (execution,) = result.executions
        assert execution.rows_written is not None
        return execution.rows_written

    def labels(self, *paths: Path, **options: bool) -> list[str]:
        return [action.label for action in self.plan(*paths, **options).actions]

    def rows(self, table: str) -> list[Row]:
        """All rows in a stable order, as pyiceberg and Sail agree that they are."""
        found = in_order(
            [{name: _as_mapping(value) for name, value in row.items()} for row in self.project.rows(table)]
        )
        columns, seen_rows = self.engine.rows(f"SELECT * FROM {table}")
        seen = in_order([dict(zip([column.name for column in columns], row, strict=True)) for row in seen_rows])
        assert seen == found, "Sail and pyiceberg read different rows"
        return found

    def columns(self, table: str) -> dict[str, str]:
        """Name and type of each column, in the table's order, as Sail and pyiceberg agree that they are."""
        columns, _ = self.engine.rows(f"SELECT * FROM {table}", limit=0)
        types = {column.name: str(parse_type(column.type)) for column in columns}
        # Not in the order of `columns`: Sail 0.7.2 moves the columns of identity partitions to the end of SELECT *.
        names = [field.name for field in self.table(table).schema().fields]
        assert sorted(names) == sorted(types)
        return {name: types[name] for name in names}

    def table(self, table: str) -> Any:
        """Through pyiceberg."""
        return self.project.catalog().load_table(table)

    def traces(self) -> dict[str, Any]:
        """Everything that an apply can leave behind, so that two of them tell whether anything happened."""
        catalog = self.project.catalog()
        tables = [name for (namespace,) in catalog.list_namespaces() for name in catalog.list_tables(namespace)]
        driver = connect(self.dcp.settings)
        jobs = driver.list_jobs(PLAYGROUND)
        driver.close()
        return {
            "tables": {".".join(name): catalog.load_table(name).metadata_location for name in tables},
            "jobs": {job.job_id: job.version for job in jobs},
            "dags": {
                file.name: (file.stat().st_mtime_ns, file.stat().st_ino, file.read_bytes())
                for file in (self.project.root / ".dcp" / "dags").glob("*.py")
            },
            "inventory": self.dcp.store.inventory(PLAYGROUND),
            "plans": self.dcp.store.logical_plans(PLAYGROUND),
            "audit": self.dcp.store.audit_records(limit=1000),
            "operations": self.dcp.store.operations(limit=1000),
        }

    @property
    def folder(self) -> Path:
        return self.project.root / FOLDER


@attrs.define
class Story:
    """One dataset through its life: after each chapter what was written before is readable, and it runs again.

    Args:
        rows: What the table must hold.
    """

    workspace: Workspace
    name: str
    rows: list[Row] = attrs.Factory(list)

    @property
    def table(self) -> str:
        return f"derived_datasets.{self.name}"

    @property
    def path(self) -> Path:
        return self.workspace.folder / f"{self.name}.yaml"

    def write(self, manifest: str, **row: str) -> None:
        """The two files; the query gives one row, SQL expressions by column."""
        query = "SELECT " + ", ".join(f"{value} AS {column}" for column, value in row.items())
        self.workspace.project.dataset(self.name, manifest, query)

    def begin(self, manifest: str, row: Row, **sql: str) -> None:
        self.write(manifest, **sql)
        assert self.workspace.labels(self.path) == ["CREATE_TABLE", "CREATE_JOB", "CREATE_DAG"]
        self.workspace.apply(self.path)
        self.runs(row)

    def changes(self, **options: bool) -> list[str]:
        """The fields of the table that the plan changes."""
        action = self.workspace.plan(self.path, **options).actions[0]
        assert action.resource.kind == "iceberg_table"
        return [change.field for change in action.changes]

    def turn(
        self,
        manifest: str,
        row: Row,
        *,
        changes: Sequence[str],
        became: Callable[[Row], Row] = lambda row: row,
        allow_destructive: bool = False,
        **sql: str,
    ) -> None:
        """Edit the manifest, apply it, and run the job.

        Args:
            manifest: Its new text.
            row: What the job will write.
            changes: The table's fields that the plan must show, in order.
            became: What each row written before is afterwards.
            allow_destructive: For the apply.
            sql: Expressions of the job's query by column.
        """
        self.write(manifest, **sql)
        options = {"allow_destructive": allow_destructive}
        assert self.changes(**options) == list(changes)
        self.workspace.apply(self.path, **options)
        self.rows = [became(each) for each in self.rows]
        self.holds()
        self.runs(row)

    def runs(self, row: Row) -> None:
        assert self.workspace.run(self.path) == 1
        self.rows.append(row)
        self.holds()

    def holds(self) -> None:
        """The table has the rows and the columns of the manifest, and nothing is left to do."""
        assert self.workspace.rows(self.table) == in_order(self.rows)
        (compiled,) = self.workspace.compile(self.path)
        wanted = {field.name: str(parse_type(field.type)) for field in DerivedTable.of(compiled).fields}
        assert list(self.workspace.columns(self.table).items()) == list(wanted.items())
        assert set(self.workspace.labels(self.path)) == {"NOOP_TABLE", "NOOP_JOB", "NOOP_DAG"}

    def is_blocked(
        self, manifest: str, reason: str, words: str, *, allow_destructive: bool = False, **sql: str
    ) -> None:
        """Edited so, the table is BLOCKED, its dependents are SKIPPED or need nothing, and nothing happens to it."""
        self.write(manifest, **sql)
        before = self.workspace.table(self.table).metadata_location
        plan = self.workspace.plan(self.path, allow_destructive=allow_destructive)
        action = plan.actions[0]
        assert (action.label, action.reason) == ("BLOCKED_TABLE", reason)
        assert words in action.message
        (operation,) = self.workspace.dcp.apply(plan)
        assert operation.status is OperationStatus.FAILED
        statuses = [(each.label, each.status.value) for each in operation.results]
        assert statuses[0] == ("BLOCKED_TABLE", "BLOCKED")
        assert ("UPDATE_JOB", "SKIPPED") in statuses
        assert self.workspace.table(self.table).metadata_location == before
        assert self.workspace.rows(self.table) == in_order(self.rows)


def _as_mapping(value: Any) -> Any:
    """Arrow gives a map as pairs."""
    if isinstance(value, list) and value and all(isinstance(each, tuple) for each in value):
        return dict(value)
    return value


def in_order(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    return sorted(map(dict, rows), key=lambda row: repr(sorted(row.items())))
