"""Every change of a table, made by editing its manifest: what was written before stays readable, and it runs again.

Source: design.md section 11.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.end_to_end.projects import Project
from tests.end_to_end.workspaces import Row, Story, Workspace, manifest_text


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One engine for all tests here; each has a dataset of its own name."""
    root = tmp_path_factory.mktemp("changes")
    (root / "dcp.toml").write_text("")
    opened = Workspace.open(Project(root))
    yield opened
    opened.close()


def test_columns_are_added_renamed_moved_described_widened_and_made_optional(workspace: Workspace) -> None:
    story = Story(workspace, "orders")
    story.begin(
        manifest_text("name: id, type: string, nullable: false", "qty: int", "weight: float", "price: decimal(10, 2)"),
        {"id": "a", "qty": 1, "weight": 0.5, "price": Decimal("1.23")},
        id="'a'", qty="1", weight="CAST(0.5 AS FLOAT)", price="CAST(1.23 AS DECIMAL(10, 2))",
    )  # fmt: skip
    sql: dict[str, Any] = {"qty": "2", "weight": "CAST(1.5 AS FLOAT)", "price": "CAST(2.50 AS DECIMAL(10, 2))"}

    story.turn(  # add, in the middle
        manifest_text(
            "name: id, type: string, nullable: false", "country: string", "qty: int", "weight: float",
            "price: decimal(10, 2)",
        ),
        {"id": "b", "country": "FI", "qty": 2, "weight": 1.5, "price": Decimal("2.50")},
        changes=["columns.country"],
        became=lambda row: {**row, "country": None},
        id="'b'", country="'FI'", **sql,
    )  # fmt: skip
    story.turn(  # rename
        manifest_text(
            "name: id, type: string, nullable: false", "name: land, type: string, renamed_from: country", "qty: int",
            "weight: float", "price: decimal(10, 2)",
        ),
        {"id": "c", "land": "SE", "qty": 2, "weight": 1.5, "price": Decimal("2.50")},
        changes=["columns.land.name"],
        became=lambda row: {"land" if name == "country" else name: value for name, value in row.items()},
        id="'c'", land="'SE'", **sql,
    )  # fmt: skip
    story.turn(  # describe, and forget the old name: it has been told
        manifest_text(
            "name: id, type: string, nullable: false, description: Who", "land: string", "qty: int", "weight: float",
            "price: decimal(10, 2)", description="Orders by country.",
        ),
        {"id": "d", "land": "SE", "qty": 2, "weight": 1.5, "price": Decimal("2.50")},
        changes=["columns.id.doc", "doc"],
        id="'d'", land="'SE'", **sql,
    )  # fmt: skip
    described = workspace.table(story.table)
    assert described.schema().find_field("id").doc == "Who"
    assert described.properties["comment"] == "Orders by country."
    story.turn(  # move; descriptions go
        manifest_text(
            "price: decimal(10, 2)", "name: id, type: string, nullable: false", "weight: float", "qty: int",
            "land: string",
        ),
        {"id": "e", "land": "NO", "qty": 2, "weight": 1.5, "price": Decimal("2.50")},
        changes=["columns.id.doc", "columns", "doc"],
        id="'e'", land="'NO'", **sql,
    )  # fmt: skip
    story.turn(  # widen
        manifest_text(
            "price: decimal(20, 2)", "name: id, type: string, nullable: false", "weight: double", "qty: long",
            "land: string",
        ),
        {
            "id": "f", "land": "NO", "qty": 3_000_000_000, "weight": 0.1, "price": Decimal("123456789012345678.90"),
        },
        changes=["columns.price.type", "columns.weight.type", "columns.qty.type"],
        id="'f'", land="'NO'", qty="3000000000L", weight="0.1D", price="CAST(123456789012345678.90 AS DECIMAL(20, 2))",
    )  # fmt: skip
    story.turn(  # make optional, and write a NULL
        manifest_text("price: decimal(20, 2)", "id: string", "weight: double", "qty: long", "land: string"),
        {"id": None, "land": "NO", "qty": 4, "weight": 0.1, "price": Decimal("1.00")},
        changes=["columns.id.required"],
        id="CAST(NULL AS STRING)", land="'NO'", qty="4L", weight="0.1D", price="CAST(1 AS DECIMAL(20, 2))",
    )  # fmt: skip
    assert len(story.rows) == 7


