"""A dataset as data: a table and the scheduled job that fills it, as a logical plan's ``plugin_spec`` holds them.

A plugin subclasses ``Dataset``, or ``QueryDataset`` when SQL fills the table, and adds what its manifests have more.
``plugin_spec`` keeps the optional fields under their names in the manifest and leaves out what equals its default.

Source: design.md sections 5 and 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import attrs

from coreetl_driver.api import SinkMode
from coreetl_driver.column_types import ColumnType, parse_type
from dcp_core.diagnostics import FieldPath
from dcp_core.documents import from_json, to_json
from dcp_core.errors import InvalidSpecError
from dcp_core.model import LogicalPlan
from dcp_plugins_base.upstream import NONE, TIMEOUT

CASE_DATE = "2026-01-01"
"""The day for which a test case runs that names none: a test gives the same whenever it runs."""


@attrs.frozen
class Field:
    """One column of the table.

    Args:
        name: As the table has it.
        type: Spark DDL or Iceberg type text, canonical once parsed.
        renamed_from: Former names, the data of which it takes over.
    """

    name: str
    type: str
    nullable: bool = True
    description: str | None = None
    renamed_from: tuple[str, ...] = ()

    def parsed_type(self) -> ColumnType | None:
        """Its type; None when the text names none."""
        try:
            return parse_type(self.type)
        except InvalidSpecError:
            return None


@attrs.frozen
class CaseInput:
    """The rows that stand for one source table in a test case.

    Args:
        rows: Column values by name; a column left out is NULL.
        columns: Types by column name; empty when they are taken from the real table, else from the values.
    """

    rows: tuple[Mapping[str, Any], ...] = ()
    columns: Mapping[str, str] = attrs.Factory(dict)


@attrs.frozen
class Case:
    """One test case: source rows in, expected rows out.

    Args:
        inputs: By source table as the SQL names it, ``raw.orders``.
        expected: A column that no expected row names is not compared.
        ordered: Whether the order of rows counts.
        date: ISO date; the run's interval is that day.
    """

    name: str
    inputs: Mapping[str, CaseInput] = attrs.Factory(dict)
    expected: tuple[Mapping[str, Any], ...] = ()
    params: Mapping[str, str] = attrs.Factory(dict)
    ordered: bool = False
    date: str = CASE_DATE


@attrs.frozen
class AcceptedValues:
    """The values that a field may have; NULL is always accepted."""

    field: str
    values: tuple[Any, ...] = ()


@attrs.frozen
class Check:
    """What must hold for every output of the query; all parts that are given."""

    name: str | None = None
    not_null: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    accepted_values: AcceptedValues | None = None
    expression: str | None = None


@attrs.frozen
class Ignored:
    """A warning that the manifest's owner has decided to live with."""

    code: str
    reason: str


@attrs.frozen
class LintOptions:
    """What the lints leave out."""

    ignore: tuple[Ignored, ...] = ()


def _stripped(text: str | None) -> str | None:
    return None if text is None else text.strip()


