"""Work for other processes, and the way to run it in them: real ones, which a test may kill.

Processes come from a fork server that has the libraries loaded already, so that one costs milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from dcp_core.errors import OperationInProgressError
from dcp_core.records import OperationStatus
from dcp_core.store import StateStore, StepStatus
from dcp_graph_runner import current_holder
from dcp_graph_runner.sql_store import open_store
from tests.dcp_graph_runner.store_contract import ALICE, entry, operation, put, record

STEPS = ("a", "b", "c")
DEADLINE_S = 240


def context() -> ForkServerContext:
    """Where processes come from."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([__name__])
    return made


def start(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    process = context().Process(target=function, args=arguments)
    process.start()
    return process


def run(function: Callable[..., None], *arguments: Any) -> int:
    """Run it in a process of its own; gives the exit code, negative for a signal."""
    return ended(start(function, *arguments))


def ended(process: ForkServerProcess) -> int:
    process.join(DEADLINE_S)
    assert process.exitcode is not None, "the process did not end"
    return process.exitcode


def now() -> datetime:
    return datetime.now(UTC)


def die_at(statement: int) -> None:
    """Kill this process with SIGKILL just before its ``statement``-th SQL statement or commit."""
    count = 0

    def tick(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", tick)
    event.listen(Engine, "commit", tick)


def open_only(url: str, kill_at: int) -> None:
    die_at(kill_at)
    open_store(url, now).close()


def open_together(url: str, barrier: Any) -> None:
    barrier.wait()
    open_store(url, now).close()


def work(url: str, log: str, kill_at: int) -> None:
    """One operation of three steps: begun, or taken over from whoever died in it."""
    store = open_store(url, now)
    die_at(kill_at)
    interrupted = store.interrupted(ALICE)
    if not interrupted and store.operations(ALICE) and not _running(store):
        return
    holder = current_holder("alice")
    lease = store.take_over(interrupted[0].id, holder) if interrupted else store.begin(operation(), holder)
    for name in STEPS:
        key = f"action:iceberg_table:{name}"
        if store.start_step(lease, key).status is StepStatus.DONE:
            continue
        _note(log, f"do {name}")
        store.finish_step(lease, key, StepStatus.DONE, name, (put(entry(name)),))
        _note(log, f"done {name}")
    store.finish(lease, OperationStatus.SUCCEEDED, (), None, record(lease.operation))


def begin_together(url: str, barrier: Any, wins: Any, rounds: int) -> None:
    """Race another process for ``rounds`` manifests; tell which were won."""
    store = open_store(url, now)
    holder = current_holder(str(os.getpid()))
    for number in range(rounds):
        barrier.wait(DEADLINE_S)
        try:
            store.begin(operation(f"op_{number}_{os.getpid()}", f"derived_dataset/m{number}"), holder)
        except OperationInProgressError:
            continue
        wins.put(number)


def storm(url: str, folder: str, seed: int, count: int) -> None:
    """Finish ``count`` operations on manifests that others want too; leaves a file ``anomaly`` if two ever met."""
    store = open_store(url, now)
    holder = current_holder("alice")
    dice = random.Random(seed)
    done = 0
    while done < count:
        manifest_id = f"derived_dataset/m{dice.randrange(3)}"
        try:
            lease = store.begin(operation(f"op_{seed}_{done}", manifest_id), holder)
        except OperationInProgressError:
            continue
        inside = Path(folder, manifest_id.replace("/", "_"))
        try:
            inside.touch(exist_ok=False)
        except FileExistsError:
            Path(folder, "anomaly").touch()
        name = f"t_{seed}_{done}"
        store.start_step(lease, name)
        change = put(entry(name, manifest_id=manifest_id))
        store.finish_step(lease, name, StepStatus.DONE, None, (change,))
        store.save_logical_plan(lease.operation.plan.logical_plan, lease.operation.id, "alice", now())
        inside.unlink()
        store.finish(lease, OperationStatus.SUCCEEDED, (), None, record(lease.operation))
        done += 1


def _running(store: StateStore) -> bool:
    return any(one.status is OperationStatus.RUNNING for one in store.operations(ALICE))


def _note(log: str, line: str) -> None:
    with open(log, "a", encoding="utf-8") as file:
        file.write(line + "\n")