def test_many_changes_at_once_are_one_commit(workspace: Workspace) -> None:
    story = Story(workspace, "visits")
    story.begin(
        manifest_text(
            "name: id, type: int, nullable: false", "note: string", "at: timestamp", "gone: string",
            partition_by="[day(at)]",
        ),
        {"id": 1, "note": "x", "at": datetime(2026, 1, 1, 8, tzinfo=UTC), "gone": "y"},
        id="1", note="'x'", at="TIMESTAMP '2026-01-01 08:00:00Z'", gone="'y'",
    )  # fmt: skip
    before = len(workspace.table(story.table).metadata.metadata_log)
    manifest = manifest_text(
        "at: timestamp", "id: long", "name: remark, type: string, renamed_from: note, description: Free text",
        "score: double", partition_by="[month(at), 'bucket(4, id)']", sort_by="[id desc]",
        properties="{write.target-file-size-bytes: 1048576}", description="Visits.",
    )  # fmt: skip
    row = {"at": datetime(2026, 2, 1, 8, tzinfo=UTC), "id": 2, "remark": "z", "score": 0.5}
    sql: dict[str, Any] = {"at": "TIMESTAMP '2026-02-01 08:00:00Z'", "id": "2L", "remark": "'z'", "score": "0.5D"}
    changes = [
        "columns.id.type", "columns.id.required", "columns.remark.name", "columns.remark.doc", "columns.score",
        "columns.gone", "columns", "partition_by", "sort_by", "properties.write.target-file-size-bytes", "doc",
    ]  # fmt: skip
    story.is_blocked(manifest, "destructive", "drops column gone (string) of 1 row", **sql)
    story.turn(
        manifest, row, changes=changes, allow_destructive=True, **sql,
        became=lambda old: {"at": old["at"], "id": old["id"], "remark": old["note"], "score": None},
    )  # fmt: skip
    assert len(workspace.table(story.table).metadata.metadata_log) == before + 2  # the update, and the run after it


def test_nested_fields_are_added_widened_and_moved(workspace: Workspace) -> None:
    story = Story(workspace, "baskets")
    story.begin(
        manifest_text("id: string", "lines: array<struct<sku: string, qty: int>>", "to: struct<city: string>"),
        {"id": "a", "lines": [{"sku": "s", "qty": 1}], "to": {"city": "Espoo"}},
        id="'a'", lines="array(named_struct('sku', 's', 'qty', 1))", to="named_struct('city', 'Espoo')",
    )  # fmt: skip
    story.turn(
        manifest_text(
            "id: string", "lines: array<struct<qty: long, sku: string, paid: boolean>>",
            "to: struct<city: string, zip: string>",
        ),
        {
            "id": "b",
            "lines": [{"qty": 2, "sku": "t", "paid": True}, {"qty": 3, "sku": "u", "paid": None}],
            "to": {"city": "Oulu", "zip": "90100"},
        },
        changes=[
            "columns.lines.element.qty.type", "columns.lines.element.paid", "columns.lines.element", "columns.to.zip",
        ],
        became=lambda old: {
            **old,
            "lines": [{**line, "paid": None} for line in old["lines"]],
            "to": {**old["to"], "zip": None},
        },
        id="'b'",
        lines=(
            "array(named_struct('qty', 2L, 'sku', 't', 'paid', true), "
            "named_struct('qty', 3L, 'sku', 'u', 'paid', CAST(NULL AS BOOLEAN)))"
        ),
        to="named_struct('city', 'Oulu', 'zip', '90100')",
    )  # fmt: skip


