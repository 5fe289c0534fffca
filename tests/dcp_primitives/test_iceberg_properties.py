"""Any schema to any other: what ``compare`` allows, ``update`` does exactly, and kept columns keep their rows."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dcp_core.context import Context
from dcp_core.errors import PermanentError
from dcp_core.model import Effect, Environment
from dcp_core.settings import Settings
from dcp_primitives.iceberg_table import PartitionField, SortField, TableColumn

NAMES = ("a", "b", "c", "d", "e")
SCALARS = ("int", "bigint", "float", "double", "decimal(9,2)", "decimal(12,2)", "decimal(12,4)", "string", "date")
types = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        inner.map("array<{}>".format),
        inner.map("map<string,{}>".format),
        st.dictionaries(st.sampled_from(("x", "y", "z")), inner, min_size=1, max_size=3).map(
            lambda fields: "struct<" + ",".join(f"{name}:{of}" for name, of in fields.items()) + ">"
        ),
    ),
    max_leaves=4,
)


@st.composite
def wanted_tables(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    columns = tuple(
        TableColumn(
            name,
            draw(types),
            required=draw(st.sampled_from((False, False, False, True))),
            doc=draw(st.sampled_from((None, "doc"))),
            renamed_from=tuple(draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))),
        )
        for name in names
    )
    scalars = [column.name for column in columns if column.type in SCALARS and column.type not in ("float", "double")]
    chosen = st.lists(st.sampled_from(scalars), max_size=2, unique=True) if scalars else st.just([])
    return {
        "columns": columns,
        "partition_by": tuple(PartitionField(name) for name in draw(chosen)),
        "sort_by": tuple(SortField(name, draw(st.sampled_from(("asc", "desc")))) for name in draw(chosen)),
        "primary_key": tuple(draw(chosen)),
        "doc": draw(st.sampled_from((None, "about"))),
    }


def value_of(type_text: str) -> object:
    if type_text.startswith("array"):
        return [value_of(type_text[6:-1])]
    if type_text.startswith("map"):
        return [("k", value_of(type_text[11:-1]))]
    if type_text.startswith("struct"):
        return None
    if type_text.startswith("decimal"):
        return Decimal("1.2300") if type_text.endswith("4)") else Decimal("1.23")
    return {"int": 7, "bigint": 7, "float": 1.5, "double": 1.5, "string": "s", "date": None}[type_text]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=wanted_tables(), after=wanted_tables())
def test_an_allowed_change_gives_the_wanted_table_and_keeps_the_rows_of_kept_columns(
    before: dict[str, Any], after: dict[str, Any], tables_of: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ctx = Context(Environment.named("production"), "alice", Settings(Path(folder), {}, {}))
        tables = tables_of(ctx)
        try:
            _check(tables, before, after)
        finally:
            ctx.shared_objects.close()


def _check(tables: Any, before: dict[str, Any], after: dict[str, Any]) -> None:
    tables.apply(tables.resource(*before["columns"], **_rest(before)))
    optional = {column.name: value_of(column.type) for column in before["columns"] if not column.required}
    writable = all(not column.required or value_of(column.type) is not None for column in before["columns"])
    row = {**optional, **{column.name: value_of(column.type) for column in before["columns"] if column.required}}
    if writable:
        tables.write(row)
    resource = tables.resource(*after["columns"], **_rest(after))
    changes = tables.changes(resource)
    event(", ".join(sorted({change.effect for change in changes})) or "no change")
    if any(change.effect is Effect.REFUSED for change in changes):
        location = tables.load().metadata_location
        with pytest.raises(PermanentError):
            tables.apply(resource)
        assert tables.load().metadata_location == location
        return
    ids = {field.field_id: field for field in tables.load().schema().fields}
    tables.apply(resource)
    emptied = {change.field.split(".")[1] for change in changes if change.effect is Effect.DESTRUCTIVE}
    (found,) = tables.rows() if writable else ({},)
    for field in tables.load().schema().fields:
        earlier = ids.get(field.field_id)
        if writable and earlier is not None and field.field_type.is_primitive and field.name not in emptied:
            assert found[field.name] == row[earlier.name]


def _rest(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if name != "columns"}
