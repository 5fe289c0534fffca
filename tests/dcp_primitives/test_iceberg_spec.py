"""What a spec must not say, each with a message that names it."""

from __future__ import annotations

from typing import Any

import pytest

from dcp_core.errors import InvalidSpecError
from dcp_core.model import State
from dcp_primitives.iceberg_table import IcebergTable, PartitionField, SortField, TableColumn

C = TableColumn
COLUMNS = (C("id", "bigint"), C("ts", "timestamp"), C("day", "date"), C("ok", "boolean"), C("rate", "double"))
NESTED = C("customer", "struct<country: string>")


def desired(tables: Any, table: IcebergTable) -> State:
    resource = tables.resource(C("x", "int"))
    from attrs import evolve

    from dcp_core import documents

    state: State = tables.primitive.get_desired_state(
        evolve(resource, name=table.table, spec=documents.to_json(table)), tables.ctx
    )
    return state


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"table": "../x.y"}, "not a table name"),
        ({"table": "orders"}, "not a table name"),
        ({"table": "a.b/../../c"}, "not a table name"),
        ({"columns": ()}, "at least one column"),
        ({"columns": (C("id", "int"), C("ID", "int"))}, "ignore case"),
        ({"columns": (C("a.b", "int"),)}, "not a column name"),
        ({"columns": (C(" a", "int"),)}, "not a column name"),
        ({"columns": (C("a\n", "int"),)}, "not a column name"),
        ({"columns": (C("id", "decmal"),)}, "decmal"),
        ({"partition_by": (PartitionField("nope"),)}, "not a column"),
        ({"partition_by": (PartitionField("id", "void"),)}, "not a partition transform"),
        ({"partition_by": (PartitionField("id", "bucket[0]"),)}, "not a partition transform"),
        ({"partition_by": (PartitionField("id", "day"),)}, "day cannot be taken of id"),
        ({"partition_by": (PartitionField("day", "hour"),)}, "hour cannot be taken of day"),
        ({"partition_by": (PartitionField("rate", "bucket[4]"),)}, "bucket cannot be taken of rate"),
        ({"partition_by": (PartitionField("ts", "day"), PartitionField("ts", "hour"))}, "two times of ts"),
        ({"partition_by": (PartitionField("id"), PartitionField("id"))}, "twice"),
        ({"partition_by": (PartitionField("customer"),)}, "not a scalar"),
        ({"sort_by": (SortField("nope"),)}, "not a column"),
        ({"sort_by": (SortField("id", "up"),)}, "asc or desc"),
        ({"sort_by": (SortField("id"), SortField("id", "desc"))}, "twice"),
        ({"primary_key": ("nope",)}, "not a column"),
        ({"primary_key": ("id", "id")}, "twice"),
        ({"primary_key": ("customer.country",)}, "not a column itself"),
        ({"properties": {"write.data.path": "/etc"}}, "reserved"),
        ({"properties": {"write.object-storage.path": "/etc"}}, "reserved"),
        ({"properties": {"py-io-impl": "evil.Module"}}, "reserved"),
        ({"properties": {"write.py-location-provider.impl": "evil.Module"}}, "reserved"),
        ({"properties": {"s3.endpoint": "http://evil"}}, "reserved"),
        ({"properties": {"dcp.manifest": "other"}}, "reserved"),
        ({"properties": {"DCP.manifest ": "other"}}, "reserved"),
        ({"properties": {"comment": "x"}}, "description"),
        ({"properties": {"format-version": "1"}}, "version 2"),
    ],
)
def test_a_contradiction_is_named(tables: Any, rest: dict[str, Any], message: str) -> None:
    wanted = {"table": "ns.name", "columns": (*COLUMNS, NESTED), **rest}
    with pytest.raises(InvalidSpecError, match=message):
        desired(tables, IcebergTable(**wanted))


def test_synonyms_of_a_type_and_spellings_of_a_transform_are_the_same_state(tables: Any) -> None:
    one = IcebergTable(
        "ns.name",
        (C("id", "long"), C("total", "decimal(38, 9)"), C("ts", "timestamptz")),
        partition_by=(PartitionField("id", "bucket(8)"),),
        sort_by=(SortField("id", "ASC"),),
    )
    other = IcebergTable(
        "ns.name",
        (C("id", "BIGINT"), C("total", "decimal"), C("ts", "TIMESTAMP")),
        partition_by=(PartitionField("id", "bucket[8]"),),
        sort_by=(SortField("id", "asc", "first"),),
    )
    assert desired(tables, one) == desired(tables, other)


def test_a_spec_of_another_shape_is_an_error_and_not_a_crash(tables: Any) -> None:
    from attrs import evolve

    resource = evolve(tables.resource(C("x", "int")), spec={"table": "a.b", "colums": []})
    with pytest.raises(InvalidSpecError, match="iceberg_table:"):
        tables.primitive.get_desired_state(resource, tables.ctx)


def test_a_field_of_a_struct_partitions_a_table(tables: Any) -> None:
    resource = tables.resource(*COLUMNS, NESTED, partition_by=(PartitionField("customer.country"),))
    tables.apply(resource)
    assert tables.load().spec().fields[0].name == "customer.country"