def test_partitioning_sorting_and_properties_come_change_and_go(workspace: Workspace) -> None:
    story = Story(workspace, "events")
    fields = ("id: long", "region: string", "on_day: date")

    def row(id: int, region: str, day: int) -> Row:
        return {"id": id, "region": region, "on_day": date(2026, 1, day)}

    def sql(id: int, region: str, day: int) -> dict[str, Any]:
        return {"id": f"{id}L", "region": f"'{region}'", "on_day": f"DATE '2026-01-0{day}'"}

    def layout() -> tuple[list[str], list[str]]:
        table = workspace.table(story.table)
        names = {field.field_id: field.name for field in table.schema().fields}
        return (
            [f"{field.transform} {names[field.source_id]}" for field in table.spec().fields],
            [
                f"{field.transform} {names[field.source_id]} {field.direction.value}"
                for field in table.sort_order().fields
            ],
        )

    story.begin(manifest_text(*fields), row(1, "EU", 1), **sql(1, "EU", 1))
    story.turn(
        manifest_text(*fields, partition_by="[month(on_day)]", sort_by="[id]"), row(2, "EU", 2),
        changes=["partition_by", "sort_by"], **sql(2, "EU", 2),
    )  # fmt: skip
    assert layout() == (["month on_day"], ["identity id asc"])
    story.turn(
        manifest_text(*fields, partition_by="[day(on_day), region]", sort_by="[id desc]"), row(3, "US", 3),
        changes=["partition_by", "sort_by"], **sql(3, "US", 3),
    )  # fmt: skip
    assert layout() == (["day on_day", "identity region"], ["identity id desc"])
    story.turn(
        manifest_text(
            *fields, partition_by="['bucket(4, id)', 'truncate(1, region)']",
            properties="{write.target-file-size-bytes: 1048576, team.note: a}",
        ),
        row(4, "US", 3),
        changes=["partition_by", "sort_by", "properties.team.note", "properties.write.target-file-size-bytes"],
        **sql(4, "US", 3),
    )  # fmt: skip
    assert layout() == (["bucket[4] id", "truncate[1] region"], [])
    story.turn(
        manifest_text(*fields, properties="{team.note: b}"), row(5, "EU", 3),
        changes=["partition_by", "properties.team.note", "properties.write.target-file-size-bytes"],
        **sql(5, "EU", 3),
    )  # fmt: skip
    assert layout() == ([], [])
    assert workspace.table(story.table).properties["team.note"] == "b"
    assert workspace.engine.rows(f"SELECT id FROM {story.table} WHERE region = 'EU' ORDER BY id")[1] == (
        (1,),
        (2,),
        (5,),
    )
    kept = workspace.project.catalog().load_table(story.table).scan("on_day = '2026-01-03'").to_arrow()
    assert sorted(kept["id"].to_pylist()) == [3, 4, 5]


def test_the_values_of_a_map_and_the_elements_of_a_list_are_widened(workspace: Workspace) -> None:
    story = Story(workspace, "maps")
    story.begin(
        manifest_text("by_sku: map<string, struct<qty: int>>", "sizes: array<int>"),
        {"by_sku": {"s": {"qty": 1}}, "sizes": [1]},
        by_sku="map('s', named_struct('qty', 1))", sizes="array(1)",
    )  # fmt: skip
    story.turn(
        manifest_text("by_sku: map<string, struct<qty: long, note: string>>", "sizes: array<long>"),
        {"by_sku": {"t": {"qty": 2, "note": "x"}}, "sizes": [3_000_000_000]},
        changes=["columns.by_sku.value.qty.type", "columns.by_sku.value.note", "columns.sizes.element.type"],
        became=lambda old: {**old, "by_sku": {"s": {"qty": 1, "note": None}}},
        by_sku="map('t', named_struct('qty', 2L, 'note', 'x'))", sizes="array(3000000000L)",
    )  # fmt: skip


def test_a_column_that_is_there_wins_over_a_former_name(workspace: Workspace) -> None:
    story = Story(workspace, "heirs")
    story.begin(manifest_text("total: string", "net: long"), {"total": "old", "net": 1}, total="'old'", net="1L")
    manifest = manifest_text("name: total, type: long, renamed_from: net")
    story.is_blocked(manifest, "destructive", "total is emptied in 1 row; drops column net (long) of 1 row", total="2L")
    story.turn(
        manifest, {"total": 2}, changes=["columns.total.type", "columns.net"], allow_destructive=True,
        became=lambda old: {"total": None}, total="2L",
    )  # fmt: skip


