"""What child processes do: a command as a user gives it, or one that dies at a chosen moment.

The death is in wrappers made here, around the store and around the primitives; production code knows nothing of it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcp_core import ControlPlane
from dcp_core.model import PlanOptions
from dcp_core.records import OperationStatus
from dcp_core.store import StateStore

WRITES = (
    "begin", "take_over", "start_step", "finish_step", "finish", "save_logical_plan", "append_audit", "put_sandbox",
    "delete_sandbox",
)  # fmt: skip


def pretzel(*arguments: str) -> int:
    """One command line, as ``python -m pretzel`` runs it."""
    from pretzel.boundary import run

    return run(arguments)


def die() -> None:
    """At once, without any clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


class WatchedStore:
    """A store with somebody beside it at every write.

    Args:
        store: The real one.
        watch: Called with ``before`` or ``after`` and the write's name, a step's with its key.
    """

    def __init__(self, store: StateStore, watch: Callable[[str, str], None]) -> None:
        self._store = store
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in WRITES:
            return method

        def write(*arguments: Any, **options: Any) -> Any:
            described = f"{name} {arguments[1]}" if name.endswith("_step") else name
            self._watch("before", described)
            done = method(*arguments, **options)
            self._watch("after", described)
            return done

        return write


def die_at_statement(number: int) -> None:
    """Die just before the n-th SQL statement or commit, of whatever database: the journal's or a platform's."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    count = 0

    def tick(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            die()

    event.listen(Engine, "before_cursor_execute", tick)
    event.listen(Engine, "commit", tick)


def mortal(command: str, paths: Sequence[str], log: str, when: str, number: int) -> int:
    """``apply`` or ``destroy`` in a process that dies.

    Args:
        command: Which of the two.
        paths: Manifests.
        log: A file for the names of the journal writes that are reached.
        when: ``before`` or ``after`` a journal write, or at a ``statement``.
        number: Of the write or statement, from 1; 0 for never.

    Returns:
        0 when it got through alive.
    """
    reached: list[str] = []

    def watch(side: str, write: str) -> None:
        if side == "before":
            reached.append(write)
            Path(log).write_text("".join(f"{each}\n" for each in reached))
        if (side, len(reached)) == (when, number):
            die()

    if when == "statement":
        die_at_statement(number)
    return _as_the_command_does(command, paths, watch)


def paused(paths: Sequence[str], at: str, folder: str) -> int:
    """``apply`` that waits before one of its journal writes: it makes a file ``paused`` and wants one named ``go``."""

    def watch(side: str, write: str) -> None:
        if (side, write) == ("before", at):
            Path(folder, "paused").touch()
            while not Path(folder, "go").exists():
                time.sleep(0.02)

    return _as_the_command_does("apply", paths, watch)


def _as_the_command_does(command: str, paths: Sequence[str], watch: Callable[[str, str], None]) -> int:
    with ControlPlane.from_config("dcp.toml") as opened:
        store = WatchedStore(opened.store, watch)
        dcp = ControlPlane(opened.settings, opened.registry, opened.identity, store=store)
        environment = dcp.environment()
        loaded = dcp.load(list(paths), environment).loaded
        ids = [each.logical_plan.id for each in loaded]
        dcp.recover(environment, ids)
        if command == "destroy":
            planned = dcp.plan_destruction(environment, ids)
        else:
            planned = dcp.plan([each.logical_plan for each in loaded], options=PlanOptions())
        done = dcp.apply(planned, kind=command)
        dcp.close()
    return 0 if all(each.status is OperationStatus.SUCCEEDED for each in done) else 1


def now() -> datetime:
    """The clock of stores that tests open."""
    return datetime.now(UTC)
