"""A derived dataset as data: what a logical plan's ``plugin_spec`` holds, typed.

``plugin_spec`` keeps the optional fields under their names in the manifest and leaves out what equals its default.

Source: design.md sections 5 and 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from coreetl_driver.api import SinkMode
from coreetl_driver.column_types import ColumnType, parse_type
from dcp_core.documents import from_json, to_json
from dcp_core.errors import InvalidSpecError
from dcp_core.model import LogicalPlan

MANIFEST_TYPE = "derived_dataset"
NAMESPACE = "derived_datasets"
_ALWAYS = ("table_name", "sql", "schedule", "owner_team")


@attrs.frozen
class DatasetField:
    """One column of the dataset.

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
    """

    name: str
    inputs: Mapping[str, CaseInput] = attrs.Factory(dict)
    expected: tuple[Mapping[str, Any], ...] = ()
    params: Mapping[str, str] = attrs.Factory(dict)
    ordered: bool = False


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


@attrs.frozen
class Dataset:
    """The whole dataset.

    Args:
        table_name: The table is ``derived_datasets.<table_name>``.
        sql: The query's text.
        schedule: Cron expression; None means that nothing but a user runs it.
        owner_team: The manifest's technical owner.
        partition_by: Normalised texts: ``day(order_ts)``, ``bucket(16, id)``, ``region``.
        sort_by: Normalised texts: ``order_ts desc nulls last``.
        mode: How rows reach the table.
        start_date: ISO date.
        params: Values for ``:name`` in the SQL.
        reads: The SQL's sources, ``raw.orders``, worked out once so that ``decompose`` need not parse SQL.
        read_overlay: Whether reads prefer the playground's own copy of a source where there is one.
    """

    table_name: str
    sql: str
    schedule: str | None
    owner_team: str
    fields: tuple[DatasetField, ...] = ()
    description: str | None = None
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    protect: bool | None = None
    properties: Mapping[str, str] = attrs.Factory(dict)
    mode: str = SinkMode.OVERWRITE.value
    start_date: str | None = None
    catchup: bool = False
    retries: int = 2
    params: Mapping[str, str] = attrs.Factory(dict)
    compute: Mapping[str, Any] = attrs.Factory(dict)
    tests: tuple[Case, ...] = ()
    checks: tuple[Check, ...] = ()
    lint: LintOptions = LintOptions()
    reads: tuple[str, ...] = ()
    read_overlay: bool = False

    @classmethod
    def of(cls, logical_plan: LogicalPlan) -> Dataset:
        """The dataset that a logical plan describes.

        Raises:
            ConflictError: The plan has another shape: another version of this plugin compiled it.
        """
        return from_json(dict(logical_plan.plugin_spec), cls)

    def to_plugin_spec(self) -> dict[str, Any]:
        """JSON-able; the inverse of ``of``."""
        plain: dict[str, Any] = to_json(attrs.asdict(self, filter=_is_worth_saying))
        return plain

    @property
    def table(self) -> str:
        """``derived_datasets.<name>``: the name others read it by."""
        return f"{NAMESPACE}.{self.table_name}"

    @property
    def field_names(self) -> tuple[str, ...]:
        """In the table's order."""
        return tuple(field.name for field in self.fields)

    def field_named(self, name: str) -> DatasetField | None:
        """The field of that name, whatever its case (as Spark resolves names)."""
        wanted = name.lower()
        return next((field for field in self.fields if field.name.lower() == wanted), None)


def _is_worth_saying(attribute: attrs.Attribute[Any], value: Any) -> bool:
    if attribute.name in _ALWAYS:
        return True
    default: Any = attribute.default
    return bool(value != (default.factory() if hasattr(default, "factory") else default))


def sql_file_of(logical_plan: LogicalPlan) -> str | None:
    """The SQL file as the manifest names it: the only file that a derived dataset reads."""
    return next(iter(logical_plan.source.files), None)
