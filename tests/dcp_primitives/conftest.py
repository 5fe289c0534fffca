"""A context on a real embedded catalog in ``tmp_path``, and a shorthand for the life of one table."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from attrs import define, field

from dcp_core.context import Context
from dcp_core.model import Environment, FieldChange, LogicalPlan, Metadata, Resource, Source, State
from dcp_core.settings import Settings
from dcp_primitives.iceberg_table import IcebergTable, IcebergTablePrimitive, TableColumn


def logical_plan_of(name: str = "daily_orders", environment: str = "production") -> LogicalPlan:
    source = Source(f"{name}.yaml", "sha256:0")
    return LogicalPlan("derived_dataset", f"derived_dataset/{name}", environment, {}, Metadata("logistics-de"), source)


@define
class Tables:
    """Applies tables the way a plan does, and reads and writes them the way other programs do."""

    ctx: Context
    primitive: IcebergTablePrimitive = field(factory=IcebergTablePrimitive)

    def resource(self, *columns: TableColumn, table: str = "derived_datasets.daily_orders", **rest: Any) -> Resource:
        wanted = IcebergTable(table, columns, **rest)
        return wanted.resource(logical_plan_of(environment=self.ctx.environment.name))

    def changes(self, resource: Resource) -> tuple[FieldChange, ...]:
        desired = self.primitive.get_desired_state(resource, self.ctx)
        return self.primitive.compare(resource, desired, self.actual(resource))

    def change(self, resource: Resource) -> FieldChange:
        (found,) = self.changes(resource)
        return found

    def actual(self, resource: Resource) -> State | None:
        return self.primitive.get_actual_state(resource, self.ctx)

    def apply(self, resource: Resource) -> tuple[FieldChange, ...]:
        """Create or update, whatever the effect; then desired and actual are equal, or this fails."""
        desired = self.primitive.get_desired_state(resource, self.ctx)
        actual = self.actual(resource)
        changes = self.primitive.compare(resource, desired, actual)
        if actual is None:
            self.primitive.create(resource, desired, self.ctx)
        elif changes or desired != actual:
            self.primitive.update(resource, desired, actual, self.ctx)
        assert self.actual(resource) == desired
        assert self.changes(resource) == ()
        return changes

    def catalog(self) -> Any:
        """As another program opens it."""
        from pyiceberg.catalog import load_catalog

        self.ctx.settings.state.mkdir(exist_ok=True)
        name = self.ctx.environment.catalog
        return load_catalog(name, **self.ctx.settings.catalog_properties(name))

    def load(self, table: str = "derived_datasets.daily_orders") -> Any:
        return self.catalog().load_table(table)

    def write(self, *rows: dict[str, Any], table: str = "derived_datasets.daily_orders") -> None:
        there = self.load(table)
        there.append(pa.Table.from_pylist(list(rows), schema=there.schema().as_arrow()))

    def rows(self, table: str = "derived_datasets.daily_orders") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.load(table).scan().to_arrow().to_pylist()
        return found


@pytest.fixture
def logical_plan() -> Callable[..., LogicalPlan]:
    return logical_plan_of


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Callable[..., Context]]:
    """Makes contexts in ``tmp_path``; closes what they shared."""
    made: list[Context] = []

    def make(environment: str = "production", **values: Any) -> Context:
        ctx = Context(Environment.named(environment), "alice", Settings(tmp_path, values, {}))
        made.append(ctx)
        return ctx

    yield make
    for ctx in made:
        ctx.shared_objects.close()


@pytest.fixture
def ctx(context: Callable[..., Context]) -> Context:
    return context()


@pytest.fixture
def tables(ctx: Context) -> Tables:
    return Tables(ctx)


@pytest.fixture
def tables_of() -> type[Tables]:
    return Tables


@pytest.fixture
def load_dag(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], tuple[Any, dict[str, Any]]]:
    """Runs a DAG file and gives its one task and its namespace.

    ``airflow.sdk`` is the least that the file needs: it schedules nothing, retries nothing, and calls nothing when a
    task is killed.
    """

    def load(file: Path) -> tuple[Any, dict[str, Any]]:
        dags: list[dict[str, Any]] = []
        tasks: list[Any] = []

        class Dag:
            def __init__(self, **options: Any) -> None:
                dags.append(options)

            def __enter__(self) -> Dag:
                return self

            def __exit__(self, *_error: object) -> None:
                return None

        class BaseOperator:
            def __init__(self, **options: Any) -> None:
                self.retries, self.execution_timeout = options["retries"], options["execution_timeout"]
                self.dag_id = dags[-1]["dag_id"]
                tasks.append(self)

        sdk, exceptions = types.ModuleType("airflow.sdk"), types.ModuleType("airflow.sdk.exceptions")
        names = ("Asset", "AssetAll", "AssetAny", "AssetOrTimeSchedule", "CronTriggerTimetable")
        vars(sdk).update(dict.fromkeys(names, types.SimpleNamespace))
        vars(sdk).update(DAG=Dag, BaseOperator=BaseOperator, BaseSensorOperator=BaseOperator)
        for name in ("AirflowFailException", "AirflowSensorTimeout", "AirflowTaskTimeout"):
            setattr(exceptions, name, type(name, (Exception,), {}))
        monkeypatch.setitem(sys.modules, "airflow", types.ModuleType("airflow"))
        monkeypatch.setitem(sys.modules, "airflow.sdk", sdk)
        monkeypatch.setitem(sys.modules, "airflow.sdk.exceptions", exceptions)
        namespace: dict[str, Any] = {"__name__": "dag_file"}
        exec(compile(file.read_text(), str(file), "exec"), namespace)
        (task,) = tasks
        return task, {**namespace, "dag_options": dags[0], "globals": namespace}

    return load
