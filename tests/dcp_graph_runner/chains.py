"""Chains to try things on, what a forger does to them, and what other processes do."""

from __future__ import annotations

import os
import signal
from typing import Any

from dcp_core.records import OperationStatus
from dcp_graph_runner import current_holder
from dcp_graph_runner.audit_chain import chain_hash
from dcp_graph_runner.sql_store import SqlStore, open_store
from tests.dcp_graph_runner.processes import DEADLINE_S, die_at, now
from tests.dcp_graph_runner.store_contract import operation, record


def opened(url: str) -> SqlStore:
    """With the wall clock; close it."""
    store = open_store(url, now)
    assert isinstance(store, SqlStore)
    return store


def verified(store: SqlStore) -> int:
    """How many records the log has; raises ConflictError where it does not hold together."""
    verdict = store.audit_log.verify()
    if verdict.broken is not None:
        raise verdict.broken.to_error()
    return verdict.records


def cut_off(store: SqlStore, after: int) -> None:
    """Remove the end of the log and set the head back: the best that a forger with the database alone can do."""
    with store._database.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM dcp_audit WHERE sequence > {after}")
        connection.exec_driver_sql(
            f"UPDATE dcp_audit_head SET sequence = {after}, "
            f"hash = coalesce((SELECT hash FROM dcp_audit WHERE sequence = {after}), '')"
        )


def rewrite(store: SqlStore, sequence: int, old: str, new: str) -> None:
    """Change a record, and make every hash from there on, the head's too, fit again."""
    with store._database.writing() as connection:
        rows = connection.exec_driver_sql("SELECT sequence, document, hash FROM dcp_audit ORDER BY sequence").all()
        last = ""
        for row in rows:
            document = row.document.replace(old, new) if row.sequence == sequence else row.document
            assert row.sequence != sequence or document != row.document
            fitting = chain_hash(row.sequence, last, document)
            connection.exec_driver_sql(
                "UPDATE dcp_audit SET document = ?, prev_hash = ?, hash = ? WHERE sequence = ?",
                (document, last, fitting, row.sequence),
            )
            last = fitting
        connection.exec_driver_sql("UPDATE dcp_audit_head SET hash = ?", (last,))


# In processes of their own


def append_many(url: str, name: str, count: int) -> None:
    store = opened(url)
    for number in range(count):
        store.append_audit(record(operation(f"op_{name}{number}")))


def announce_and_die(url: str, name: str = "op_killed") -> None:
    store = opened(url)
    store.announce_audit(record(operation(name), OperationStatus.FAILED), current_holder("alice"))
    os.kill(os.getpid(), signal.SIGKILL)


def settle_together(url: str, barrier: Any) -> None:
    store = opened(url)
    barrier.wait(DEADLINE_S)
    store.settle_audit()


def announce_and_append(url: str, kill_at: int) -> None:
    store = opened(url)
    die_at(kill_at)
    of = operation("op_run")
    store.announce_audit(record(of, OperationStatus.FAILED), current_holder("alice"))
    store.announce_audit(record(of, OperationStatus.FAILED), current_holder("alice"))
    store.append_audit(record(of))


def announce_end_and_settle(url: str, name: str, count: int) -> None:
    """Runs that begin and end while everybody takes everybody for dead: who ends and who settles meet all the time."""
    store = opened(url)
    store._is_gone = lambda holder: True
    for number in range(count):
        of = operation(f"op_{name}{number}")
        store.announce_audit(record(of, OperationStatus.FAILED), current_holder("alice"))
        if number % 2:
            store.settle_audit()
        store.append_audit(record(of))
        store.settle_audit()
