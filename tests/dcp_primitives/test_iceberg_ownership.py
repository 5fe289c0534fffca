"""Marks, other people's tables, races, drops and what looking at a catalog must not do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve

from dcp_core.context import Context
from dcp_core.errors import ConflictError, PermanentError, SettingsError, TransientError
from dcp_core.model import Effect, Owner
from dcp_primitives.iceberg_table import IcebergTablePrimitive, PartitionField, TableColumn

C = TableColumn
ID, NOTE = C("order_id", "string"), C("note", "string")


def test_looking_at_a_catalog_creates_nothing(tables: Any, tmp_path: Path) -> None:
    resource = tables.resource(ID)
    primitive, ctx = tables.primitive, tables.ctx
    assert primitive.get_actual_state(resource, ctx) is None
    assert primitive.get_actual_states((resource, tables.resource(ID, table="a.b")), ctx) == {
        resource.key: None,
        tables.resource(ID, table="a.b").key: None,
    }
    assert primitive.get_revisions((resource,), ctx) == {}
    assert primitive.preview(resource, 5, ctx) is None
    primitive.delete(resource, ctx)
    assert list(tmp_path.iterdir()) == []


def test_looking_at_another_environment_of_a_used_catalog_creates_nothing(
    tables: Any, context: Callable[..., Context], tables_of: Any
) -> None:
    tables.apply(tables.resource(ID))
    alice = tables_of(context("playground_alice"))
    assert alice.actual(alice.resource(ID)) is None
    assert alice.catalog().list_namespaces() == []


def test_reading_states_imports_neither_pyiceberg_nor_sqlalchemy(tables: Any, tmp_path: Path) -> None:
    tables.apply(tables.resource(ID))
    code = f"""