@attrs.frozen(kw_only=True)
class Dataset:
    """A table that a scheduled job fills.

    Class attributes, for a subclass to set:
        manifest_type: The name of the plugin's entry point.
        namespace: Of the table.
        section: Where in the manifest the table is described.
        schedule_path: Where in the manifest the schedule is.

    Args:
        table_name: The table is ``<namespace>.<table_name>``.
        schedule: Cron expression; None means that nothing but a user runs it.
        owner_team: The manifest's technical owner.
        fields: The columns in order.
        partition_by: Normalised texts: ``day(order_ts)``, ``bucket(16, id)``, ``region``.
        sort_by: Normalised texts: ``order_ts desc nulls last``.
        protect: Whether destructive changes are refused; None leaves it as it is.
        grants: Privileges on production's table by principal.
        mode: How rows reach the table, a ``SinkMode``.
        start_date: ISO date.
        timeout: How long a try of the DAG may take, ``2h``; None for any time.
    """

    manifest_type: ClassVar[str]
    namespace: ClassVar[str]
    section: ClassVar[str] = "dataset"
    schedule_path: ClassVar[FieldPath] = ("workflow", "schedule")

    table_name: str
    schedule: str | None = attrs.field(converter=_stripped)
    owner_team: str
    fields: tuple[Field, ...] = ()
    description: str | None = None
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    protect: bool | None = None
    properties: Mapping[str, str] = attrs.Factory(dict)
    grants: Mapping[str, tuple[str, ...]] = attrs.Factory(dict)
    mode: str = SinkMode.OVERWRITE.value
    start_date: str | None = None
    catchup: bool = False
    retries: int = 2
    timeout: str | None = None
    compute: Mapping[str, Any] = attrs.Factory(dict)
    lint: LintOptions = LintOptions()

    @classmethod
    def of(cls, logical_plan: LogicalPlan) -> Self:
        """The dataset that a logical plan describes.

        Raises:
            ConflictError: The plan has another shape: another version of the plugin compiled it.
        """
        return from_json(dict(logical_plan.plugin_spec), cls)

    def to_plugin_spec(self) -> dict[str, Any]:
        """JSON-able; the inverse of ``of``."""
        plain: dict[str, Any] = to_json(attrs.asdict(self, filter=_is_worth_saying))
        return plain

    @property
    def id(self) -> str:
        """Of the logical plan: ``<manifest type>/<name>``."""
        return f"{self.manifest_type}/{self.table_name}"

    @property
    def table(self) -> str:
        """``<namespace>.<name>``: the name others read it by."""
        return f"{self.namespace}.{self.table_name}"

    @property
    def workflow_name(self) -> str:
        """What job and DAG are named after. All types share their namespaces: a type adds a word of its own."""
        return self.table_name

    @property
    def job_name(self) -> str:
        """Of the job in production."""
        return f"{self.workflow_name}_job"

    @property
    def dag_name(self) -> str:
        """Of the DAG in production."""
        return f"{self.workflow_name}_dag"

    @property
    def field_names(self) -> tuple[str, ...]:
        """In the table's order."""
        return tuple(field.name for field in self.fields)

    def field_named(self, name: str) -> Field | None:
        """The field of that name, whatever its case (as Spark resolves names)."""
        wanted = name.lower()
        return next((field for field in self.fields if field.name.lower() == wanted), None)

    def declared_name(self, name: str) -> str:
        """The field's name as it is declared: Iceberg's names have a case, Spark's have none.

        Raises:
            InvalidSpecError: There is no such field.
        """
        field = self.field_named(name)
        if field is None:
            raise InvalidSpecError(f'"{name}" is not a field of {self.table}', where=self.table)
        return field.name

    def field_path(self, index: int) -> FieldPath:
        """Where the manifest declares the field at that place."""
        return (self.section, "fields", index)


@attrs.frozen(kw_only=True)
class QueryDataset(Dataset):
    """A dataset whose table one SQL query fills.

    Class attributes, for a subclass to set:
        sql_path: Where in the manifest the SQL file is named, or what the SQL is made from.
        is_generated: Whether the plugin writes the SQL, so that nobody knows its lines.

    Args:
        sql: The query's text.
        params: Values for ``:name`` in the SQL; they may have run dates in them, ``{{ ds }}``.
        reads: The SQL's sources, ``raw.orders``, worked out once so that ``decompose`` need not parse SQL.
        read_overlay: Whether reads prefer the playground's own copy of a source where there is one.
        upstream: What a run has to do with these sources: ``none``, ``assets`` or ``sensors``.
        upstream_tables: The sources that this is about; () for those that ``upstream.waited_for`` chooses.
        upstream_timeout: How long a run waits for them, with sensors.
    """

    sql_path: ClassVar[FieldPath] = ("workflow", "sql")
    is_generated: ClassVar[bool] = False

    sql: str
    params: Mapping[str, str] = attrs.Factory(dict)
    tests: tuple[Case, ...] = ()
    checks: tuple[Check, ...] = ()
    reads: tuple[str, ...] = ()
    read_overlay: bool = False
    upstream: str = NONE
    upstream_tables: tuple[str, ...] = ()
    upstream_timeout: str = TIMEOUT


def _is_worth_saying(attribute: attrs.Attribute[Any], value: Any) -> bool:
    default: Any = attribute.default
    return bool(value != (default.factory() if hasattr(default, "factory") else default))