def test_a_name_that_changes_case_only_is_a_rename(workspace: Workspace) -> None:
    story = Story(workspace, "cases")
    story.begin(
        manifest_text("order_id: string", "amount: long"), {"order_id": "a", "amount": 1}, order_id="'a'", amount="1L"
    )
    story.turn(
        manifest_text("orderId: string", "amount: long"), {"orderId": "b", "amount": 2},
        changes=["columns.orderId", "columns.order_id"],
        allow_destructive=True, became=lambda old: {"orderId": None, "amount": old["amount"]},
        orderId="'b'", amount="2L",
    )  # fmt: skip
    story.turn(
        manifest_text("orderID: string", "amount: long"), {"orderID": "c", "amount": 3},
        changes=["columns.orderID.name"],
        became=lambda old: {"orderID": old["orderId"], "amount": old["amount"]}, orderID="'c'", amount="3L",
    )  # fmt: skip


def test_a_renamed_partition_column_keeps_its_partitions(workspace: Workspace) -> None:
    story = Story(workspace, "parcels")
    story.begin(
        manifest_text("id: string", "region: string", partition_by="[region]", sort_by="[region, id]"),
        {"id": "a", "region": "EU"}, id="'a'", region="'EU'",
    )  # fmt: skip
    story.turn(
        manifest_text(
            "id: string", "name: area, type: string, renamed_from: region", partition_by="[area]", sort_by="[area, id]"
        ),
        {"id": "b", "area": "US"},
        changes=["columns.area.name"],
        became=lambda old: {"id": old["id"], "area": old["region"]},
        id="'b'", area="'US'",
    )  # fmt: skip


def test_dropping_and_narrowing_wait_for_leave_and_empty_the_column(workspace: Workspace) -> None:
    story = Story(workspace, "refunds")
    story.begin(
        manifest_text("id: string", "note: string", "cents: long", "rate: double"),
        {"id": "a", "note": "x", "cents": 7, "rate": 0.5}, id="'a'", note="'x'", cents="7L", rate="0.5D",
    )  # fmt: skip
    dropped = manifest_text("id: string", "cents: long", "rate: double")
    story.is_blocked(
        dropped, "destructive", "drops column note (string) of 1 row; --allow-destructive", id="'b'", cents="8L",
        rate="1.5D",
    )  # fmt: skip
    story.turn(
        dropped, {"id": "b", "cents": 8, "rate": 1.5}, changes=["columns.note"], allow_destructive=True,
        became=lambda old: {name: value for name, value in old.items() if name != "note"},
        id="'b'", cents="8L", rate="1.5D",
    )  # fmt: skip
    narrowed = manifest_text("id: string", "cents: int", "rate: float")
    sql: dict[str, Any] = {"id": "'c'", "cents": "9", "rate": "CAST(2.5 AS FLOAT)"}
    story.is_blocked(narrowed, "destructive", "long cannot become int in place: cents is emptied in 2 rows", **sql)
    story.turn(
        narrowed, {"id": "c", "cents": 9, "rate": 2.5}, changes=["columns.cents.type", "columns.rate.type"],
        allow_destructive=True, became=lambda old: {"id": old["id"], "cents": None, "rate": None}, **sql,
    )  # fmt: skip
    story.turn(  # a dropped column that comes back starts anew
        manifest_text("id: string", "cents: int", "rate: float", "note: string"),
        {"id": "d", "cents": 10, "rate": 2.5, "note": "y"}, changes=["columns.note"],
        became=lambda old: {**old, "note": None}, id="'d'", cents="10", rate="CAST(2.5 AS FLOAT)", note="'y'",
    )  # fmt: skip


