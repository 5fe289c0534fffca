"""What cannot be read is never taken for absent: tables that others commit to, and tables whose files are gone."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from dcp_core.context import Context
from dcp_core.errors import PermanentError, TransientError
from dcp_core.model import Effect, State
from dcp_primitives.iceberg.catalog import MetadataLostError
from dcp_primitives.iceberg.dropping import dropped
from dcp_primitives.iceberg_table import TableColumn

TABLE = "derived_datasets.daily_orders"
C = TableColumn
ID = C("order_id", "string")
SHORT_LIVED = {"write.metadata.delete-after-commit.enabled": "true", "write.metadata.previous-versions-max": "1"}


def metadata_file(tables: Any) -> Path:
    return Path(urlparse(tables.load().metadata_location).path)


@pytest.fixture
def lost(tables: Any) -> State:
    """The state of a table with rows, whose whole folder was deleted."""
    tables.apply(tables.resource(ID))
    tables.write({"order_id": "x"})
    shutil.rmtree(metadata_file(tables).parents[1])
    state: State = tables.actual(tables.resource(ID))
    return state


@pytest.mark.parametrize("properties", [{}, SHORT_LIVED], ids=["kept", "short-lived"])
def test_a_table_that_is_committed_to_all_the_time_is_never_absent_nor_lost(
    tables: Any, properties: dict[str, str]
) -> None:
    resource = tables.resource(ID, properties=properties)
    tables.apply(resource)
    ended = threading.Event()
    commits: list[str] = []

    def commit() -> None:
        table = tables.load()
        while not ended.is_set():
            with table.transaction() as transaction:
                transaction.set_properties({"team.counter": str(len(commits))})
            commits.append(table.metadata_location)

    writer = threading.Thread(target=commit)
    writer.start()
    try:
        desired = tables.primitive.get_desired_state(resource, tables.ctx)
        states = [tables.actual(resource) for _ in range(500)]
        while len({each.revision for each in states}) <= 5:
            states.append(tables.actual(resource))
    finally:
        ended.set()
        writer.join()
    assert [each for each in states if each != desired] == []


def test_a_catalog_that_is_locked_for_long_is_an_error_and_not_empty(
    context: Callable[..., Context], tables_of: Any
) -> None:
    import sqlite3

    from dcp_primitives.iceberg import catalog

    tables = tables_of(context())
    tables.apply(tables.resource(ID))
    properties = tables.ctx.settings.catalog_properties(tables.ctx.environment.catalog)
    file = catalog.database_file(properties)
    assert file is not None
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(TransientError, match="locked"):
            catalog.read_index("pedregal", properties, patience_s=0.05)
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert tables.actual(tables.resource(ID)) is not None


def test_a_catalog_table_of_another_shape_is_an_error_and_not_empty(tables: Any) -> None:
    import sqlite3

    from dcp_primitives.iceberg import catalog

    tables.apply(tables.resource(ID))
    properties = tables.ctx.settings.catalog_properties(tables.ctx.environment.catalog)
    with sqlite3.connect(str(catalog.database_file(properties))) as connection:
        connection.execute("ALTER TABLE iceberg_tables RENAME COLUMN catalog_name TO catalog")
    with pytest.raises(TransientError, match="catalog_name"):
        tables.actual(tables.resource(ID))


def test_a_table_whose_files_are_gone_is_there_and_is_not_touched(tables: Any, lost: State) -> None:
    resource = tables.resource(ID, C("note", "string"))
    assert lost.info["metadata_lost"]
    (change,) = tables.primitive.compare(resource, tables.primitive.get_desired_state(resource, tables.ctx), lost)
    assert change.effect is Effect.REFUSED
    assert f"the catalog has table {TABLE}" in (change.why or "")
    with pytest.raises(MetadataLostError, match=TABLE):
        tables.primitive.update(resource, tables.primitive.get_desired_state(resource, tables.ctx), lost, tables.ctx)


def test_a_table_whose_files_are_gone_has_no_preview_and_says_why(tables: Any, lost: State) -> None:
    with pytest.raises(MetadataLostError, match=f"{TABLE}, and its metadata file is gone: .*json") as caught:
        tables.primitive.preview(tables.resource(ID), 5, tables.ctx)
    assert "destroy the manifest" in (caught.value.hint or "")


def test_a_table_that_lost_a_data_file_says_so_in_its_preview(tables: Any) -> None:
    tables.apply(tables.resource(ID))
    tables.write({"order_id": "x"})
    shutil.rmtree(metadata_file(tables).parents[1] / "data")
    with pytest.raises(PermanentError, match=f"a file of table {TABLE} is gone"):
        tables.primitive.preview(tables.resource(ID), 5, tables.ctx)


def test_the_entry_of_a_table_whose_files_are_gone_can_be_deleted_and_the_table_made_anew(
    tables: Any, lost: State
) -> None:
    resource = tables.resource(ID)
    (change,) = tables.primitive.compare(resource, None, lost)
    assert change.effect is Effect.DESTRUCTIVE
    assert "its metadata is gone already" in (change.why or "")
    tables.primitive.delete(resource, tables.ctx)
    assert tables.actual(resource) is None
    tables.primitive.delete(resource, tables.ctx)
    (record,) = dropped(TABLE, tables.ctx)
    assert record.metadata_location == lost.revision
    tables.apply(resource)
    assert tables.rows() == []


def test_a_table_whose_metadata_may_not_be_read_is_not_taken_for_lost(tables: Any) -> None:
    tables.apply(tables.resource(ID))
    metadata_file(tables).write_text("{")
    with pytest.raises(PermanentError, match="cannot be read") as caught:
        tables.actual(tables.resource(ID))
    assert caught.value.code == "iceberg.metadata_unreadable"
