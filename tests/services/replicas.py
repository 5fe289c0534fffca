"""Replicas of a store for tests to kill: each works on what others want too, and leaves proof when two ever meet."""

from __future__ import annotations

import fcntl
import os
import random
from pathlib import Path

from dcp_core.errors import ConflictError, LeaseLostError, PermanentError, TransientError
from dcp_core.records import OperationStatus
from dcp_core.sections import StoreSettings
from dcp_core.store import Lease, StateStore, StepStatus
from dcp_graph_runner import current_holder
from dcp_graph_runner.sql_store import open_store
from tests.dcp_graph_runner.processes import now
from tests.dcp_graph_runner.store_contract import entry, operation, put, record

MANIFESTS = 4
STEPS = ("a", "b", "c")
SETTINGS = StoreSettings(pool_size=2, patience_s=10, connect_timeout_s=2, take_overs=10_000)


def work_until_stopped(url: str, folder: str, seed: int) -> None:
    """Begin operations, and take over what others left, until a file ``stop`` is there."""
    dice, count = random.Random(seed), 0
    store = _opened(url)
    while not Path(folder, "stop").exists():
        try:
            left = store.interrupted(None)
            if left:
                lease = store.take_over(dice.choice(left).id, current_holder("alice"))
            else:
                count += 1
                id, manifest_id = f"op_{os.getpid()}_{seed}_{count}", f"derived_dataset/m{dice.randrange(MANIFESTS)}"
                lease = store.begin(operation(id, manifest_id), current_holder("alice"))
            _finish(store, lease, folder)
        except (ConflictError, TransientError):
            continue
        except (LeaseLostError, PermanentError) as error:
            # Nobody took it: this process lives.
            _note(folder, "anomaly", f"{type(error).__name__}: {error}")
    store.close()


def _opened(url: str) -> StateStore:
    while True:
        try:
            return open_store(url, now, SETTINGS)
        except TransientError:
            continue


def _finish(store: StateStore, lease: Lease, folder: str) -> None:
    manifest_id = lease.operation.manifest_id
    with open(Path(folder, manifest_id.replace("/", "_")), "a", encoding="ascii") as inside:
        try:
            fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go by the kernel when this process is killed
        except BlockingIOError:
            _note(folder, "anomaly", f"two in {manifest_id}")
        _note(folder, "fences", f"{lease.operation.id} {lease.fence}")
        store.save_logical_plan(lease.operation.plan.logical_plan, lease.operation.id, "alice", now())
        for name in STEPS:
            key = f"action:iceberg_table:{name}"
            if store.start_step(lease, key).status is not StepStatus.DONE:
                change = put(entry(f"{name}_{manifest_id[-2:]}", manifest_id=manifest_id))
                store.finish_step(lease, key, StepStatus.DONE, name, (change,))
    # Let go before the end is written, since the next one may begin at that very moment.
    store.finish(lease, OperationStatus.SUCCEEDED, (), None, record(lease.operation))


def _note(folder: str, file: str, line: str) -> None:
    with open(Path(folder, file), "a", encoding="utf-8") as notes:
        notes.write(line + "\n")