def test_what_would_corrupt_the_table_is_refused_whatever_is_allowed(workspace: Workspace) -> None:
    story = Story(workspace, "invoices")
    price, region = "price: decimal(12, 2)", "region: string"
    sql: dict[str, Any] = {"id": "'a'", "price": "CAST(1.23 AS DECIMAL(12, 2))", "region": "'EU'"}
    row = {"id": "a", "price": Decimal("1.23"), "region": "EU"}
    story.begin(manifest_text("id: string", price, region, partition_by="[region]", sort_by="[id]"), row, **sql)
    story.turn(manifest_text("id: string", price, region), row, changes=["partition_by", "sort_by"], **sql)

    def is_refused(manifest: str, words: str, **sql: str) -> None:
        for allow_destructive in (False, True):
            story.is_blocked(manifest, "refused", words, allow_destructive=allow_destructive, **sql)

    is_refused(
        manifest_text("id: string", "price: decimal(18, 4)", region),
        "changing the scale of price (2 → 4) would corrupt",
        **{**sql, "price": "CAST(1.23 AS DECIMAL(18, 4))"},
    )
    without_region: dict[str, Any] = {name: value for name, value in sql.items() if name != "region"}
    is_refused(manifest_text("id: string", price), "dropping region would corrupt", **without_region)
    without_id: dict[str, Any] = {name: value for name, value in sql.items() if name != "id"}
    is_refused(manifest_text(price, region), "dropping id would corrupt", **without_id)
    is_refused(
        manifest_text("id: string", price, "region: int"), "dropping region would corrupt", **{**sql, "region": "1"}
    )
    is_refused(
        manifest_text("name: id, type: string, nullable: false", price, region), "cannot become required", **sql,
    )  # fmt: skip
    is_refused(
        manifest_text("id: string", price, region, "name: paid, type: boolean, nullable: false"),
        "cannot be added as required", paid="true", **sql,
    )  # fmt: skip
    story.write(manifest_text("id: string", price, region), **sql)
    story.holds()


def test_the_command_line_plans_what_is_blocked_with_0_and_applies_the_rest_with_1(workspace: Workspace) -> None:
    project, folder = workspace.project, str(workspace.folder.relative_to(workspace.project.root))
    story = Story(workspace, "claims")
    story.begin(manifest_text("id: string", "note: string"), {"id": "a", "note": "x"}, id="'a'", note="'x'")
    other = Story(workspace, "apart")
    other.write(manifest_text("id: string"), id="'a'")
    story.write(manifest_text("id: string", schedule="5 * * * *"), id="'b'")
    files = [f"{folder}/claims.yaml", f"{folder}/apart.yaml"]

    planned = project.pretzel("plan", *files, "-o", "json")
    assert planned.status == 0
    actions = {action["label"]: action for each in planned.document["manifests"] for action in each["actions"]}
    blocked = actions["BLOCKED_TABLE"]
    assert (blocked["action"], blocked["destructive"], blocked["resource"]) == ("blocked", True, story.table)
    assert [change["field"] for change in blocked["changes"]] == ["columns.note"]
    assert planned.document["summary"]["blocked"] == 1
    assert project.pretzel("plan", *files, "--detailed-exitcode").status == 2
    text = project.pretzel("plan", *files).out
    assert "BLOCKED_TABLE" in text
    assert "--allow-destructive" in text

    applied = project.pretzel("apply", *files, "-o", "json")
    assert applied.status == 1
    by_manifest: dict[str, Any] = {each["manifest"]: each for each in applied.document["operations"]}
    assert by_manifest["derived_dataset/apart"]["status"] == "SUCCEEDED"
    results = [(each["label"], each["status"]) for each in by_manifest["derived_dataset/claims"]["results"]]
    assert results == [("BLOCKED_TABLE", "BLOCKED"), ("UPDATE_JOB", "SKIPPED"), ("UPDATE_DAG", "SKIPPED")]
    assert workspace.rows(story.table) == [{"id": "a", "note": "x"}]

    allowed = project.pretzel("apply", *files, "--allow-destructive", "-o", "json")
    assert (allowed.status, allowed.document["status"]) == (0, "SUCCEEDED")
    assert workspace.rows(story.table) == [{"id": "a"}]
    assert project.pretzel("plan", *files, "--detailed-exitcode").status == 0
