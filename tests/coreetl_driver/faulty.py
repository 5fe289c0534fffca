"""Parts that fail as a stranger's code does: backends with bugs, and a catalog that loses its connection."""

from __future__ import annotations

from typing import Any, ClassVar

from pyiceberg.catalog.sql import SqlCatalog

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute import Capabilities, ComputeBackend, Outcome, Task


class Backend(ComputeBackend):
    """Fails where ``compute.fault`` of the job says; never ends by itself."""

    name = "faulty"
    stopped: ClassVar[list[str]] = []

    def capabilities(self) -> Capabilities:
        return Capabilities(reads_overlay=True)

    def submit(self, task: Task) -> str:
        fault = str(task.spec.compute.get("fault"))
        if fault == "submit":
            raise KeyError("nodes")
        return "" if fault == "handle" else f"{fault}/{task.execution_id}"

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        fault, _, execution_id = handle.partition("/")
        if fault == "poll":
            raise KeyError("state")
        if fault == "outcome":
            return Outcome(ExecutionStatus.RUNNING)
        return Outcome(ExecutionStatus.CANCELLED) if execution_id in Backend.stopped else None

    def cancel(self, handle: str) -> None:
        fault, _, execution_id = handle.partition("/")
        Backend.stopped.append(execution_id)
        if fault == "poll":
            raise KeyError("cancel")

    def committed_rows(self, task: Task) -> int | None:
        raise KeyError("rows")


class LosesTheAnswer(SqlCatalog):
    """Commits, and then the connection is gone."""

    def commit_table(self, *args: Any, **kwargs: Any) -> Any:
        super().commit_table(*args, **kwargs)
        raise ConnectionError("the connection was closed")


class LosesTheRequest(SqlCatalog):
    """The connection is gone before the commit reaches the catalog."""

    def commit_table(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("the connection was closed")
