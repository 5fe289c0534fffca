"""What a manifest wants of an Iceberg table: the typed spec, its checks and its canonical values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import Factory, field, frozen

from dcp_core import documents
from dcp_core.digests import JsonValue
from dcp_core.errors import InvalidSpecError
from dcp_core.model import LogicalPlan, Resource, ResourceKey
from dcp_primitives.iceberg.types import Tree, field_at, tree_of_text

KIND = "iceberg_table"
GRANTS = "grants"
_PRIVILEGES = ("ALL_PRIVILEGES", "APPLY_TAG", "MANAGE", "MODIFY", "SELECT")
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")
_TRANSFORM = re.compile(r"(identity|year|month|day|hour)|(bucket|truncate)[\[(]\s*(\d{1,9})\s*[\])]")
_TIMES = {"timestamptz", "timestamp_ntz"}
_HASHED = {"int", "long", "date", "string", "binary", "decimal", *_TIMES}
_TAKES: dict[str, set[str]] = {
    "year": {"date", *_TIMES},
    "month": {"date", *_TIMES},
    "day": {"date", *_TIMES},
    "hour": _TIMES,
    "bucket": _HASHED,
    "truncate": {"int", "long", "string", "binary", "decimal"},
}
# Properties that decide where files go, which code reads them, or which credentials that takes: a manifest that
# could set them could write outside its own catalog.
_RESERVED_PREFIXES = (
    *("dcp.", "coreetl.", "s3.", "s3a.", "fs.", "adls.", "adlfs.", "gcs.", "gs.", "hdfs.", "hf.", "oss.", "client."),
    *("rest.", "catalog.", "header.", "auth.", "pyarrow.", "encryption."),
)
_RESERVED_SUFFIXES = (".path", ".impl", "-impl", ".location", "-location")
_RESERVED = {"location", "uri", "warehouse", "token", "credential", "provider", "schema.name-mapping.default"}
_INSTEAD = {"comment": "set the description instead", "format-version": "tables are made with version 2"}


@frozen
class TableColumn:
    """One column.

    Args:
        name: Unique in the table whatever its case.
        type: Spark SQL DDL or an Iceberg name; nested types too.
        required: Whether NULL is refused.
        doc: What it means, for people.
        renamed_from: Names it had before, the latest first.
    """

    name: str
    type: str
    required: bool = False
    doc: str | None = None
    renamed_from: tuple[str, ...] = ()


@frozen
class PartitionField:
    """One partition field.

    Args:
        column: A column, or a field of a struct as ``customer.country``.
        transform: ``identity``, ``year``, ``month``, ``day``, ``hour``, ``bucket[N]`` or ``truncate[N]``.
    """

    column: str
    transform: str = "identity"


@frozen
class SortField:
    """One sort field.

    Args:
        column: As for a partition field.
        direction: ``asc`` or ``desc``.
        nulls: ``first`` or ``last``; None means first when ascending, last when descending.
    """

    column: str
    direction: str = "asc"
    nulls: str | None = None


def _columns(columns: Iterable[TableColumn]) -> tuple[TableColumn, ...]:
    return tuple(columns)  # a function of its own, since mypy does not see through `tuple` as a converter


@frozen
class IcebergTable:
    """An Iceberg table in the environment's own catalog.

    Args:
        table: ``namespace.name``.
        columns: In order.
        partition_by: In order; empty for an unpartitioned table.
        sort_by: In order.
        primary_key: Columns that identify a row. They become Iceberg's identifier fields when all of them are
            required and neither float nor double (the specification allows no others); otherwise they are only
            recorded, for merges and for people.
        properties: Table properties to manage; others are left alone.
        doc: What the table holds, for people.
        grants: Privileges by principal, such as ``SELECT``; each list whole. Where the catalog keeps them.
    """

    table: str
    columns: tuple[TableColumn, ...] = field(converter=_columns)
    partition_by: tuple[PartitionField, ...] = ()
    sort_by: tuple[SortField, ...] = ()
    primary_key: tuple[str, ...] = ()
    properties: Mapping[str, str] = Factory(dict)
    doc: str | None = None
    grants: Mapping[str, tuple[str, ...]] = Factory(dict)

    def resource(
        self,
        logical_plan: LogicalPlan,
        *,
        depends_on: Iterable[ResourceKey] = (),
        protect: bool | None = None,
        path: tuple[str | int, ...] | None = None,
    ) -> Resource:
        """The resource that ``logical_plan`` wants; it provides the table under its own name."""
        return Resource(
            kind=KIND,
            name=self.table,
            manifest_id=logical_plan.id,
            environment=logical_plan.environment,
            spec=documents.to_json(self),
            depends_on=tuple(depends_on),
            provides=(self.table,),
            protect=protect,
            path=path,
        )


def table_of(resource: Resource) -> IcebergTable:
    """The typed spec of a resource.

    Raises:
        InvalidSpecError: The spec has another shape.
    """
    return documents.spec_of(resource, IcebergTable)


def values_of(table: IcebergTable) -> dict[str, JsonValue]:
    """The values of the desired state, canonical: equal to those read back once applied.

    Raises:
        InvalidSpecError: The spec contradicts itself or asks for what Iceberg cannot have.
    """
    if not _TABLE.fullmatch(table.table):
        raise InvalidSpecError(
            f"{table.table!r} is not a table name", hint="namespace.name, each of letters, digits and _"
        )
    columns = [_column(column, table) for column in table.columns]
    trees = _unique_trees(columns, table)
    return {
        "columns": columns,
        "partition_by": _partition_by(table, trees),
        "sort_by": _sort_by(table, trees),
        "primary_key": _primary_key(table, trees),
        "properties": {name: _property(name, value, table) for name, value in sorted(table.properties.items())},
        "doc": table.doc or None,
        # A table that says nothing of them is as it was before there were any.
        **({GRANTS: _grants(table)} if table.grants else {}),
    }


def partition_text(entry: Mapping[str, Any]) -> str:
    """``day(order_ts)``, ``bucket(16, order_id)``, ``country``."""
    transform, column = entry["transform"], entry["column"]
    if transform == "identity":
        return str(column)
    name, _, width = transform.rstrip("]").partition("[")
    return f"{name}({width}, {column})" if width else f"{name}({column})"


def sort_text(entry: Mapping[str, Any]) -> str:
    """``order_ts desc nulls last``."""
    return f"{partition_text(entry)} {entry['direction']} nulls {entry['nulls']}"


def identifies(columns: Iterable[Mapping[str, Any]], primary_key: Iterable[str]) -> bool:
    """Whether Iceberg accepts these columns as identifier fields.

    Source: Iceberg table specification, "Identifier Field IDs".
    """
    by_name = {column["name"]: column for column in columns}
    return all(
        name in by_name
        and by_name[name]["required"]
        and isinstance(by_name[name]["type"], str)
        and by_name[name]["type"] not in ("float", "double")
        for name in primary_key
    )


def _grants(table: IcebergTable) -> dict[str, JsonValue]:
    """Privileges as Unity Catalog's API spells them, ``ALL_PRIVILEGES`` for "all privileges"."""
    grants: dict[str, JsonValue] = {}
    for principal, privileges in sorted(table.grants.items()):
        if not principal.strip() or not principal.isprintable():
            raise InvalidSpecError(f"{principal!r} is not a principal", where=table.table)
        named = {each.strip().upper().replace(" ", "_") for each in privileges}
        unknown = sorted(named.difference(_PRIVILEGES))
        if unknown:
            raise InvalidSpecError(
                f"{unknown[0]!r} is not a privilege on a table",
                where=table.table,
                hint="expected one of: " + ", ".join(_PRIVILEGES),
            )
        grants[principal] = sorted(named)
    return grants


