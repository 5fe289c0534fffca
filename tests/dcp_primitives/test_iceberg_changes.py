"""Every change of design section 11, on a real catalog with rows written before it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from dcp_core.errors import DestructiveError, InvalidSpecError
from dcp_core.model import Effect
from dcp_primitives.iceberg_table import PartitionField, SortField, TableColumn

C = TableColumn
ID, NOTE = C("order_id", "string"), C("note", "string")


def test_a_table_is_created_exactly_as_wanted_and_then_nothing_is_left_to_do(tables: Any) -> None:
    resource = tables.resource(
        C("order_id", "bigint", required=True, doc="who"),
        C("order_ts", "timestamp"),
        C("local_ts", "timestamp_ntz"),
        C("total_amount", "decimal"),
        C("lines", "array<struct<sku: string, qty: int>>"),
        C("extra", "map<string, array<double>>"),
        C("raw", "binary"),
        C("day", "date"),
        partition_by=(PartitionField("order_ts", "day"), PartitionField("order_id", "bucket[16]")),
        sort_by=(SortField("order_ts", "desc"), SortField("order_id")),
        primary_key=("order_id",),
        properties={"write.target-file-size-bytes": "1048576"},
        doc="One row per order.",
    )
    tables.apply(resource)
    table = tables.load()
    assert table.format_version == 2
    assert str(table.schema().find_field("total_amount").field_type) == "decimal(38, 9)"
    assert str(table.schema().find_field("order_ts").field_type) == "timestamptz"
    assert table.schema().identifier_field_names() == {"order_id"}
    assert [field.name for field in table.spec().fields] == ["order_ts_day", "order_id_bucket_16"]
    assert table.properties["comment"] == "One row per order."
    assert table.properties["dcp.manifest"] == "derived_dataset/daily_orders"


def test_an_optional_column_is_added_where_the_manifest_puts_it(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE))
    tables.write({"order_id": "a", "note": "x"})
    (change,) = tables.apply(tables.resource(ID, C("country", "string", doc="ISO code"), NOTE))
    assert (change.field, change.effect) == ("columns.country", Effect.UPDATE)
    assert tables.rows() == [{"order_id": "a", "country": None, "note": "x"}]


def test_a_required_column_cannot_be_added(tables: Any) -> None:
    tables.apply(tables.resource(ID))
    resource = tables.resource(ID, C("country", "string", required=True))
    change = tables.change(resource)
    assert change.effect is Effect.REFUSED
    assert "add it as optional" in change.why
    with pytest.raises(InvalidSpecError):
        tables.apply(resource)


def test_a_rename_keeps_the_rows(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE, sort_by=(SortField("note"),)))
    tables.write({"order_id": "a", "note": "x"})
    renamed = C("remark", "string", renamed_from=("note",))
    (change,) = tables.apply(tables.resource(ID, renamed, sort_by=(SortField("remark"),)))
    assert (change.field, change.actual, change.desired) == ("columns.remark.name", "note", "remark")
    assert tables.rows() == [{"order_id": "a", "remark": "x"}]
    assert tables.changes(tables.resource(ID, C("remark", "string"), sort_by=(SortField("remark"),))) == ()


def test_an_old_name_given_to_a_new_column_does_not_get_the_old_rows(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE))
    tables.write({"order_id": "a", "note": "x"})
    tables.apply(tables.resource(ID, C("remark", "string", renamed_from=("note",)), NOTE))
    assert tables.rows() == [{"order_id": "a", "remark": "x", "note": None}]


def test_a_name_that_changes_case_only_is_a_rename(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE))
    tables.write({"order_id": "a", "note": "x"})
    (change,) = tables.apply(tables.resource(ID, C("Note", "string")))
    assert change.field == "columns.Note.name"
    assert tables.rows() == [{"order_id": "a", "Note": "x"}]


def test_columns_are_reordered(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE))
    tables.write({"order_id": "a", "note": "x"})
    (change,) = tables.apply(tables.resource(NOTE, ID))
    assert (change.field, change.desired) == ("columns", ["note", "order_id"])
    assert tables.rows() == [{"note": "x", "order_id": "a"}]


def test_descriptions_come_and_go(tables: Any) -> None:
    tables.apply(tables.resource(ID, doc="Orders."))
    (column,) = tables.apply(tables.resource(C("order_id", "string", doc="who"), doc="Orders."))
    assert (column.field, column.desired) == ("columns.order_id.doc", "who")
    changes = tables.apply(tables.resource(ID))
    assert [change.field for change in changes] == ["columns.order_id.doc", "doc"]
    assert "comment" not in tables.load().properties


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        ("int", "bigint", 7),
        ("float", "double", 1.5),
        ("decimal(10, 2)", "decimal(20, 2)", Decimal("1.23")),
    ],
)
def test_types_widen_in_place(tables: Any, before: str, after: str, value: object) -> None:
    tables.apply(tables.resource(ID, C("total", before)))
    tables.write({"order_id": "a", "total": value})
    (change,) = tables.apply(tables.resource(ID, C("total", after)))
    assert (change.field, change.effect) == ("columns.total.type", Effect.UPDATE)
    assert tables.rows() == [{"order_id": "a", "total": value}]


def test_required_becomes_optional_but_not_the_other_way(tables: Any) -> None:
    tables.apply(tables.resource(C("order_id", "string", required=True)))
    tables.write({"order_id": "a"})
    (change,) = tables.apply(tables.resource(ID))
    assert (change.field, change.desired, change.effect) == ("columns.order_id.required", False, Effect.UPDATE)
    back = tables.resource(C("order_id", "string", required=True))
    assert tables.change(back).effect is Effect.REFUSED
    with pytest.raises(InvalidSpecError, match="cannot become required"):
        tables.apply(back)


def test_dropping_a_column_is_destructive_and_says_how_many_rows_lose_it(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE))
    tables.write({"order_id": "a", "note": "x"}, {"order_id": "b", "note": "y"})
    resource = tables.resource(ID)
    change = tables.change(resource)
    assert (change.field, change.effect) == ("columns.note", Effect.DESTRUCTIVE)
    assert change.why == "drops column note (string) of 2 rows"
    tables.apply(resource)
    assert tables.rows() == [{"order_id": "a"}, {"order_id": "b"}]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("string", (C("remark", "string"),), "at the field remark"),
        ("int", (C("remark", "bigint"),), "at the field remark"),
        ("string", (C("remark", "string"), C("text", "string")), "at the field remark or text"),
        ("bigint", (C("remark", "int"),), None),
        ("decimal(10,2)", (C("remark", "decimal(12,4)"),), None),
    ],
)
def test_a_drop_that_may_be_a_rename_says_how_to_say_so(
    tables: Any, before: str, after: tuple[TableColumn, ...], words: str | None
) -> None:
    tables.apply(tables.resource(ID, C("note", before)))
    (drop,) = (change for change in tables.changes(tables.resource(ID, *after)) if change.desired is None)
    assert drop.effect is Effect.DESTRUCTIVE
    hint = f"; if it is renamed, write `renamed_from: note` {words}" if words else ""
    assert drop.why == f"drops column note ({before.replace('bigint', 'long')}) of 0 rows{hint}"


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [("bigint", "int", 7), ("double", "float", 1.5), ("decimal(20,2)", "decimal(10,2)", Decimal("1.23")),
     ("string", "int", "7"), ("int", "array<int>", 7), ("array<int>", "array<string>", [1])],
)  # fmt: skip
def test_any_other_change_of_type_empties_the_column_and_is_destructive(
    tables: Any, before: str, after: str, value: object
) -> None:
    tables.apply(tables.resource(ID, C("total", before)))
    tables.write({"order_id": "a", "total": value})
    resource = tables.resource(ID, C("total", after))
    change = tables.change(resource)
    assert (change.field, change.effect) == ("columns.total.type", Effect.DESTRUCTIVE)
    assert "emptied in 1 row" in change.why
    tables.apply(resource)
    assert tables.rows() == [{"order_id": "a", "total": None}]


def test_a_required_column_cannot_start_anew(tables: Any) -> None:
    tables.apply(tables.resource(C("total", "bigint", required=True)))
    assert tables.change(tables.resource(C("total", "int", required=True))).effect is Effect.REFUSED


@pytest.mark.parametrize(
    ("before", "after"),
    [("decimal(12,2)", "decimal(18,4)"), ("decimal(12,4)", "decimal(12,2)"),
     ("array<decimal(12,2)>", "array<decimal(18,4)>"), ("struct<a: decimal(12,2)>", "struct<a: decimal(18,4)>"),
     ("map<string, decimal(9,1)>", "map<string, decimal(9,2)>")],
)  # fmt: skip
def test_a_change_of_decimal_scale_is_refused_even_without_a_plan(tables: Any, before: str, after: str) -> None:
    tables.apply(tables.resource(ID, C("total", before)))
    resource = tables.resource(ID, C("total", after))
    assert tables.change(resource).effect is Effect.REFUSED
    location = tables.load().metadata_location
    with pytest.raises(DestructiveError, match="scale"):
        tables.apply(resource)
    assert tables.load().metadata_location == location


@pytest.mark.parametrize(
    "around",
    ["array<map<string,{}>>", "array<array<{}>>", "map<string,array<{}>>", "array<array<struct<deep:{}>>>"],
)
def test_a_field_below_lists_of_lists_cannot_start_anew_under_its_name(tables: Any, around: str) -> None:
    """pyiceberg would read the old values under the new type."""
    tables.apply(tables.resource(TableColumn("d", around.format("struct<x:int>"))))

    change = tables.change(tables.resource(TableColumn("d", around.format("struct<x:string>"))))

    assert change.effect is Effect.REFUSED
    assert "lies too deep to start anew; add a new field" in change.why


def test_a_column_that_an_old_partition_spec_names_cannot_be_dropped_or_emptied(tables: Any) -> None:
    day = C("day", "date")
    tables.apply(tables.resource(ID, day, partition_by=(PartitionField("day"),)))
    tables.write({"order_id": "a", "day": date(2026, 1, 1)})
    tables.apply(tables.resource(ID, day))
    for resource in (tables.resource(ID), tables.resource(ID, C("day", "string"))):
        change = tables.change(resource)
        assert change.effect is Effect.REFUSED
        assert "partition spec 0 names day" in change.why
        with pytest.raises(DestructiveError, match="partition spec 0"):
            tables.apply(resource)
    assert tables.rows() == [{"order_id": "a", "day": date(2026, 1, 1)}]


def test_a_column_that_an_old_sort_order_names_cannot_be_dropped(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE, sort_by=(SortField("note"),)))
    tables.apply(tables.resource(ID, NOTE))
    with pytest.raises(DestructiveError, match="sort order 1"):
        tables.apply(tables.resource(ID))


def test_a_struct_cannot_lose_the_field_it_was_partitioned_by(tables: Any) -> None:
    both = C("customer", "struct<country: string, city: string>")
    tables.apply(tables.resource(ID, both, partition_by=(PartitionField("customer.country"),)))
    tables.apply(tables.resource(ID, both))
    for resource in (tables.resource(ID, C("customer", "struct<city: string>")), tables.resource(ID)):
        assert tables.change(resource).effect is Effect.REFUSED


def test_partitioning_evolves_and_all_rows_stay_readable(tables: Any) -> None:
    # By identity only: pyiceberg itself needs a native extension to write by any other transform.
    columns = (ID, C("country", "string"))
    tables.apply(tables.resource(*columns, partition_by=(PartitionField("country"),)))
    tables.write({"order_id": "a", "country": "FI"})
    (change,) = tables.apply(
        tables.resource(*columns, partition_by=(PartitionField("order_id"), PartitionField("country")))
    )
    assert (change.actual, change.desired) == (["country"], ["order_id", "country"])
    tables.write({"order_id": "b", "country": "SE"})
    tables.apply(tables.resource(*columns))
    tables.write({"order_id": "c", "country": "SE"})
    # Back to an earlier partitioning: its spec and field ids are used again.
    tables.apply(tables.resource(*columns, partition_by=(PartitionField("country"),)))
    assert tables.load().spec().spec_id == 0
    tables.write({"order_id": "d", "country": "FI"})
    assert sorted(row["order_id"] for row in tables.rows()) == ["a", "b", "c", "d"]
    assert tables.load().scan(row_filter="country = 'FI'").to_arrow().num_rows == 2


def test_every_transform_can_replace_every_other(tables: Any) -> None:
    columns = (C("order_id", "bigint"), C("order_ts", "timestamp"))
    for transforms in (("day", "bucket[4]"), ("hour", "bucket[8]"), ("month", "truncate[10]"), ("year", "identity")):
        time, other = transforms
        partitioning = (PartitionField("order_ts", time), PartitionField("order_id", other))
        tables.apply(tables.resource(*columns, partition_by=partitioning))
    assert [field.name for field in tables.load().spec().fields] == ["order_ts_year", "order_id"]


def test_the_order_of_partition_fields_counts(tables: Any) -> None:
    columns = (ID, C("day", "date"))
    tables.apply(tables.resource(*columns, partition_by=(PartitionField("day"), PartitionField("order_id"))))
    (change,) = tables.apply(
        tables.resource(*columns, partition_by=(PartitionField("order_id"), PartitionField("day")))
    )
    assert change.desired == ["order_id", "day"]


def test_a_renamed_partition_column_stays_one_and_frees_no_name(tables: Any) -> None:
    tables.apply(tables.resource(ID, C("day", "date"), partition_by=(PartitionField("day"),)))
    tables.write({"order_id": "a", "day": date(2026, 1, 1)})
    renamed = C("order_day", "date", renamed_from=("day",))
    (change,) = tables.apply(tables.resource(ID, renamed, partition_by=(PartitionField("order_day"),)))
    assert change.field == "columns.order_day.name"
    assert tables.rows() == [{"order_id": "a", "order_day": date(2026, 1, 1)}]
    taken = tables.resource(ID, renamed, C("day", "string"), partition_by=(PartitionField("order_day"),))
    assert tables.change(taken).effect is Effect.REFUSED
    back = tables.resource(ID, C("day", "date", renamed_from=("order_day",)), partition_by=(PartitionField("day"),))
    tables.apply(back)


def test_sorting_comes_changes_and_goes(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE))
    (change,) = tables.apply(tables.resource(ID, NOTE, sort_by=(SortField("note", "desc"),)))
    assert change.desired == ["note desc nulls last"]
    tables.apply(tables.resource(ID, NOTE, sort_by=(SortField("order_id"), SortField("note", "asc", "last"))))
    tables.apply(tables.resource(ID, NOTE))
    assert tables.load().sort_order().is_unsorted
    tables.apply(tables.resource(ID, NOTE, sort_by=(SortField("note", "desc"),)))
    assert tables.load().sort_order().order_id == 1


def test_a_sorted_table_becomes_unsorted_though_it_never_was(tables: Any) -> None:
    tables.apply(tables.resource(ID, sort_by=(SortField("order_id"),)))
    tables.apply(tables.resource(ID))
    assert tables.load().sort_order().is_unsorted


def test_properties_of_the_manifest_come_and_go_and_others_stay(tables: Any) -> None:
    tables.apply(tables.resource(ID, properties={"write.parquet.page-size-bytes": "1"}))
    with tables.load().transaction() as transaction:
        transaction.set_properties({"engine.own": "1", "write.target-file-size-bytes": "5"})
    assert tables.changes(tables.resource(ID, properties={"write.parquet.page-size-bytes": "1"})) == ()
    changes = tables.apply(tables.resource(ID, properties={"write.metadata.compression-codec": "none"}))
    assert [(change.field, change.actual, change.desired) for change in changes] == [
        ("properties.write.metadata.compression-codec", None, "none"),
        ("properties.write.parquet.page-size-bytes", "1", None),
    ]
    properties = tables.load().properties
    assert properties["engine.own"] == "1"
    assert properties["write.target-file-size-bytes"] == "5"
    assert "write.parquet.page-size-bytes" not in properties


def test_a_primary_key_is_an_identifier_where_iceberg_allows_it_and_a_record_elsewhere(tables: Any) -> None:
    strict, loose = C("order_id", "string", required=True), C("line", "int")
    tables.apply(tables.resource(strict, loose, primary_key=("line", "order_id")))
    assert tables.load().schema().identifier_field_names() == set()
    (change,) = tables.apply(tables.resource(strict, loose, primary_key=("order_id",)))
    assert (change.field, change.actual) == ("primary_key", ["line", "order_id"])
    assert tables.load().schema().identifier_field_names() == {"order_id"}
    # Making the column optional takes the identifier away in the same commit.
    tables.apply(tables.resource(ID, loose, primary_key=("order_id",)))
    assert tables.load().schema().identifier_field_names() == set()
    tables.apply(tables.resource(ID, loose))


def test_nested_fields_are_added_widened_reordered_and_dropped(tables: Any) -> None:
    tables.apply(tables.resource(ID, C("lines", "array<struct<sku: string, qty: int, gone: int>>")))
    tables.write({"order_id": "a", "lines": [{"sku": "s", "qty": 2, "gone": 1}]})
    changes = tables.apply(
        tables.resource(ID, C("lines", "array<struct<qty: bigint, sku: string, tags: map<string, int>>>"))
    )
    assert [(change.field, change.effect) for change in changes] == [
        ("columns.lines.element.qty.type", Effect.UPDATE),
        ("columns.lines.element.tags", Effect.UPDATE),
        ("columns.lines.element.gone", Effect.DESTRUCTIVE),
        ("columns.lines.element", Effect.UPDATE),
    ]
    assert tables.rows() == [{"order_id": "a", "lines": [{"qty": 2, "sku": "s", "tags": None}]}]


def test_a_nested_field_of_another_type_starts_anew_and_its_siblings_stay(tables: Any) -> None:
    tables.apply(tables.resource(ID, C("customer", "struct<name: string, age: string>")))
    tables.write({"order_id": "a", "customer": {"name": "n", "age": "7"}})
    (change,) = tables.apply(tables.resource(ID, C("customer", "struct<name: string, age: int>")))
    assert (change.field, change.effect) == ("columns.customer.age.type", Effect.DESTRUCTIVE)
    assert tables.rows() == [{"order_id": "a", "customer": {"name": "n", "age": None}}]


def test_everything_at_once_is_one_commit(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE, C("total", "int"), C("day", "date")))
    tables.write({"order_id": "a", "note": "x", "total": 1, "day": date(2026, 1, 1)})
    before = len(tables.load().metadata.metadata_log)
    tables.apply(
        tables.resource(
            C("total", "bigint", doc="sum"),
            C("customer", "string", renamed_from=("order_id",)),
            C("day", "date"),
            C("country", "string"),
            partition_by=(PartitionField("day", "month"), PartitionField("country")),
            sort_by=(SortField("customer"),),
            properties={"write.target-file-size-bytes": "7"},
            doc="new",
        )
    )
    assert len(tables.load().metadata.metadata_log) == before + 1
    assert tables.rows() == [{"total": 1, "customer": "a", "day": date(2026, 1, 1), "country": None}]


def test_a_name_mapping_learns_new_names(tables: Any) -> None:
    tables.apply(tables.resource(ID, NOTE))
    table = tables.load()
    with table.transaction() as transaction:
        transaction.set_properties({"schema.name-mapping.default": table.schema().name_mapping.model_dump_json()})
    tables.apply(tables.resource(ID, C("remark", "string", renamed_from=("note",)), C("tag", "struct<a: int>")))
    mapping = tables.load().name_mapping()
    assert {name: field.field_id for field in mapping for name in field.names} == {
        "order_id": 1,
        "note": 2,
        "remark": 2,
        "tag": 3,
    }