import sys
from pathlib import Path
from dcp_core.context import Context
from dcp_core.model import Environment, Resource
from dcp_core.settings import Settings
from dcp_primitives.iceberg_table import IcebergTablePrimitive
ctx = Context(Environment.named("production"), "alice", Settings(Path({str(tmp_path)!r}), {{}}, {{}}))
spec = {{"table": "derived_datasets.daily_orders", "columns": [{{"name": "order_id", "type": "string"}}]}}
manifest_id = "derived_dataset/daily_orders"
resource = Resource("iceberg_table", spec["table"], manifest_id, "production", spec)
primitive = IcebergTablePrimitive()
assert primitive.get_actual_state(resource, ctx) == primitive.get_desired_state(resource, ctx)
assert primitive.get_revisions([resource], ctx)
print(sorted(name for name in ("pyiceberg", "sqlalchemy", "pyarrow") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_states_of_many_tables_are_read_at_once(tables: Any) -> None:
    wanted = [tables.resource(ID, table=f"derived_datasets.t{number}") for number in range(12)]
    for resource in wanted[:10]:
        tables.apply(resource)
    states = tables.primitive.get_actual_states(wanted, tables.ctx)
    assert [state is not None for state in states.values()] == [True] * 10 + [False] * 2
    revisions = tables.primitive.get_revisions(wanted, tables.ctx)
    assert {key: state.revision for key, state in states.items() if state} == revisions


def test_data_moves_the_revision_and_not_the_state(tables: Any) -> None:
    resource = tables.resource(ID)
    tables.apply(resource)
    before = tables.actual(resource)
    tables.write({"order_id": "a"})
    after = tables.actual(resource)
    assert after.revision != before.revision
    assert after.digest == before.digest
    assert after.info["rows"] == 1
    assert after.info["size_bytes"] > 0


def test_a_table_of_somebody_else_is_adopted_with_its_rows_and_layout(tables: Any) -> None:
    catalog = tables.catalog()
    catalog.create_namespace("derived_datasets")
    schema = pa.schema([pa.field("order_id", pa.string()), pa.field("note", pa.large_string())])
    catalog.create_table("derived_datasets.daily_orders", schema, properties={"theirs": "1"})
    tables.write({"order_id": "a", "note": "x"})
    resource = tables.resource(ID, NOTE)
    assert tables.actual(resource).owner is None
    assert tables.changes(resource) == ()
    tables.apply(resource)
    assert tables.actual(resource).owner == Owner("derived_dataset/daily_orders", "production")
    assert tables.load().properties["theirs"] == "1"
    assert tables.rows() == [{"order_id": "a", "note": "x"}]


def test_a_table_with_types_that_manifests_cannot_write_is_read_and_compared(tables: Any) -> None:
    from pyiceberg.schema import Schema
    from pyiceberg.types import FixedType, ListType, NestedField, StringType, TimeType, UUIDType

    catalog = tables.catalog()
    catalog.create_namespace("derived_datasets")
    schema = Schema(
        NestedField(1, "order_id", StringType()),
        NestedField(2, "odd", UUIDType()),
        NestedField(3, "at", TimeType()),
        NestedField(4, "few", ListType(5, FixedType(4))),
    )
    catalog.create_table("derived_datasets.daily_orders", schema)
    changes = tables.changes(tables.resource(ID, C("odd", "string"), C("at", "timestamp"), C("few", "array<binary>")))
    assert [(change.actual, change.effect) for change in changes] == [
        ("uuid", Effect.DESTRUCTIVE),
        ("time", Effect.DESTRUCTIVE),
        ("array<fixed[4]>", Effect.DESTRUCTIVE),
    ]


def test_a_table_of_format_version_1_is_read_and_keeps_its_partitioning(tables: Any) -> None:
    catalog = tables.catalog()
    catalog.create_namespace("derived_datasets")
    schema = pa.schema([pa.field("order_id", pa.string())])
    catalog.create_table("derived_datasets.daily_orders", schema, properties={"format-version": "1"})
    tables.apply(tables.resource(ID, NOTE))
    partitioned = tables.resource(ID, NOTE, partition_by=(PartitionField("note"),))
    assert tables.change(partitioned).effect is Effect.REFUSED


def test_creating_again_after_a_crash_is_fine_and_over_another_table_is_not(tables: Any) -> None:
    resource = tables.resource(ID)
    desired = tables.primitive.get_desired_state(resource, tables.ctx)
    tables.apply(resource)
    tables.primitive.create(resource, desired, tables.ctx)
    other = tables.resource(ID, NOTE)
    with pytest.raises(ConflictError, match="created by somebody else"):
        tables.primitive.create(other, tables.primitive.get_desired_state(other, tables.ctx), tables.ctx)


def test_tables_of_a_new_namespace_are_created_at_the_same_time(tables: Any) -> None:
    wanted = [tables.resource(ID, table=f"derived_datasets.t{number}") for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(tables.apply, wanted))
    assert len(tables.catalog().list_tables("derived_datasets")) == 12


def test_an_update_of_a_table_that_changed_since_the_plan_is_refused(tables: Any) -> None:
    tables.apply(tables.resource(ID))
    wanted = tables.resource(ID, NOTE)
    planned = tables.actual(wanted)
    with tables.load().update_schema() as update:
        from pyiceberg.types import IntegerType

        update.add_column("surprise", IntegerType())
    desired = tables.primitive.get_desired_state(wanted, tables.ctx)
    with pytest.raises(ConflictError, match=r"derived_datasets\.daily_orders was changed"):
        tables.primitive.update(wanted, desired, planned, tables.ctx)
    assert "surprise" in tables.load().schema().column_names


def test_an_update_repeated_after_a_crash_does_nothing(tables: Any) -> None:
    tables.apply(tables.resource(ID))
    wanted = tables.resource(ID, NOTE)
    planned = tables.actual(wanted)
    tables.apply(wanted)
    location = tables.load().metadata_location
    desired = tables.primitive.get_desired_state(wanted, tables.ctx)
    tables.primitive.update(wanted, desired, planned, tables.ctx)
    assert tables.load().metadata_location == location


def test_an_update_of_a_table_that_is_gone_is_refused(tables: Any) -> None:
    resource = tables.resource(ID)
    tables.apply(resource)
    planned = tables.actual(resource)
    tables.catalog().drop_table(resource.name)
    wanted = tables.resource(ID, NOTE)
    with pytest.raises(ConflictError, match="is gone"):
        tables.primitive.update(wanted, tables.primitive.get_desired_state(wanted, tables.ctx), planned, tables.ctx)


def test_updates_and_appends_at_the_same_time_lose_nothing(tables: Any) -> None:
    columns = [ID]
    tables.apply(tables.resource(*columns))

    def append(number: int) -> None:
        tables.write({"order_id": str(number)})

    with ThreadPoolExecutor(2) as pool:
        appends = [pool.submit(append, number) for number in range(8)]
        for number in range(6):
            columns.append(C(f"extra_{number}", "string"))
            wanted = tables.resource(*columns)
            desired = tables.primitive.get_desired_state(wanted, tables.ctx)
            tables.primitive.update(wanted, desired, tables.actual(wanted), tables.ctx)
        written = [each for each in appends if each.exception() is None]
    # An append may lose against a change of schema, and says so; what was committed is there.
    assert len(tables.rows()) == len(written)
    assert tables.changes(tables.resource(*columns)) == ()


def test_losing_every_race_may_be_tried_again_later() -> None:
    from pyiceberg.catalog.memory import InMemoryCatalog
    from pyiceberg.exceptions import CommitFailedException

    from dcp_primitives.iceberg.catalog import committed

    tries: list[float] = []

    def attempt() -> None:
        raise CommitFailedException("lost")

    with pytest.raises(TransientError) as caught:
        committed(InMemoryCatalog("c"), attempt, sleep=tries.append)
    assert len(tries) == 4
    assert caught.value.retry_after_s == 1


def test_deleting_says_what_is_lost(tables: Any) -> None:
    resource = tables.resource(ID)
    tables.apply(resource)
    tables.write({"order_id": "a"})
    (change,) = tables.primitive.compare(resource, None, tables.actual(resource))
    assert change.effect is Effect.DESTRUCTIVE
    assert change.why == "drops the table derived_datasets.daily_orders with 1 row"


def test_a_dropped_table_can_be_restored_from_its_record(tables: Any, tmp_path: Path) -> None:
    resource = tables.resource(ID)
    tables.apply(resource)
    tables.write({"order_id": "a"})
    tables.primitive.delete(resource, tables.ctx)
    tables.primitive.delete(resource, tables.ctx)
    assert tables.actual(resource) is None
    (record,) = (tmp_path / ".dcp" / "dropped" / "production").iterdir()
    entry = json.loads(record.read_text())
    assert entry["manifest_id"] == "derived_dataset/daily_orders"
    tables.catalog().register_table(entry["table"], entry["metadata_location"])
    assert tables.rows() == [{"order_id": "a"}]


def test_a_table_created_after_a_drop_leaves_the_dropped_files_alone(tables: Any) -> None:
    resource = tables.resource(ID)
    tables.apply(resource)
    first = tables.load().location()
    tables.primitive.delete(resource, tables.ctx)
    tables.apply(resource)
    second = tables.load().location()
    assert second != first
    assert second.startswith(f"{first}-")


def test_the_record_of_a_drop_never_says_where_a_new_table_goes(tables: Any, tmp_path: Path) -> None:
    resource = tables.resource(ID)
    tables.apply(resource)
    tables.primitive.delete(resource, tables.ctx)
    (record,) = (tmp_path / ".dcp" / "dropped" / "production").iterdir()
    record.write_text(record.read_text().replace(str(tmp_path), "/somewhere/else"))
    tables.apply(resource)
    assert tables.load().location().startswith(f"file://{tmp_path}/.dcp/warehouse/pedregal/derived_datasets/")


def test_a_table_with_the_mark_of_another_manifest_is_not_dropped(tables: Any) -> None:
    resource = tables.resource(ID)
    tables.apply(resource)
    with pytest.raises(ConflictError, match="belongs to derived_dataset/daily_orders"):
        tables.primitive.delete(evolve(resource, manifest_id="derived_dataset/other"), tables.ctx)
    assert tables.actual(resource) is not None


def test_the_namespace_of_a_playground_goes_with_its_last_table(
    context: Callable[..., Context], tables_of: Any
) -> None:
    alice = tables_of(context("playground_alice"))
    first, second = alice.resource(ID, table="derived_datasets.one"), alice.resource(ID, table="derived_datasets.two")
    alice.apply(first)
    alice.apply(second)
    alice.primitive.delete(first, alice.ctx)
    assert alice.catalog().list_namespaces() == [("derived_datasets",)]
    alice.primitive.delete(second, alice.ctx)
    assert alice.catalog().list_namespaces() == []


def test_two_environments_share_a_database_and_see_only_their_own(
    tables: Any, context: Callable[..., Context], tables_of: Any
) -> None:
    alice = tables_of(context("playground_alice"))
    tables.apply(tables.resource(ID))
    alice.apply(alice.resource(ID, NOTE))
    assert tables.load().schema().column_names == ["order_id"]
    assert alice.actual(alice.resource(ID, NOTE)).owner.environment == "playground_alice"


def test_a_catalog_that_cannot_be_reached_may_be_tried_again(context: Callable[..., Context], tables_of: Any) -> None:
    rest = tables_of(context(catalog={"type": "rest", "uri": "http://127.0.0.1:9"}))
    with pytest.raises(TransientError, match="pedregal"):
        rest.actual(rest.resource(ID))


def test_a_database_that_is_none_is_not_tried_again(tables: Any, tmp_path: Path) -> None:
    (tmp_path / ".dcp").mkdir()
    (tmp_path / ".dcp" / "catalog.db").write_bytes(b"this is not a database, and long enough to say so" * 20)
    with pytest.raises(PermanentError, match="is not a catalog"):
        tables.actual(tables.resource(ID))


def test_wrong_catalog_properties_never_print_a_credential(context: Callable[..., Context], tables_of: Any) -> None:
    wrong = tables_of(context(catalog={"type": "nonsense", "token": "very-secret", "uri": "x"}))
    with pytest.raises(SettingsError) as caught:
        wrong.actual(wrong.resource(ID))
    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in str(caught.value.__cause__)


def test_the_entry_point_is_this_primitive() -> None:
    assert IcebergTablePrimitive().get_kind() == "iceberg_table"