def _column(column: TableColumn, table: IcebergTable) -> dict[str, JsonValue]:
    if not column.name or column.name != column.name.strip() or "." in column.name or not column.name.isprintable():
        raise InvalidSpecError(
            f"{column.name!r} is not a column name",
            where=table.table,
            hint="not empty, without dots, control characters, or spaces at its ends",
        )
    try:
        tree = tree_of_text(column.type)
    except InvalidSpecError as error:
        raise InvalidSpecError(
            error.message, where=f"{table.table}: column {column.name}", hint=error.hint, code=error.code
        ) from None
    return {"name": column.name, "type": tree, "required": column.required, "doc": column.doc or None}


def _unique_trees(columns: list[dict[str, JsonValue]], table: IcebergTable) -> Tree:
    if not columns:
        raise InvalidSpecError("a table needs at least one column", where=table.table)
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column["name"].lower(), column["name"])
        if other is not column["name"]:
            raise InvalidSpecError(
                f"columns {other!r} and {column['name']!r} are the same to engines that ignore case",
                where=table.table,
            )
    return {"type": "struct", "fields": [{"name": each["name"], "type": each["type"]} for each in columns]}


def _partition_by(table: IcebergTable, trees: Tree) -> list[JsonValue]:
    entries: list[JsonValue] = []
    timed: set[str] = set()
    for wanted in table.partition_by:
        match = _TRANSFORM.fullmatch(wanted.transform.strip().lower())
        if match is None or (match.group(3) is not None and int(match.group(3)) == 0):
            raise InvalidSpecError(
                f"{wanted.transform!r} is not a partition transform",
                where=table.table,
                hint="identity, year, month, day, hour, bucket[N] or truncate[N]",
            )
        name = match.group(1) or match.group(2)
        transform = f"{name}[{int(match.group(3))}]" if match.group(3) else name
        scalar = _scalar(wanted.column, trees, table, "partitioned by")
        if name in _TAKES and scalar.partition("(")[0] not in _TAKES[name]:
            raise InvalidSpecError(f"{name} cannot be taken of {wanted.column}, a {scalar}", where=table.table)
        entry = {"column": wanted.column, "transform": transform}
        if entry in entries:
            raise InvalidSpecError(f"partitioned by {partition_text(entry)} twice", where=table.table)
        if name in ("year", "month", "day", "hour"):
            if wanted.column in timed:
                raise InvalidSpecError(
                    f"partitioned by two times of {wanted.column}: the finer one alone does the same",
                    where=table.table,
                )
            timed.add(wanted.column)
        entries.append(entry)
    return entries


