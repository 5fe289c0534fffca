"""The audit log's hash chain: whole when nobody touched it, and broken by any touch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcp_core.errors import ConflictError
from dcp_graph_runner.audit_chain import chain_hash
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import ensure_current
from dcp_graph_runner.sql_store import SqlStore
from tests.dcp_graph_runner.store_contract import START, Clock, operation, record

COUNT = 5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    database = Database(f"sqlite:///{tmp_path}/state.db")
    ensure_current(database)
    store = SqlStore(database, Clock())
    for number in range(COUNT):
        store.append_audit(record(operation(f"op_{number}")))
    yield store
    store.close()


def test_an_untouched_log_holds_together(store: SqlStore) -> None:
    assert store.verify_audit() == COUNT


def test_an_empty_log_holds_together(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    ensure_current(database)
    assert SqlStore(database, lambda: START).verify_audit() == 0
    database.close()


@pytest.mark.parametrize(
    ("tampering", "named"),
    [
        ("UPDATE dcp_audit SET document = replace(document, 'alice@', 'mallory@') WHERE sequence = 3", "record 3"),
        ("UPDATE dcp_audit SET environment = 'production' WHERE sequence = 2", "record 2"),
        ("UPDATE dcp_audit SET operation_id = 'op_x' WHERE sequence = 2", "record 2"),
        ("UPDATE dcp_audit SET hash = 'sha256:0' WHERE sequence = 4", "record 4"),
        ("DELETE FROM dcp_audit WHERE sequence = 1", "record 1 is missing"),
        ("DELETE FROM dcp_audit WHERE sequence = 3", "record 3 is missing"),
        ("DELETE FROM dcp_audit WHERE sequence = 5", "records after 4"),
        ("DELETE FROM dcp_audit", "records after 0"),
        ("DELETE FROM dcp_audit_head", "records after 5"),
        ("UPDATE dcp_audit_head SET sequence = 9", "records after 5"),
    ],
)
def test_any_touch_breaks_the_chain_and_is_named(store: SqlStore, tampering: str, named: str) -> None:
    with store._database.writing() as connection:
        connection.exec_driver_sql(tampering)
    with pytest.raises(ConflictError, match=named) as broken:
        store.verify_audit()
    assert broken.value.code == "audit.broken"


def test_a_record_rewritten_with_a_fitting_hash_breaks_the_next_link(store: SqlStore) -> None:
    with store._database.writing() as connection:
        row = connection.exec_driver_sql("SELECT prev_hash, document FROM dcp_audit WHERE sequence = 2").one()
        forged = row.document.replace("alice@", "mallory@")
        connection.exec_driver_sql(
            "UPDATE dcp_audit SET document = ?, hash = ? WHERE sequence = 2",
            (forged, chain_hash(2, row.prev_hash, forged)),
        )
    with pytest.raises(ConflictError, match="record 3"):
        store.verify_audit()


def test_a_log_without_its_head_takes_no_more_records(store: SqlStore) -> None:
    with store._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM dcp_audit_head")
    with pytest.raises(ConflictError, match="head is missing"):
        store.append_audit(record(operation("op_new")))
    assert len(store.audit_records()) == COUNT