def _sort_by(table: IcebergTable, trees: Tree) -> list[JsonValue]:
    entries: list[JsonValue] = []
    for wanted in table.sort_by:
        _scalar(wanted.column, trees, table, "sorted by")
        direction = wanted.direction.lower()
        nulls = (wanted.nulls or ("first" if direction == "asc" else "last")).lower()
        if direction not in ("asc", "desc") or nulls not in ("first", "last"):
            raise InvalidSpecError(
                f"sorted by {wanted.column}: direction is asc or desc, nulls first or last", where=table.table
            )
        if any(entry["column"] == wanted.column for entry in entries):
            raise InvalidSpecError(f"sorted by {wanted.column} twice", where=table.table)
        entries.append({"column": wanted.column, "transform": "identity", "direction": direction, "nulls": nulls})
    return entries


def _primary_key(table: IcebergTable, trees: Tree) -> list[JsonValue]:
    for name in table.primary_key:
        if "." in name:
            raise InvalidSpecError(f"the primary key names {name}, which is not a column itself", where=table.table)
        _scalar(name, trees, table, "keyed by")
    if len(set(table.primary_key)) != len(table.primary_key):
        raise InvalidSpecError("the primary key names a column twice", where=table.table)
    return list(table.primary_key)


def _scalar(column: str, trees: Tree, table: IcebergTable, what: str) -> str:
    tree = field_at(trees, column.split("."))
    if tree is None:
        known = ", ".join(entry["name"] for entry in trees["fields"])
        raise InvalidSpecError(
            f"{what} {column}, which is not a column", where=table.table, hint=f"its columns: {known}"
        )
    if not isinstance(tree, str):
        raise InvalidSpecError(f"{what} {column}, which is not a scalar", where=table.table)
    return tree


def _property(name: str, value: str, table: IcebergTable) -> str:
    folded = name.strip().lower()
    if folded in _INSTEAD:
        raise InvalidSpecError(f"property {name!r} is not set directly: {_INSTEAD[folded]}", where=table.table)
    if (
        not folded
        or name != name.strip()
        or folded in _RESERVED
        or folded.startswith(_RESERVED_PREFIXES)
        or folded.endswith(_RESERVED_SUFFIXES)
    ):
        raise InvalidSpecError(
            f"property {name!r} is reserved",
            where=table.table,
            hint="properties that decide where files lie, how they are reached, or that carry marks are DCP's own",
        )
    return str(value)
